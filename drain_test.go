package hermesgw_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	hermesgw "github.com/hermes-gw/hermes-gw"
	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
	"github.com/hermes-gw/hermes-gw/internal/embedtest/standin"
	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/launchd/launchdtest"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// one is a fleet of one gateway.
func one(t *testing.T, o fleet.Options, plist fleet.Generation, s fleet.Standin, keys map[string]any) *fleet.Fleet {
	t.Helper()
	o.Profiles = []fleet.Profile{{Name: "work", Plist: plist, Standin: s, Keys: keys}}
	return fleet.New(t, o)
}

// job is what launchd tells of the fleet's gateway.
func job(t *testing.T, f *fleet.Fleet) launchd.Job {
	t.Helper()
	j, err := f.Client.Inspect(t.Context(), f.Gateway("work").Target)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// warned reports whether a result has a warning with these words.
func warned(r hermesgw.Result, words string) bool {
	return slices.ContainsFunc(r.Warnings, func(w string) bool { return strings.Contains(w, words) })
}

// exitCode is what a gateway said that it ends with.
func exitCode(f *fleet.Fleet, p *fleet.Process) int {
	return f.Says(p, func(e standin.Event) bool { return e.Kind == standin.Exiting }).Code
}

// onlySignal fails the test if a gateway or a wrapper got another signal than s, or the gateway
// did not get that, or got it twice.
func onlySignal(t *testing.T, f *fleet.Fleet, to *fleet.Process, s syscall.Signal) {
	t.Helper()
	if seen := f.SignalsSeen("work"); len(seen) != 1 || seen[0].PID != to.PID || seen[0].Signal != s {
		t.Errorf("signals %v; want %v to %d and no other", seen, s, to.PID)
	}
}

// generations runs a test with each generation of property lists, or with some.
func generations(t *testing.T, test func(t *testing.T, plist fleet.Generation), some ...fleet.Generation) {
	if len(some) == 0 || long {
		some = fleet.Generations
	}
	for _, plist := range some {
		t.Run(plist.String(), func(t *testing.T) {
			t.Parallel()
			test(t, plist)
		})
	}
}

// A gateway that ignores SIGTERM has the live exit timeout, whatever that is: launchd kills it
// then, the restart waits for that, and says so.
func TestTrap34IgnoresSIGTERM(t *testing.T) {
	const scale = 0.01
	for _, key := range []any{25, 60, nil} {
		t.Run(fmt.Sprint(key), func(t *testing.T) {
			t.Parallel()
			f := one(t, fleet.Options{TimeScale: scale}, fleet.Oldest, fleet.Standin{IgnoreTERM: true}, map[string]any{"ExitTimeOut": key})
			old, mark := f.Up("work", 0), f.Mark()
			live := *job(t, f).ExitTimeout
			if key != nil && live != time.Duration(key.(int))*time.Second {
				t.Errorf("the live exit timeout is %v", live)
			}
			r := restartOne(t, f, "work", hermesgw.RestartOptions{})
			if r.Outcome != launchd.OutcomeRestarted || r.New != f.JobPID("work") || !warned(r, "SIGKILL") || !warned(r, live.String()) {
				t.Errorf("%+v", r)
			}
			least := time.Duration(scale * float64(live))
			if r.Phases.OldExit < least || r.Phases.Request < least {
				t.Errorf("it had %v of %v", r.Phases.OldExit, least)
			}
			if e := f.Wait(mark, launchdtest.Is(launchdtest.Exit, f.Gateway("work").Label)); e.PID != old.PID || e.Status.Signal() != syscall.SIGKILL {
				t.Errorf("%s", e)
			}
			onlyRestarted(t, f, mark)
		})
	}
	// Without a limit only the caller's own ends the wait.
	t.Run("0", func(t *testing.T) {
		t.Parallel()
		f := one(t, fleet.Options{}, fleet.Oldest, fleet.Standin{IgnoreTERM: true}, map[string]any{"ExitTimeOut": 0})
		old, mark := f.Up("work", 0), f.Mark()
		r := restartOne(t, f, "work", hermesgw.RestartOptions{Timeout: time.Second})
		if r.Outcome != launchd.OutcomeUnknown || r.New != 0 || !old.Alive() {
			t.Errorf("%+v", r)
		}
		old.End() // and the restart goes on without the caller
		restarted(f, "work", mark, old)
		onlyRestarted(t, f, mark)
	})
}

// An old process that exits by itself is not said to have been killed.
func TestTrap34ExitsInTime(t *testing.T) {
	t.Parallel()
	f := one(t, fleet.Options{}, fleet.Oldest, fleet.Standin{Teardown: 300 * time.Millisecond}, nil)
	old := f.Up("work", 0)
	if r := restartOne(t, f, "work", hermesgw.RestartOptions{}); r.Outcome != launchd.OutcomeRestarted || len(r.Warnings) > 0 || exitCode(f, old) != standin.ExitSignalled {
		t.Errorf("%+v", r)
	}
}

// The work takes almost all of the exit timeout, and the teardown more than the rest: the drain
// ends in time, the gateway is left to itself, and the result is honest about it.
func TestTrap35TeardownAfterTheDrain(t *testing.T) {
	generations(t, func(t *testing.T, plist fleet.Generation) {
		f := one(t, fleet.Options{}, plist, fleet.Standin{Drain: 600 * time.Millisecond, Teardown: 2 * time.Second}, map[string]any{"ExitTimeOut": 1, "ThrottleInterval": 1})
		old, mark := f.Up("work", 0), f.Mark()
		r := restartOne(t, f, "work", hermesgw.RestartOptions{Graceful: true})
		if r.Outcome != launchd.OutcomeNotReady || !errors.Is(r.Err, launchd.ErrDraining) || !old.Alive() || r.New != 0 {
			t.Errorf("%+v; the old gateway runs: %t", r, old.Alive())
		}
		if r.Phases.Total < 800*time.Millisecond { // 4/5 of an exit timeout so short
			t.Errorf("given up after %v", r.Phases.Total)
		}
		if code := exitCode(f, old); code != standin.ExitRestart { // nobody cut it off
			t.Errorf("it ended with %d", code)
		}
		onlySignal(t, f, old, syscall.SIGUSR1)
		f.Successor("work", old)
		onlyRestarted(t, f, mark)
	}, fleet.Newest, fleet.Oldest)
}

// At once, the same gateway has its exit timeout, and is killed by launchd and nobody else.
func TestTrap35TeardownTooLong(t *testing.T) {
	t.Parallel()
	f := one(t, fleet.Options{}, fleet.Oldest, fleet.Standin{Teardown: time.Minute}, map[string]any{"ExitTimeOut": 1})
	old, mark := f.Up("work", 0), f.Mark()
	r := restartOne(t, f, "work", hermesgw.RestartOptions{})
	if r.Outcome != launchd.OutcomeRestarted || r.Phases.OldExit < time.Second || !warned(r, "SIGKILL") {
		t.Errorf("%+v", r)
	}
	onlySignal(t, f, old, syscall.SIGTERM)
	onlyRestarted(t, f, mark)
}

// SIGUSR1 would end the wrapper, and launchd would take that for the job's end: it goes to the
// gateway itself, which drains and exits with 75. Then one request without kill starts the next,
// which the throttle would hold back for 30 s.
func TestTraps36And37DrainsThenStarts(t *testing.T) {
	generations(t, func(t *testing.T, plist fleet.Generation) {
		f := one(t, fleet.Options{}, plist, fleet.Standin{Drain: 100 * time.Millisecond}, map[string]any{"ThrottleInterval": 30})
		old, job, mark := f.Up("work", 0), f.JobPID("work"), f.Mark()
		r := restartOne(t, f, "work", hermesgw.RestartOptions{Graceful: true})
		if r.Outcome != launchd.OutcomeRestarted || r.Method != launchd.MethodGraceful || r.Old != job || r.OldGateway != old.PID || r.New != f.JobPID("work") || len(r.Warnings) > 0 {
			t.Errorf("%+v", r)
		}
		onlySignal(t, f, old, syscall.SIGUSR1)
		if code := exitCode(f, old); code != standin.ExitRestart {
			t.Errorf("it ended with %d", code)
		}
		restarted(f, "work", mark, old)
		label := f.Gateway("work").Label
		exit, spawn := f.Wait(mark, launchdtest.Is(launchdtest.Exit, label)), f.Wait(mark, launchdtest.Is(launchdtest.Spawn, label))
		t.Logf("the next process came %v after the exit", spawn.Time.Sub(exit.Time))
		if spawn.Time.Sub(exit.Time) > 10*time.Second || f.Spawns("work", mark) != 1 {
			t.Errorf("%s", f.TraceText(mark))
		}
		for _, e := range f.Trace(mark) {
			if e.Kind == launchdtest.Signal {
				t.Errorf("launchd sent %s", e)
			}
		}
		onlyRestarted(t, f, mark)
	})
}

// late holds requests back until they may go on.
type late struct {
	xpc.Transport
	hold func(routine uint64)
}

func (l late) Call(ctx context.Context, routine uint64, msg xpc.Dict) (xpc.Dict, error) {
	l.hold(routine)
	return l.Transport.Call(ctx, routine, msg)
}

// KeepAlive has started the next process before the request: that is it, and it is not killed.
func TestTrap38KeepAliveIsFaster(t *testing.T) {
	generations(t, func(t *testing.T, plist fleet.Generation) {
		// No throttle to speak of.
		f := one(t, fleet.Options{TimeScale: 0.0001}, plist, fleet.Standin{Drain: 50 * time.Millisecond}, nil)
		old, mark, label := f.Up("work", 0), f.Mark(), f.Gateway("work").Label
		client, err := launchd.Open(t.Context(), launchd.Options{Address: f.Address(), Wrap: func(t xpc.Transport) xpc.Transport {
			return late{t, func(routine uint64) {
				if routine == 702 {
					f.Launchd.Wait(context.Background(), mark, launchdtest.Is(launchdtest.Spawn, label))
				}
			}}
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		h := hermesgw.New(onFleet(t, f).Install(), client, hermesgw.Options{})
		report, err := h.Restart(t.Context(), hermesgw.RestartOptions{Graceful: true, Select: hermesgw.Selection{Profiles: []string{"work"}}})
		if err != nil {
			t.Fatal(err)
		}
		next := f.Successor("work", old)
		if r := report.Results[0]; r.Outcome != launchd.OutcomeRestarted || r.New != f.JobPID("work") || !next.Alive() {
			t.Errorf("%+v; %d runs: %t", r, next.PID, next.Alive())
		}
		if n, k := f.Spawns("work", mark), len(kickstarts(f, mark)); n != 1 || k != 1 {
			t.Errorf("%d spawns, %d requests\n%s", n, k, f.TraceText(mark))
		}
		for _, e := range f.Trace(mark) {
			if e.Kind == launchdtest.Signal {
				t.Errorf("launchd sent %s", e)
			}
		}
		onlySignal(t, f, old, syscall.SIGUSR1)
	})
}

// pending is a fleet whose launchd starts jobs on demand only; its gateway has been asked for.
func pending(t *testing.T) *fleet.Fleet {
	t.Helper()
	f := fleet.New(t, fleet.Options{Launchd: []launchdtest.Option{launchdtest.OnDemandOnly()}, Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Middle, NoWait: true}}})
	if _, err := f.Client.Kickstart(t.Context(), f.Gateway("work").Target, launchd.KickstartOptions{}); err != nil {
		t.Fatal(err)
	}
	return f
}

// launchd holds back what KeepAlive would start. A request starts it; where none is let through,
// the result says what launchd waits for.
func TestTrap39Pended(t *testing.T) {
	t.Run("started", func(t *testing.T) {
		t.Parallel()
		f := pending(t)
		old, mark := f.Up("work", 0), f.Mark()
		if r := restartOne(t, f, "work", hermesgw.RestartOptions{Graceful: true}); r.Outcome != launchd.OutcomeRestarted || r.Method != launchd.MethodGraceful {
			t.Errorf("%+v", r)
		}
		restarted(f, "work", mark, old)
		onlyRestarted(t, f, mark)
	})
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		f := pending(t)
		old, mark := f.Up("work", 0), f.Mark()
		f.Launchd.SetFaults(launchdtest.Fault{Kind: launchdtest.Fail, Code: 144, Routine: 702})
		r := restartOne(t, f, "work", hermesgw.RestartOptions{Graceful: true})
		reason := job(t, f).Pended
		if r.Outcome != launchd.OutcomeParked || r.New != 0 || reason == "" || !strings.Contains(r.Err.Error(), reason) {
			t.Errorf("%+v; pended: %q", r, reason)
		}
		f.Gone(old)
		onlyRestarted(t, f, mark)
	})
}

