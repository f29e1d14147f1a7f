package launchd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/launchdsim"
	"github.com/hermes-gw/hermes-gw/internal/proc"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// The numbers are those of hermes.md, section 5. Where a trap speaks of Hermes' own files,
// of several jobs or of a command line, this is the part of it that package launchd carries.

const (
	failedOnly  = "<key>KeepAlive</key><dict><key>SuccessfulExit</key><false/></dict>"
	throttle30  = "<key>ThrottleInterval</key><integer>30</integer>"
	usr1        = syscall.SIGUSR1
	throttleKey = "<key>ThrottleInterval</key><integer>%d</integer>"
)

// bootstrap loads a property list that is written already.
func (e *embedded) bootstrap(label, path string) Target {
	e.t.Helper()
	t := e.target(label)
	if err := e.Bootstrap(e.t.Context(), t.Domain, path); err != nil {
		e.t.Fatal(err)
	}
	return t
}

// warned checks for a warning.
func warned(t *testing.T, r RestartResult, parts ...string) {
	t.Helper()
	for _, w := range r.Warnings {
		if !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(w, p) }) {
			return
		}
	}
	t.Errorf("no warning with %q in %q", parts, r.Warnings)
}

// advised checks what an error says is to be done.
func advised(t *testing.T, err error, part string) {
	t.Helper()
	r, ok := errors.AsType[interface {
		error
		Remedy() string
	}](err)
	if !ok || !strings.Contains(r.Remedy(), part) {
		t.Errorf("%v: no advice with %q", err, part)
	}
}

// Trap 2: the request was sent, and its caller does not wait: one restart, never two.
func TestTrap02SentOnce(t *testing.T) {
	e := embed(t, launchdsim.Options{})
	job := e.load("job", sleeper, keepAlive)
	old, from := e.pid(job), e.seen()
	ctx, cancel := context.WithCancel(t.Context())
	e.onEvent(func(ev launchdsim.Event) {
		if ev.Kind == "request" && ev.Routine == routineKickstart {
			cancel()
		}
	})
	r, err := e.restart(ctx, job, RestartOptions{})
	if err == nil && r.Outcome != OutcomeRestarted || err != nil && r.Outcome != OutcomeUnknown {
		t.Errorf("%+v, %v", r, err)
	}
	e.gap(from, "job", old)
	e.state(from, "job", "running")
	if events := e.since(from); asked(events, routineKickstart) != 1 || len(of(events, "spawn", "job")) != 1 {
		t.Errorf("%d requests, %d spawns", asked(events, routineKickstart), len(of(events, "spawn", "job")))
	}
}

// Trap 3: the answer is lost. The job is looked at before anything is sent again, and
// another process is success.
func TestTrap03AnswerLost(t *testing.T) {
	for _, kind := range []launchdsim.FaultKind{launchdsim.Hangup, launchdsim.Garbage} {
		e := embed(t, launchdsim.Options{})
		job := e.load("job", sleeper, keepAlive)
		old, from := e.pid(job), e.seen()
		e.server.SetFaults(launchdsim.Fault{Kind: kind, Routine: routineKickstart, Carry: true})
		r, err := e.restart(t.Context(), job, RestartOptions{})
		if err != nil || r.Outcome != OutcomeRestarted || r.Method != MethodObserved || r.Old != old || r.New != e.pid(job) {
			t.Errorf("%+v, %v", r, err)
		}
		events := e.since(from)
		if asked(events, routineKickstart) != 1 || len(of(events, "spawn", "job")) != 1 || asked(events, routinePrintService) == 0 {
			t.Errorf("%d kickstarts, %d spawns", asked(events, routineKickstart), len(of(events, "spawn", "job")))
		}
	}
}

// Traps 6, 7, 10 and 11: the caller belongs to the job, in one way or another. The request is
// sent, launchd stops the job's process, its group and so the caller, and the job is back.
func TestTrapInside(t *testing.T) {
	for _, c := range []struct{ name, how string }{
		{"trap 6: child", "child"},
		{"trap 6: child in a session of its own", "detached"},
		// It is no descendant any more, but in the process group that launchd ends with the job.
		{"trap 7: handed to pid 1", "orphan"},
		{"trap 10: at the end of 66 processes", "66"},
		{"trap 11: the job's process itself", "self"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := embed(t, launchdsim.Options{TimeScale: 0.1})
			report := filepath.Join(e.dir, "report")
			e.bootstrap("job", e.role("job", atLoad, "inside", c.how, e.address, e.target("job").String(), report))
			spawned := func(ev launchdsim.Event) bool { return ev.Kind == "spawn" }
			first, from := e.wait(0, "first process", spawned)
			second, _ := e.wait(from, "second process", spawned)
			if second.PID == first.PID || !alive(second.PID) {
				t.Errorf("%d -> %d", first.PID, second.PID)
			}
			if got, want := said(report), fmt.Sprintf("sending %d true", first.PID); got != want {
				t.Errorf("report %q, want %q", got, want)
			}
			if c.how == "detached" {
				// It outlives the job, but does not wait for the end: the job may be waiting for
				// it. So it has seen the new process only if that was the first thing it saw.
				waitFile(t, report+".result",
					fmt.Sprintf("requested %d 0 <nil>", first.PID),
					fmt.Sprintf("requested %d %d <nil>", first.PID, second.PID))
			}
			e.keepsLoaded(from)
		})
	}
}

