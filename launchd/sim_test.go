package launchd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/launchdsim"
	"github.com/hermes-gw/hermes-gw/internal/proc"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// patience bounds every wait for something that must happen.
const patience = 30 * time.Second

// embedded is an embedded launchd in this process, a client of it and what it traced.
type embedded struct {
	*Client
	t       *testing.T
	dir     string
	address string
	server  *launchdsim.Server

	mu     sync.Mutex
	events []launchdsim.Event
	more   chan struct{} // closed and replaced at every event
	hook   func(launchdsim.Event)
}

// onEvent has f told of every event from now on, before launchd goes on.
func (e *embedded) onEvent(f func(launchdsim.Event)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.hook = f
}

func embed(t *testing.T, o launchdsim.Options) *embedded {
	t.Helper()
	dir, err := os.MkdirTemp("", "hgw")
	if err != nil {
		t.Fatal(err)
	}
	e := &embedded{t: t, dir: dir, address: "unix:" + dir + "/s", more: make(chan struct{})}
	o.OnEvent = func(ev launchdsim.Event) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.events = append(e.events, ev)
		close(e.more)
		e.more = make(chan struct{})
		if e.hook != nil {
			e.hook(ev)
		}
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dir + "/s", Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	server := launchdsim.New(o)
	e.server = server
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		e.named()
		server.Close()
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
		os.RemoveAll(dir)
	})
	e.Client = e.open()
	return e
}

func (e *embedded) open() *Client {
	e.t.Helper()
	c, err := Open(e.t.Context(), Options{Address: e.address})
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { c.Close() })
	return c
}

// wait returns the first event from number from on that want likes, and the number
// after it.
func (e *embedded) wait(from int, what string, want func(launchdsim.Event) bool) (launchdsim.Event, int) {
	e.t.Helper()
	deadline := time.After(patience)
	for {
		e.mu.Lock()
		for ; from < len(e.events); from++ {
			if want(e.events[from]) {
				defer e.mu.Unlock()
				return e.events[from], from + 1
			}
		}
		more := e.more
		e.mu.Unlock()
		select {
		case <-more:
		case <-deadline:
			e.t.Fatalf("no event: %s", what)
		}
	}
}

func (e *embedded) state(from int, label, to string) int {
	e.t.Helper()
	_, next := e.wait(from, label+" "+to, func(ev launchdsim.Event) bool { return ev.Kind == "state" && ev.Label == label && ev.To == to })
	return next
}

func (e *embedded) seen() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.events)
}

// requests returns the routines asked for since event number from.
func (e *embedded) requests(from int) (routines []uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, ev := range e.events[from:] {
		if ev.Kind == "request" {
			routines = append(routines, ev.Routine)
		}
	}
	return routines
}

func (e *embedded) target(label string) Target { return Target{GUI(os.Geteuid()), label} }

// plist writes a property list whose program is a shell script.
func (e *embedded) plist(label, script, more string) string {
	e.t.Helper()
	script = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(script)
	return e.write(label, "<string>/bin/sh</string><string>-c</string><string>"+script+"</string>", more)
}

func (e *embedded) write(label, argv, more string) string {
	e.t.Helper()
	path := filepath.Join(e.dir, label+".plist")
	text := `<?xml version="1.0" encoding="UTF-8"?>
<plist version="1.0"><dict><key>Label</key><string>` + label + `</string>
<key>ProgramArguments</key><array>` + argv + `</array>` + more + `</dict></plist>`
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		e.t.Fatal(err)
	}
	return path
}

const (
	sleeper   = "exec sleep 1000"
	atLoad    = "<key>RunAtLoad</key><true/>"
	keepAlive = "<key>KeepAlive</key><true/>"
)

// load loads a job and, if it runs at load, waits until it does.
func (e *embedded) load(label, script, more string) Target {
	e.t.Helper()
	from := e.seen()
	t := e.target(label)
	if err := e.Bootstrap(e.t.Context(), t.Domain, e.plist(label, script, more)); err != nil {
		e.t.Fatal(err)
	}
	if more == atLoad || more == keepAlive {
		e.state(from, label, "running")
	}
	return t
}

