package sweep

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/proc"
)

// RunOptions: the zero value sends SIGTERM, waits 5 s and sends SIGKILL.
type RunOptions struct {
	// Grace is how long a process may take to exit after SIGTERM. 0 is 5 s.
	Grace time.Duration
	// Leave sends no SIGKILL.
	Leave bool
	// Again is asked about each process right before each signal, with the arguments and the
	// ancestors that it has then: false spares it. nil compares the arguments with those of the
	// plan, and looks for the caller among its descendants.
	Again func(p Planned, argv []string) (ok bool, reason string)
}

// Outcome is what became of one process of a plan.
type Outcome string

const (
	Exited  Outcome = "exited"  // after SIGTERM
	Killed  Outcome = "killed"  // after SIGKILL
	Gone    Outcome = "gone"    // had exited before it was signalled, or its pid was another's
	Spared  Outcome = "spared"  // was not what the plan says any more; Reason tells
	Left    Outcome = "left"    // is still there
	Refused Outcome = "refused" // could not be signalled; Err tells
)

// Report is what [Run] did, in the order of the plan.
type Report struct {
	Results []Result
	Took    time.Duration
}

// Result is what became of one process.
type Result struct {
	Planned
	Outcome Outcome
	Reason  string // of Spared
	Err     error  // of Refused and Left
}

// Left returns how many processes are still there, or could not be signalled.
func (r Report) Left() (n int) {
	for _, one := range r.Results {
		if one.Outcome == Left || one.Outcome == Refused {
			n++
		}
	}
	return n
}

// afterKill is how long a process may take to be gone after SIGKILL: it ends when the
// kernel lets go of it.
const afterKill = 2 * time.Second

// Run carries out a plan: each process is held, so that its exit is seen by event; then its
// identity and arguments are read once more; then it is signalled, by a signal that is bound to
// the identity. After the grace period SIGKILL follows in the same way. All processes at the same
// time. Pids 0 and 1 and the caller are never signalled, whatever the plan says.
//
// The error is ctx's, if it ends first: nothing more is signalled then.
func Run(ctx context.Context, plan Plan, o RunOptions) (Report, error) {
	start := time.Now()
	if o.Grace <= 0 {
		o.Grace = 5 * time.Second
	}
	r := Report{Results: make([]Result, len(plan.Signal))}
	var all sync.WaitGroup
	for i, p := range plan.Signal {
		r.Results[i].Planned = p
		all.Go(func() { one(ctx, &r.Results[i], o) })
	}
	all.Wait()
	r.Took = time.Since(start)
	return r, ctx.Err()
}

// one signals one process and waits for its exit.
func one(ctx context.Context, r *Result, o RunOptions) {
	if self := proc.Self(); r.PID <= 1 || r.PID == self.PID {
		r.Outcome, r.Reason = Spared, "it is the caller or the system"
		return
	}
	p, err := proc.OpenIdentity(r.Identity)
	if errors.Is(err, proc.ErrGone) {
		r.Outcome = Gone
		return
	}
	if err != nil {
		r.Outcome, r.Err = Refused, err
		return
	}
	defer p.Close()
	for _, step := range []struct {
		sig     syscall.Signal
		wait    time.Duration
		outcome Outcome
	}{{syscall.SIGTERM, o.Grace, Exited}, {syscall.SIGKILL, afterKill, Killed}} {
		if step.sig == syscall.SIGKILL && o.Leave {
			break
		}
		if err := ctx.Err(); err != nil {
			r.Outcome, r.Err = Left, err
			return
		}
		err := p.SignalIf(step.sig, func() error { return r.again(o) })
		var spared sparedError
		switch {
		case errors.As(err, &spared):
			r.Outcome, r.Reason = Spared, string(spared)
			return
		case errors.Is(err, proc.ErrGone):
			if r.Outcome = step.outcome; step.sig == syscall.SIGTERM {
				r.Outcome = Gone
			} else {
				r.Outcome = Exited
			}
			return
		case err != nil:
			r.Outcome, r.Err = Refused, err
			return
		}
		waiting, cancel := context.WithTimeout(ctx, step.wait)
		err = p.Wait(waiting)
		cancel()
		if err == nil {
			r.Outcome = step.outcome
			return
		}
		if errors.Is(err, errors.ErrUnsupported) { // no event on this system: look
			if gone := lookUntil(ctx, r.Identity, step.wait); gone {
				r.Outcome = step.outcome
				return
			}
		}
	}
	r.Outcome, r.Err = Left, fmt.Errorf("process %d has not exited", r.PID)
}

// sparedError says why a process is not signalled after all.
type sparedError string

func (e sparedError) Error() string { return string(e) }

// again reads a process once more, right before a signal.
func (r *Result) again(o RunOptions) error {
	var t Table
	argv, err := t.argsOf(&Process{Identity: r.Identity})
	switch {
	case errors.Is(err, ErrGone):
		return ErrGone
	case err != nil:
		return sparedError("its arguments cannot be read any more")
	}
	if o.Again != nil {
		if ok, reason := o.Again(r.Planned, argv); !ok {
			return sparedError(reason)
		}
		return nil
	}
	if !slices.Equal(argv, r.Argv) {
		return sparedError("it has other arguments now")
	}
	return r.above()
}

// above returns an error if the process is an ancestor of the caller by now.
func (r *Result) above() error {
	ancestors, err := proc.Ancestors(proc.Self().PID)
	if err != nil {
		return sparedError("the caller's ancestors cannot be read")
	}
	if slices.Contains(ancestors, r.Identity) {
		return sparedError("it is an ancestor of the caller")
	}
	return nil
}

// lookUntil looks for a process every now and then, where the system reports no exits.
func lookUntil(ctx context.Context, id Identity, limit time.Duration) (gone bool) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for wait := 2 * time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		if errors.Is(same(id), ErrGone) {
			return true
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return false
		}
	}
}