// Trap 10: parents that cannot be looked up could be anybody: the caller counts as inside,
// and does not wait for the end of a process that may be its own.
func TestTrap10UnknownAncestry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, c := newModel(t, 100)
		m.procs.ancestry, m.procs.unsure = []int{70, 71}, fs.ErrPermission
		r, err := c.Restart(t.Context(), target, RestartOptions{Graceful: &Graceful{Signal: usr1}})
		expect(t, r, err, OutcomeRequested, 100, 0, "")
		took(t, r, 0, 0)
		if !r.Inside || !slices.Equal(m.procs.signals, []signaled{{100, usr1}}) {
			t.Errorf("%+v, %v", r, m.procs.signals)
		}
		m.done()
	})
}

// Trap 8: a caller inside asks for a graceful restart. SIGUSR1 goes out, nobody waits for
// the caller's own end, nothing else is sent, and KeepAlive brings the job back.
func TestTrap08InsideGraceful(t *testing.T) {
	e := embed(t, launchdsim.Options{TimeScale: 0.02})
	pids, next := e.fifo("pids")
	log, report := filepath.Join(e.dir, "log"), filepath.Join(e.dir, "report")
	e.bootstrap("job", e.role("job", failedOnly+atLoad, "gateway", pids, log, "75",
		"inside", "self", e.address, e.target("job").String(), report, "graceful"))
	first, second := next(), next()
	waitFile(t, report+".result", fmt.Sprintf("requested %d 0 <nil>", first))
	if got := said(report); got != fmt.Sprintf("sending %d true", first) {
		t.Errorf("report %q", got)
	}
	if got := said(log); got != usr1.String() {
		t.Errorf("the gateway got %q", got)
	}
	events := e.since(0)
	if n := asked(events, routineKickstart); n != 0 || second == first {
		t.Errorf("%d kickstarts, %d -> %d", n, first, second)
	}
	if exit := of(events, "exit", "job")[0]; syscall.WaitStatus(*exit.Status).ExitStatus() != 75 {
		t.Errorf("%+v", exit)
	}
}

// A job that launchd does not start again by itself is not asked to leave by a caller that
// ends with it: nobody would be left to start it.
func TestInsideGracefulWithoutKeepAlive(t *testing.T) {
	e := embed(t, launchdsim.Options{TimeScale: 0.1})
	pids, next := e.fifo("pids")
	log, report := filepath.Join(e.dir, "log"), filepath.Join(e.dir, "report")
	e.bootstrap("job", e.role("job", atLoad, "gateway", pids, log, "75",
		"inside", "self", e.address, e.target("job").String(), report, "graceful"))
	if first, second := next(), next(); first == second || said(log) != syscall.SIGTERM.String() {
		t.Errorf("%d -> %d, the gateway got %q", first, second, said(log))
	}
}

// Trap 9: variables that a process inherits say nothing about where it runs.
func TestTrap09Environment(t *testing.T) {
	e := embed(t, launchdsim.Options{})
	job := e.load("job", sleeper, keepAlive)
	t.Setenv("_HERMES_GATEWAY", "1")
	t.Setenv("XPC_SERVICE_NAME", "job")
	r, err := e.restart(t.Context(), job, RestartOptions{})
	if err != nil || r.Inside || r.Outcome != OutcomeRestarted || r.New != e.pid(job) {
		t.Errorf("%+v, %v", r, err)
	}
}