// stubborn loads a job that ignores SIGTERM, and returns when it does.
func (e *embedded) stubborn(label string) (Target, int) {
	e.t.Helper()
	return e.stubbornWith(label, atLoad)
}

func (e *embedded) stubbornWith(label, more string) (Target, int) {
	e.t.Helper()
	fifo := filepath.Join(e.dir, label+".fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		e.t.Fatal(err)
	}
	ready, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		e.t.Fatal(err)
	}
	defer ready.Close()
	t := e.load(label, "trap '' TERM; echo ready > "+fifo+"; exec sleep 1000", more)
	ready.SetReadDeadline(time.Now().Add(patience))
	if _, err := ready.Read(make([]byte, 6)); err != nil {
		e.t.Fatal(err)
	}
	return t, e.pid(t)
}

func (e *embedded) pid(t Target) int {
	e.t.Helper()
	j, err := e.Inspect(e.t.Context(), t)
	if err != nil {
		e.t.Fatal(err)
	}
	return j.PID
}

func alive(pid int) bool {
	_, err := proc.Read(pid)
	return err == nil
}

func is(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
}

func TestSimVerbs(t *testing.T) {
	e := embed(t, launchdsim.Options{})
	ctx := t.Context()
	gui, uid := GUI(os.Geteuid()), os.Geteuid()
	a := e.load("a", sleeper, "")
	none, nowhere := e.target("none"), Target{GUI(uid + 1), "a"}

	// Kickstart.
	first, err := e.Kickstart(ctx, a, KickstartOptions{})
	if err != nil || !alive(first) {
		t.Fatal(first, err)
	}
	if again, err := e.Kickstart(ctx, a, KickstartOptions{}); err != nil || again != first {
		t.Error(again, err)
	}
	second, err := e.Kickstart(ctx, a, KickstartOptions{Kill: true, Unthrottle: true})
	if err != nil || second == first || !alive(second) || alive(first) {
		t.Error(first, second, err)
	}
	_, err = e.Kickstart(ctx, none, KickstartOptions{})
	is(t, err, ErrNotLoaded)
	_, err = e.Kickstart(ctx, nowhere, KickstartOptions{})
	is(t, err, ErrNoDomain)

	// Job and Inspect.
	j, err := e.Job(ctx, a)
	if err != nil || j.PID != second || j.Program != "/bin/sh" || j.Path != e.dir+"/a.plist" || j.Runs != nil || j.KeepAlive == nil || *j.KeepAlive {
		t.Errorf("%+v, %v", j, err)
	}
	j, err = e.Inspect(ctx, a)
	if err != nil || j.PID != second || j.State != "running" || j.Program != "/bin/sh" || j.Path != e.dir+"/a.plist" || *j.Runs != 2 ||
		*j.ExitTimeout != 5*time.Second || *j.MinimumRuntime != 10*time.Second || !slices.Equal(j.Arguments, []string{"/bin/sh", "-c", sleeper}) ||
		j.LastExit != (Exit{Kind: ExitSignaled, Signal: 15}) || j.Type != "LaunchAgent" {
		t.Errorf("%+v, %v", j, err)
	}
	_, err = e.Job(ctx, none)
	is(t, err, ErrNotLoaded)
	_, err = e.Job(ctx, nowhere)
	is(t, err, ErrNoDomain)

	// Print.
	text, err := e.Print(ctx, a)
	if err != nil || !strings.HasPrefix(text, a.String()+" = {\n") || !strings.HasSuffix(text, "}\n") {
		t.Errorf("%s, %v", text, err)
	}
	_, err = e.Print(ctx, none)
	is(t, err, ErrNotLoaded)
	text, err = e.PrintDomain(ctx, gui)
	if err != nil || !strings.HasPrefix(text, gui.String()+" = {\n") {
		t.Errorf("%s, %v", text, err)
	}
	_, err = e.PrintDomain(ctx, nowhere.Domain)
	is(t, err, ErrNoDomain)

	// Lists.
	b := e.load("b", "exit 3", "")
	from := e.seen()
	if _, err := e.Kickstart(ctx, b, KickstartOptions{}); err != nil {
		t.Fatal(err)
	}
	e.state(from, "b", "not running")
	c := e.load("c", sleeper, "")
	want := []ListEntry{{"a", second, Exit{Kind: ExitSignaled, Signal: 15}}, {"b", 0, Exit{Kind: ExitCode, Code: 3}}, {"c", 0, Exit{Kind: ExitNever}}}
	if list, err := e.List(ctx, gui); err != nil || !slices.Equal(list, want) {
		t.Errorf("%+v, %v", list, err)
	}
	want[2].LastExit = Exit{Kind: ExitCode} // 815 has a number there
	if list, err := e.ListOwn(ctx); err != nil || !slices.Equal(list, want) {
		t.Errorf("%+v, %v", list, err)
	}
	if list, err := e.List(ctx, User(uid)); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	_, err = e.List(ctx, nowhere.Domain)
	is(t, err, ErrNoDomain)

	// Kill.
	from = e.seen()
	if err := e.Kill(ctx, a, syscall.SIGUSR1); err != nil {
		t.Error(err)
	}
	if ev, _ := e.wait(from, "exit", func(ev launchdsim.Event) bool { return ev.Kind == "exit" && ev.PID == second }); syscall.WaitStatus(*ev.Status).Signal() != syscall.SIGUSR1 {
		t.Errorf("%+v", ev)
	}
	e.state(from, "a", "not running")
	err = e.Kill(ctx, a, syscall.SIGTERM)
	is(t, err, xpc.ESRCH)
	if errors.Is(err, ErrNotLoaded) {
		t.Error("a job without a process counts as not loaded")
	}
	is(t, e.Kill(ctx, none, syscall.SIGTERM), ErrNotLoaded)

	// Enable, disable.
	if err := e.SetEnabled(ctx, c, false); err != nil {
		t.Error(err)
	}
	if loaded, enabled, err := e.Enabled(ctx, c); !loaded || enabled || err != nil {
		t.Error(loaded, enabled, err)
	}
	if loaded, enabled, err := e.Enabled(ctx, none); loaded || !enabled || err != nil {
		t.Error(loaded, enabled, err)
	}
	is(t, e.SetEnabled(ctx, e.target("a<b"), false), xpc.InvalidName)
	is(t, e.SetEnabled(ctx, nowhere, false), ErrNoDomain)

	// Bootstrap.
	is(t, e.Bootstrap(ctx, gui, e.dir+"/a.plist"), ErrAlreadyLoaded)
	is(t, e.Bootstrap(ctx, nowhere.Domain, e.dir+"/a.plist"), ErrNoDomain)
	is(t, e.Bootstrap(ctx, gui, e.dir+"/missing.plist"), xpc.EIO)
	if err := os.WriteFile(e.dir+"/bad.plist", []byte("hello"), 0o644); err != nil {
		t.Fatal(err)
	}
	is(t, e.Bootstrap(ctx, gui, e.dir+"/bad.plist"), xpc.InvalidPropertyList)
	err = e.Bootstrap(ctx, gui, e.plist("d", sleeper, ""), e.dir+"/missing.plist", e.dir+"/a.plist")
	var refused *Error
	if !errors.Is(err, ErrAlreadyLoaded) || !errors.Is(err, xpc.EIO) || !errors.As(err, &refused) || refused.Path != e.dir+"/missing.plist" || strings.Contains(err.Error(), "d.plist") {
		t.Error(err)
	}

	// Bootout.
	from = e.seen()
	if err := e.Bootout(ctx, c); err != nil {
		t.Error(err)
	}
	is(t, e.Bootout(ctx, c), ErrNotLoaded)
	is(t, e.Bootstrap(ctx, gui, e.dir+"/c.plist"), ErrDisabled)
	is(t, e.Bootout(ctx, nowhere), ErrNoDomain)
	if got := e.requests(from)[0]; got != 801 {
		t.Error(got)
	}
	if list, err := e.List(ctx, gui); err != nil || len(list) != 3 { // a, b, d: the domain is still there
		t.Errorf("%+v, %v", list, err)
	}
}

