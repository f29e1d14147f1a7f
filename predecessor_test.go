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
)

// osascript dies of SIGTERM at once, long before the gateway below it: the next gateway meets the
// lock, exits, and would not be started again for 30 s.
func TestOldGatewayOutlivesItsJob(t *testing.T) {
	for _, wait := range []hermesgw.Wait{hermesgw.WaitSpawned, hermesgw.WaitReady} {
		t.Run(string(wait), func(t *testing.T) {
			t.Parallel()
			const teardown = 400 * time.Millisecond
			f := fleet.New(t, fleet.Options{Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Newest, Standin: fleet.Standin{Teardown: teardown, Hasty: true}}}})
			old, mark := f.Running("work", 0), f.Mark()
			r := restartOne(t, f, "work", hermesgw.RestartOptions{Wait: wait})
			if r.Outcome != launchd.OutcomeRestarted || r.Err != nil || r.OldGateway != old.PID || r.New == 0 || r.New != f.JobPID("work") {
				t.Errorf("%+v; the job's process is %d", r, f.JobPID("work"))
			}
			if old.Alive() || r.Phases.Total < teardown {
				t.Errorf("after %v; the old gateway runs: %t", r.Phases.Total, old.Alive())
			}
			if !slices.ContainsFunc(r.Warnings, func(w string) bool { return strings.Contains(w, "met the old gateway") }) {
				t.Errorf("%q", r.Warnings)
			}
			f.Running("work", old.PID)
			f.NeverUnloaded(mark)
			if n := f.Spawns("work", mark); n != 2 {
				t.Errorf("%d spawns\n%s", n, f.TraceText(mark))
			}
			if seen := f.SignalsSeen("work"); slices.ContainsFunc(seen, func(s fleet.SignalSeen) bool {
				return s.PID == old.PID && s.Signal != syscall.SIGTERM
			}) {
				t.Errorf("%v", seen)
			}
		})
	}
}

// A new gateway that takes its time to the lock does not meet it, and is left alone.
func TestOldGatewayNotMet(t *testing.T) {
	t.Parallel()
	f := fleet.New(t, fleet.Options{Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Newest, Standin: fleet.Standin{Teardown: 300 * time.Millisecond}}}})
	old, mark := f.Running("work", 0), f.Mark()
	r := restartOne(t, f, "work", hermesgw.RestartOptions{})
	if r.Outcome != launchd.OutcomeRestarted || r.New != f.JobPID("work") || old.Alive() || len(r.Warnings) > 0 {
		t.Errorf("%+v", r)
	}
	f.Running("work", old.PID)
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
			old, mark := f.Running("work", 0), f.Mark()
			f.Behave("work", fleet.Standin{Hasty: true})
			r := restartOne(t, f, "work", hermesgw.RestartOptions{})
			if r.Outcome != launchd.OutcomeRestarted || r.New != f.JobPID("work") || old.Alive() {
				t.Errorf("%+v", r)
			}
			if r.Phases.Total < time.Second {
				t.Errorf("it had %v", r.Phases.Total)
			}
			if !slices.ContainsFunc(r.Warnings, func(w string) bool { return strings.Contains(w, "killed by SIGKILL") }) {
				t.Errorf("%q", r.Warnings)
			}
			if !f.SawSignal("work", standin.RoleGateway, syscall.SIGTERM) {
				t.Errorf("%v", f.SignalsSeen("work"))
			}
			f.Running("work", old.PID)
			f.NeverUnloaded(mark)
		})
	}
}
