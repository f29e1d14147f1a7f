package launchd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/proc"
)

const (
	readyFor = 30 * time.Second // without RestartOptions.ReadyTimeout
	flapping = 3                // so many new processes that exit before they are ready
)

// ready verifies the new process and asks the caller's question about it until that is
// answered with nil. A process that exits meanwhile is followed by the one that launchd
// starts next, if there is a question, and if it is not one that can never run.
func (r *restart) ready(ctx context.Context) error {
	limit := r.o.ReadyTimeout
	if limit <= 0 {
		limit = readyFor
	}
	if r.o.Ready == nil { // the new process has been seen: to look at it is not a matter of time left
		longer, cancel := outlast(ctx, lastLook)
		defer cancel()
		ctx = longer
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if r.o.Ready != nil {
		r.emit(Event{Kind: EventWaiting, PID: r.res.New, Detail: "the new process to be ready"})
	}
	for exits := 0; ; {
		err := r.readyOne(ctx, r.res.New)
		switch {
		case err == nil && r.o.Ready == nil:
			return nil
		case err == nil:
			r.emit(Event{Kind: EventReady, PID: r.res.New})
			return nil
		case !errors.Is(err, proc.ErrGone):
			r.res.Outcome = OutcomeNotReady
			return fmt.Errorf("restart %s: process %d was not ready within %v: %w", r.t, r.res.New, limit, err)
		}
		exits++
		if r.o.Ready == nil {
			return r.goneAgain(ctx, r.res.New)
		}
		if exits, err = r.followed(ctx, exits); err != nil {
			return err
		}
	}
}

// readyOne asks about one process, until it is ready, has exited (ErrGone) or ctx ends.
func (r *restart) readyOne(ctx context.Context, pid int) error {
	id, err := r.c.procs.read(pid)
	if err != nil {
		r.old = Identity{PID: pid}
		return err
	}
	r.old = id // what the next one will have to differ from
	p, err := r.c.procs.open(id)
	if err != nil {
		return err
	}
	defer p.Close()
	asking, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	waited := make(chan struct{})
	go func() {
		defer close(waited)
		if p.Wait(asking) == nil {
			stop(proc.ErrGone)
		}
	}()
	defer func() {
		stop(nil)
		<-waited
	}()
	for wait := (backoff{}); ; {
		notYet := r.askReady(asking, pid)
		if cause := context.Cause(asking); errors.Is(cause, proc.ErrGone) {
			return cause
		}
		if notYet == nil {
			return nil
		}
		if err := wait.sleep(asking); err != nil {
			if cause := context.Cause(asking); errors.Is(cause, proc.ErrGone) {
				return cause
			}
			return fmt.Errorf("%w (%w)", notYet, err)
		}
	}
}

// askReady asks once: whether the process has executed its program, if that is to be
// verified, and then the caller's question.
func (r *restart) askReady(ctx context.Context, pid int) error {
	if r.o.Verify && r.verified != pid {
		if err := r.verify(ctx, pid); err != nil {
			return err
		}
		r.verified = pid
	}
	if r.o.Ready == nil {
		return nil
	}
	return r.o.Ready(ctx, pid)
}

// followed waits for the process after one that exited before it was ready, the exits-th.
// It returns how many did in the end: one that comes and goes between two looks is seen by
// launchd's count of runs.
func (r *restart) followed(ctx context.Context, exits int) (int, error) {
	const when = "before it was ready"
	gone := r.res.New
	told, runs := false, 0
	var idle idleness
	var last Job // as it was told
	for wait := (backoff{}); ; {
		j, err := r.c.look(ctx, r.t)
		if err != nil && ctx.Err() == nil {
			return exits, renamed("restart", err)
		}
		if err == nil {
			last = j
		}
		if err == nil && j.PID != gone {
			if !told {
				told = true
				r.emit(Event{Kind: EventExited, PID: gone, Exit: j.LastExit})
				if j.State == StateSpawnScheduled {
					r.throttled(j, r.oldAge())
				}
			}
			if j.Runs != nil && j.PID == 0 {
				if missed := *j.Runs - runs; runs > 0 && missed > 0 {
					exits += missed
					wait = backoff{}
				}
				runs = *j.Runs
			}
			if exits >= flapping {
				r.res.Outcome = OutcomeFlapping
				return exits, r.earlyExit(gone, exits, when, j)
			}
			if r.o.Verify && r.verified != gone && refusedToRun(j.LastExit) {
				// The next one would not run either.
				r.res.Outcome = r.without(j, r.oldAge())
				return exits, r.earlyExit(gone, exits, when, j)
			}
		}
		switch {
		case err == nil && r.replaced(ctx, j.PID):
			r.res.New = j.PID
			r.warn("The new process %d exited before it was ready%s.", gone, lastExit(j))
			r.emit(Event{Kind: EventSpawned, PID: j.PID})
			return exits, nil
		case err == nil && idle.lasts(j):
			r.res.Outcome = OutcomeParked
			return exits, r.earlyExit(gone, exits, when, j)
		}
		if err := wait.sleep(ctx); err != nil {
			if r.res.Outcome = r.without(last, r.oldAge()); r.res.Outcome != OutcomeThrottled {
				r.res.Outcome = OutcomeNotReady
			}
			return exits, fmt.Errorf("%w; none has followed in time: %w", r.earlyExit(gone, exits, when, last), err)
		}
	}
}