func TestSimBootoutOfRunningJob(t *testing.T) {
	e := embed(t, launchdsim.Options{TimeScale: 0.1})
	target, pid := e.stubborn("stubborn")
	is(t, e.Bootout(t.Context(), target), ErrStopping)
	if !alive(pid) {
		t.Error("36, but the process has exited")
	}
}

func TestSimFind(t *testing.T) {
	for _, noGUI := range []bool{false, true} {
		e := embed(t, launchdsim.Options{NoGUI: noGUI})
		uid := os.Geteuid()
		want := Target{User(uid), "u"}
		if err := e.Bootstrap(t.Context(), want.Domain, e.plist("u", sleeper, "")); err != nil {
			t.Fatal(err)
		}
		if got, err := e.Find(t.Context(), "u", uid); err != nil || got != want {
			t.Error(got, err)
		}
		_, err := e.Find(t.Context(), "none", uid)
		is(t, err, ErrNotLoaded)
		if !noGUI {
			g := e.load("u", sleeper, "")
			if got, err := e.Find(t.Context(), "u", uid); err != nil || got != g {
				t.Error(got, err)
			}
		}
	}
	e := embed(t, launchdsim.Options{Deny: []uint64{708}})
	_, err := e.Find(t.Context(), "x", os.Geteuid())
	is(t, err, ErrNotEntitled)
}