// A drain that never ends: it is given up, the gateway stays, and what it is at is told. Only who
// says so has it stopped.
func TestTrap40DrainNeverEnds(t *testing.T) {
	generations(t, func(t *testing.T, plist fleet.Generation) {
		f := fleet.New(t, fleet.Options{Outside: true, Profiles: []fleet.Profile{{Name: "work", Plist: plist, Standin: fleet.Standin{
			DrainForever: true, ActiveWork: []standin.Work{{Kind: "cron", Session: "nobody's business", Elapsed: 7200}},
		}}}})
		old, mark := f.Up("work", 0), f.Mark()
		o := f.Command("restart", "-p", "work", "--graceful=100ms", "--json")
		r := heard(t, o.Stdout).of(t, "work")
		if o.Code != 7 || r.State != launchd.OutcomeNotReady || r.Error == nil || r.Error.Code != "draining" || r.NewPID != nil || !old.Alive() {
			t.Errorf("%+v", o)
		}
		if len(r.Work) != 1 || r.Work[0].Kind != "cron" || r.Work[0].Elapsed != 7200 || strings.Contains(o.Stdout, "business") {
			t.Errorf("%s", o.Stdout)
		}
		if len(kickstarts(f, mark)) > 0 {
			t.Errorf("%s", f.TraceText(mark))
		}
		onlySignal(t, f, old, syscall.SIGUSR1)

		if o := f.Command("restart", "-p", "work", "--graceful=100ms"); o.Code != 7 || !strings.Contains(o.Stderr, "still at work: cron, for 2h") {
			t.Errorf("%+v", o)
		}
		o = f.Command("restart", "-p", "work", "--graceful", "--force-after=200ms", "--json")
		r = heard(t, o.Stdout).of(t, "work")
		if o.Code != 0 || r.State != launchd.OutcomeRestarted || len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "was stopped") {
			t.Errorf("%+v", o)
		}
		restarted(f, "work", mark, old)
		onlyRestarted(t, f, mark)
	}, fleet.Newest, fleet.Oldest)
}

