//go:build !darwin && !linux

package proc

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"
	"time"
)

// errSystem is what everything here ends with: a process cannot be told from another that
// had its pid before.
func errSystem() error {
	return fmt.Errorf("processes on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}

// Clock reads the clock that [Identity].Start would count on: time since the epoch.
func Clock() time.Duration { return time.Duration(time.Now().UnixNano()) }

// SinceBoot would be the time since boot, sleep included.
func SinceBoot() time.Duration { return Clock() }

func read(pid int) (entry, error) {
	if err := checkPID(pid); err != nil {
		return entry{}, err
	}
	return entry{}, errSystem()
}

// handle is never made.
type handle struct{}

func openHandle(int) (*handle, Identity, error) { return nil, Identity{}, errSystem() }

func (*handle) wait() error                 { return errSystem() }
func (*handle) interrupt() error            { return errSystem() }
func (*handle) release() error              { return errSystem() }
func (*handle) signal(syscall.Signal) error { return errSystem() }

func signalName(sig syscall.Signal) string { return sig.String() }