// Trap 5: a restart sends one kickstart after a look, and loads, unloads or removes nothing.
// e.restart checks the latter in every other test, too.
func TestTrap05SimRestart(t *testing.T) {
	e := embed(t, launchdsim.Options{})
	for label, more := range map[string]string{"once": atLoad, "always": keepAlive} {
		target := e.load(label, sleeper, more)
		old := e.pid(target)
		from := e.seen()
		r, err := e.restart(t.Context(), target, RestartOptions{})
		if err != nil || r.Outcome != OutcomeRestarted || r.Old != old || r.New == old || r.Method != MethodKickstart || len(r.Warnings) != 0 || r.Inside {
			t.Fatalf("%+v, %v", r, err)
		}
		if alive(old) || !alive(r.New) || e.pid(target) != r.New {
			t.Errorf("%+v: alive %v %v, job has %d", r, alive(old), alive(r.New), e.pid(target))
		}
		got := e.requests(from)
		kicks := slices.DeleteFunc(slices.Clone(got), func(n uint64) bool { return n != 702 })
		if look := slices.Index(got, 712); look < 0 || look > slices.Index(got, 702) || len(kicks) != 1 || slices.Contains(got, 800) || slices.Contains(got, 801) || slices.Contains(got, 816) {
			t.Errorf("requests %v: want one kickstart, after a look, and no load or unload", got)
		}
	}
}

