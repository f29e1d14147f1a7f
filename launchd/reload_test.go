package launchd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hermes-gw/hermes-gw/internal/launchdsim"
)

// workerArg makes this test binary the worker of a reload: see TestMain.
const workerArg = "reload-worker"

func reloadWorkerMain(args []string) {
	if err := ReloadWorker(context.Background(), args); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// reloads are options for a reload in this test's own folder.
func (e *embedded) reloads() ReloadOptions {
	self, err := os.Executable()
	if err != nil {
		e.t.Fatal(err)
	}
	return ReloadOptions{Program: []string{self, workerArg}, StateDir: filepath.Join(e.dir, "state"), Address: e.address}
}

// worker is the target of a job's worker.
func (e *embedded) worker(t Target) Target { return filesOf(e.dir+"/state", t).worker(t) }

// left checks that a reload left nothing but its lock and its log.
func (e *embedded) left(t Target) {
	e.t.Helper()
	_, err := e.Inspect(e.t.Context(), e.worker(t))
	is(e.t, err, ErrNotLoaded)
	files, err := os.ReadDir(e.dir + "/state")
	if err != nil {
		e.t.Fatal(err)
	}
	for _, f := range files {
		if name := f.Name(); !strings.HasSuffix(name, ".lock") && !strings.HasSuffix(name, ".log") {
			e.t.Errorf("%s is left", name)
		}
	}
}

// A changed property list is loaded, and the job runs by it.
func TestReload(t *testing.T) {
	e := embed(t, launchdsim.Options{TimeScale: 0.1})
	job := e.load("job", sleeper, keepAlive)
	old := e.pid(job)
	path := e.plist("job", "exec sleep 2000", keepAlive)
	var told []string
	o := e.reloads()
	o.OnEvent = steps(&told)
	from := e.seen()
	r, err := e.Reload(t.Context(), job, o)
	if err != nil || r.Outcome != OutcomeRestarted || r.Old != old || r.New == old || r.RolledBack {
		t.Fatalf("%+v, %v", r, err)
	}
	j, err := e.Inspect(t.Context(), job)
	if err != nil || j.PID != r.New || j.Path != path || !slices.Equal(j.Arguments, []string{"/bin/sh", "-c", "exec sleep 2000"}) {
		t.Errorf("%+v, %v", j, err)
	}
	if want := []string{"requested bootstrap " + e.worker(job).String(), "waiting " + e.worker(job).String(), "spawned"}; !slices.Equal(told, want) {
		t.Errorf("told %q", told)
	}
	// The job itself: unloaded once, loaded once, both by the worker.
	var verbs []string
	e.mu.Lock()
	for _, ev := range e.events[from:] {
		if ev.Kind == "request" && (ev.Routine == routineBootout || ev.Routine == routineBootstrap) {
			verbs = append(verbs, fmt.Sprint(ev.Routine, " ", ev.Label))
		}
	}
	e.mu.Unlock()
	if want := []string{"800 ", "801 job", "800 ", "801 " + e.worker(job).Label}; !slices.Equal(verbs, want) {
		t.Errorf("requests %q, want %q", verbs, want)
	}
	e.left(job)
}

// What a process that was killed has left of a file it was writing goes with the next
// reload; another target's may be in the making.
func TestReloadRemovesParts(t *testing.T) {
	e := embed(t, launchdsim.Options{TimeScale: 0.1})
	job := e.load("job", sleeper, keepAlive)
	o := e.reloads()
	if err := os.Mkdir(o.StateDir, 0o700); err != nil {
		t.Fatal(err)
	}
	part := func(t Target) string {
		f := filesOf(o.StateDir, t)
		file, err := (partFiles{prefix: f.parts()}).create(f.dir, ".new-*")
		if err != nil {
			e.t.Fatal(err)
		}
		file.Close()
		return file.Name()
	}
	own, other := part(job), part(e.target("other"))
	if _, err := e.Reload(t.Context(), job, o); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(own); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is left: %v", own, err)
	}
	if _, err := os.Stat(other); err != nil {
		t.Error(err)
	}
}

