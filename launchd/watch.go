package launchd

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/proc"
)

// Watch yields what a job is, and then each change, until ctx ends or launchd refuses an
// answer, which is the last element then. First comes EventLoaded or EventUnloaded, and
// EventSpawned if a process runs; then EventSpawned, EventExited (with how it ended),
// EventThrottled, EventUnloaded and EventLoaded as they happen.
//
// Exits are seen by event, at once. launchd has no event for anything else: a job without
// a process is looked at every 100 ms, right after a change more often. A process that
// comes and goes between two looks is missed; [Job].Runs counts it.
//
// It asks with 708, and 712 where that is refused. Errors: those of [Client.Print] but
// for a job or domain that is not there, which is EventUnloaded.
func (c *Client) Watch(ctx context.Context, t Target) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		if err := t.check(); err != nil {
			yield(Event{}, err)
			return
		}
		w := watcher{change: change{c: c, op: "watch", t: t}, yield: yield}
		w.run(ctx)
	}
}

// watcher is one call of Watch. change.old is the process that was reported last, all 0
// without one.
type watcher struct {
	change
	yield func(Event, error) bool

	looked    bool // at least once
	loaded    bool
	scheduled bool      // EventThrottled was reported
	last      time.Time // spawn of the last process that was seen
}

func (w *watcher) run(ctx context.Context) {
	for wait := (backoff{}); ; {
		j, err := w.c.look(ctx, w.t)
		absent := errors.Is(err, ErrNotLoaded) || errors.Is(err, ErrNoDomain)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !absent:
			w.yield(Event{}, renamed(w.op, err))
			return
		}
		events := w.see(j, !absent)
		for _, e := range events {
			e.Time, e.Target = time.Now(), w.t
			if !w.yield(e, nil) {
				return
			}
		}
		if len(events) > 0 {
			wait = backoff{}
		}
		if w.exit(ctx) {
			wait = backoff{}
			continue
		}
		if wait.sleep(ctx) != nil {
			return
		}
	}
}

// see compares what launchd says with what was reported.
func (w *watcher) see(j Job, loaded bool) (events []Event) {
	if !loaded {
		events = append(events, w.ended(Exit{})...)
		if w.loaded || !w.looked {
			events = append(events, Event{Kind: EventUnloaded})
		}
		w.loaded, w.looked, w.scheduled = false, true, false
		return events
	}
	w.job = j
	if !w.loaded {
		events = append(events, Event{Kind: EventLoaded})
	}
	w.loaded, w.looked = true, true
	_, reused := w.another(j.PID)
	switch {
	case reused, j.PID > 0 && j.PID != w.old.PID:
		// The exit that launchd remembers is that of the process before this one.
		events = append(events, w.ended(j.LastExit)...)
		w.from(j.PID) // without an identity, another pid is the next process
		w.scheduled = false
		w.last = time.Time{}
		if w.old.Start != 0 {
			w.last = time.Now().Add(-w.c.procs.age(w.old))
		}
		events = append(events, Event{Kind: EventSpawned, PID: j.PID})
	case j.PID == 0:
		events = append(events, w.ended(j.LastExit)...)
	}
	if j.State != StateSpawnScheduled {
		w.scheduled = false
	} else if !w.scheduled {
		w.scheduled = true
		events = append(events, Event{Kind: EventThrottled, Until: w.until(j)})
	}
	return events
}

// ended reports the exit of the process that was reported last, if there is one.
func (w *watcher) ended(how Exit) (events []Event) {
	if w.old.PID > 0 {
		events = append(events, Event{Kind: EventExited, PID: w.old.PID, Exit: how})
	}
	w.old = proc.Identity{}
	return events
}

// until is when launchd will start the job: it pushes a start out until the minimum
// runtime has passed since the last spawn (launchd-protocol.md 1.5).
func (w *watcher) until(j Job) time.Time {
	switch {
	case j.SpawnIn != nil:
		return time.Now().Add(*j.SpawnIn)
	case j.MinimumRuntime == nil || w.last.IsZero():
		return time.Time{}
	}
	return w.last.Add(*j.MinimumRuntime)
}

// exit waits for the exit of the process that was reported last. It is false if there is
// none that can be waited for.
func (w *watcher) exit(ctx context.Context) bool {
	if w.old.Start == 0 {
		return false
	}
	p, err := w.c.procs.open(w.old)
	if err != nil {
		return false
	}
	defer p.Close()
	return p.Wait(ctx) == nil
}