func TestSimRestartKinds(t *testing.T) {
	e := embed(t, launchdsim.Options{TimeScale: 0.02})
	ctx := t.Context()

	idle := e.load("idle", sleeper, "")
	r, err := e.restart(ctx, idle, RestartOptions{})
	if err != nil || r.Outcome != OutcomeStarted || r.Old != 0 || !alive(r.New) {
		t.Errorf("%+v, %v", r, err)
	}

	if err := e.SetEnabled(ctx, idle, false); err != nil {
		t.Fatal(err)
	}
	r, err = e.restart(ctx, idle, RestartOptions{CheckEnabled: true})
	if err != nil || r.Outcome != OutcomeRestarted || len(r.Warnings) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := e.Stop(ctx, idle); err != nil || r.Outcome != OutcomeStopped {
		t.Errorf("%+v, %v", r, err)
	}
	r, err = e.restart(ctx, idle, RestartOptions{})
	is(t, err, ErrDisabled)
	if r.Outcome != OutcomeDisabled {
		t.Errorf("%+v", r)
	}

	r, err = e.restart(ctx, e.target("none"), RestartOptions{})
	is(t, err, ErrNotLoaded)
	if r.Outcome != OutcomeNotLoaded {
		t.Errorf("%+v", r)
	}
	r, err = e.restart(ctx, Target{GUI(os.Geteuid() + 1), "x"}, RestartOptions{})
	is(t, err, ErrNoDomain)
	if r.Outcome != OutcomeNoSession {
		t.Errorf("%+v", r)
	}

	// A process that does not heed SIGTERM is killed after the exit timeout.
	stubborn, pid := e.stubborn("stubborn")
	r, err = e.restart(ctx, stubborn, RestartOptions{})
	if err != nil || r.Outcome != OutcomeRestarted || r.Old != pid || alive(pid) {
		t.Errorf("%+v, %v", r, err)
	}
	if r.Request < 100*time.Millisecond { // 5 s, scaled
		t.Errorf("killed after %v", r.Request)
	}

	// A program that cannot run gets a process, which exits at once.
	broken := e.load("broken", "exit 1", "")
	if _, err := e.restart(ctx, broken, RestartOptions{}); err != nil && !strings.Contains(err.Error(), "exited at once") {
		t.Error(err)
	}
}

func TestSimRestartDenied(t *testing.T) {
	e := embed(t, launchdsim.Options{Deny: []uint64{702}})
	target := e.load("job", sleeper, atLoad)
	r, err := e.restart(t.Context(), target, RestartOptions{})
	is(t, err, ErrNotEntitled)
	if r.Outcome != OutcomeFailed || r.New != 0 || !alive(r.Old) {
		t.Errorf("%+v", r)
	}

	e = embed(t, launchdsim.Options{Deny: []uint64{708, 811}}) // all questions but one
	target = e.load("job", sleeper, atLoad)
	r, err = e.restart(t.Context(), target, RestartOptions{})
	if err != nil || r.Outcome != OutcomeRestarted {
		t.Errorf("%+v, %v", r, err)
	}
}

// Two at once: one restarts the job, the other finds it being stopped. Both see a new
// process, and it is started once.
func TestSimRestartTwice(t *testing.T) {
	e := embed(t, launchdsim.Options{TimeScale: 0.1})
	target, pid := e.stubborn("job")
	from := e.seen()
	type answer struct {
		RestartResult
		err error
	}
	answers := make(chan answer)
	begin := func() {
		r, err := e.restart(t.Context(), target, RestartOptions{})
		answers <- answer{r, err}
	}
	go begin()
	e.state(from, "job", "SIGTERMed")
	go begin()
	outcomes := map[Outcome]int{}
	for range 2 {
		a := <-answers
		outcomes[a.Outcome]++
		if a.err != nil || a.Old != pid || a.New == pid || a.New != e.pid(target) {
			t.Errorf("%+v, %v", a.RestartResult, a.err)
		}
	}
	if outcomes[OutcomeRestarted] != 1 || outcomes[OutcomeAlreadyRestarting] != 1 {
		t.Error(outcomes)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	spawns := 0
	for _, ev := range e.events[from:] {
		if ev.Kind == "spawn" {
			spawns++
		}
		if ev.Kind == "request" && ev.Routine >= 800 && ev.Routine != 811 {
			t.Errorf("a restart sent %d", ev.Routine)
		}
	}
	if spawns != 1 {
		t.Errorf("%d spawns", spawns)
	}
}

// A caller that gives up leaves the request with launchd, which carries it out.
func TestSimRestartGivenUp(t *testing.T) {
	e := embed(t, launchdsim.Options{TimeScale: 0.1})
	target, pid := e.stubborn("job")
	from := e.seen()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		e.state(from, "job", "SIGTERMed")
		cancel()
	}()
	r, err := e.restart(ctx, target, RestartOptions{})
	is(t, err, context.Canceled)
	if r.Outcome != OutcomeUnknown || r.Old != pid || r.New != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	ev, _ := e.wait(from, "the new process", func(ev launchdsim.Event) bool { return ev.Kind == "spawn" && ev.PID != pid })
	if !alive(ev.PID) {
		t.Error("the job was not started again")
	}
}

