package sweep

import (
	"context"
	"errors"
	"fmt"
	"os"
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
}

// Outcome is what became of one process of a plan.
type Outcome string

const (
	Exited  Outcome = "exited"  // after SIGTERM
	Killed  Outcome = "killed"  // after SIGKILL
	Gone    Outcome = "gone"    // had exited before it was signalled, or its pid was another's
	Spared  Outcome = "spared"  // was not what the plan says any more, or not to be signalled; Reason tells
	Left    Outcome = "left"    // was signalled and is still there, or ctx ended first; Err tells
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
	Reason  string // of Spared, and of Left that was spared SIGKILL
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

// Run carries out a plan: each process is held, so that its exit is seen by event; then the
// process table and its arguments are read once more, and what would spare it in a new plan
// spares it now, as do other arguments; then it is signalled, by a signal that is bound to the
// identity. After the grace period SIGKILL follows in the same way. All processes at the same
// time. Pids 0 and 1 and the caller are never signalled, whatever the plan says.
//
// A plan that was put together by hand is held to what Options' zero value spares, for the
// caller's effective user.
//
// The error is ctx's, if it ends first: nothing more is signalled then.
func Run(ctx context.Context, plan Plan, o RunOptions) (Report, error) {
	start := time.Now()
	if o.Grace <= 0 {
		o.Grace = 5 * time.Second
	}
	again := &checker{rules: plan.rules}
	if again.rules == nil {
		again.rules = &rules{uid: uint32(os.Geteuid())}
	}
	r := Report{Results: make([]Result, len(plan.Signal))}
	var all sync.WaitGroup
	for i, p := range plan.Signal {
		r.Results[i].Planned = p
		all.Go(func() { one(ctx, &r.Results[i], o, again) })
	}
	all.Wait()
	r.Took = time.Since(start)
	return r, ctx.Err()
}

// one signals one process and waits for its exit.
func one(ctx context.Context, r *Result, o RunOptions, again *checker) {
	if r.PID <= 1 || r.PID == os.Getpid() {
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
		sig           syscall.Signal
		wait          time.Duration
		gone, outcome Outcome // if it is gone before the signal, and after it
	}{{syscall.SIGTERM, o.Grace, Gone, Exited}, {syscall.SIGKILL, afterKill, Exited, Killed}} {
		if step.sig == syscall.SIGKILL && o.Leave {
			break
		}
		if err := ctx.Err(); err != nil {
			r.Outcome, r.Err = Left, err
			return
		}
		err := p.SignalIf(step.sig, func() error { return again.check(ctx, r.Planned) })
		var spared sparedError
		switch {
		case errors.As(err, &spared) && step.sig == syscall.SIGKILL: // it was asked to exit, and has not
			r.Outcome, r.Reason = Left, string(spared)
			r.Err = fmt.Errorf("process %d has not exited, and is not killed: %s", r.PID, spared)
			return
		case errors.As(err, &spared):
			r.Outcome, r.Reason = Spared, string(spared)
			return
		case errors.Is(err, proc.ErrGone):
			r.Outcome = step.gone
			return
		case err != nil && ctx.Err() != nil:
			r.Outcome, r.Err = Left, ctx.Err()
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

// checker decides about a process once more, right before a signal: by the rules of the plan,
// from a table of its own. One process after the other, so that one table is enough.
type checker struct {
	*rules
	mu    sync.Mutex
	table Table
}

// check returns nil for a process that is to be signalled, ErrGone if it is not there any
// more, and a sparedError if it is not what the plan says, or something spares it by now.
func (c *checker) check(ctx context.Context, p Planned) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &c.table
	if err := t.Read(ctx, -1); err != nil {
		return err
	}
	row := t.Find(p.PID)
	if row == nil || row.Identity != p.Identity || row.State == StateZombie {
		return ErrGone
	}
	x, err := c.sparing(t)
	if err == nil && c.Self != 0 { // then this process is another one
		err = x.addCaller(os.Getpid())
	}
	if err != nil {
		return err
	}
	if reason := x.reason(row); reason != "" {
		return sparedError(reason)
	}
	argv, err := t.argsOf(row)
	switch {
	case errors.Is(err, ErrGone), errors.Is(err, ErrZombie):
		return ErrGone
	case err != nil:
		return sparedError("its arguments cannot be read any more")
	case !slices.Equal(argv, p.Argv):
		return sparedError("it has other arguments now")
	case c.Spare != nil:
		if reason := c.Spare(p); reason != "" {
			return sparedError(reason)
		}
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