// Trap 34: a process that ignores SIGTERM is killed at launchd's own exit timeout, the result
// says so, and this side waits longer than that.
func TestTrap34IgnoresSIGTERM(t *testing.T) {
	const scale = 0.01
	for _, c := range []struct {
		keys  string
		exit  time.Duration // as launchd prints it; 0 is for ever
		waits time.Duration // what the bound of a restart comes to
	}{
		{"<key>ExitTimeOut</key><integer>25</integer>", 25 * time.Second, 45 * time.Second},
		{"<key>ExitTimeOut</key><integer>90</integer>", 60 * time.Second, 80 * time.Second}, // a gui domain's most
		{"", 5 * time.Second, 25 * time.Second},
		{"<key>ExitTimeOut</key><integer>0</integer>", 0, 0},
	} {
		t.Run(fmt.Sprint(c.exit), func(t *testing.T) {
			e := embed(t, launchdsim.Options{TimeScale: scale})
			job, pid := e.stubbornWith("job", atLoad+c.keys)
			if err := os.Remove(e.dir + "/job.fifo"); err != nil { // the script's echo now makes a file
				t.Fatal(err)
			}
			from := e.seen()
			if c.exit == 0 { // nothing but the caller's own bound ends it
				r, err := e.restart(t.Context(), job, RestartOptions{Timeout: 300 * time.Millisecond})
				if r.Outcome != OutcomeUnknown || !errors.Is(err, context.DeadlineExceeded) || !alive(pid) {
					t.Errorf("%+v, %v", r, err)
				}
				syscall.Kill(pid, syscall.SIGKILL) // a process of this test's own launchd
				return
			}
			r, err := e.restart(t.Context(), job, RestartOptions{Verify: true})
			if err != nil || r.Outcome != OutcomeRestarted || r.OldExit != (Exit{Kind: ExitSignaled, Signal: 9}) {
				t.Errorf("%+v, %v", r, err)
			}
			warned(t, r, fmt.Sprintf("process %d was killed", pid), c.exit.String())
			signals := of(e.since(from), "signal", "job")
			if len(signals) != 2 || signals[0].Signal != 15 || signals[1].Signal != 9 {
				t.Fatalf("%+v", signals)
			}
			if d, want := time.Duration(signals[1].Time-signals[0].Time), time.Duration(float64(c.exit)*scale); d < want {
				t.Errorf("SIGKILL after %v, want %v at least", d, want)
			}
			synctest.Test(t, func(t *testing.T) {
				m, client := newModel(t, 100, holdsOn)
				m.exit = int(c.exit / time.Second)
				r, _ := client.Restart(t.Context(), target, RestartOptions{})
				took(t, r, c.waits, c.waits)
			})
		})
	}
}

// soonest runs a restart up to three times and returns the shortest time from the exit of
// the old process to the spawn of the next: a machine that does other things now and then
// makes one of them late.
func soonest(run func() time.Duration, enough time.Duration) time.Duration {
	best := time.Duration(math.MaxInt64)
	for range 3 {
		if best = min(best, run()); best <= enough {
			break
		}
	}
	return best
}

const atOnce = 300 * time.Millisecond // from the old process' exit to the next one's spawn

// Trap 37: the gateway leaves with 75 by itself. The next one comes at once, not when a
// ThrottleInterval of 30 s is over.
func TestTrap37GracefulAtOnce(t *testing.T) {
	e := embed(t, launchdsim.Options{})
	pids, next := e.fifo("pids")
	log := filepath.Join(e.dir, "log")
	job := e.bootstrap("job", e.role("job", failedOnly+throttle30, "gateway", pids, log, "75"))
	if d := soonest(func() time.Duration {
		old, from := next(), e.seen()
		r, err := e.restart(t.Context(), job, RestartOptions{Graceful: &Graceful{Signal: usr1}})
		if err != nil || r.Method != MethodGraceful || r.Old != old {
			t.Fatalf("%+v, %v", r, err)
		}
		return e.gap(from, "job", old)
	}, atOnce); d > atOnce {
		t.Errorf("the next process came %v after the old one's exit", d)
	}
	for _, line := range strings.Split(said(log), "\n") {
		if line != usr1.String() {
			t.Errorf("the gateway got %q", line)
		}
	}
}

