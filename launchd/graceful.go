package launchd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/proc"
)

// Identity names one process for good: its pid and when it started.
type Identity = proc.Identity

// Graceful is how a restart lets the old process finish its work: it is sent a signal on
// which it exits by itself, and the job is started when it has.
type Graceful struct {
	// Signal asks for that, SIGUSR1 for instance; 0 is SIGTERM.
	Signal syscall.Signal
	// Process, if set, names the process to be asked, given the job's: where a wrapper
	// runs the program, the wrapper must not get the signal. It must be the job's process or
	// a descendant of it. nil asks the job's process.
	Process func(ctx context.Context, job Identity) (Identity, error)
	// For is how long the work may take. 0 is the job's exit timeout, which is what
	// launchd would give it.
	For time.Duration
	// Leave leaves the process alone when For is over, which is an error that wraps
	// [ErrDraining]; otherwise it is stopped as without Graceful. A wrapper that stays 5 s after
	// the process that was asked has exited is stopped in any case.
	Leave bool
}

// ErrDraining: the old process was asked to finish and has not, and was left alone.
var ErrDraining = errors.New("the old process is still at work")

// drain asks the old process to leave. over is true when the call is finished: the
// caller is inside the job, or the process was left alone. Otherwise the job is to be
// started, and with kill only if gone is false.
func (r *restart) drain(ctx context.Context) (gone, over bool, err error) {
	asked, err := r.asked(ctx)
	if err != nil {
		return false, true, err
	}
	// Both are held before the signal, so that no exit is missed. The wrapper must have
	// gone, too: until then launchd has not.
	var held []process
	defer func() {
		for _, p := range held {
			p.Close()
		}
	}()
	signalled := false
	for _, id := range slices.Compact([]Identity{asked, r.old}) {
		p, err := r.c.procs.open(id)
		if errors.Is(err, proc.ErrGone) {
			continue
		}
		if err != nil {
			return false, true, fmt.Errorf("restart %s: %w", r.t, err)
		}
		signalled = signalled || id == asked
		held = append(held, p)
	}
	// A pid can have become another process' between launchd's answer and the look at its
	// identity. Now that the processes are held, launchd is asked whether it is still the job's.
	j, err := r.look(ctx)
	switch {
	case err != nil:
		return false, true, renamed("restart", err)
	case j.PID != r.old.PID:
		if !r.gone(r.old) {
			r.old.Start = 0 // whose that process is, is not known: its exit is nothing to wait for
		}
		return true, false, nil
	}
	limit := r.o.Graceful.For
	if limit <= 0 {
		limit, _ = r.exitTimeout()
	}
	waiting := ctx
	if limit > 0 {
		var cancel context.CancelFunc
		waiting, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	if signalled {
		if err := r.signal(held[0], asked.PID, cmp.Or(r.o.Graceful.Signal, syscall.SIGTERM)); err != nil && !errors.Is(err, proc.ErrGone) {
			return false, true, err
		}
	}
	if r.res.Inside {
		r.res.Outcome = OutcomeRequested
		return false, true, nil
	}
	for n, p := range held {
		finished := n > 0 || !signalled // the gateway has gone, this is its wrapper
		if finished {
			var cancel context.CancelFunc
			waiting, cancel = context.WithTimeout(waiting, settle)
			defer cancel()
		}
		if err := p.Wait(waiting); err != nil && !(r.gone(asked) && r.gone(r.old)) {
			return r.undrained(ctx, asked, limit, finished)
		}
	}
	r.emit(Event{Kind: EventExited, PID: r.old.PID})
	return true, false, nil
}

// gone reports whether a process is known to have exited.
func (r *restart) gone(id Identity) bool {
	now, err := r.c.procs.read(id.PID)
	return errors.Is(err, proc.ErrGone) || err == nil && now.Start != id.Start
}

// comesBack reports whether the job can be asked to leave by itself. A caller inside does
// not live to start it again, so launchd has to: a job that it is known not to keep alive
// is restarted by one request instead.
func (r *restart) comesBack() bool {
	if !r.res.Inside || r.job.KeepAlive == nil || *r.job.KeepAlive {
		return true
	}
	r.warn("launchd does not start the job again by itself, and this process would end with it: it is restarted without a graceful stop.")
	return false
}

// asked returns the process that gets the signal.
func (r *restart) asked(ctx context.Context) (Identity, error) {
	if r.old.Start == 0 {
		return Identity{}, fmt.Errorf("restart %s: process %d cannot be told from others, so it is not signalled; restart it without Graceful", r.t, r.old.PID)
	}
	if r.o.Graceful.Process == nil {
		return r.old, nil
	}
	id, err := r.o.Graceful.Process(ctx, r.old)
	if err != nil {
		return Identity{}, fmt.Errorf("restart %s: find the process to ask: %w", r.t, err)
	}
	if id == r.old {
		return id, nil
	}
	above, err := r.c.procs.ancestors(id.PID)
	if !slices.Contains(above, r.old) {
		return Identity{}, fmt.Errorf("restart %s: process %d is not a descendant of the job's process %d, so it is not signalled (%w)",
			r.t, id.PID, r.old.PID, errors.Join(err, errNotInside))
	}
	return id, nil
}

var errNotInside = errors.New("not in the job's process tree")

// undrained decides what follows a drain that did not end in time; finished says that it did, but
// for a wrapper that stays although the process that was asked has exited.
func (r *restart) undrained(ctx context.Context, asked Identity, limit time.Duration, finished bool) (gone, over bool, err error) {
	if err := ctx.Err(); err != nil {
		r.res.Outcome = OutcomeNotReady
		return false, true, fmt.Errorf("restart %s: out of time: %w (process %d): %w", r.t, ErrDraining, asked.PID, err)
	}
	// Only what launchd says now tells whether it is still the old process that a kill
	// would hit.
	j, err := r.look(ctx)
	switch {
	case err != nil:
		return false, true, renamed("restart", err)
	case j.PID != r.old.PID || r.gone(r.old):
		r.warn("Process %d has not exited after %v, although the job's process has.", asked.PID, limit)
		return true, false, nil
	case finished:
		r.warn("Process %d finished its work and exited; the job's process %d stayed and was stopped.", asked.PID, r.old.PID)
		return false, false, nil
	case r.o.Graceful.Leave:
		r.res.Outcome = OutcomeNotReady
		return false, true, fmt.Errorf("restart %s: process %d after %v: %w", r.t, asked.PID, limit, ErrDraining)
	}
	r.warn("Process %d did not finish its work within %v and was stopped.", asked.PID, limit)
	return false, false, nil
}

// signal sends a signal to a held process and reports it.
func (r *restart) signal(p process, pid int, sig syscall.Signal) error {
	if err := p.Signal(sig); err != nil {
		return fmt.Errorf("restart %s: %w", r.t, err)
	}
	name := sig.String()
	if n, ok := darwinSignal(sig); ok {
		name = n.String()
	}
	r.emit(Event{Kind: EventSignaled, PID: pid, Detail: name})
	return nil
}