// Both witnesses say that the event loop is stuck: nothing is asked of it. If one does not, it
// is asked like any other.
func TestTrap41Wedged(t *testing.T) {
	stale := 2 * time.Minute
	for name, v := range map[string]struct {
		standin fleet.Standin
		wedged  bool
	}{
		"stale and silent":                   {fleet.Standin{HeartbeatAge: stale, TickSilent: true}, true},
		"stale, but the socket answers":      {fleet.Standin{HeartbeatAge: stale}, false},
		"stale, without a socket":            {fleet.Standin{HeartbeatAge: stale, NoTick: true}, false},
		"silent, but the heart beats":        {fleet.Standin{TickSilent: true}, false},
		"silent, and no heartbeat was there": {fleet.Standin{TickSilent: true, Heartbeat: -1}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := one(t, fleet.Options{}, fleet.Middle, v.standin, nil)
			f.Behave("work", fleet.Standin{})
			old, mark := f.Up("work", 0), f.Mark()
			r := restartOne(t, f, "work", hermesgw.RestartOptions{Graceful: true})
			method, signal := launchd.MethodGraceful, syscall.SIGUSR1
			if v.wedged {
				method, signal = launchd.MethodKickstart, syscall.SIGTERM
			}
			if r.Outcome != launchd.OutcomeRestarted || r.Method != method || warned(r, "wedged") != v.wedged {
				t.Errorf("%+v", r)
			}
			for _, s := range f.SignalsSeen("work") {
				if s.Signal != signal {
					t.Errorf("%v", s)
				}
			}
			restarted(f, "work", mark, old)
			onlyRestarted(t, f, mark)
		})
	}
}

