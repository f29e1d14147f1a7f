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

// ready asks the caller's question about the new process until it is answered with nil.
// A process that exits meanwhile is followed by the one that launchd starts next.
func (r *restart) ready(ctx context.Context) error {
	limit := r.o.ReadyTimeout
	if limit <= 0 {
		limit = readyFor
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	r.emit(Event{Kind: EventWaiting, PID: r.res.New, Detail: "the new process to be ready"})
	for exits := 0; ; {
		err := r.readyOne(ctx, r.res.New)
		switch {
		case err == nil:
			r.emit(Event{Kind: EventReady, PID: r.res.New})
			return nil
		case !errors.Is(err, proc.ErrGone):
			r.res.Outcome = OutcomeNotReady
			return fmt.Errorf("restart %s: process %d was not ready within %v: %w", r.t, r.res.New, limit, err)
		}
		exits++
		if err := r.followed(ctx, &exits); err != nil {
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
		notYet := r.o.Ready(asking, pid)
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

// followed waits for the process after one that exited before it was ready. One that comes and goes
// between two looks is counted among the exits, too: launchd counts its starts.
func (r *restart) followed(ctx context.Context, exits *int) error {
	gone := r.res.New
	told := false
	var runs *int // at the last look
	var idle idleness
	for wait := (backoff{}); ; {
		j, err := r.c.look(ctx, r.t)
		if err != nil && ctx.Err() == nil {
			return renamed("restart", err)
		}
		if err == nil && j.Runs != nil {
			if runs != nil {
				unseen := *j.Runs - *runs
				if r.replaced(j.PID) { // the last of them is there
					unseen--
				}
				*exits += max(unseen, 0)
			}
			runs = j.Runs
		}
		if err == nil && j.PID != gone {
			first := !told
			if told = true; first {
				r.emit(Event{Kind: EventExited, PID: gone, Exit: j.LastExit})
			}
			if *exits >= flapping {
				r.res.Outcome = OutcomeFlapping
				return fmt.Errorf("restart %s: %d new processes exited before they were ready%s; nothing more was sent", r.t, *exits, lastExit(j))
			}
			if first && j.State == StateSpawnScheduled {
				r.emit(Event{Kind: EventThrottled, Detail: fmt.Sprintf("launchd starts the job again within %v of its last start", r.minimumRuntime())})
			}
		}
		switch {
		case err == nil && r.replaced(j.PID):
			r.res.New = j.PID
			r.warn("The new process %d exited before it was ready%s.", gone, lastExit(j))
			r.emit(Event{Kind: EventSpawned, PID: j.PID})
			return nil
		case err == nil && idle.lasts(j):
			r.res.Outcome = OutcomeParked
			return fmt.Errorf("restart %s: the new process %d exited before it was ready%s, and launchd leaves the job alone", r.t, gone, lastExit(j))
		}
		if err := wait.sleep(ctx); err != nil {
			r.res.Outcome = OutcomeNotReady
			if j.State == StateSpawnScheduled {
				r.res.Outcome = OutcomeThrottled
			}
			return fmt.Errorf("restart %s: the new process %d exited before it was ready%s, and none has followed: %w", r.t, gone, lastExit(j), err)
		}
	}
}