// What is wrong is found before anything is touched.
func TestReloadChecks(t *testing.T) {
	e := embed(t, launchdsim.Options{TimeScale: 0.1})
	job := e.load("job", sleeper, keepAlive)
	pid := e.pid(job)
	good := e.reloads()
	for name, c := range map[string]struct {
		break_ func(*ReloadOptions)
		want   string
	}{
		"relative plist": {func(o *ReloadOptions) { o.Path = "job.plist" }, "must be absolute"},
		"missing plist":  {func(o *ReloadOptions) { o.Path = e.dir + "/none.plist" }, "no such file"},
		"other label":    {func(o *ReloadOptions) { o.Path = e.plist("other", sleeper, "") }, `"other"`},
		"broken plist": {func(o *ReloadOptions) {
			o.Path = e.dir + "/b.plist"
			os.WriteFile(o.Path, []byte("<plist><dict>"), 0o644)
		}, "cannot read it"},
		"no such binary": {func(o *ReloadOptions) { o.Path = e.write("job", "<string>"+e.dir+"/none</string>", keepAlive) }, "program-not-found"},
		"wrong session": {func(o *ReloadOptions) {
			o.Path = e.plist("job", sleeper, "<key>LimitLoadToSessionType</key><string>LoginWindow</string>")
		}, "session-domain"},
		"no program":           {func(o *ReloadOptions) { o.Program = nil }, "worker's program"},
		"missing program":      {func(o *ReloadOptions) { o.Program = []string{e.dir + "/none"} }, "worker's program"},
		"a file for a program": {func(o *ReloadOptions) { o.Program = []string{e.dir + "/job.plist"} }, "not executable"},
		"relative folder":      {func(o *ReloadOptions) { o.StateDir = "state" }, "must be absolute"},
		"open folder": {func(o *ReloadOptions) {
			o.StateDir = e.dir + "/open"
			os.Mkdir(o.StateDir, 0o755)
			os.Chmod(o.StateDir, 0o755)
		}, "others can reach it"},
		"linked folder": {func(o *ReloadOptions) { o.StateDir = e.dir + "/link"; os.Symlink(t.TempDir(), o.StateDir) }, "not a folder"},
	} {
		e.plist("job", sleeper, keepAlive)
		o := good
		c.break_(&o)
		from := e.seen()
		r, err := e.Reload(t.Context(), job, o)
		if err == nil || !strings.Contains(err.Error(), c.want) || r.Outcome != OutcomeFailed {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
		for _, routine := range e.requests(from) {
			switch routine {
			case routineBootstrap, routineBootout, routineKickstart:
				t.Errorf("%s: sent %d", name, routine)
			}
		}
	}
	if now := e.pid(job); now != pid {
		t.Errorf("pid %d -> %d", pid, now)
	}
	e.plist("job", sleeper, keepAlive)
	if err := e.SetEnabled(t.Context(), job, false); err != nil {
		t.Fatal(err)
	}
	r, err := e.Reload(t.Context(), job, good)
	is(t, err, ErrDisabled)
	if r.Outcome != OutcomeDisabled || e.pid(job) != pid {
		t.Errorf("%+v", r)
	}
	r, err = e.Reload(t.Context(), e.target("none"), good)
	is(t, err, ErrNotLoaded)
	if r.Outcome != OutcomeNotLoaded {
		t.Errorf("%+v", r)
	}
}

// A definition that launchd refuses: the old one runs again, and the error is reported.
func TestReloadRollsBack(t *testing.T) {
	e := embed(t, launchdsim.Options{TimeScale: 0.1})
	job := e.load("job", "exec sleep 3000", keepAlive+`<key>EnvironmentVariables</key><dict><key>A</key><string>b =&gt; c</string></dict><key>ThrottleInterval</key><integer>20</integer>`)
	e.state(0, "job", "running")
	before, err := e.Inspect(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	e.plist("job", sleeper, atLoad)
	var once sync.Once
	e.onEvent(func(ev launchdsim.Event) {
		if ev.Kind == "request" && ev.Routine == routineBootout && ev.Label == "job" {
			once.Do(func() {
				go e.server.SetFaults(launchdsim.Fault{Kind: launchdsim.Fail, Routine: routineBootstrap, Code: 134, Times: 1})
			})
		}
	})
	r, err := e.Reload(t.Context(), job, e.reloads())
	if err == nil || !r.RolledBack || r.Outcome != OutcomeFailed || !strings.Contains(err.Error(), "(134)") || !strings.Contains(err.Error(), "old one was loaded again") {
		t.Fatalf("%+v, %v", r, err)
	}
	after, err := e.Inspect(t.Context(), job)
	if err != nil || after.PID == 0 || after.PID == before.PID || !slices.Equal(after.Arguments, before.Arguments) ||
		*after.MinimumRuntime != 20*time.Second || after.KeepAlive == nil || !*after.KeepAlive {
		t.Errorf("%+v, %v", after, err)
	}
	text, err := e.Print(t.Context(), job)
	if err != nil || !strings.Contains(text, "A => b => c\n") {
		t.Errorf("%s, %v", text, err)
	}
	// The saved file stays: launchd names it as the job's.
	if _, err := os.Stat(after.Path); err != nil || filepath.Dir(after.Path) != e.dir+"/state" {
		t.Error(after.Path, err)
	}
}

// Two reloads at once: one carries it out, the other finds it under way, and one instance
// of the job runs.
func TestReloadTwice(t *testing.T) {
	e := embed(t, launchdsim.Options{TimeScale: 0.1})
	job := e.load("job", sleeper, keepAlive)
	var both sync.WaitGroup
	var mu sync.Mutex
	outcomes := map[Outcome]int{}
	for range 2 {
		c := e.open()
		both.Go(func() {
			r, err := c.Reload(t.Context(), job, e.reloads())
			mu.Lock()
			defer mu.Unlock()
			outcomes[r.Outcome]++
			if r.Outcome == OutcomeBusy && !errors.Is(err, ErrReloading) || r.Outcome != OutcomeBusy && err != nil {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
	both.Wait()
	// The second may also come when the first is over.
	if outcomes[OutcomeRestarted] < 1 || outcomes[OutcomeRestarted]+outcomes[OutcomeBusy] != 2 {
		t.Errorf("%v", outcomes)
	}
	e.running(job)
	e.left(job)
}

// Another reload begins before the first one has looked at what became of its own: each knows
// its own result, whether the other is over by then or has just unloaded the job.
func TestReloadFollowed(t *testing.T) {
	for name, over := range map[string]bool{"over": true, "under way": false} {
		t.Run(name, func(t *testing.T) {
			e := embed(t, launchdsim.Options{TimeScale: 0.1})
			job := e.load("job", sleeper, keepAlive)
			fifo, ran := e.fifo("job.fifo")
			// It ends when it is let go.
			e.plist("job", "trap 'until [ -e "+e.dir+"/go ]; do sleep 0.01; done; exit' TERM; echo $$ > "+fifo+"; while :; do sleep 0.01; done",
				keepAlive+"<key>ExitTimeOut</key><integer>0</integer>")
			old := e.pid(job)
			var second sync.WaitGroup
			var secondResult ReloadResult
			var secondErr error
			letGo := func() {
				if err := os.WriteFile(e.dir+"/go", nil, 0o600); err != nil {
					t.Error(err)
				}
				second.Wait()
			}
			defer letGo()
			new := 0
			o := e.reloads()
			o.OnEvent = func(ev Event) {
				if ev.Kind != EventWaiting {
					return
				}
				e.gone(e.worker(job))
				new = ran()
				other, c := e.reloads(), e.open()
				from := e.seen()
				second.Go(func() { secondResult, secondErr = c.Reload(t.Context(), job, other) })
				if e.state(from, "job", string(StateSIGTERMed)); over {
					letGo()
				}
			}
			r, err := e.Reload(t.Context(), job, o)
			if err != nil || r.Outcome != OutcomeRestarted || r.Old != old || r.New != new {
				t.Errorf("the first: %+v, %v", r, err)
			}
			if _, err := e.Inspect(t.Context(), e.worker(job)); over != errors.Is(err, ErrNotLoaded) {
				t.Errorf("the worker of the second when the first is over: %v", err)
			}
			letGo()
			if secondErr != nil || secondResult.Outcome != OutcomeRestarted || secondResult.Old != new || secondResult.New != e.pid(job) {
				t.Errorf("the second: %+v, %v", secondResult, secondErr)
			}
			e.running(job)
			e.left(job)
		})
	}
}

// A result that no client has come for goes with a later reload; one that is fresh may be waited
// for.
func TestReloadRemovesResults(t *testing.T) {
	e := embed(t, launchdsim.Options{TimeScale: 0.1})
	job := e.load("job", sleeper, keepAlive)
	o := e.reloads()
	if err := os.Mkdir(o.StateDir, 0o700); err != nil {
		t.Fatal(err)
	}
	result := func(t Target, id string, age time.Duration) string {
		path, at := filesOf(o.StateDir, t).result(id), time.Now().Add(-age)
		if err := errors.Join(os.WriteFile(path, []byte("{}"), 0o600), os.Chtimes(path, at, at)); err != nil {
			e.t.Fatal(err)
		}
		return path
	}
	forgotten, fresh, other := result(job, "A", resultKept+time.Minute), result(job, "B", 0), result(e.target("other"), "A", time.Hour)
	if _, err := e.Reload(t.Context(), job, o); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(forgotten); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is left: %v", forgotten, err)
	}
	for _, path := range []string{fresh, other} {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
}

// running checks that exactly one process of the job runs, the one launchd names.
func (e *embedded) running(t Target) {
	e.t.Helper()
	live := map[int]bool{}
	e.mu.Lock()
	for _, ev := range e.events {
		if ev.Label == t.Label && ev.Kind == "spawn" {
			live[ev.PID] = true
		}
		if ev.Label == t.Label && ev.Kind == "exit" {
			delete(live, ev.PID)
		}
	}
	e.mu.Unlock()
	if pid := e.pid(t); len(live) != 1 || !live[pid] || !alive(pid) {
		e.t.Errorf("launchd names process %d of %v", pid, live)
	}
}

// A worker that is killed after each of its requests: the next one goes on.
func TestReloadWorkerKilled(t *testing.T) {
	for n := 1; ; n++ {
		e := embed(t, launchdsim.Options{TimeScale: 0.02})
		job := e.load("job", sleeper, keepAlive)
		old := e.pid(job)
		e.plist("job", "exec sleep 2000", keepAlive)
		worker := e.worker(job)
		var mu sync.Mutex
		pid, asked, killed := 0, 0, false
		e.onEvent(func(ev launchdsim.Event) {
			mu.Lock()
			defer mu.Unlock()
			switch {
			case killed:
			case ev.Kind == "spawn" && ev.Label == worker.Label:
				pid = ev.PID
			case pid > 0 && ev.Kind == "reply":
				if asked++; asked == n {
					killed = true
					syscall.Kill(pid, syscall.SIGKILL)
				}
			}
		})
		r, err := e.Reload(t.Context(), job, e.reloads())
		mu.Lock()
		over := !killed
		mu.Unlock()
		if err != nil && r.Outcome != OutcomeUnknown {
			t.Errorf("killed after %d: %+v, %v", n, r, err)
		}
		// Until the worker has removed itself; the client may have ended before.
		e.gone(worker)
		j, err := e.Inspect(t.Context(), job)
		if err != nil || j.PID == 0 || j.PID == old || j.Arguments[2] != "exec sleep 2000" {
			t.Errorf("killed after %d: %+v, %v", n, j, err)
		}
		e.running(job)
		if over {
			if n < 10 {
				t.Errorf("only %d answers", n)
			}
			return
		}
	}
}

// gone waits until launchd does not have a job any more.
func (e *embedded) gone(t Target) {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(e.t.Context(), patience)
	defer cancel()
	for wait := (backoff{}); ; {
		if _, err := e.Inspect(ctx, t); errors.Is(err, ErrNotLoaded) {
			return
		}
		if err := wait.sleep(ctx); err != nil {
			e.t.Fatalf("%s is still loaded", t)
		}
	}
}

// A launchd that demands an entitlement for every way to start a job: a job that KeepAlive
// does not start is loaded anew, if that is allowed, and left alone if not.
func TestSimRestartByReload(t *testing.T) {
	e := embed(t, launchdsim.Options{TimeScale: 0.1, Deny: []uint64{702, 703, 704, 711, 712, 811, 812, 813, 814}})
	job := e.load("job", sleeper, atLoad)
	old := e.pid(job)
	r, err := e.Restart(t.Context(), job, RestartOptions{})
	is(t, err, ErrNotEntitled)
	if r.Outcome != OutcomeFailed || e.pid(job) != old {
		t.Errorf("%+v", r)
	}
	o := e.reloads()
	r, err = e.Restart(t.Context(), job, RestartOptions{Reload: &o})
	if err != nil || r.Outcome != OutcomeRestarted || r.Method != MethodReload || r.Old != old || r.New == old || e.pid(job) != r.New {
		t.Errorf("%+v, %v", r, err)
	}
	e.left(job)

	// One that KeepAlive starts needs no more than a signal, whatever the condition.
	for label, keep := range map[string]string{"always": keepAlive, "failed": "<key>KeepAlive</key><dict><key>SuccessfulExit</key><false/></dict>"} {
		job := e.load(label, sleeper, keep+atLoad)
		e.state(0, label, "running")
		from := e.seen()
		r, err := e.Restart(t.Context(), job, RestartOptions{Reload: &o})
		if err != nil || r.Outcome != OutcomeRestarted || r.Method != MethodSignal {
			t.Errorf("%s: %+v, %v", label, r, err)
		}
		for _, routine := range e.requests(from) {
			if routine == routineBootout || routine == routineBootstrap {
				t.Errorf("%s: sent %d", label, routine)
			}
		}
	}
}

// during calls f once, when launchd does something, without keeping it from going on.
func (e *embedded) during(want func(launchdsim.Event) bool, f func()) {
	var once sync.Once
	e.onEvent(func(ev launchdsim.Event) {
		if want(ev) {
			once.Do(f)
		}
	})
}

// The property list is another one than the one that was checked: it is not loaded. What ran
// before runs on, or runs again if it was unloaded already.
func TestReloadOfChangedList(t *testing.T) {
	for when, want := range map[string]struct {
		routine    uint64
		rolledBack bool
	}{"before the worker begins": {routineBootstrap, false}, "after the old one is unloaded": {routineBootout, true}} {
		e := embed(t, launchdsim.Options{TimeScale: 0.1})
		job := e.load("job", sleeper, keepAlive)
		old := e.pid(job)
		e.plist("job", "exec sleep 2000", keepAlive)
		e.during(func(ev launchdsim.Event) bool { return ev.Kind == "request" && ev.Routine == want.routine },
			func() { os.WriteFile(e.dir+"/job.plist", []byte("<plist><dict></dict></plist>"), 0o644) })
		r, err := e.Reload(t.Context(), job, e.reloads())
		if err == nil || r.Outcome != OutcomeFailed || r.RolledBack != want.rolledBack || !strings.Contains(err.Error(), "has changed since it was checked") {
			t.Errorf("%s: %+v, %v", when, r, err)
		}
		e.onEvent(nil)
		j, err := e.Inspect(t.Context(), job)
		if err != nil || j.PID == 0 || (j.PID == old) == want.rolledBack || !slices.Equal(j.Arguments, []string{"/bin/sh", "-c", sleeper}) {
			t.Errorf("%s: %+v, %v", when, j, err)
		}
		e.running(job)
	}
}

// The answer to the load of the worker is lost: whether it runs is looked at.
func TestReloadAnswerLost(t *testing.T) {
	defer func(d time.Duration) { workerRuns = d }(workerRuns)
	for _, carry := range []bool{true, false} {
		e := embed(t, launchdsim.Options{TimeScale: 0.1})
		job := e.load("job", sleeper, keepAlive)
		old := e.pid(job)
		if !carry {
			workerRuns = 300 * time.Millisecond // that one is not going to come
		}
		e.server.SetFaults(launchdsim.Fault{Kind: launchdsim.Hangup, Routine: routineBootstrap, Carry: carry, Times: 1})
		r, err := e.Reload(t.Context(), job, e.reloads())
		if carry && (err != nil || r.Outcome != OutcomeRestarted || e.pid(job) == old) {
			t.Errorf("%+v, %v", r, err)
		}
		if !carry && (err == nil || r.Outcome != OutcomeFailed || !strings.Contains(err.Error(), "nothing was changed") || e.pid(job) != old) {
			t.Errorf("%+v, %v", r, err)
		}
		e.left(job)
	}
}

// A domain that starts jobs on demand only: the worker is asked for. Where that is refused it is
// removed when its time is up, and nothing was touched.
func TestReloadOnDemandOnly(t *testing.T) {
	defer func(d time.Duration) { workerRuns = d }(workerRuns)
	for _, deny := range []bool{false, true} {
		o := launchdsim.Options{TimeScale: 0.1, OnDemandOnly: true}
		if deny {
			workerRuns = 300 * time.Millisecond
			o.Deny = []uint64{routineKickstart}
		}
		e := embed(t, o)
		job := e.load("job", sleeper, "")
		if !deny {
			if _, err := e.Kickstart(t.Context(), job, KickstartOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		old := e.pid(job)
		r, err := e.Reload(t.Context(), job, e.reloads())
		switch {
		case !deny && (err != nil || r.Outcome != OutcomeRestarted || r.New != e.pid(job)):
			t.Errorf("%+v, %v", r, err)
		case deny && (err == nil || r.Outcome != OutcomeFailed || !strings.Contains(err.Error(), "launchd did not start the worker") || e.pid(job) != old):
			t.Errorf("%+v, %v", r, err)
		}
		if deny {
			for _, ev := range e.since(0) {
				if ev.Kind == "request" && ev.Routine == routineBootout && ev.Label != e.worker(job).Label {
					t.Errorf("%+v", ev)
				}
			}
		}
		e.left(job)
	}
}

// A note that cannot be read: what the worker before may have unloaded is loaded again.
func TestReloadNoteDamaged(t *testing.T) {
	e := embed(t, launchdsim.Options{TimeScale: 0.1})
	job := e.load("job", sleeper, keepAlive)
	e.plist("job", "exec sleep 2000", keepAlive)
	files := filesOf(e.dir+"/state", job)
	worker := e.worker(job)
	var mu sync.Mutex
	pid := 0
	e.onEvent(func(ev launchdsim.Event) { // the worker is killed in between, and its note spoilt
		mu.Lock()
		defer mu.Unlock()
		switch {
		case ev.Kind == "spawn" && ev.Label == worker.Label:
			if pid == 0 {
				pid = ev.PID
			}
		case ev.Kind == "exit" && ev.Label == "job" && pid > 0:
			syscall.Kill(pid, syscall.SIGKILL)
		case ev.Kind == "exit" && ev.PID == pid:
			os.WriteFile(files.note(), []byte("{"), 0o600)
		}
	})
	if r, err := e.Reload(t.Context(), job, e.reloads()); err == nil || r.Outcome != OutcomeUnknown {
		t.Errorf("%+v, %v", r, err)
	}
	e.gone(worker)
	j, err := e.Inspect(t.Context(), job)
	if err != nil || j.PID == 0 || !slices.Equal(j.Arguments, []string{"/bin/sh", "-c", sleeper}) {
		t.Errorf("%+v, %v", j, err)
	}
	e.running(job)
}

// Another reload's worker: one that is at work is left alone (busy), one that is loaded, does
// not run and is past its deadline is removed first.
func TestReloadBusy(t *testing.T) {
	e := embed(t, launchdsim.Options{TimeScale: 0.1})
	job := e.load("job", sleeper, keepAlive)
	worker := e.worker(job)
	files := filesOf(e.dir+"/state", job)
	if err := os.Mkdir(e.dir+"/state", 0o700); err != nil {
		t.Fatal(err)
	}
	note := reloadNote{Version: noteVersion, Target: job, Step: stepUnload}
	leave := func(left time.Duration) {
		t.Helper()
		note.Deadline = monotonic() + int64(left)
		b, err := json.Marshal(note)
		if err == nil {
			err = os.WriteFile(files.note(), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	reload := func() (ReloadResult, error) { return e.Reload(t.Context(), job, e.reloads()) }
	busy := func(why string) {
		t.Helper()
		pid := e.pid(job)
		r, err := reload()
		is(t, err, ErrReloading)
		if r.Outcome != OutcomeBusy || e.pid(job) != pid {
			t.Errorf("%s: %+v, %v", why, r, err)
		}
	}
	if err := e.Bootstrap(t.Context(), worker.Domain, e.plist(worker.Label, sleeper, "")); err != nil {
		t.Fatal(err)
	}
	leave(time.Hour)
	busy("not running, before its deadline")
	leave(-time.Second)
	if _, err := e.Kickstart(t.Context(), worker, KickstartOptions{}); err != nil {
		t.Fatal(err)
	}
	busy("running, past its deadline")
	from := e.seen()
	if err := e.Kill(t.Context(), worker, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	e.state(from, worker.Label, "not running")
	if r, err := reload(); err != nil || r.Outcome != OutcomeRestarted {
		t.Errorf("%+v, %v", r, err)
	}
	e.left(job)
	// launchd says 17 or 37 of a worker that came in between.
	for _, code := range []int64{17, 37} {
		e.server.SetFaults(launchdsim.Fault{Kind: launchdsim.Fail, Routine: routineBootstrap, Code: code, Times: 1})
		busy(fmt.Sprint("answer ", code))
	}
}

// A process that is being forked while a reload ends has the lock's file, too. The next reload is not
// told that another one is under way.
func TestReloadUnlocks(t *testing.T) {
	e := embed(t, launchdsim.Options{})
	job := e.load("job", sleeper, keepAlive)
	begin := func() (*reload, func()) {
		t.Helper()
		r := &reload{change: change{c: e.Client, op: "reload", t: job}, o: e.reloads()}
		unlock, err := r.begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return r, unlock
	}
	r, unlock := begin()
	forked, err := unix.Dup(int(r.lock.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(forked)
	if _, err := (&reload{change: r.change, o: r.o}).begin(t.Context()); !errors.Is(err, ErrReloading) {
		t.Error("before the lock is let go of:", err)
	}
	unlock()
	_, unlock = begin()
	unlock()
}

// ReloadWorker reads nothing but its arguments, and refuses those that are none.
func TestReloadWorkerArguments(t *testing.T) {
	for _, args := range [][]string{nil, {"unix:/x"}, {"unix:/x", "no target", "/d"}, {"unix:/x", "gui/501/x", "d"}, {"unix:/x", "gui/501/x", "/d", "more"}} {
		if err := ReloadWorker(t.Context(), args); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}