// A marker that was left over has the gateway exit with 0, after which KeepAlive would leave the
// job alone: it is started all the same.
func TestTrap42ExitsWithZero(t *testing.T) {
	generations(t, func(t *testing.T, plist fleet.Generation) {
		f := one(t, fleet.Options{}, plist, fleet.Standin{}, nil)
		old, mark := f.Up("work", 0), f.Mark()
		marker, err := json.Marshal(map[string]any{"target_pid": old.PID, "target_start_time": f.State("work").Start, "written_at": time.Now().UTC()})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(f.Gateway("work").Home, standin.FilePlannedStop), marker, 0o600); err != nil {
			t.Fatal(err)
		}
		if r := restartOne(t, f, "work", hermesgw.RestartOptions{Wait: hermesgw.WaitReady}); r.Outcome != launchd.OutcomeRestarted || r.New != f.JobPID("work") {
			t.Errorf("%+v", r)
		}
		if code := exitCode(f, old); code != standin.ExitStopped {
			t.Errorf("it ended with %d", code)
		}
		restarted(f, "work", mark, old)
		if n := f.Spawns("work", mark); n != 1 {
			t.Errorf("%d spawns\n%s", n, f.TraceText(mark))
		}
		onlyRestarted(t, f, mark)
	})
}

// How long a drain may take is the job's live exit timeout less what it needs to end, or less if
// that was asked for. A plan says so.
func TestDrainBudget(t *testing.T) {
	for name, v := range map[string]struct {
		key  any
		o    hermesgw.RestartOptions
		want string
	}{
		"60":                  {60, hermesgw.RestartOptions{}, "55s"},
		"25":                  {25, hermesgw.RestartOptions{}, "20s"},
		"absent":              {nil, hermesgw.RestartOptions{}, "4s"}, // 5 s in the model
		"2":                   {2, hermesgw.RestartOptions{}, "1.6s"},
		"0":                   {0, hermesgw.RestartOptions{}, "30m0s"},
		"90 is 60":            {90, hermesgw.RestartOptions{}, "55s"},
		"less is asked":       {60, hermesgw.RestartOptions{Drain: 3 * time.Second}, "3s"},
		"more is asked":       {25, hermesgw.RestartOptions{Drain: time.Hour}, "20s"},
		"more, but then kill": {25, hermesgw.RestartOptions{ForceAfter: time.Hour}, "1h0m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := one(t, fleet.Options{}, fleet.Oldest, fleet.Standin{}, map[string]any{"ExitTimeOut": v.key})
			pid, mark := f.Up("work", 0).PID, f.Mark()
			v.o.Graceful, v.o.Select.Profiles = true, []string{"work"}
			plan, err := onFleet(t, f).Plan(t.Context(), v.o)
			if err != nil || len(plan.Jobs) != 1 || len(plan.Jobs[0].Steps) == 0 {
				t.Fatalf("%+v, %v", plan, err)
			}
			if want := fmt.Sprintf("SIGUSR1 to process %d, and up to %s for its work", pid, v.want); plan.Jobs[0].Steps[0] != want {
				t.Errorf("%q, want %q", plan.Jobs[0].Steps, want)
			}
			if len(kickstarts(f, mark)) > 0 || len(f.SignalsSeen("work")) > 0 {
				t.Error("a plan did something")
			}
		})
	}
}
