package hermesgw_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/launchd/launchdtest"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// Trap 56: a copy of the gateway's job in the system's domain. It is found by its target, and by its
// label where the user's domains have none; without the rights the error says so, and all else is
// as it was.
func TestTrap56System(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can load a job into the system's domain")
	}
	f := fleet.New(t, fleet.Options{Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Oldest}, {Name: "daemon", Absent: true}}})
	label := f.Gateway("daemon").Label
	daemon := f.Submit(launchd.System(), label, f.Gateway("daemon").Home, map[string]any{"KeepAlive": true},
		f.Program("python3"), "-m", "hermes_cli.main", "-p", "daemon", "gateway", "run")
	old := f.Up("work", 0)
	for _, name := range []string{"system/" + label, label} {
		mark := f.Mark()
		a := ask(t, f, "restart", name)
		if r := a.of(t, f, "daemon"); a.Code != 0 || r.Target != "system/"+label || r.State != launchd.OutcomeRestarted {
			t.Errorf("%s%s", a.Stdout, a.Stderr)
		}
		if got := kicked(t, f, mark); len(got) != 1 || got[0] != "system/"+label {
			t.Errorf("%q", got)
		}
	}
	f.Gone(daemon)

	f.Launchd.SetFaults(launchdtest.Fault{Kind: launchdtest.Fail, Routine: 702, Domain: launchd.System(), Code: xpc.EPERM})
	mark := f.Mark()
	a := ask(t, f, "restart", "system/"+label, f.Gateway("work").Label)
	r := a.of(t, f, "daemon")
	says(t, r, launchd.OutcomeFailed, "sudo")
	if r.Error == nil || r.Error.Code != "permission" || a.Code != 3 || a.Took > 20*time.Second {
		t.Errorf("%s%s, %v", a.Stdout, a.Stderr, a.Took)
	}
	says(t, a.of(t, f, "work"), launchd.OutcomeRestarted)
	f.Up("work", old.PID)
	if n := f.Spawns("daemon", mark); n != 0 {
		t.Errorf("%s", f.TraceText(mark))
	}
	// Of all, it is not one; but what runs there is launchd's.
	a = ask(t, f, "restart", "--all")
	if a.Code != 0 || len(a.Results) != 1 {
		t.Errorf("%s%s", a.Stdout, a.Stderr)
	}
	for _, p := range f.Processes("daemon") {
		if outcome, reason := a.swept(p.PID); outcome != "spared" || !strings.Contains(reason, label) {
			t.Errorf("%q, %q", outcome, reason)
		}
	}
}

// Trap 59: launchd calls a load good, and there is no job; or there is one without a process. Neither is
// a success.
func TestTrap59NoProcess(t *testing.T) {
	t.Parallel()
	idle := map[string]any{"RunAtLoad": false, "KeepAlive": nil}
	for name, c := range map[string]struct {
		fault launchdtest.Fault
		words string
	}{
		"no job":     {launchdtest.Fault{Kind: launchdtest.Fail, Routine: 800}, "not"},
		"no process": {launchdtest.Fault{Kind: launchdtest.Fail, Routine: 702}, "launchd names no process of it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := fleet.New(t, fleet.Options{Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Oldest, Keys: idle, Unloaded: true}}})
			f.Launchd.SetFaults(c.fault)
			a := ask(t, f, "restart", "-p", "work", "--bootstrap", "--timeout", "2s")
			r := a.of(t, f, "work")
			if a.Code == 0 || r.State.OK() || r.NewPID != nil || r.Error == nil || !strings.Contains(r.Error.Message, c.words) || a.Took > 40*time.Second {
				t.Errorf("%s%s, %v", a.Stdout, a.Stderr, a.Took)
			}
			if f.GatewayPID("work") != 0 {
				t.Errorf("%+v", f.Processes("work"))
			}
		})
	}
}

// Trap 62: a sandbox, or privacy rules for a session by ssh, keep the caller from launchd, for all or
// for a request. The error is about permission, it comes at once, and nothing has changed.
func TestTrap62Sandbox(t *testing.T) {
	t.Parallel()
	f := fleet.New(t, fleet.Options{Outside: outside, Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Middle}}})
	old := f.Up("work", 0)
	f.Prepare() // the test, not one of its parts, is skipped where there can be no command
	for _, c := range []struct {
		name   string
		faults []launchdtest.Fault
		code   string
	}{
		{"the request", []launchdtest.Fault{{Kind: launchdtest.Fail, Routine: 702, Code: xpc.SandboxDenied}}, "permission"},
		{"all", []launchdtest.Fault{{Kind: launchdtest.Fail, Code: xpc.SandboxDenied}}, "permission"},
		{"all, as not permitted", []launchdtest.Fault{{Kind: launchdtest.Fail, Code: xpc.EPERM}}, "permission"},
		{"before launchd", []launchdtest.Fault{{Kind: launchdtest.Broken, Code: xpc.EPERM}}, "permission"},
	} {
		for _, args := range [][]string{{"restart", "--all"}, {"restart", "-p", "work"}, {"restart", f.Gateway("work").Target.String(), "--graceful", "--force-after", "1s"}} {
			if strings.Contains(c.name, "request") && len(args) > 3 {
				continue // the drain comes first
			}
			t.Run(c.name+": "+strings.Join(args, " "), func(t *testing.T) {
				mark := f.Mark()
				f.Launchd.SetFaults(c.faults...)
				a := ask(t, f, args...)
				f.Launchd.SetFaults()
				problem := a.Error
				if len(a.Results) > 0 {
					problem = a.Results[0].Error
				}
				if a.Code != 1 || problem == nil || problem.Code != c.code || problem.Remedy == "" || a.Took > 20*time.Second {
					t.Errorf("%s%s, %v", a.Stdout, a.Stderr, a.Took)
				}
				for _, e := range f.Trace(mark) {
					if e.Kind == launchdtest.Spawn || e.Kind == launchdtest.Exit || e.Kind == launchdtest.Signal {
						t.Errorf("%s", e)
					}
				}
			})
		}
	}
	alive(t, old)
	if got(old, 15) {
		t.Errorf("%+v", old.Events())
	}
	f.NeverUnloaded(0)
}
