package probe

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/launchd/launchdtest"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// The same steps run against the embedded launchd, always, and with HERMES_GW_LIVE=1 against
// the launchd of this Mac, with a throwaway label. What a real launchd may do otherwise than
// the model (144, for one) is allowed for.

// patience bounds every wait for something that must happen.
const patience = time.Minute

// liveArg makes this test binary the job of these tests.
const liveArg = "live-job"

// liveJob writes its pid and ends well on SIGTERM and SIGUSR1.
func liveJob(args []string) int {
	ask := make(chan os.Signal, 1)
	signal.Notify(ask, syscall.SIGTERM, syscall.SIGUSR1)
	if len(args) < 1 || writePID(args[0]) != nil {
		return 1
	}
	select {
	case <-ask:
		return 0
	case <-time.After(lifetime):
		return 1
	}
}

func TestLive(t *testing.T) {
	if os.Getenv("HERMES_GW_LIVE") != "1" {
		t.Skip("it loads throwaway jobs into the launchd of this Mac: HERMES_GW_LIVE=1 allows that")
	}
	pipe, err := xpc.Bootstrap()
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	live(t, pipe, "")
}

func TestLiveStepsEmbedded(t *testing.T) {
	t.Parallel()
	l := launchdtest.Start(t, launchdtest.TimeScale(0.1))
	live(t, dial(t, l), l.Address())
}

// A launchd that demands an entitlement for 702: all restarts are done by signal.
func TestLiveStepsDenied(t *testing.T) {
	t.Parallel()
	l := launchdtest.Start(t, launchdtest.TimeScale(0.1), launchdtest.Deny(routineKickstart))
	live(t, dial(t, l), l.Address())
}

