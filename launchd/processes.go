package launchd

import (
	"context"
	"syscall"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/proc"
)

// processes is what the composites must know of processes. Tests put a table of
// their own in place of the system's.
type processes interface {
	open(proc.Identity) (process, error)
	read(pid int) (proc.Identity, error)
	ancestors(pid int) ([]proc.Identity, error)
	age(proc.Identity) time.Duration
}

// process is a held *proc.Process.
type process interface {
	Wait(ctx context.Context) error
	Signal(syscall.Signal) error
	Close() error
}

type system struct{}

func (system) open(id proc.Identity) (process, error) {
	p, err := proc.OpenIdentity(id)
	if err != nil {
		return nil, err // not a nil *proc.Process in an interface
	}
	return p, nil
}

func (system) read(pid int) (proc.Identity, error)        { return proc.Read(pid) }
func (system) ancestors(pid int) ([]proc.Identity, error) { return proc.Ancestors(pid) }

// age tells how long ago a process began, on the clock of its start time.
func (system) age(id proc.Identity) time.Duration {
	return proc.Clock() - time.Duration(id.Start)*time.Microsecond
}
