package launchd

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/proc"
)

// Times of a restart by signal.
const (
	beyondExit = time.Second            // above the exit timeout, before SIGKILL
	idleFor    = 250 * time.Millisecond // for so long a job must be idle to count as left alone
)

// bySignal restarts the job where launchd demands an entitlement for a kickstart
// (refusal): the old process is told to exit as launchd would, and KeepAlive starts the
// next one.
func (r *restart) bySignal(ctx context.Context, refusal error) error {
	j, err := r.look(ctx)
	switch {
	case err != nil:
		return renamed("restart", err)
	case r.replaced(ctx, j.PID) && !j.State.Stopping() && r.old.PID > 0:
		return r.arrived(ctx, j.PID, MethodObserved, OutcomeAlreadyRestarting)
	case r.old.PID == 0 && j.PID > 0:
		return r.arrived(ctx, j.PID, MethodObserved, OutcomeStarted)
	case r.old.PID == 0:
		return r.revived(ctx, refusal)
	case !revives(j) && r.o.Reload != nil:
		return r.byReload(ctx, refusal)
	case !revives(j):
		return fmt.Errorf("%w; and nothing was done, because launchd would not start the job again by itself", refusal)
	case r.old.Start == 0:
		return fmt.Errorf("%w; process %d cannot be told from others, so it is not signalled", refusal, r.old.PID)
	}
	p, err := r.c.procs.open(r.old)
	if errors.Is(err, proc.ErrGone) {
		return r.revived(ctx, refusal)
	}
	if err != nil {
		return fmt.Errorf("%w; and process %d: %w", refusal, r.old.PID, err)
	}
	defer p.Close()
	exit, ends := r.exitTimeout()
	for _, step := range []struct {
		sig  syscall.Signal
		ends bool
		wait time.Duration
	}{{syscall.SIGTERM, ends, exit + beyondExit}, {syscall.SIGKILL, true, settle}} {
		if err := r.signal(p, r.old.PID, step.sig); err != nil && !errors.Is(err, proc.ErrGone) {
			return fmt.Errorf("%w; %w", refusal, err)
		}
		if r.res.Inside {
			r.res.Outcome, r.res.Method = OutcomeRequested, MethodSignal
			return nil
		}
		if err := waitFor(ctx, p, step.wait, step.ends); err == nil {
			r.emit(Event{Kind: EventExited, PID: r.old.PID})
			return r.revived(ctx, refusal)
		} else if ctx.Err() != nil {
			return fmt.Errorf("restart %s: process %d was sent %v and has not exited: %w", r.t, r.old.PID, step.sig, ctx.Err())
		}
	}
	return fmt.Errorf("restart %s: process %d has not exited after SIGKILL; the restart was by signal because: %w", r.t, r.old.PID, refusal)
}

// revives reports whether launchd is known to start the job again by itself.
func revives(j Job) bool {
	if j.KeepAlive == nil || !*j.KeepAlive {
		return false
	}
	// A SIGTERM counts as a failure, unless the program makes an exit 0 of it.
	whenGood, conditional := j.KeepAliveIf["successful exit"]
	return !conditional || !whenGood
}

// waitFor waits for an exit, for so long if ends is true.
func waitFor(ctx context.Context, p process, d time.Duration, ends bool) error {
	if ends {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d)
		defer cancel()
	}
	return p.Wait(ctx)
}

// revived waits for launchd to start the job by itself, which takes the minimum runtime
// at most. A job that stays idle is not revived by its KeepAlive: then a reload is the only way
// left.
func (r *restart) revived(ctx context.Context, refusal error) error {
	begin := time.Now()
	waiting, cancel := context.WithTimeout(ctx, r.minimumRuntime()+settle)
	defer cancel()
	var idle idleness
	told := false
	for wait := (backoff{}); ; {
		j, err := r.c.look(waiting, r.t)
		switch {
		case err == nil && r.replaced(ctx, j.PID):
			return r.arrived(ctx, j.PID, MethodSignal, "")
		case err != nil && waiting.Err() == nil:
			return renamed("restart", err)
		case err == nil && idle.lasts(j):
			return r.idle(ctx, j, refusal)
		}
		if j.State == StateSpawnScheduled && !told {
			told = true
			r.throttled(j, r.oldAge())
		}
		if err := wait.sleep(waiting); err != nil {
			if j.State == StateSpawnScheduled {
				r.res.Outcome = OutcomeThrottled
				return &ThrottledError{Target: r.t, For: r.res.Throttled, Why: refusal.Error(), Err: err}
			}
			return fmt.Errorf("restart %s: no new process within %v of the old one's exit: %w; the restart was by signal because: %w",
				r.t, time.Since(begin).Round(time.Second/10), err, refusal)
		}
	}
}

// idle is about a job that has no process, and that nothing starts.
func (r *restart) idle(ctx context.Context, j Job, refusal error) error {
	if r.o.Reload != nil {
		return r.byReload(ctx, refusal)
	}
	r.res.Outcome = OutcomeParked
	return fmt.Errorf("restart %s: the job has no process%s%s, launchd does not start it by itself, and refused to be asked: %w", r.t, lastExit(j), pended(j), refusal)
}

// byReload loads the job anew, which is the only way left.
func (r *restart) byReload(ctx context.Context, refusal error) error {
	o := *r.o.Reload
	if o.OnEvent == nil {
		o.OnEvent = r.o.OnEvent
	}
	if b, ok := ctx.(*jobBound); ok {
		ctx = b.Context // a reload has times of its own
	}
	done, err := r.c.Reload(ctx, r.t, o)
	r.res.Warnings = append(r.res.Warnings, done.Warnings...)
	r.res.Method = MethodReload
	if err != nil {
		r.res.Outcome = done.Outcome
		return fmt.Errorf("%w; the job was to be loaded anew because: %w", err, refusal)
	}
	if done.Outcome == OutcomeRequested {
		r.res.Outcome = OutcomeRequested
		return nil
	}
	return r.success(done.New, MethodReload, "")
}

// idleness tells a job that is left alone from one between two states. The zero value is
// ready.
type idleness struct{ since time.Time }

// lasts reports whether the job has had no process, and no start before it, for a while.
func (i *idleness) lasts(j Job) bool {
	if j.PID > 0 || j.State != StateNotRunning && j.State != "" {
		i.since = time.Time{}
		return false
	}
	if i.since.IsZero() {
		i.since = time.Now()
	}
	return time.Since(i.since) >= idleFor
}
