package hermesgw_test

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
	"github.com/hermes-gw/hermes-gw/internal/embedtest/standin"
	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/launchd/launchdtest"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// entitled are the routines that a launchd refuses which demands an entitlement for all that it can.
var entitled = []uint64{702, 703, 704, 711, 712, 811, 812, 813, 814}

// unentitled is a fleet in such a world, where launchd's times are shorter.
func unentitled(t *testing.T, profiles ...fleet.Profile) *fleet.Fleet {
	t.Helper()
	return fleet.New(t, fleet.Options{Process: true, Outside: outside, Deny: entitled, TimeScale: 0.02, Profiles: profiles})
}

// An unentitled world: every job of the three generations is restarted, at once or gracefully, alone
// or all, by the signal that launchd would send, and KeepAlive starts it again. Nothing is
// unloaded, and the result says how it was done.
func TestUnentitledRestart(t *testing.T) {
	t.Parallel()
	f := unentitled(t,
		fleet.Profile{Name: fleet.Default, Plist: fleet.Newest}, fleet.Profile{Name: "work", Plist: fleet.Middle},
		fleet.Profile{Name: "ops", Plist: fleet.Oldest}, fleet.Profile{Name: "user", Plist: fleet.Middle, User: true})
	stray := strayOf(f, "ops", fleet.Plain)
	for _, args := range [][]string{
		{"restart", "--all"}, {"restart", "--all", "--graceful"}, {"restart", "--all", "--wait", "ready"},
		{"restart", "-p", "work", "--force"}, {"restart", "--graceful", "--wait", "ready", "--force"}, {"restart", "-p", "ops", "--force"},
	} {
		mark := f.Mark()
		old := map[string]int{}
		for _, g := range f.Gateways() {
			old[g.Profile] = f.GatewayPID(g.Profile)
		}
		a := ask(t, f, args...)
		if a.Code != 0 || a.Sweep != nil && a.Sweep.Error != nil {
			t.Fatalf("%q: %s%s", args, a.Stdout, a.Stderr)
		}
		for _, r := range a.Results {
			if r.State != launchd.OutcomeRestarted || r.Method != launchd.MethodSignal || r.OldPID == nil || r.NewPID == nil || *r.OldPID == *r.NewPID {
				t.Errorf("%q: %+v", args, r)
			}
			f.Up(r.Profile, old[r.Profile])
			if n := f.Spawns(r.Profile, mark); n != 1 {
				t.Errorf("%q: %s was started %d times:\n%s", args, r.Label, n, f.TraceText(mark))
			}
			for _, s := range f.SignalsSeen(r.Profile) {
				if graceful := slices.Contains(args, "--graceful"); s.PID == old[r.Profile] && graceful != (s.Signal == syscall.SIGUSR1) && s.Role == standin.RoleGateway && graceful {
					t.Errorf("%q: %v", args, s)
				}
			}
		}
		f.NeverUnloaded(mark)
		for _, e := range f.Trace(mark) {
			if e.Kind == launchdtest.Reply && slices.Contains(entitled, e.Routine) && e.Code != xpc.NotEntitled {
				t.Errorf("%s", e)
			}
		}
	}
	f.Gone(stray)
	if o := f.Command("restart", "-p", "user", "--force"); o.Code != 0 || !strings.Contains(o.Stdout, "by signal") {
		t.Errorf("%+v", o)
	}
	// The questions find another way.
	if o := f.Command("status"); o.Code != 0 || strings.Count(o.Stdout, "running") != 4 {
		t.Errorf("%+v", o)
	}
	for _, profile := range []string{fleet.Default, "work", "ops", "user"} {
		if f.SawSignal(profile, standin.RoleWrapper, syscall.SIGUSR1) {
			t.Errorf("%v", f.SignalsSeen(profile))
		}
	}
	f.AllRunning()
}

// A gateway that does not end at SIGTERM is killed, no earlier than launchd would.
func TestUnentitledKill(t *testing.T) {
	t.Parallel()
	f := unentitled(t, fleet.Profile{Name: "deaf", Plist: fleet.Oldest, Keys: map[string]any{"ExitTimeOut": 1}, Standin: fleet.Standin{IgnoreTERM: true}})
	old := f.Up("deaf", 0)
	a := ask(t, f, "restart", "-p", "deaf")
	if r := a.of(t, f, "deaf"); a.Code != 0 || r.Method != launchd.MethodSignal || a.Took < 2*time.Second {
		t.Errorf("%s%s, %v", a.Stdout, a.Stderr, a.Took)
	}
	f.Gone(old)
	if !got(old, syscall.SIGTERM) {
		t.Errorf("%+v", old.Events())
	}
	f.Up("deaf", old.PID)
	f.NeverUnloaded(0)
}

