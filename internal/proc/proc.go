// Package proc tells processes apart, finds their ancestors, waits for their exit
// by event and signals them without hitting a stranger.
//
// A pid alone names a process only until it is reused; every promise here is made
// about an [Identity]. Linux and macOS are served; elsewhere it builds, and every error
// wraps [errors.ErrUnsupported].
package proc

import (
	"fmt"
	"os"
)

// Identity names one process among all that ever had its pid. Identities are
// comparable with ==. Neither exec nor a new parent changes it.
type Identity struct {
	PID int
	// Start is when the process started, in microseconds: since the epoch on
	// macOS; on Linux since boot, in steps of 10,000, so there two processes could
	// share an identity if the pid were reused within 10 ms. A [Process] is exact
	// on Linux, too.
	Start int64
}

// IsZero reports whether id is the zero value, which names no process.
func (id Identity) IsZero() bool { return id == Identity{} }

// ErrGone is the error for a process that has exited, zombies included, or never
// existed. It is an os.ErrProcessDone to errors.Is.
var ErrGone error = gone{}

type gone struct{}

func (gone) Error() string        { return "no such process, or it has exited" }
func (gone) Is(target error) bool { return target == os.ErrProcessDone }

func goneError(pid int) error { return fmt.Errorf("process %d: %w", pid, ErrGone) }

// entry is one row of the process table.
type entry struct {
	Identity
	parent int
}

// Self returns the identity of the calling process. Where the process table
// cannot be read (Linux without /proc), Start is 0.
func Self() Identity {
	e, err := read(os.Getpid())
	if err != nil {
		return Identity{PID: os.Getpid()}
	}
	return e.Identity
}

// Read returns the identity of the process that has the pid now. The error wraps
// [ErrGone] when there is none or it is a zombie; any other means that the process
// could not be looked at.
//
// macOS reports an exit to waiters a moment before the process turns into a
// zombie, so right after [Process.Wait] Read may still find it there.
func Read(pid int) (Identity, error) {
	e, err := read(pid)
	return e.Identity, err
}

// checkPID refuses the numbers that are no process to kill(2) and its kin.
func checkPID(pid int) error {
	if pid <= 0 {
		return fmt.Errorf("%d is not the pid of a process", pid)
	}
	return nil
}
