package sweep

import (
	"bytes"
	"errors"
	"iter"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/proc"
)

// Identity names one process for good: its pid and when it started, in microseconds.
type Identity = proc.Identity

// State is what a process is doing, as far as a sweep cares.
type State uint8

const (
	StateOther   State = iota // runs, sleeps or waits
	StateStopped              // by a signal or a debugger
	StateZombie               // has exited; only its status is left
)

func (s State) String() string {
	return [...]string{"running", "stopped", "zombie"}[s]
}

// Process is one row of a [Table].
type Process struct {
	Identity
	Parent  int    // pid; a parent that exited left its children to another
	Group   int    // process group
	TTY     uint64 // device number of the session's terminal; 0 for none
	UID     uint32 // effective
	RealUID uint32 // on Linux that of a [Candidate] only: the effective one otherwise
	State   State

	comm    [maxComm]byte
	commLen uint8
	kernel  bool // a thread of Linux's own: it never has arguments
}

// maxComm holds the longest comm: 16 bytes on macOS (MAXCOMLEN), 15 on Linux (TASK_COMM_LEN less
// its NUL).
const maxComm = 16

// Comm is the name of the executed file, cut to 16 bytes on macOS and 15 on Linux. A process
// can change it, and an interpreter's says nothing about its script.
func (p *Process) Comm() string { return string(p.comm[:p.commLen]) }

func (p *Process) setComm(b []byte) {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	p.commLen = uint8(copy(p.comm[:], b))
}

// What keeps argv from being read. None of them is a match, nor a failure of a whole scan.
var (
	// ErrGone: the process has exited, or another has its pid.
	ErrGone = proc.ErrGone
	// ErrZombie: the process has exited, and has no arguments any more.
	ErrZombie = errors.New("the process is a zombie")
	// ErrUnreadable: the system does not show the arguments: another user's process, one
	// that System Integrity Protection covers, or one in the middle of an exec.
	ErrUnreadable = errors.New("the arguments cannot be read")
)

// Table is a snapshot of the system's processes. The zero value is ready. Its memory is
// used again by the next Read, which ends the life of all rows. It is not safe for
// concurrent use.
type Table struct {
	rows  []Process
	all   bool   // the processes of all users were asked for
	buf   []byte // of the source
	args  []byte // of the last argv
	index index
}

// Rows returns the processes, in no particular order. They live until the next Read.
func (t *Table) Rows() []Process { return t.rows }

// All ranges over the processes as Rows has them.
func (t *Table) All() iter.Seq[*Process] {
	return func(yield func(*Process) bool) {
		for i := range t.rows {
			if !yield(&t.rows[i]) {
				return
			}
		}
	}
}

// Age is how long ago the process started.
func (p *Process) Age() time.Duration {
	return max(0, proc.Clock()-time.Duration(p.Start)*time.Microsecond)
}
