package sweep

import (
	"errors"
	"fmt"

	"github.com/hermes-gw/hermes-gw/internal/proc"
)

// Args reads the arguments of a process (Linux: /proc/PID/cmdline; macOS: sysctl
// KERN_PROCARGS2, one call). Empty arguments are kept; the environment is never part of them.
// The error wraps [ErrGone], [ErrZombie] or [ErrUnreadable]; the arguments are those of the
// process that p names, or there are none.
func (t *Table) Args(p *Process) ([]string, error) {
	argv, err := t.argsOf(p)
	if err != nil {
		return nil, fmt.Errorf("process %d: %w", p.PID, err)
	}
	return argv, nil
}

func (t *Table) argsOf(p *Process) ([]string, error) {
	if p.State == StateZombie {
		return nil, ErrZombie
	}
	argv, err := t.argsOfPID(p)
	// The kernel says the same of a process that is not there as of one that it does not
	// show, and gives the arguments of whoever has the pid now.
	if gone := same(p.Identity); errors.Is(gone, ErrGone) || err == nil && gone != nil {
		return nil, gone
	}
	return argv, err
}

// argsOfPID is Args without a second look at the identity: one system call on macOS. A plan
// can do without, because what has another's pid is not signalled in the end.
func (t *Table) argsOfPID(p *Process) ([]string, error) {
	if p.State == StateZombie {
		return nil, ErrZombie
	}
	argv, err := t.readArgs(p.PID)
	if err == nil && len(argv) == 0 { // a kernel's own process, or an exec under way
		err = ErrUnreadable
	}
	return argv, err
}

// same returns ErrGone unless the process of that identity is alive.
func same(id Identity) error {
	now, err := proc.Read(id.PID)
	switch {
	case errors.Is(err, proc.ErrGone), err == nil && now != id:
		return ErrGone
	case err != nil:
		return fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	return nil
}
