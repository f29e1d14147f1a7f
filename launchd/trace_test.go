package launchd

import (
	"context"
	"slices"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/launchdsim"
)

// named fails the test if anybody unloaded anything without naming it, which would be the
// whole domain. Every test with an embedded launchd ends with it.
func (e *embedded) named() {
	e.t.Helper()
	for _, ev := range e.since(0) {
		if ev.Kind == "request" && ev.Routine == routineBootout && ev.Label == "" {
			e.t.Errorf("a bootout without a name: %+v", ev)
		}
	}
}

// restart is Restart, and fails the test if anything was loaded, unloaded or removed
// meanwhile (trap 5).
func (e *embedded) restart(ctx context.Context, t Target, o RestartOptions) (RestartResult, error) {
	e.t.Helper()
	from := e.seen()
	r, err := e.Restart(ctx, t, o)
	e.keepsLoaded(from)
	return r, err
}

// keepsLoaded fails the test if anything was loaded, unloaded or removed since event number
// from.
func (e *embedded) keepsLoaded(from int) {
	e.t.Helper()
	for _, ev := range e.since(from) {
		if ev.Kind == "request" && slices.Contains([]uint64{routineBootstrap, routineBootout, routineRemove}, ev.Routine) {
			e.t.Errorf("a restart sent %d for %q", ev.Routine, ev.Label)
		}
	}
}

// since returns a copy of the events from number from on.
func (e *embedded) since(from int) []launchdsim.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.events[from:])
}

// of keeps the events of one kind that are about one job.
func of(events []launchdsim.Event, kind, label string) []launchdsim.Event {
	return slices.DeleteFunc(slices.Clone(events), func(ev launchdsim.Event) bool { return ev.Kind != kind || ev.Label != label })
}

// asked counts requests for a routine.
func asked(events []launchdsim.Event, routine uint64) (n int) {
	for _, ev := range events {
		if ev.Kind == "request" && ev.Routine == routine {
			n++
		}
	}
	return n
}

// gap is the time, on the trace's clock, from the exit of a process to the next spawn.
func (e *embedded) gap(from int, label string, old int) time.Duration {
	e.t.Helper()
	exit, next := e.wait(from, "exit of the old process", func(ev launchdsim.Event) bool { return ev.Kind == "exit" && ev.PID == old })
	spawn, _ := e.wait(next, "the next spawn", func(ev launchdsim.Event) bool { return ev.Kind == "spawn" && ev.Label == label })
	return time.Duration(spawn.Time - exit.Time)
}