// The same for a wrapped gateway, with trap 36: the wrapper that is the job's process, and
// that SIGUSR1 would end, does not get it.
func TestTrap36WrappedGraceful(t *testing.T) {
	e := embed(t, launchdsim.Options{})
	pids, next := e.fifo("pids")
	log := filepath.Join(e.dir, "log")
	job := e.bootstrap("job", e.role("job", failedOnly+throttle30, "wrapper", pids, log, "75"))
	if d := soonest(func() time.Duration {
		gateway, wrapper, from := next(), e.pid(job), e.seen()
		if gateway == wrapper {
			t.Fatal("the gateway is the wrapper")
		}
		var told []string
		r, err := e.restart(t.Context(), job, RestartOptions{OnEvent: steps(&told), Graceful: &Graceful{
			Signal: usr1,
			Process: func(_ context.Context, job Identity) (Identity, error) {
				if job.PID != wrapper {
					t.Errorf("asked about %v, not %d", job, wrapper)
				}
				return proc.Read(gateway)
			},
		}})
		if err != nil || r.Outcome != OutcomeRestarted || r.Method != MethodGraceful || r.Old != wrapper || r.New != e.pid(job) {
			t.Fatalf("%+v, %v", r, err)
		}
		if alive(gateway) || alive(wrapper) {
			t.Error("the new process was asked for before both old ones had gone")
		}
		if want := []string{"signaled SIGUSR1", "exited", "requested kickstart without kill", "spawned"}; !slices.Equal(told, want) {
			t.Errorf("told %q", told)
		}
		for _, ev := range e.since(from) {
			if ev.Kind == "signal" {
				t.Errorf("launchd sent a signal: %+v", ev)
			}
		}
		return e.gap(from, "job", wrapper)
	}, atOnce); d > atOnce {
		t.Errorf("the next process came %v after the old one's exit", d)
	}
	if got := said(log); got != "" {
		t.Errorf("the wrapper got %q", got)
	}
	if got := said(log + ".gateway"); !strings.HasPrefix(got, usr1.String()) {
		t.Errorf("the gateway got %q", got)
	}
	next() // the last gateway is up, so that it is not stopped half-way
}