func TestSimStartStop(t *testing.T) {
	e := embed(t, launchdsim.Options{TimeScale: 0.1})
	ctx := t.Context()
	target, path := e.target("job"), e.plist("job", sleeper, "")

	started, err := e.Start(ctx, target, path)
	if err != nil || started.Outcome != OutcomeStarted || !started.Loaded || started.WasRunning || !alive(started.PID) {
		t.Fatalf("%+v, %v", started, err)
	}
	again, err := e.Start(ctx, target, "")
	if err != nil || again.PID != started.PID || again.Loaded || !again.WasRunning {
		t.Errorf("%+v, %v", again, err)
	}
	stopped, err := e.Stop(ctx, target)
	if err != nil || stopped != (StopResult{Target: target, Outcome: OutcomeStopped, Old: started.PID}) || alive(started.PID) {
		t.Errorf("%+v, %v", stopped, err)
	}
	if loaded, err := e.loaded(ctx, target); loaded || err != nil {
		t.Error(loaded, err)
	}
	stopped, err = e.Stop(ctx, target)
	is(t, err, ErrNotLoaded)
	if stopped.Outcome != OutcomeNotLoaded {
		t.Errorf("%+v", stopped)
	}
	_, err = e.Start(ctx, target, "")
	is(t, err, ErrNotLoaded)
	_, err = e.Start(ctx, target, e.dir+"/missing.plist")
	is(t, err, fs.ErrNotExist)

	// A plist for another label.
	_, err = e.Start(ctx, e.target("other"), path)
	is(t, err, ErrNotLoaded)

	// KeepAlive does not bring it back.
	e.load("alive", sleeper, keepAlive)
	if r, err := e.Stop(ctx, e.target("alive")); err != nil || alive(r.Old) {
		t.Errorf("%+v, %v", r, err)
	}

	// A stop takes as long as the process; a start in between waits for that, and loads.
	stubborn, pid := e.stubborn("stubborn")
	from := e.seen()
	done := make(chan error)
	go func() {
		r, err := e.Stop(ctx, stubborn)
		if err == nil && r.Old != pid {
			err = fmt.Errorf("%+v", r)
		}
		done <- err
	}()
	e.state(from, "stubborn", "SIGTERMed")
	if err := os.Remove(e.dir + "/stubborn.fifo"); err != nil { // the script's echo now makes a file
		t.Fatal(err)
	}
	r, err := e.Start(ctx, stubborn, e.dir+"/stubborn.plist")
	if err != nil || !r.Loaded || r.PID == pid || alive(pid) {
		t.Errorf("%+v, %v", r, err)
	}
	// The stop may see the job that the start loaded.
	if err := <-done; err != nil && !strings.Contains(err.Error(), "loaded it again") {
		t.Error(err)
	}
}

// waitFile waits until a file has been put in place, by looking: there is no portable
// event for it.
func waitFile(t *testing.T, path string, want ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for wait := (backoff{}); ; {
		text, err := os.ReadFile(path)
		if err == nil {
			if !slices.Contains(want, string(text)) {
				t.Errorf("%s: %q, want one of %q", path, text, want)
			}
			return
		}
		if err := wait.sleep(ctx); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
}

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVar); role != "" {
		os.Exit(play(strings.Fields(role)))
	}
	if len(os.Args) > 1 && os.Args[1] == workerArg {
		reloadWorkerMain(os.Args[2:])
		return
	}
	os.Exit(m.Run())
}

// write puts a whole file in place.
func write(path, text string) {
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		panic(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		panic(err)
	}
}
