package hermesgw_test

import (
	"syscall"
	"testing"
	"time"

	hermesgw "github.com/hermes-gw/hermes-gw"
	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
	"github.com/hermes-gw/hermes-gw/internal/embedtest/standin"
	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/launchd/launchdtest"
)

// osascript dies of SIGTERM at once, long before the gateway below it: the next gateway meets the
// lock, exits, and would not be started again for 30 s.
func TestOldGatewayOutlivesItsJob(t *testing.T) {
	for _, wait := range []hermesgw.Wait{hermesgw.WaitSpawned, hermesgw.WaitReady} {
		t.Run(string(wait), func(t *testing.T) {
			t.Parallel()
			f := fleet.New(t, fleet.Options{Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Newest, Standin: fleet.Standin{IgnoreTERM: true}}}})
			old, job, mark := f.Up("work", 0), f.JobPID("work"), f.Mark()
			f.Behave("work", fleet.Standin{Hasty: true})
			met := make(chan error, 1)
			go func() { // the old gateway's teardown ends once the next has met it
				_, err := f.Launchd.Wait(t.Context(), mark, func(e launchdtest.Event) bool { return e.Kind == launchdtest.Exit && e.PID != job })
				met <- err
				old.End()
			}()
			r := restartOne(t, f, "work", hermesgw.RestartOptions{Wait: wait})
			if r.Outcome != launchd.OutcomeRestarted || r.Err != nil || r.OldGateway != old.PID || r.New == 0 || r.New != f.JobPID("work") {
				t.Errorf("%+v; the job's process is %d", r, f.JobPID("work"))
			}
			if err := <-met; err != nil {
				t.Fatal(err)
			}
			f.Gone(old)
			if !warned(r, "met the old gateway") {
				t.Errorf("%q", r.Warnings)
			}
			if wait == hermesgw.WaitReady && (r.Phases.Ready == 0 || r.NewGateway == 0 || r.NewGateway != f.Successor("work", old).PID) {
				t.Errorf("%+v", r)
			}
			f.Successor("work", old)
			onlyRestarted(t, f, mark)
			if n := f.Spawns("work", mark); n != 2 {
				t.Errorf("%d spawns\n%s", n, f.TraceText(mark))
			}
			for _, s := range f.SignalsSeen("work") {
				if s.PID == old.PID && s.Signal != syscall.SIGTERM {
					t.Errorf("%v", s)
				}
			}
		})
	}
}

// A new gateway that takes its time to the lock does not meet it, and is left alone.
func TestOldGatewayNotMet(t *testing.T) {
	t.Parallel()
	f := fleet.New(t, fleet.Options{Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Newest, Standin: fleet.Standin{Teardown: 100 * time.Millisecond}}}})
	old, mark := f.Up("work", 0), f.Mark()
	f.Behave("work", fleet.Standin{BootDelay: 500 * time.Millisecond})
	r := restartOne(t, f, "work", hermesgw.RestartOptions{})
	if r.Outcome != launchd.OutcomeRestarted || r.New != f.JobPID("work") || old.Alive() || len(r.Warnings) > 0 || r.Phases.OldExit < 100*time.Millisecond {
		t.Errorf("%+v", r)
	}
	restarted(f, "work", mark, old)
	if n := f.Spawns("work", mark); n != 1 {
		t.Errorf("%d spawns\n%s", n, f.TraceText(mark))
	}
}

// An old gateway that goes on for ever has the job's exit timeout, whoever it is a child of.
func TestOldGatewayIgnoresSIGTERM(t *testing.T) {
	for _, plist := range []fleet.Generation{fleet.Newest, fleet.Middle} {
		t.Run(plist.String(), func(t *testing.T) {
			t.Parallel()
			f := fleet.New(t, fleet.Options{Profiles: []fleet.Profile{{
				Name: "work", Plist: plist, Keys: map[string]any{"ExitTimeOut": 1}, Standin: fleet.Standin{IgnoreTERM: true, Hasty: true},
			}}})
			old, mark := f.Up("work", 0), f.Mark()
			f.Behave("work", fleet.Standin{Hasty: true})
			r := restartOne(t, f, "work", hermesgw.RestartOptions{})
			if r.Outcome != launchd.OutcomeRestarted || r.New != f.JobPID("work") || old.Alive() {
				t.Errorf("%+v", r)
			}
			if r.Phases.Total < time.Second {
				t.Errorf("it had %v", r.Phases.Total)
			}
			if !warned(r, "killed by SIGKILL") {
				t.Errorf("%q", r.Warnings)
			}
			if !f.SawSignal("work", standin.RoleGateway, syscall.SIGTERM) {
				t.Errorf("%v", f.SignalsSeen("work"))
			}
			f.Successor("work", old)
			onlyRestarted(t, f, mark)
		})
	}
}

// Where launchd lets nobody ask for a start, the next process that KeepAlive brings is waited for.
func TestOldGatewayWithoutEntitlement(t *testing.T) {
	t.Parallel()
	f := fleet.New(t, fleet.Options{TimeScale: 0.02, Deny: []uint64{702, 703, 704, 711, 712, 811, 812, 813, 814}, Profiles: []fleet.Profile{
		{Name: "work", Plist: fleet.Newest, Standin: fleet.Standin{Teardown: 300 * time.Millisecond, Hasty: true}},
	}})
	old, mark := f.Up("work", 0), f.Mark()
	r := restartOne(t, f, "work", hermesgw.RestartOptions{Wait: hermesgw.WaitReady})
	if r.Outcome != launchd.OutcomeRestarted || r.Method != launchd.MethodSignal || r.New != f.JobPID("work") || old.Alive() {
		t.Errorf("%+v; the job's process is %d", r, f.JobPID("work"))
	}
	if next := f.Successor("work", old); next.PID != r.NewGateway || !next.Alive() {
		t.Errorf("%+v; the gateway is %d", r, next.PID)
	}
	f.NeverUnloaded(mark)
}
