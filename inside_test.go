package hermesgw_test

import (
	"slices"
	"syscall"
	"testing"
	"time"

	hermesgw "github.com/hermes-gw/hermes-gw"
	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
	"github.com/hermes-gw/hermes-gw/internal/embedtest/standin"
	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/launchd/launchdtest"
)

// Exit codes of the command that these tests see.
const (
	codeRequested  = 4
	codeTerminated = 143
)

// insideFleet has one gateway, which can be told to run a command.
func insideFleet(t *testing.T, plist fleet.Generation, s fleet.Standin) *fleet.Fleet {
	t.Helper()
	return fleet.New(t, fleet.Options{Outside: true, Profiles: []fleet.Profile{{Name: "work", Plist: plist, Standin: s}}})
}

// comesBack checks what holds for every restart from inside: one request, one new process, never
// unloaded, and the caller's report is whole and says "requested".
func comesBack(t *testing.T, f *fleet.Fleet, mark launchdtest.Mark, old *fleet.Process, o fleet.Output, job int) {
	t.Helper()
	r := heard(t, o.Stdout).of(t, "work")
	if r.State != launchd.OutcomeRequested || !r.Inside || whole(r.OldPID) != job || r.Error != nil {
		t.Errorf("%s%s", o.Stdout, o.Stderr)
	}
	restarted(f, "work", mark, old)
	onlyRestarted(t, f, mark)
	if n := f.Spawns("work", mark); n != 1 {
		t.Errorf("%d spawns\n%s", n, f.TraceText(mark))
	}
}

// ended checks the exit code of a caller inside: it is not that of a success. One in the job's
// process group is also told to end, as soon as the job's process has.
func ended(t *testing.T, o fleet.Output, told bool) {
	t.Helper()
	if o.Code != codeRequested && !(told && o.Code == codeTerminated) {
		t.Errorf("exit %d: %s", o.Code, o.Stderr)
	}
}

// kickstarts are the requests 702 since a mark.
func kickstarts(f *fleet.Fleet, mark launchdtest.Mark) (list []launchdtest.Event) {
	return slices.DeleteFunc(f.Requests(mark), func(e launchdtest.Event) bool { return e.Routine != 702 })
}

// A caller that is a child of the gateway: the request goes out, the gateway and its process
// group end, the caller with them, and the job comes back.
func TestTrap6CallerIsAChild(t *testing.T) {
	for _, plist := range fleet.Generations {
		for how, within := range map[string]fleet.Within{"its group": {}, "its own session": {Session: true}} {
			t.Run(plist.String()+", in "+how, func(t *testing.T) {
				t.Parallel()
				f := insideFleet(t, plist, fleet.Standin{Teardown: 100 * time.Millisecond})
				old, job, mark := f.Up("work", 0), f.JobPID("work"), f.Mark()
				o := f.Call(old, within, f.Prepare("restart", "-p", "work", "--json")).End()
				comesBack(t, f, mark, old, o, job)
				ended(t, o, !within.Session)
				if n := len(kickstarts(f, mark)); n != 1 {
					t.Errorf("%d requests\n%s", n, f.TraceText(mark))
				}
			})
		}
	}
}

// A caller whose parent has exited, so that it is no descendant of the gateway any more, but is
// in its process group: launchd ends it with the job, so it is inside all the same.
func TestTrap7CallerIsReparented(t *testing.T) {
	for _, plist := range fleet.Generations {
		t.Run(plist.String(), func(t *testing.T) {
			t.Parallel()
			f := insideFleet(t, plist, fleet.Standin{Teardown: 100 * time.Millisecond})
			old, job, mark := f.Up("work", 0), f.JobPID("work"), f.Mark()
			o := f.Call(old, fleet.Within{Reparented: true}, f.Prepare("restart", "-p", "work", "--json")).End()
			comesBack(t, f, mark, old, o, job)
			ended(t, o, true)
		})
	}
}

// One that left the group, too, is a stranger: it sees the whole restart.
func TestTrap7CallerHasLeft(t *testing.T) {
	t.Parallel()
	f := insideFleet(t, fleet.Middle, fleet.Standin{})
	old := f.Up("work", 0)
	o := f.Call(old, fleet.Within{Reparented: true, Session: true}, f.Prepare("restart", "-p", "work", "--json")).End()
	r := heard(t, o.Stdout).of(t, "work")
	if o.Code != 0 || r.State != launchd.OutcomeRestarted || r.Inside || whole(r.NewPID) != f.JobPID("work") {
		t.Errorf("%+v", o)
	}
}

// A caller inside a graceful restart: the gateway is asked, and the caller does not wait for
// what waits for the caller.
func TestTrap8GracefulFromInside(t *testing.T) {
	for _, plist := range fleet.Generations {
		t.Run(plist.String(), func(t *testing.T) {
			t.Parallel()
			// Scaled, or KeepAlive would start a gateway so young only after 30 s.
			f := fleet.New(t, fleet.Options{Outside: true, TimeScale: 0.01, Profiles: []fleet.Profile{{
				Name: "work", Plist: plist, Standin: fleet.Standin{DrainForever: true},
			}}})
			old, job, mark := f.Up("work", 0), f.JobPID("work"), f.Mark()
			o := f.Call(old, fleet.Within{}, f.Prepare("restart", "-p", "work", "--graceful", "--json")).End()
			r := heard(t, o.Stdout).of(t, "work")
			if o.Code != codeRequested || r.State != launchd.OutcomeRequested || !r.Inside || whole(r.OldPID) != job {
				t.Errorf("%+v", o)
			}
			f.Reached("work", "draining", 0)
			for _, s := range f.SignalsSeen("work") {
				if s.PID != old.PID || s.Signal != syscall.SIGUSR1 {
					t.Errorf("%v", s)
				}
			}
			if !old.Alive() || len(f.SignalsSeen("work")) != 1 || len(kickstarts(f, mark)) != 0 {
				t.Errorf("alive: %t, %v\n%s", old.Alive(), f.SignalsSeen("work"), f.TraceText(mark))
			}
			old.Signal(syscall.SIGHUP) // its work is over
			f.Successor("work", old)
			f.NeverUnloaded(mark)
		})
	}
}

