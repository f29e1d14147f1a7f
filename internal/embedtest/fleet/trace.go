package fleet

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/launchd/launchdtest"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// Routines of launchd that matter to the checks.
const (
	bootstrapRoutine = 800
	bootoutRoutine   = 801
	removeRoutine    = 816
)

// Mark is a place in launchd's trace: everything that has happened so far is before it.
func (f *Fleet) Mark() launchdtest.Mark {
	f.t.Helper()
	// A process can run before its launchd has noted that it made it; a question about the job
	// waits for that. A test may have launchd hang.
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	for _, g := range f.gateways {
		f.Client.Job(ctx, g.Target) // an error, which is an answer
	}
	f.sync()
	return f.world.Mark()
}

// Loaded is the place in the trace after New had loaded the jobs.
func (f *Fleet) Loaded() launchdtest.Mark { return f.loaded }

// Trace are launchd's events since m, in their order. All that a client which has ended by
// itself brought about is in it; of one that was killed [Fleet.Quiet] knows.
func (f *Fleet) Trace(m launchdtest.Mark) []launchdtest.Event {
	f.t.Helper()
	f.sync()
	return slices.DeleteFunc(f.world.Trace(m), func(e launchdtest.Event) bool { return strings.HasPrefix(e.Label, syncLabel) })
}

// Quiet waits until nobody else is connected to launchd, so that everything is in the trace that
// clients sent which have ended, however they ended. It is for a launchd that is not a process
// of its own.
func (f *Fleet) Quiet() {
	f.t.Helper()
	ctx, cancel := f.soon()
	defer cancel()
	f.must(f.Launchd.Alone(ctx))
}

// Wait waits for an event of launchd's since m.
func (f *Fleet) Wait(m launchdtest.Mark, want func(launchdtest.Event) bool) launchdtest.Event {
	f.t.Helper()
	ctx, cancel := f.soon()
	defer cancel()
	e, err := f.world.Wait(ctx, m, want)
	f.must(err)
	return e
}

// syncLabel begins the labels of jobs that nobody has. Each is asked for once: a question
// may become several requests, whose answers come late.
const syncLabel = "fleet.sync."

var syncs atomic.Int64

// sync waits until the trace has come this far: it comes through a pipe where launchd is a
// process of its own.
func (f *Fleet) sync() {
	f.t.Helper()
	if f.Launchd != nil {
		return
	}
	mark := f.world.Mark()
	ctx, cancel := f.soon()
	defer cancel()
	label := syncLabel + strconv.FormatInt(syncs.Add(1), 10)
	f.Client.Job(ctx, launchd.Target{Domain: launchd.User(f.UID), Label: label}) // an error, which is an answer
	f.Wait(mark, launchdtest.Is(launchdtest.Reply, label))
}

// Requests are the requests that came since m, without those of the fleet itself.
func (f *Fleet) Requests(m launchdtest.Mark) (list []launchdtest.Event) {
	f.t.Helper()
	for _, e := range f.Trace(m) {
		if e.Kind == launchdtest.Request {
			list = append(list, e)
		}
	}
	return list
}

// Unloads are the answers since m by which launchd took a job of the fleet away.
func (f *Fleet) Unloads(m launchdtest.Mark) (list []launchdtest.Event) {
	f.t.Helper()
	for _, e := range f.Trace(m) {
		if Unloaded(e) && f.concerns(e) {
			list = append(list, e)
		}
	}
	return list
}

// Unloaded reports whether an event is the answer by which launchd took a job away: 0, or 36 while
// its process still has to end.
func Unloaded(e launchdtest.Event) bool {
	return e.Kind == launchdtest.Reply && (e.Routine == bootoutRoutine || e.Routine == removeRoutine) && (e.Code == 0 || e.Code == xpc.EINPROGRESS)
}

// concerns reports whether an event is about a job of the fleet, or a whole domain.
func (f *Fleet) concerns(e launchdtest.Event) bool {
	return e.Label == "" || slices.ContainsFunc(f.gateways, func(g Gateway) bool { return g.Label == e.Label })
}

// NeverUnloaded fails the test if, since m, anybody asked launchd to load or unload a job
// of the fleet (routines 800, 801, 816), if one was unloaded, or if one that New loaded is
// not loaded now. m is never before [Fleet.Loaded].
func (f *Fleet) NeverUnloaded(m launchdtest.Mark) {
	f.t.Helper()
	m = max(m, f.loaded)
	for _, e := range f.Requests(m) {
		if e.Routine == bootstrapRoutine || (e.Routine == bootoutRoutine || e.Routine == removeRoutine) && f.concerns(e) {
			f.t.Errorf("a job was to be loaded or unloaded: %s", e)
		}
	}
	for _, e := range f.Unloads(m) {
		f.t.Errorf("a job was unloaded: %s", e)
	}
	f.AllLoaded()
}

// AllLoaded fails the test if a job that New loaded is not loaded now.
func (f *Fleet) AllLoaded() {
	f.t.Helper()
	for _, g := range f.gateways {
		if p := f.profiles[g.Profile]; p.Absent || p.Unloaded {
			continue
		}
		ctx, cancel := f.soon()
		if _, err := f.Client.Job(ctx, g.Target); err != nil {
			f.t.Errorf("%s is not loaded: %v", g.Target, err)
		}
		cancel()
	}
}

// AllRunning is [Fleet.AllLoaded], and waits until each of these jobs has a gateway that
// runs.
func (f *Fleet) AllRunning() {
	f.t.Helper()
	f.AllLoaded()
	for _, g := range f.gateways {
		if p := f.profiles[g.Profile]; p.Absent || p.Unloaded {
			continue
		}
		if _, err := f.up(g, 0); err != nil {
			f.t.Errorf("no gateway of %s runs: %v\n%s", g.Target, err, f.leash.list())
		}
	}
}

// Up waits until a gateway of the profile's job runs that has not ended and whose pid is not old
// (0: any), and returns it.
func (f *Fleet) Up(profile string, old int) *Process {
	f.t.Helper()
	g := f.Gateway(profile)
	p, err := f.up(g, old)
	if err != nil {
		f.t.Fatalf("no gateway of %s runs (not pid %d): %v\n%s", g.Target, old, err, f.leash.list())
	}
	return p
}

func (f *Fleet) up(g Gateway, old int) (found *Process, err error) {
	ctx, cancel := f.soon()
	defer cancel()
	err = f.leash.wait(ctx, func() bool {
		found = f.leash.last(func(p *Process) bool { return p.isGatewayOf(g) && p.PID != old && p.Alive() && p.entered("running") })
		return found != nil
	})
	return found, err
}

// Spawns counts the processes that a profile's job got since m.
func (f *Fleet) Spawns(profile string, m launchdtest.Mark) (n int) {
	f.t.Helper()
	label := f.Gateway(profile).Label
	for _, e := range f.Trace(m) {
		if e.Kind == launchdtest.Spawn && e.Label == label {
			n++
		}
	}
	return n
}

// TraceText is the trace since m for a message, an event a line.
func (f *Fleet) TraceText(m launchdtest.Mark) (text string) {
	f.t.Helper()
	for _, e := range f.Trace(m) {
		text += fmt.Sprintf("\t%s\n", e)
	}
	return text
}