// dial gives the bare transport to an embedded launchd.
func dial(t *testing.T, l *launchdtest.Launchd) (transport xpc.Transport) {
	t.Helper()
	c, err := launchd.Open(t.Context(), launchd.Options{Address: l.Address(), Wrap: func(to xpc.Transport) xpc.Transport {
		transport = to
		return to
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return transport
}

// liveTest is a throwaway job with KeepAlive, and what is needed to work on it.
type liveTest struct {
	*testing.T
	transport xpc.Transport
	address   string
	client    *launchd.Client
	prober    *prober
	job       *job
	pid       int
	self      string
	events    *watched // nil until they are watched
}

func live(t *testing.T, transport xpc.Transport, address string) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	// launchd starts the job, so its files cannot lie where only a test's process may look.
	state := filepath.Join(t.TempDir(), "state")
	f, err := openFolder(state, os.Geteuid())
	if err != nil {
		t.Fatal(err)
	}
	p := &prober{o: Options{UID: os.Geteuid(), Program: []string{self, liveArg}, StateDir: state, Transport: transport}, report: &Report{}, folder: f}
	p.fence = &fence{to: transport, dir: f.path}
	p.client = launchd.New(p.fence, nil)
	defer p.client.Close()
	if err := p.settle(ctx); err != nil {
		t.Fatal(err)
	}
	l := &liveTest{T: t, transport: transport, address: address, client: launchd.New(transport, nil), prober: p, self: self}
	defer l.client.Close()
	t.Cleanup(func() {
		if p.undo(ctx); len(p.report.Left)+len(p.report.Problems) > 0 {
			t.Errorf("left: %q, %q", p.report.Left, p.report.Problems)
		}
		f.close()
	})

	l.bootstrap()
	l.look()
	l.events = l.watch()
	l.events.spawned(l.pid)
	l.restart("fast", launchd.RestartOptions{})
	l.restart("graceful", launchd.RestartOptions{Graceful: &launchd.Graceful{Signal: syscall.SIGUSR1}})
	l.bySignal()
	l.reload()
	l.bootout()
	l.events.end()
	p.drop(ctx)
	f.close() // or the probe would find another one under way
	l.probe(state)
}

func (l *liveTest) bootstrap() {
	l.Helper()
	keep := &launchd.KeepAlive{Always: true}
	j, err := l.prober.make(l.prober.domain, 0, func(list *launchd.Plist) { list.KeepAlive = keep })
	if err != nil {
		l.Fatal(err)
	}
	l.job = j
	if err := l.client.Bootstrap(l.Context(), j.domain, j.path); err != nil {
		l.Fatal(err)
	}
	l.pid = l.await(0)
	if err := l.client.Bootstrap(l.Context(), j.domain, j.path); !errors.Is(err, launchd.ErrAlreadyLoaded) {
		l.Errorf("loaded again: %v", err)
	}
}

// await waits for a process other than old, and for launchd to name it.
func (l *liveTest) await(old int) int {
	l.Helper()
	ctx, cancel := context.WithTimeout(l.Context(), patience)
	defer cancel()
	pid, err := l.job.await(ctx, old)
	if err != nil {
		l.Fatal(err)
	}
	if j, err := l.client.Job(ctx, l.job.target); err != nil || j.PID != pid {
		l.Fatalf("the job says that it is process %d, launchd: %+v, %v", pid, j, err)
	}
	if l.events != nil {
		l.events.spawned(pid)
	}
	return pid
}

func (l *liveTest) look() {
	l.Helper()
	ctx, t := l.Context(), l.job.target
	j, err := l.client.Inspect(ctx, t)
	if err != nil || j.PID != l.pid || j.State != launchd.StateRunning || j.Path != l.job.path || j.Program != l.self ||
		!slices.Contains(j.Arguments, liveArg) || j.KeepAlive == nil || !*j.KeepAlive || j.MinimumRuntime == nil || *j.MinimumRuntime != throttle*time.Second {
		l.Errorf("inspect: %+v, %v", j, err)
	}
	if text, err := l.client.Print(ctx, t); err != nil || !strings.HasPrefix(text, t.String()+" = {\n") {
		l.Errorf("print: %q, %v", text, err)
	}
	list, err := l.client.List(ctx, t.Domain)
	if err != nil || !slices.ContainsFunc(list, func(e launchd.ListEntry) bool { return e.Label == t.Label && e.PID == l.pid }) {
		l.Errorf("list: not in %d rows, %v", len(list), err)
	}
	if found, err := l.client.Find(ctx, t.Label, os.Geteuid()); err != nil || found != t {
		l.Errorf("find: %v, %v", found, err)
	}
}

// watched is what a watch of the job told.
type watched struct {
	l    *liveTest
	stop func()
	done chan struct{}

	mu     sync.Mutex
	events []launchd.Event
	err    error
	more   chan struct{}
}

func (l *liveTest) watch() *watched {
	ctx, stop := context.WithCancel(l.Context())
	w := &watched{l: l, stop: stop, done: make(chan struct{}), more: make(chan struct{}, 1)}
	go func() {
		defer close(w.done)
		for e, err := range l.client.Watch(ctx, l.job.target) {
			w.mu.Lock()
			w.events, w.err = append(w.events, e), err
			w.mu.Unlock()
			select {
			case w.more <- struct{}{}:
			default:
			}
		}
	}()
	return w
}

// await waits until an event is told of that fits, so that no process comes and goes unseen.
func (w *watched) await(what string, fits func(launchd.Event) bool) {
	w.l.Helper()
	deadline := time.After(patience)
	for {
		w.mu.Lock()
		events, err := slices.Clone(w.events), w.err
		w.mu.Unlock()
		if err != nil {
			w.l.Fatalf("watch: %v", err)
		}
		if slices.ContainsFunc(events, fits) {
			return
		}
		select {
		case <-w.more:
		case <-deadline:
			w.l.Fatalf("watch: no %s in %+v", what, events)
		}
	}
}

func (w *watched) spawned(pid int) {
	w.l.Helper()
	w.await("spawn", func(e launchd.Event) bool { return e.Kind == launchd.EventSpawned && e.PID == pid })
}

// end waits for the last exit and the unload, and looks at the whole. A reload's gap may be
// too short to be seen.
func (w *watched) end() {
	w.l.Helper()
	exited := func(e launchd.Event) bool { return e.Kind == launchd.EventExited && e.PID == w.l.pid }
	w.await("last exit", exited)
	w.await("unload", func(e launchd.Event) bool { return e.Kind == launchd.EventUnloaded })
	w.stop()
	<-w.done
	running := 0
	for i, e := range w.events {
		switch {
		case i == 0 && e.Kind != launchd.EventLoaded, e.Kind == launchd.EventSpawned && running != 0, e.Kind == launchd.EventExited && e.PID != running:
			w.l.Fatalf("watch: %+v", w.events)
		case e.Kind == launchd.EventSpawned:
			running = e.PID
		case e.Kind == launchd.EventExited:
			running = 0
		}
	}
}

// restart restarts the job; a launchd that demands an entitlement has it done by signal.
func (l *liveTest) restart(how string, o launchd.RestartOptions) launchd.RestartResult {
	l.Helper()
	old := l.pid
	ctx, cancel := context.WithTimeout(l.Context(), patience)
	defer cancel()
	r, err := l.client.Restart(ctx, l.job.target, o)
	if err != nil || r.Outcome != launchd.OutcomeRestarted || r.Old != old || r.New == old || r.New == 0 {
		l.Fatalf("%s restart: %+v, %v", how, r, err)
	}
	l.Logf("%s restart: method %s, %v", how, r.Method, r.Total)
	if l.pid = l.await(old); l.pid != r.New {
		l.Errorf("%s restart: %d is the new process, the result says %d", how, l.pid, r.New)
	}
	return r
}

// bySignal restarts the job as where launchd refuses 702.
func (l *liveTest) bySignal() {
	l.Helper()
	client := l.client
	defer func() { l.client = client }()
	l.client = launchd.New(refusing{l.transport, routineKickstart}, nil)
	if r := l.restart("by signal", launchd.RestartOptions{}); r.Method != launchd.MethodSignal {
		l.Errorf("by signal: %+v", r)
	}
}

// refusing answers a routine with 144 and lets all others pass.
type refusing struct {
	xpc.Transport
	routine uint64
}

func (r refusing) Call(ctx context.Context, routine uint64, msg xpc.Dict) (xpc.Dict, error) {
	if routine == r.routine {
		return nil, xpc.NotEntitled
	}
	return r.Transport.Call(ctx, routine, msg)
}

func (l *liveTest) reload() {
	l.Helper()
	list, err := launchd.ReadPlist(l.job.path)
	if err != nil {
		l.Fatal(err)
	}
	list.ProgramArguments = append(list.ProgramArguments, "changed")
	if err := list.WriteFile(l.job.path); err != nil {
		l.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(l.Context(), 2*patience)
	defer cancel()
	r, err := l.client.Reload(ctx, l.job.target, launchd.ReloadOptions{
		Program: []string{l.self, workerArg}, StateDir: filepath.Join(l.TempDir(), "reload"), Address: l.address,
	})
	if err != nil || r.Outcome != launchd.OutcomeRestarted || r.Old != l.pid || r.New == l.pid {
		l.Fatalf("reload: %+v, %v", r, err)
	}
	l.Logf("reload: %v", r.Total)
	l.pid = l.await(l.pid)
	if j, err := l.client.Inspect(ctx, l.job.target); err != nil || !slices.Contains(j.Arguments, "changed") {
		l.Errorf("reload: %+v, %v", j, err)
	}
}

func (l *liveTest) bootout() {
	l.Helper()
	ctx, cancel := context.WithTimeout(l.Context(), patience)
	defer cancel()
	if r, err := l.client.Stop(ctx, l.job.target); err != nil || r.Old != l.pid {
		l.Fatalf("stop: %+v, %v", r, err)
	}
	if _, err := l.client.Job(ctx, l.job.target); !errors.Is(err, launchd.ErrNotLoaded) {
		l.Errorf("after stop: %v", err)
	}
	if err := l.client.Bootout(ctx, l.job.target); !errors.Is(err, launchd.ErrNotLoaded) {
		l.Errorf("bootout of what is gone: %v", err)
	}
}

// probe runs the whole probe. What it finds out is for people to read.
func (l *liveTest) probe(state string) {
	l.Helper()
	r, err := Run(l.Context(), Options{
		Transport: l.transport, UID: os.Geteuid(), Program: []string{l.self, jobArg}, StateDir: state, Release: "(test)",
	})
	if err != nil {
		l.Fatal(err)
	}
	l.Log(r.Markdown())
	if !r.Complete() {
		l.Errorf("%d questions are not answered; left: %q, %q", r.Unanswered(), r.Left, r.Problems)
	}
}
