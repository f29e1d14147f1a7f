package hermesgw_test

import (
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
	"github.com/hermes-gw/hermes-gw/sweep"
)

// got reports whether a process noted a signal.
func got(p *fleet.Process, s syscall.Signal) bool {
	return slices.ContainsFunc(p.Events(), func(e standin.Event) bool { return e.Kind == standin.Signal && syscall.Signal(e.Signal) == s })
}

// Trap 24: a manual gateway that nobody waits for (its parent is init) has the home's lock, so
// that the job's own gateway exits at every start. A restart of that job leaves it alone; one of
// all ends it, and the job comes up.
func TestTrap24OrphanWithTheLock(t *testing.T) {
	t.Parallel()
	f := fleet.New(t, fleet.Options{TimeScale: 0.02, Profiles: []fleet.Profile{
		{Name: "work", Plist: fleet.Newest, Unloaded: true}, {Name: fleet.Default, Plist: fleet.Oldest},
	}})
	orphan := f.Manual("work", fleet.Orphan)
	f.Behave("work", fleet.Standin{Hasty: true})
	mark := f.Mark()
	f.Load("work")
	exited := launchdtest.Is(launchdtest.Exit, f.Gateway("work").Label)
	f.Wait(mark, exited)

	ask(t, f, "restart", "-p", "work")
	alive(t, orphan)
	if got(orphan, syscall.SIGTERM) {
		t.Errorf("a restart of one signalled the orphan: %+v", orphan.Events())
	}
	a := ask(t, f, "restart", "--all")
	if outcome, reason := a.swept(orphan.PID); outcome != string(sweep.Exited) {
		t.Fatalf("%q, %q: %s%s", outcome, reason, a.Stdout, a.Stderr)
	}
	f.Gone(orphan)
	if !got(orphan, syscall.SIGTERM) {
		t.Errorf("it was not asked to end: %+v", orphan.Events())
	}
	now := f.Running("work", orphan.PID)
	if f.GatewayPID("work") != now.PID || f.State("work").PID != now.PID {
		t.Errorf("%d runs, the state file names %d", now.PID, f.State("work").PID)
	}
	f.AllRunning()
}

// Trap 24: one that ignores SIGTERM is killed when its grace is over, and only after SIGTERM. One
// in whose place no job would come is left alone.
func TestTrap24Bounded(t *testing.T) {
	t.Parallel()
	f := fleet.New(t, fleet.Options{Profiles: []fleet.Profile{
		{Name: "work", Plist: fleet.Oldest}, {Name: "ops", Plist: fleet.Oldest, Unloaded: true}, {Name: "none", Absent: true},
		{Name: "off", Plist: fleet.Oldest, Keys: map[string]any{"RunAtLoad": false, "KeepAlive": nil}, NoWait: true},
	}})
	deaf := bare
	deaf.IgnoreTERM = true
	manual := func(profile string, s fleet.Standin) *fleet.Process {
		f.Behave(profile, s)
		defer f.Behave(profile, fleet.Standin{})
		return older(f.Manual(profile, fleet.Orphan))
	}
	stubborn, polite := manual("work", deaf), manual("work", bare)
	left := []*fleet.Process{manual("ops", bare), manual("none", bare)}
	idle := manual("off", bare) // its job is loaded, and started by the restart
	const grace = 200 * time.Millisecond
	begin := time.Now()
	report, err := hermesOf(t, f, hermesgw.Options{}).Restart(t.Context(), hermesgw.RestartOptions{Select: hermesgw.Selection{All: true}, Grace: grace})
	if err != nil || report.Sweep == nil || report.Sweep.Err != nil || report.Sweep.Left() != 0 {
		t.Fatalf("%+v, %v", report, err)
	}
	want := map[int]sweep.Outcome{stubborn.PID: sweep.Killed, polite.PID: sweep.Exited, idle.PID: sweep.Exited}
	for _, r := range report.Sweep.Results {
		if r.Outcome != want[r.PID] {
			t.Errorf("%d: %s (%s, %v), want %s", r.PID, r.Outcome, r.Reason, r.Err, want[r.PID])
		}
		delete(want, r.PID)
	}
	if len(want) > 0 {
		t.Errorf("not swept: %v", want)
	}
	f.Gone(stubborn)
	if !got(stubborn, syscall.SIGTERM) || time.Since(begin) < grace {
		t.Errorf("killed after %v: %+v", time.Since(begin), stubborn.Events())
	}
	alive(t, left...)
	for _, p := range left {
		i := slices.IndexFunc(report.Sweep.Spared, func(s sweep.Planned) bool { return s.PID == p.PID })
		if i < 0 || !strings.Contains(report.Sweep.Spared[i].Reason, "no job of launchd's") {
			t.Errorf("%d of %s: %+v", p.PID, p.Home, report.Sweep.Spared)
		}
	}
	for _, r := range report.Results {
		switch r.Profile {
		case "work":
			if r.Outcome != launchd.OutcomeRestarted {
				t.Errorf("%+v", r)
			}
		case "off":
			if r.Outcome != launchd.OutcomeStarted {
				t.Errorf("%+v", r)
			}
		case "ops":
			if r.Outcome != launchd.OutcomeNotLoaded {
				t.Errorf("%+v", r)
			}
		default:
			t.Errorf("%+v", r)
		}
	}
	f.NeverUnloaded(0)
}