// Where KeepAlive would not start the job again, it is loaded anew: a gateway that exits with 0, because
// the marker of a planned stop was left over, under SuccessfulExit=false; and a job without
// KeepAlive. The job is away only within the transaction of the worker that launchd runs, and is loaded
// and running at its end.
func TestUnentitledReload(t *testing.T) {
	t.Parallel()
	whenBad := map[string]any{"KeepAlive": map[string]any{"SuccessfulExit": false}}
	for _, c := range []struct {
		name     string
		profile  fleet.Profile
		marker   bool
		args     []string
		signaled bool // the gateway was asked to end before
	}{
		{"exits with 0", fleet.Profile{Name: "work", Plist: fleet.Oldest}, true, []string{"restart", "-p", "work"}, true},
		{"exits with 0, wrapped", fleet.Profile{Name: "work", Plist: fleet.Middle, Keys: whenBad}, true, []string{"restart", "--all", "--wait", "ready"}, true},
		{"no KeepAlive", fleet.Profile{Name: "work", Plist: fleet.Oldest, Keys: map[string]any{"KeepAlive": nil}}, false, []string{"restart", "-p", "work"}, false},
		{"no KeepAlive, in the user's domain", fleet.Profile{Name: "work", Plist: fleet.Middle, Keys: map[string]any{"KeepAlive": nil}, User: true}, false, []string{"restart", "--all"}, false},
		{"no KeepAlive, gracefully", fleet.Profile{Name: "work", Plist: fleet.Middle, Keys: map[string]any{"KeepAlive": nil}}, false, []string{"restart", "-p", "work", "--graceful"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := unentitled(t, c.profile, fleet.Profile{Name: "other", Plist: fleet.Oldest})
			g := f.Gateway("work")
			old := f.Up("work", 0)
			if c.marker {
				r := recordOf(t, old.PID, g.Home)
				put(t, g.Home, standin.FilePlannedStop, fmt.Appendf(nil, `{"target_pid": %d, "target_start_time": %d, "stopper_pid": 1, "written_at": %q}`,
					r.PID, r.Start, time.Now().UTC().Format(time.RFC3339Nano)))
			}
			mark := f.Mark()
			a := ask(t, f, c.args...)
			r := a.of(t, f, "work")
			if a.Code != 0 || r.State != launchd.OutcomeRestarted || r.Method != launchd.MethodReload || r.NewPID == nil {
				t.Fatalf("%s%s\n%s", a.Stdout, a.Stderr, f.TraceText(mark))
			}
			f.Gone(old)
			if seen := len(old.Events()) > 0 && (got(old, syscall.SIGTERM) || got(old, syscall.SIGUSR1)); c.signaled && !seen {
				t.Errorf("%+v", old.Events())
			}
			if c.marker && !slices.ContainsFunc(old.Events(), func(e standin.Event) bool { return e.Kind == standin.Exiting && e.Code == standin.ExitStopped }) {
				t.Errorf("it did not exit with 0: %+v", old.Events())
			}
			f.Up("work", old.PID)
			transaction(t, f, mark, g)
			f.AllRunning()
		})
	}
}

// transaction fails the test if the gateway's job was away other than once, and within the life of
// the worker: loaded before, loaded again after, and gone itself in the end.
func transaction(t *testing.T, f *fleet.Fleet, m launchdtest.Mark, g fleet.Gateway) {
	t.Helper()
	const worker = "hermes-gw.reload."
	var conn uint64 // of the worker
	works, away, times := false, false, 0
	for _, e := range f.Trace(m) {
		done := e.Kind == launchdtest.Reply && (e.Code == 0 || e.Code == xpc.EINPROGRESS)
		switch {
		// Its spawn is noted when it is done: the worker may have sent its first request by then.
		case e.Kind == launchdtest.State && e.To == "spawning" && strings.HasPrefix(e.Label, worker):
			works = true
		case e.Kind == launchdtest.Request && e.Routine == 801 && e.Label == g.Label:
			if conn = e.Conn; !works {
				t.Errorf("unloaded without a worker: %s", e)
			}
		case done && e.Routine == 801 && e.Label == g.Label:
			away = true
			times++
		case e.Kind == launchdtest.Request && e.Routine == 800 && away && e.Conn != conn:
			t.Errorf("loaded by another than the worker: %s", e)
		case done && e.Routine == 800 && away && e.Conn == conn:
			away = false
		case done && e.Routine == 801 && strings.HasPrefix(e.Label, worker):
			if works = false; away {
				t.Errorf("the worker ends, and the job is away: %s", e)
			}
		case e.Kind == launchdtest.Request && e.Routine == 816:
			t.Errorf("%s", e)
		}
	}
	if times != 1 || away || works {
		t.Errorf("unloaded %d times, away in the end: %t, the worker is there: %t\n%s", times, away, works, f.TraceText(m))
	}
}

// Trap 57: a restart while launchd holds the next start back. By request it does not wait; where it has
// to be by signal it says that it was throttled, for how long, and the job comes up in the end.
func TestTrap57Throttled(t *testing.T) {
	t.Parallel()
	keys := map[string]any{"ThrottleInterval": 4}
	f := fleet.New(t, fleet.Options{Outside: outside, Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Middle, Keys: map[string]any{"ThrottleInterval": 600}}}})
	for range 3 {
		old := f.Up("work", 0)
		a := ask(t, f, "restart", "-p", "work", "--timeout", "30s")
		if r := a.of(t, f, "work"); a.Code != 0 || r.State != launchd.OutcomeRestarted || r.Throttled != 0 {
			t.Errorf("%s%s", a.Stdout, a.Stderr)
		}
		f.Up("work", old.PID)
	}
	slow := fleet.New(t, fleet.Options{Outside: outside, Deny: entitled, Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Middle, Keys: keys}}})
	old := slow.Up("work", 0)
	a := ask(t, slow, "restart", "-p", "work", "--timeout", "1s")
	r := a.of(t, slow, "work")
	says(t, r, launchd.OutcomeThrottled, "launchd holds the next start back for up to", "launchd starts it by itself", "144")
	if a.Code != 7 || a.Took > 20*time.Second || r.Throttled <= 0 || r.Throttled > 4 || r.Error.Code != "timeout" {
		t.Errorf("%s%s, %v", a.Stdout, a.Stderr, a.Took)
	}
	slow.Up("work", old.PID)
	slow.NeverUnloaded(0)
}
