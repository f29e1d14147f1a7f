package launchd

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/launchdsim"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// Failures of other tools that have a recipe, step by step (anchors.md 5.1).

// openclaw#112731, where each second is 20 ms: a job that ignores SIGTERM, with ExitTimeOut
// 20, is booted out; 3 s later it is still there, bootstrap answers 5 and kickstart -k 37;
// 25 s after the bootout the job is gone from launchd, and nobody loads it again.
func TestRecipeUnloadedForGood(t *testing.T) {
	const second = 20 * time.Millisecond
	const exitTimeOut = "<key>ExitTimeOut</key><integer>20</integer>"
	ctx := t.Context()
	e := embed(t, launchdsim.Options{TimeScale: second.Seconds()})
	job, pid := e.stubbornWith("job", atLoad+exitTimeOut)

	from := e.seen()
	is(t, e.Bootout(ctx, job), ErrStopping)
	for begin := time.Now(); time.Since(begin) < 3*second; time.Sleep(second / 2) {
		if j, err := e.Inspect(ctx, job); err != nil || j.PID != pid || !j.State.Stopping() {
			t.Errorf("%v after the bootout: %+v, %v", time.Since(begin), j, err)
		}
	}
	err := e.Bootstrap(ctx, job.Domain, e.dir+"/job.plist")
	is(t, err, xpc.EIO)
	if !strings.Contains(err.Error(), "has not exited yet") {
		t.Error(err)
	}
	_, err = e.Kickstart(ctx, job, KickstartOptions{Kill: true})
	is(t, err, xpc.EALREADY)
	booted, next := e.wait(from, "SIGTERM", func(ev launchdsim.Event) bool { return ev.Kind == "signal" && ev.PID == pid && ev.Signal == 15 })
	exit, _ := e.wait(next, "the end", func(ev launchdsim.Event) bool { return ev.Kind == "exit" && ev.PID == pid })
	if d := time.Duration(exit.Time - booted.Time); d < 20*second {
		t.Errorf("the process was killed after %v", d)
	}
	e.gone(job)

	// The same job, restarted by one request: it is never unloaded, and runs in the end.
	if err := os.Remove(e.dir + "/job.fifo"); err != nil {
		t.Fatal(err)
	}
	job, pid = e.stubbornWith("job", atLoad+exitTimeOut)
	r, err := e.restart(ctx, job, RestartOptions{})
	if err != nil || r.Outcome != OutcomeRestarted || r.Old != pid || r.New != e.pid(job) {
		t.Errorf("%+v, %v", r, err)
	}

	// And who comes upon one that is being booted out has a way: Start waits, and loads it.
	is(t, e.Bootout(ctx, job), ErrStopping)
	started, err := e.Start(ctx, job, e.dir+"/job.plist")
	if err != nil || !started.Loaded || started.PID == r.New || started.PID != e.pid(job) {
		t.Errorf("%+v, %v", started, err)
	}
}

// mache#641: the program is replaced while the job is loaded, and macOS kills what a restart
// starts. The restart says so and names the remedy, a reload, which works.
func TestRecipeReplacedProgram(t *testing.T) {
	for _, keep := range []string{keepAlive, atLoad} {
		e := embed(t, launchdsim.Options{PinCode: true, TimeScale: 0.1})
		program := filepath.Join(e.dir, "program")
		install := func(seconds string) {
			t.Helper()
			text := "#!/bin/sh\nexec sleep " + seconds + "\n"
			if err := os.WriteFile(program+".new", []byte(text), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(program+".new", program); err != nil {
				t.Fatal(err)
			}
		}
		install("1000")
		job := e.bootstrap("job", e.write("job", "<string>"+program+"</string>", keep))
		e.state(0, "job", "running")
		restart := func(o RestartOptions) (RestartResult, error) {
			return e.restart(t.Context(), job, o)
		}
		if r, err := restart(RestartOptions{Verify: true}); err != nil || r.Outcome != OutcomeRestarted {
			t.Fatalf("%+v, %v", r, err)
		}
		install("2000")
		for _, ready := range []func(context.Context, int) error{nil, neverReady} {
			r, err := restart(RestartOptions{Verify: true, Ready: ready})
			early, ok := errors.AsType[*EarlyExitError](err)
			if want := map[string]Outcome{keepAlive: OutcomeThrottled, atLoad: OutcomeParked}[keep]; !ok || r.Outcome != want ||
				early.Exit != (Exit{Kind: ExitSignaled, Signal: 9}) || early.Count != 1 {
				t.Fatalf("%+v, %v", r, err)
			}
			advised(t, err, "hermes-gw reload "+job.String())
		}
		r, err := e.Reload(t.Context(), job, e.reloads())
		if err != nil || !r.Outcome.OK() || r.New != e.pid(job) {
			t.Fatalf("%+v, %v", r, err)
		}
		if r, err := restart(RestartOptions{Verify: true}); err != nil || r.Outcome != OutcomeRestarted || r.New != e.pid(job) {
			t.Errorf("%+v, %v", r, err)
		}
	}
}

// A program that is not there any more ends with 78, and the restart says what that stands
// for.
func TestRestartOfMissingProgram(t *testing.T) {
	e := embed(t, launchdsim.Options{TimeScale: 0.1})
	program := filepath.Join(e.dir, "program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\nexec sleep 1000\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	job := e.bootstrap("job", e.write("job", "<string>"+program+"</string>", atLoad))
	e.state(0, "job", "running")
	if err := os.Remove(program); err != nil {
		t.Fatal(err)
	}
	r, err := e.restart(t.Context(), job, RestartOptions{Verify: true})
	if early, ok := errors.AsType[*EarlyExitError](err); !ok || r.Outcome != OutcomeParked || early.Exit.Code != 78 || !strings.Contains(err.Error(), "EX_CONFIG") {
		t.Errorf("%+v, %v", r, err)
	}
	advised(t, err, "hermes-gw lint")
}
