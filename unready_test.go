package hermesgw_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	hermesgw "github.com/hermes-gw/hermes-gw"
	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
	"github.com/hermes-gw/hermes-gw/internal/embedtest/standin"
	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/launchd/launchdtest"
)

// oneOutside is a fleet of one gateway for the built command.
func oneOutside(t *testing.T, o fleet.Options, plist fleet.Generation, keys map[string]any) *fleet.Fleet {
	t.Helper()
	o.Outside = true
	return one(t, o, plist, fleet.Standin{}, keys)
}

// timeouts are what a wait that is to end in vain is given, one after the other until it ended
// as expected: on a busy machine a short one is over before there is anything to see.
var timeouts = []time.Duration{1500 * time.Millisecond, 6 * time.Second, 24 * time.Second}

// inVain runs a restart with such timeouts, until it ends as expected.
func inVain(t *testing.T, f *fleet.Fleet, expected func(hermesgw.ResultDocument) bool, flags ...string) (o fleet.Output, r hermesgw.ResultDocument, mark launchdtest.Mark) {
	t.Helper()
	for _, timeout := range timeouts {
		mark = f.Mark()
		o = f.Command(append([]string{"restart", "-p", "work", "--json", "--force", "--timeout=" + timeout.String()}, flags...)...)
		if r = heard(t, o.Stdout).of(t, "work"); expected(r) {
			break
		}
	}
	return o, r, mark
}

// says reports whether a result's error has these words.
func problemSays(r hermesgw.ResultDocument, words string) bool {
	return r.Error != nil && strings.Contains(r.Error.Message, words)
}

// What cannot be mended by a start exits with 78, of which the wrapper makes 0, after which
// KeepAlive leaves the job alone: parked, with what the log says, and no second attempt.
func TestTrap43Parked(t *testing.T) {
	t.Parallel()
	f := oneOutside(t, fleet.Options{}, fleet.Newest, nil)
	old, mark := f.Up("work", 0), f.Mark()
	f.Behave("work", fleet.Standin{NeverRuns: true, Exit: &standin.Exit{After: 50 * time.Millisecond, Code: standin.ExitConfig}, Stderr: []string{"no platform is configured"}})
	o := f.Command("restart", "-p", "work", "--wait=ready", "--json")
	r := heard(t, o.Stdout).of(t, "work")
	if o.Code != 7 || r.State != launchd.OutcomeParked || r.Error == nil {
		t.Errorf("%+v", o)
	}
	if !slices.ContainsFunc(r.Log, func(line string) bool { return strings.Contains(line, "no platform is configured") }) {
		t.Errorf("%q", r.Log)
	}
	f.Gone(old)
	if n, k := f.Spawns("work", mark), len(kickstarts(f, mark)); n != 1 || k != 1 {
		t.Errorf("%d spawns, %d requests\n%s", n, k, f.TraceText(mark))
	}
	if o := f.Command("restart", "-p", "work", "--wait=ready"); o.Code != 7 || !strings.Contains(o.Stderr, "log: no platform is configured") {
		t.Errorf("%+v", o)
	}
	onlyRestarted(t, f, mark)
}

// The new process dies again and again: flapping after three, with the throttle shown, and nothing
// more is sent.
func TestTrap44Flapping(t *testing.T) {
	for _, plist := range []fleet.Generation{fleet.Middle, fleet.Oldest} {
		t.Run(plist.String(), func(t *testing.T) {
			t.Parallel()
			f := oneOutside(t, fleet.Options{TimeScale: 0.02}, plist, map[string]any{"ThrottleInterval": 30})
			f.Up("work", 0)
			mark := f.Mark()
			f.Behave("work", fleet.Standin{NeverRuns: true, Exit: &standin.Exit{After: 30 * time.Millisecond, Code: 3}, Stderr: []string{"cannot go on"}})
			o := f.Command("restart", "-p", "work", "--wait=ready", "--json")
			r := heard(t, o.Stdout).of(t, "work")
			if o.Code != 7 || r.State != launchd.OutcomeFlapping || r.Error == nil {
				t.Errorf("%+v", o)
			}
			if r.Error == nil || !strings.Contains(r.Error.Message, "launchd holds the next start back for up to") {
				t.Errorf("no throttle: %+v", r.Error)
			}
			if !slices.ContainsFunc(r.Log, func(line string) bool { return strings.Contains(line, "cannot go on") }) {
				t.Errorf("%q", r.Log)
			}
			if n := len(kickstarts(f, mark)); n != 1 {
				t.Errorf("%d requests\n%s", n, f.TraceText(mark))
			}
			onlyRestarted(t, f, mark)
		})
	}
}