// What a gateway passes on in the environment, a dashboard that it once started has, too. It is
// no proof of anything: without ancestry the caller is outside.
func TestTrap9InheritedEnvironment(t *testing.T) {
	t.Parallel()
	f := insideFleet(t, fleet.Middle, fleet.Standin{})
	cmd := f.Prepare("restart", "-p", "work", "--json")
	cmd.Env = append(cmd.Env, "_HERMES_GATEWAY=1", "HERMES_SUPERVISED_CHILD=1", "XPC_SERVICE_NAME="+f.Gateway("work").Label)
	o := f.Run(cmd)
	r := heard(t, o.Stdout).of(t, "work")
	if o.Code != 0 || r.State != launchd.OutcomeRestarted || r.Inside || whole(r.NewPID) != f.JobPID("work") {
		t.Errorf("%+v", o)
	}
}

// More processes between the gateway and the caller than Hermes looks at (64).
func TestTrap10LongChainOfParents(t *testing.T) {
	t.Parallel()
	f := insideFleet(t, fleet.Middle, fleet.Standin{})
	old, job, mark := f.Up("work", 0), f.JobPID("work"), f.Mark()
	o := f.Call(old, fleet.Within{Session: true, Depth: 70}, f.Prepare("restart", "-p", "work", "--json")).End()
	comesBack(t, f, mark, old, o, job)
	ended(t, o, false)
}

// Whatever happens after the request, the report is out before it: the caller is killed as soon
// as launchd has the request.
func TestReportComesBeforeTheRequest(t *testing.T) {
	t.Parallel()
	f := insideFleet(t, fleet.Middle, fleet.Standin{})
	old, job := f.Up("work", 0), f.JobPID("work")
	f.Launchd.SetFaults(launchdtest.Fault{Kind: launchdtest.Never, Routine: 702})
	for range 10 {
		mark := f.Mark()
		call := f.Call(old, fleet.Within{}, f.Prepare("restart", "-p", "work", "--json", "--force"))
		f.Wait(mark, func(e launchdtest.Event) bool { return e.Kind == launchdtest.Request && e.Routine == 702 })
		call.Signal(syscall.SIGKILL)
		if o := call.End(); o.Code != -int(syscall.SIGKILL) {
			t.Errorf("exit %d", o.Code)
		}
		if r := heard(t, call.Stdout()).of(t, "work"); r.State != launchd.OutcomeRequested || whole(r.OldPID) != job {
			t.Errorf("%s", call.Stdout())
		}
	}
	f.NeverUnloaded(f.Loaded())
}

// With all gateways, the caller's own comes last: after the others were restarted and what runs
// beside them was swept, and after all that was reported.
func TestCallersOwnGatewayComesLast(t *testing.T) {
	t.Parallel()
	f := fleet.New(t, fleet.Options{Outside: true, Profiles: []fleet.Profile{
		{Name: fleet.Default, Plist: fleet.Middle, Standin: fleet.Standin{Teardown: 100 * time.Millisecond}},
		{Name: "a", Plist: fleet.Oldest},
		{Name: "work", Plist: fleet.Middle},
		{Name: "z", Plist: fleet.Newest},
	}})
	f.Behave("a", fleet.Standin{NoLock: true, NoPID: true})
	stray := f.Manual("a", fleet.Orphan)
	f.Behave("a", fleet.Standin{})
	old, mark := f.Up("work", 0), f.Mark()
	o := f.Call(old, fleet.Within{Session: true}, f.Prepare("restart", "--all", "--json")).End()
	if o.Code != codeRequested {
		t.Errorf("exit %d: %s", o.Code, o.Stderr)
	}
	report := heard(t, o.Stdout)
	for _, g := range f.Gateways() {
		r := report.of(t, g.Profile)
		want := launchd.OutcomeRestarted
		if g.Profile == "work" {
			want = launchd.OutcomeRequested
		}
		if r.State != want {
			t.Errorf("%s: %+v", g.Profile, r)
		}
	}
	if report.Sweep == nil || !slices.ContainsFunc(report.Sweep.Processes, func(p hermesgw.SweptProcess) bool { return p.PID == stray.PID && p.Outcome == "exited" }) {
		t.Errorf("%+v", report.Sweep)
	}
	answered, own := 0, f.Gateway("work").Label
	for _, e := range f.Trace(mark) {
		switch {
		case e.Routine == 702 && e.Kind == launchdtest.Reply && e.Label != own:
			answered++
		case e.Routine == 702 && e.Kind == launchdtest.Request && e.Label == own && answered != 3:
			t.Errorf("the caller's own came after %d\n%s", answered, f.TraceText(mark))
		}
	}
	if stray.Alive() {
		t.Error("the stray was not swept")
	}
	if !f.SawSignal("a", standin.RoleGateway, syscall.SIGTERM) {
		t.Error("the stray was not asked")
	}
	f.AllRunning()
	f.NeverUnloaded(mark)
}