// Trap 38: KeepAlive has started the next process before the request that closes a drain.
// That process is the new one, and nobody touches it.
func TestTrap38KeepAliveFirst(t *testing.T) {
	e := embed(t, launchdsim.Options{TimeScale: 0.001}) // the throttle is over after 10 ms
	pids, next := e.fifo("pids")
	job := e.bootstrap("job", e.role("job", failedOnly, "gateway", pids, filepath.Join(e.dir, "log"), "75"))
	old := next()
	time.Sleep(10 * time.Millisecond) // for the throttle: launchd has no event for that
	before, err := e.Inspect(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	from := e.seen()
	r, err := e.restart(t.Context(), job, RestartOptions{Graceful: &Graceful{Signal: usr1}})
	if err != nil || r.Outcome != OutcomeRestarted || r.Old != old {
		t.Errorf("%+v, %v", r, err)
	}
	if pid := next(); pid != r.New {
		t.Errorf("process %d runs, not %d", pid, r.New)
	}
	after, err := e.Inspect(t.Context(), job)
	if err != nil || *after.Runs != *before.Runs+1 || after.PID != r.New {
		t.Errorf("%d runs -> %d, %+v, %v", *before.Runs, *after.Runs, after, err)
	}
	if events := e.since(from); len(of(events, "spawn", "job")) != 1 || len(of(events, "signal", "job")) != 0 {
		t.Errorf("%+v", events)
	}
}

// Trap 39: after the drain launchd holds the start back. The closing request is a demand, which
// starts it; if it does not, the error says why launchd does not.
func TestTrap39Pended(t *testing.T) {
	e := embed(t, launchdsim.Options{OnDemandOnly: true})
	pids, next := e.fifo("pids")
	job := e.bootstrap("job", e.role("job", failedOnly+atLoad, "gateway", pids, filepath.Join(e.dir, "log"), "75"))
	if j, err := e.Inspect(t.Context(), job); err != nil || j.PID != 0 || j.Pended == "" {
		t.Fatalf("%+v, %v", j, err)
	}
	if r, err := e.restart(t.Context(), job, RestartOptions{}); err != nil || r.Outcome != OutcomeStarted {
		t.Fatalf("%+v, %v", r, err)
	}
	old := next()
	r, err := e.restart(t.Context(), job, RestartOptions{Graceful: &Graceful{Signal: usr1}})
	if err != nil || r.Outcome != OutcomeRestarted || r.Old != old || next() != r.New {
		t.Errorf("%+v, %v", r, err)
	}

	synctest.Test(t, func(t *testing.T) {
		m, c := newModel(t, 100, func(_ context.Context, m *model) (int, error) {
			m.set(0)
			m.ending = "\tpended nondemand spawn = inefficient\n"
			return 0, nil
		})
		r, err := c.Restart(t.Context(), target, RestartOptions{})
		expect(t, r, err, OutcomeParked, 100, 0, "")
		if err == nil || !strings.Contains(err.Error(), "inefficient") {
			t.Error(err)
		}
		m.done(true)
	})
}

// Trap 42: the gateway leaves with 0 under SuccessfulExit=false, which launchd does not start
// again by itself: the closing request does.
func TestTrap42ExitsWell(t *testing.T) {
	e := embed(t, launchdsim.Options{})
	pids, next := e.fifo("pids")
	job := e.bootstrap("job", e.role("job", failedOnly, "gateway", pids, filepath.Join(e.dir, "log"), "0"))
	old := next()
	r, err := e.restart(t.Context(), job, RestartOptions{Graceful: &Graceful{Signal: usr1}, Verify: true})
	if err != nil || r.Outcome != OutcomeRestarted || r.Old != old || next() != r.New || r.OldExit != (Exit{Kind: ExitCode}) {
		t.Errorf("%+v, %v", r, err)
	}
}

// neverReady is a question that is not answered as long as the process lives.
func neverReady(ctx context.Context, _ int) error { <-ctx.Done(); return ctx.Err() }

// Trap 43: the new process parks itself right after its start (Hermes' wrapper turns 78 into
// 0). The outcome is parked, and nothing is tried again.
func TestTrap43Parked(t *testing.T) {
	e := embed(t, launchdsim.Options{})
	mark := filepath.Join(e.dir, "mark")
	job := e.load("job", "[ -e "+mark+" ] && exit 0; : > "+mark+"; exec sleep 1000", failedOnly)
	waitFile(t, mark, "")
	old, from := e.pid(job), e.seen()
	r, err := e.restart(t.Context(), job, RestartOptions{Verify: true, Ready: neverReady})
	early, ok := errors.AsType[*EarlyExitError](err)
	if !ok || r.Outcome != OutcomeParked || r.Old != old || early.Exit != (Exit{Kind: ExitCode}) || early.Count != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	if events := e.since(from); asked(events, routineKickstart) != 1 || len(of(events, "spawn", "job")) != 1 {
		t.Errorf("%d requests", asked(events, routineKickstart))
	}
}

// Trap 44: new processes die again and again. After three of them the outcome is flapping, with
// what launchd's throttle comes to, and nothing more is sent.
func TestTrap44Flapping(t *testing.T) {
	e := embed(t, launchdsim.Options{TimeScale: 0.01})
	mark := filepath.Join(e.dir, "mark")
	job := e.load("job", "[ -e "+mark+" ] && exit 1; : > "+mark+"; exec sleep 1000", "<key>KeepAlive</key><true/>"+fmt.Sprintf(throttleKey, 20))
	waitFile(t, mark, "")
	from := e.seen()
	var told []string
	r, err := e.restart(t.Context(), job, RestartOptions{Ready: neverReady, OnEvent: steps(&told)})
	early, ok := errors.AsType[*EarlyExitError](err)
	if !ok || r.Outcome != OutcomeFlapping || early.Count != 3 || early.Exit != (Exit{Kind: ExitCode, Code: 1}) {
		t.Errorf("%+v, %v", r, err)
	}
	if r.Throttled <= 0 || r.Throttled > 20*time.Second || !strings.Contains(err.Error(), "holds the next start back") {
		t.Errorf("throttled %v, %v", r.Throttled, err)
	}
	if !slices.ContainsFunc(told, func(s string) bool { return strings.HasPrefix(s, "throttled") }) {
		t.Errorf("told %q", told)
	}
	if n := asked(e.since(from), routineKickstart); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// Traps 48, 49 and 51: a job that is not loaded. Nothing is sent, nothing is killed, and the
// error says what to do.
func TestTrapNotLoaded(t *testing.T) {
	e := embed(t, launchdsim.Options{})
	job := e.target("job")
	path := e.plist("job", sleeper, "")
	manual := exec.Command("sleep", "1000") // a gateway that somebody started by hand
	if err := manual.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { manual.Process.Kill(); manual.Wait() }()
	only := func(want Outcome, is_ error, advice string) {
		t.Helper()
		from := e.seen()
		r, err := e.restart(t.Context(), job, RestartOptions{Graceful: &Graceful{}, Verify: true})
		is(t, err, is_)
		if r.Outcome != want || r.Old != 0 || r.New != 0 {
			t.Errorf("%+v", r)
		}
		advised(t, err, advice)
		for _, routine := range e.requests(from) {
			if !slices.Contains([]uint64{routinePrintService, routineAttributes, routineEnabled}, routine) {
				t.Errorf("sent %d", routine)
			}
		}
		if !alive(manual.Process.Pid) {
			t.Error("the process was killed")
		}
	}
	t.Run("trap 48: disabled, the property list is there", func(t *testing.T) {
		if err := e.SetEnabled(t.Context(), job, false); err != nil {
			t.Fatal(err)
		}
		only(OutcomeDisabled, ErrDisabled, "hermes-gw ctl enable "+job.String())
		if err := e.SetEnabled(t.Context(), job, true); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("trap 49: the property list is there", func(t *testing.T) {
		only(OutcomeNotLoaded, ErrNotLoaded, "load it with its property list")
		r, err := e.Start(t.Context(), job, path) // who asks for it gets it loaded
		if err != nil || !r.Loaded || r.PID != e.pid(job) || !alive(r.PID) {
			t.Errorf("%+v, %v", r, err)
		}
	})
	t.Run("trap 51: no property list", func(t *testing.T) {
		if _, err := e.Stop(t.Context(), job); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		only(OutcomeNotLoaded, ErrNotLoaded, "load it with its property list")
	})
}

// Trap 50: a loaded job whose property list is gone is restarted by what launchd has, with a
// warning.
func TestTrap50PlistGone(t *testing.T) {
	e := embed(t, launchdsim.Options{})
	job := e.load("job", sleeper, keepAlive)
	path := e.dir + "/job.plist"
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	r, err := e.restart(t.Context(), job, RestartOptions{Verify: true})
	if err != nil || r.Outcome != OutcomeRestarted || r.New != e.pid(job) || len(r.Warnings) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	warned(t, r, path, "is gone")
	_, err = e.Stale(t.Context(), job)
	is(t, err, fs.ErrNotExist)
}

// Trap 52: the property list has changed since it was loaded. The job is restarted as it is
// loaded, with a warning that names the keys and the reload, and is never unloaded.
func TestTrap52Stale(t *testing.T) {
	e := embed(t, launchdsim.Options{})
	more := "<key>KeepAlive</key><true/><key>EnvironmentVariables</key><dict><key>A</key><string>b</string></dict>" +
		"<key>ExitTimeOut</key><integer>90</integer><key>WorkingDirectory</key><string>/</string>"
	job := e.load("job", sleeper, more)
	e.state(0, "job", "running")
	r, err := e.restart(t.Context(), job, RestartOptions{Verify: true})
	if err != nil || len(r.Warnings) != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if keys, err := e.Stale(t.Context(), job); err != nil || len(keys) != 0 {
		t.Errorf("%q, %v", keys, err)
	}
	e.plist("job", "exec sleep 2000", strings.NewReplacer(">b<", ">c<", ">90<", ">4<").Replace(more)+throttle30+atLoad)
	old := e.pid(job)
	r, err = e.restart(t.Context(), job, RestartOptions{Verify: true})
	if err != nil || r.Outcome != OutcomeRestarted || r.Old != old {
		t.Errorf("%+v, %v", r, err)
	}
	warned(t, r, "EnvironmentVariables, ExitTimeOut, ProgramArguments, RunAtLoad, ThrottleInterval", "hermes-gw reload "+job.String())
	if j, err := e.Inspect(t.Context(), job); err != nil || !slices.Equal(j.Arguments, []string{"/bin/sh", "-c", sleeper}) {
		t.Errorf("%+v, %v", j, err)
	}
}

// Traps 53 and 54: where a label is loaded. Which of two is meant is for the layers above.
func TestTrapDomains(t *testing.T) {
	uid := os.Geteuid()
	t.Run("trap 53: in gui and user at once", func(t *testing.T) {
		e := embed(t, launchdsim.Options{})
		gui := e.load("job", sleeper, atLoad)
		user := Target{User(uid), "job"}
		if err := e.Bootstrap(t.Context(), user.Domain, e.plist("job", sleeper, atLoad)); err != nil {
			t.Fatal(err)
		}
		if all, err := e.FindAll(t.Context(), "job", uid); err != nil || !slices.Equal(all, []Target{gui, user}) {
			t.Errorf("%v, %v", all, err)
		}
		// Asked for one of them, only that one is restarted.
		old := e.pid(gui)
		if r, err := e.restart(t.Context(), user, RestartOptions{}); err != nil || r.New != e.pid(user) || e.pid(gui) != old {
			t.Errorf("%+v, %v", r, err)
		}
	})
	t.Run("trap 54: in user alone", func(t *testing.T) {
		for _, noGUI := range []bool{false, true} { // with a session, and over ssh without one (125)
			e := embed(t, launchdsim.Options{NoGUI: noGUI})
			want := Target{User(uid), "job"}
			if err := e.Bootstrap(t.Context(), want.Domain, e.plist("job", sleeper, atLoad)); err != nil {
				t.Fatal(err)
			}
			got, err := e.Find(t.Context(), "job", uid)
			if err != nil || got != want {
				t.Fatalf("%v, %v", got, err)
			}
			if r, err := e.restart(t.Context(), got, RestartOptions{}); err != nil || r.Outcome != OutcomeRestarted {
				t.Errorf("%+v, %v", r, err)
			}
		}
	})
	t.Run("trap 54: in gui alone", func(t *testing.T) {
		e := embed(t, launchdsim.Options{})
		want := e.load("job", sleeper, atLoad)
		if got, err := e.Find(t.Context(), "job", uid); err != nil || got != want {
			t.Errorf("%v, %v", got, err)
		}
	})
	t.Run("trap 56: in system", func(t *testing.T) {
		e := embed(t, launchdsim.Options{})
		job := Target{System(), "job"}
		err := e.Bootstrap(t.Context(), job.Domain, e.plist("job", sleeper, atLoad))
		if uid != 0 {
			is(t, err, fs.ErrPermission)
			advised(t, err, "sudo")
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		got, err := e.Find(t.Context(), "job", uid)
		if err != nil || got != job {
			t.Fatalf("%v, %v", got, err)
		}
		if r, err := e.restart(t.Context(), got, RestartOptions{}); err != nil || r.Outcome != OutcomeRestarted {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

// Trap 56: what a user who is not root is told of a job in the system domain.
func TestTrap56NotRoot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, c := newModel(t, 100, refuses(1))
		time.Sleep(young)
		r, err := c.Restart(t.Context(), target, RestartOptions{})
		expect(t, r, err, OutcomeFailed, 100, 0, "")
		is(t, err, fs.ErrPermission)
		advised(t, err, "try again with sudo")
		m.done(true)
	})
}

// Trap 55: root acts for another user. Targets name that user's domain, never root's own, and
// what is left in that user's home is that user's. Which user is meant is for the command.
func TestTrap55AsRoot(t *testing.T) {
	if got := Places(Surroundings{UID: 501, ConsoleOwner: 501}); !slices.Equal(got, []Domain{GUI(501), User(501)}) {
		t.Errorf("%v", got)
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can make files for somebody else")
	}
	const other = 65534
	home := t.TempDir()
	r := &reload{change: change{t: Target{GUI(other), "job"}}, o: ReloadOptions{StateDir: filepath.Join(home, "a", "b", "state")}}
	r.c = New(transport(func(context.Context, uint64, xpc.Dict) (xpc.Dict, error) { return nil, xpc.NoSuchService }), nil)
	unlock, err := r.begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	r.disk = map[string]any{"Label": "job"}
	if err := r.write(); err != nil {
		t.Fatal(err)
	}
	seen := 0
	filepath.WalkDir(home, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == home {
			return err
		}
		info, err := d.Info()
		if err != nil || info.Sys().(*syscall.Stat_t).Uid != other {
			t.Errorf("%s is not that user's, %v", path, err)
		}
		seen++
		return nil
	})
	if seen != 7 { // three folders, the lock and three files
		t.Errorf("%d files and folders", seen)
	}
	// And root reads what that user's worker leaves.
	if n, err := readNoteOf(other, r.files.note()); err != nil || n.Target != r.t {
		t.Errorf("%+v, %v", n, err)
	}
}

// Trap 57: a restart within the throttle window. The request skips it; where KeepAlive has to
// start the job, because launchd refuses the request, the result says how long it holds the
// start back.
func TestTrap57InThrottleWindow(t *testing.T) {
	e := embed(t, launchdsim.Options{})
	job := e.load("job", sleeper, keepAlive+throttle30)
	e.state(0, "job", "running")
	if d := soonest(func() time.Duration {
		from := e.seen()
		r, err := e.restart(t.Context(), job, RestartOptions{})
		if err != nil || r.Throttled != 0 {
			t.Fatalf("%+v, %v", r, err)
		}
		return e.gap(from, "job", r.Old)
	}, atOnce); d > atOnce {
		t.Errorf("the next process came %v after the old one's exit", d)
	}

	e = embed(t, launchdsim.Options{TimeScale: 0.02, Deny: []uint64{routineKickstart}})
	job = e.load("job", sleeper, keepAlive+throttle30)
	e.state(0, "job", "running")
	r, err := e.restart(t.Context(), job, RestartOptions{})
	if err != nil || r.Outcome != OutcomeRestarted || r.Method != MethodSignal || r.Throttled <= 0 || r.Throttled > 30*time.Second {
		t.Errorf("%+v, %v", r, err)
	}
}

// Trap 58: a job that is loaded and does not run, because it never did or because it failed.
func TestTrap58NotRunning(t *testing.T) {
	e := embed(t, launchdsim.Options{})
	mark := filepath.Join(e.dir, "mark")
	job := e.load("job", "[ -e "+mark+" ] && exec sleep 1000; : > "+mark+"; exit 1", "")
	never := e.load("never", sleeper, "")
	if r, err := e.restart(t.Context(), never, RestartOptions{Verify: true}); err != nil || r.Outcome != OutcomeStarted || r.Old != 0 || r.New != e.pid(never) {
		t.Errorf("%+v, %v", r, err)
	}
	from := e.seen()
	if _, err := e.Kickstart(t.Context(), job, KickstartOptions{}); err != nil {
		t.Fatal(err)
	}
	e.state(from, "job", "not running")
	if r, err := e.restart(t.Context(), job, RestartOptions{Verify: true}); err != nil || r.Outcome != OutcomeStarted || r.Old != 0 || r.New != e.pid(job) || r.OldExit != (Exit{}) {
		t.Errorf("%+v, %v", r, err)
	}
}

// Trap 59: a load that launchd calls good, after which there is no process, is no success.
func TestTrap59LoadedWithoutProcess(t *testing.T) {
	plist := filepath.Join(t.TempDir(), "x.plist")
	if err := os.WriteFile(plist, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		m, c := newModel(t, 0)
		m.loaded = false
		for range 1000 {
			m.kicks = append(m.kicks, names(0))
		}
		r, err := c.Start(t.Context(), target, plist)
		if err == nil || r.Outcome != OutcomeFailed || !r.Loaded || r.PID != 0 {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

// Trap 60: a pid of 0 or -1 is none, whichever answer it stands in.
func TestTrap60NoPID(t *testing.T) {
	for _, pid := range []int64{-1, 0, 1, math.MinInt64, 1 << 40} {
		c, _ := answering(xpc.Dict{
			"attrs": xpc.Dict{"pid": pid}, "pid": pid, "services": xpc.Dict{"x": xpc.Dict{"pid": pid}},
		}, nil)
		if j, err := c.Job(t.Context(), target); err != nil || j.PID != 0 || j.Running() {
			t.Errorf("%d: %+v, %v", pid, j, err)
		}
		if got, err := c.Kickstart(t.Context(), target, KickstartOptions{}); err != nil || got != 0 {
			t.Errorf("%d: kickstart %d, %v", pid, got, err)
		}
		if list, err := c.ListOwn(t.Context()); err != nil || len(list) != 1 || list[0].PID != 0 {
			t.Errorf("%d: %+v, %v", pid, list, err)
		}
	}
	for _, pid := range []string{"-1", "0", "-"} {
		text := "gui/501 = {\n\tservices = {\n\t\t" + pid + " 0\tx\n\t}\n}\n"
		if d, err := ParseDomain(text); err != nil || len(d.Services) != 1 || d.Services[0].PID != 0 {
			t.Errorf("%s: %+v, %v", pid, d, err)
		}
	}
}

// Trap 61: launchd does not answer about one job. That restart ends at its bound, others go on
// meanwhile.
func TestTrap61Hangs(t *testing.T) {
	e := embed(t, launchdsim.Options{})
	stuck, good := e.load("stuck", sleeper, keepAlive), e.load("good", sleeper, keepAlive)
	e.server.SetFaults(launchdsim.Fault{Kind: launchdsim.Never, Label: "stuck"})
	type answer struct {
		RestartResult
		err error
	}
	hangs := make(chan answer)
	asking := e.seen()
	go func() {
		r, err := e.Restart(t.Context(), stuck, RestartOptions{Timeout: 500 * time.Millisecond})
		hangs <- answer{r, err}
	}()
	e.wait(asking, "the question about stuck", func(ev launchdsim.Event) bool { return ev.Kind == "request" && ev.Label == "stuck" })
	if r, err := e.restart(t.Context(), good, RestartOptions{}); err != nil || r.Outcome != OutcomeRestarted {
		t.Errorf("%+v, %v", r, err)
	}
	if a := <-hangs; a.err == nil || a.Outcome.OK() || !errors.Is(a.err, context.DeadlineExceeded) {
		t.Errorf("%+v, %v", a.RestartResult, a.err)
	}
}

// Trap 62: a sandbox, or an ssh without the rights, keeps this program from launchd. The error
// says that it is about permission. (That nothing is executed instead is checked on the
// program: no process can be started by it at all.)
func TestTrap62Sandbox(t *testing.T) {
	for _, code := range []xpc.Errno{xpc.SandboxDenied, xpc.EPERM} {
		synctest.Test(t, func(t *testing.T) {
			m, c := newModel(t, 100)
			m.refuse = map[uint64]xpc.Errno{routinePrintService: code, routineAttributes: code, routineKickstart: code, routineEnabled: code}
			r, err := c.Restart(t.Context(), target, RestartOptions{})
			expect(t, r, err, OutcomeFailed, 0, 0, "")
			is(t, err, fs.ErrPermission)
			advised(t, err, map[xpc.Errno]string{xpc.SandboxDenied: "sandbox", xpc.EPERM: "sudo"}[code])
			m.done()
		})
	}
}