// Six starts in two minutes: Hermes sleeps at the next one. The restart has spawned, and what
// is not ready is told from what failed.
func TestTrap45RespawnStorm(t *testing.T) {
	generations(t, func(t *testing.T, plist fleet.Generation) {
		f := oneOutside(t, fleet.Options{}, plist, nil)
		old := f.Up("work", 0)
		var starts strings.Builder
		for i := range 6 {
			fmt.Fprintf(&starts, "%.6f\n", float64(time.Now().Add(-time.Duration(i)*time.Second).UnixMicro())/1e6)
		}
		if err := os.WriteFile(filepath.Join(f.Gateway("work").Home, standin.FileStarts), []byte(starts.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		f.Behave("work", fleet.Standin{StormNap: time.Hour})
		o, r, mark := inVain(t, f, func(r hermesgw.ResultDocument) bool { return r.NewPID != nil && r.State == launchd.OutcomeNotReady }, "--wait=ready")
		if o.Code != 7 || r.State != launchd.OutcomeNotReady || whole(r.NewPID) != f.JobPID("work") || whole(r.NewPID) == 0 {
			t.Errorf("%+v", o)
		}
		if !slices.ContainsFunc(r.Warnings, func(w string) bool { return strings.Contains(w, "It was started ") }) {
			t.Errorf("%q", r.Warnings)
		}
		f.Gone(old)
		if n := f.Spawns("work", mark); n != 1 {
			t.Errorf("%d spawns\n%s", n, f.TraceText(mark))
		}
		onlyRestarted(t, f, mark)
	}, fleet.Newest)
}

// The old gateway leaves a child that holds its port. The child is reported, and lives.
func TestTraps46And47OrphanHoldsThePort(t *testing.T) {
	generations(t, func(t *testing.T, plist fleet.Generation) {
		f := oneOutside(t, fleet.Options{}, plist, nil)
		port := filepath.Join(f.Dir, "port")
		f.Behave("work", fleet.Standin{Listen: port, Orphan: &standin.Orphan{Session: true}})
		first, mark := f.Up("work", 0), f.Mark()
		if o := f.Command("restart", "-p", "work"); o.Code != 0 {
			t.Fatalf("%+v", o)
		}
		holder := f.Successor("work", first)
		orphan := f.ChildOf(holder)
		if orphan.Role != standin.RoleOrphan {
			t.Fatalf("%+v", orphan)
		}
		f.Behave("work", fleet.Standin{Listen: port})

		// Spawned and ready are true of it; that it has its port is not.
		o := f.Command("restart", "-p", "work", "--wait=ready", "--json")
		r := heard(t, o.Stdout).of(t, "work")
		if o.Code != 0 || r.State != launchd.OutcomeRestarted || r.Phases.Ready == nil || whole(r.NewPID) != f.JobPID("work") {
			t.Errorf("%+v", o)
		}
		if !slices.ContainsFunc(r.Warnings, func(w string) bool { return strings.Contains(w, fmt.Sprintf("%d", orphan.PID)) }) {
			t.Errorf("nothing is said of %d: %q", orphan.PID, r.Warnings)
		}
		o, r, _ = inVain(t, f, func(r hermesgw.ResultDocument) bool { return problemSays(r, "api_server (retrying)") }, "--wait=platforms")
		if o.Code != 7 || r.State != launchd.OutcomeNotReady || whole(r.NewPID) != f.JobPID("work") || !problemSays(r, "api_server (retrying)") || problemSays(r, "telegram") {
			t.Errorf("%+v", o)
		}
		f.Gone(holder)
		if !orphan.Alive() {
			t.Error("somebody ended the orphan")
		}
		onlyRestarted(t, f, mark)
	}, fleet.Newest, fleet.Oldest)
}

// spawned, ready and platforms are three moments, one after the other.
func TestReadinessLevels(t *testing.T) {
	t.Parallel()
	f := oneOutside(t, fleet.Options{}, fleet.Middle, nil)
	const boot = 100 * time.Millisecond
	for _, v := range []struct {
		wait     string
		standin  fleet.Standin
		state    launchd.Outcome
		code     int
		ready    bool
		mentions string
	}{
		{"spawned", fleet.Standin{RunDelay: boot}, launchd.OutcomeRestarted, 0, false, ""},
		{"ready", fleet.Standin{RunDelay: boot}, launchd.OutcomeRestarted, 0, true, ""},
		{"ready", fleet.Standin{RunDelay: boot, NoState: true}, launchd.OutcomeRestarted, 0, true, ""},          // the control socket says so
		{"ready", fleet.Standin{RunDelay: boot, Control: standin.Off}, launchd.OutcomeRestarted, 0, true, ""},   // the state file says so
		{"ready", fleet.Standin{RunDelay: boot, Control: standin.Lying}, launchd.OutcomeRestarted, 0, true, ""}, // what lies is not believed
		{"ready", fleet.Standin{Platforms: map[string]standin.Platform{"irc": {State: "retrying"}}}, launchd.OutcomeRestarted, 0, true, ""},
		{"ready", fleet.Standin{NeverRuns: true}, launchd.OutcomeNotReady, 7, false, "starting"},
		{"ready", fleet.Standin{BootDelay: time.Hour}, launchd.OutcomeNotReady, 7, false, "has not said"},
		{"platforms", fleet.Standin{RunDelay: boot}, launchd.OutcomeRestarted, 0, true, ""},
		{"platforms", fleet.Standin{Platforms: map[string]standin.Platform{"irc": {State: "retrying"}, "matrix": {State: "connected"}}}, launchd.OutcomeNotReady, 7, false, "irc (retrying)"},
	} {
		f.Behave("work", v.standin)
		o, r, mark := inVain(t, f, func(r hermesgw.ResultDocument) bool {
			return r.State == v.state && problemSays(r, v.mentions) == (v.mentions != "")
		}, "--wait="+v.wait)
		if o.Code != v.code || r.State != v.state || (r.Phases.Ready != nil) != v.ready || whole(r.NewPID) != f.JobPID("work") {
			t.Errorf("%+v: %+v", v, o)
		}
		if v.ready && v.standin.RunDelay > 0 && *r.Phases.Ready < float64(v.standin.RunDelay.Milliseconds()) {
			t.Errorf("%+v: ready after %v ms", v, *r.Phases.Ready)
		}
		if v.mentions != "" && !problemSays(r, v.mentions) {
			t.Errorf("%+v: %+v", v, r.Error)
		}
		if n := f.Spawns("work", mark); n != 1 {
			t.Errorf("%+v: %d spawns", v, n)
		}
		onlyRestarted(t, f, mark)
	}
}

// What a caller gives is what it takes, whatever it is spent on, and the restart goes on without
// the caller.
func TestTimeoutIsKept(t *testing.T) {
	for name, v := range map[string]struct {
		old, next fleet.Standin
		o         hermesgw.RestartOptions
		outcome   launchd.Outcome
	}{
		"the old process takes its time": {fleet.Standin{Teardown: time.Hour}, fleet.Standin{}, hermesgw.RestartOptions{}, launchd.OutcomeUnknown},
		"its work takes its time":        {fleet.Standin{DrainForever: true}, fleet.Standin{}, hermesgw.RestartOptions{Graceful: true}, launchd.OutcomeNotReady},
		"the new one is not ready":       {fleet.Standin{}, fleet.Standin{NeverRuns: true}, hermesgw.RestartOptions{Wait: hermesgw.WaitReady}, launchd.OutcomeNotReady},
		"launchd does not answer":        {fleet.Standin{}, fleet.Standin{}, hermesgw.RestartOptions{Wait: "hang"}, launchd.OutcomeUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := one(t, fleet.Options{}, fleet.Middle, v.old, nil)
			f.Behave("work", v.next)
			if v.o.Wait == "hang" {
				v.o.Wait = ""
				f.Launchd.SetFaults(launchdtest.Fault{Kind: launchdtest.Never, Routine: 702})
			}
			v.o.Timeout = 2500 * time.Millisecond
			r := restartOne(t, f, "work", v.o)
			if r.Outcome != v.outcome || r.Err == nil {
				t.Errorf("%+v", r)
			}
			// Far from the job's own times: an exit timeout of 25 s, a throttle of 30 s.
			if r.Phases.Total < v.o.Timeout || r.Phases.Total > 10*time.Second {
				t.Errorf("it took %v", r.Phases.Total)
			}
			onlyRestarted(t, f, f.Loaded())
		})
	}
}
