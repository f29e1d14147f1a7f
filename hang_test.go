package hermesgw_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/launchd/launchdtest"
)

// Trap 61: launchd does not answer about one job, or a whole domain of it hangs. Each wait has its
// deadline, the others are restarted, and the exit code says that not all were.
func TestTrap61Hangs(t *testing.T) {
	t.Parallel()
	const bound = 3 * time.Second
	for _, c := range []struct {
		name   string
		faults func(f *fleet.Fleet) []launchdtest.Fault
		good   []string
		bad    map[string]launchd.Outcome
		lists  bool // all jobs can be listed, so there is a sweep
		silent bool // only property lists tell of a domain's jobs
	}{
		{"the request about one job", func(f *fleet.Fleet) []launchdtest.Fault {
			return []launchdtest.Fault{{Kind: launchdtest.Never, Routine: 702, Label: f.Gateway("stuck").Label}}
		}, []string{"work", "user"}, map[string]launchd.Outcome{"stuck": launchd.OutcomeUnknown}, true, false},
		{"every question about one job", func(f *fleet.Fleet) []launchdtest.Fault {
			return []launchdtest.Fault{{Kind: launchdtest.Never, Label: f.Gateway("stuck").Label}}
		}, []string{"work", "user"}, map[string]launchd.Outcome{"stuck": launchd.OutcomeFailed}, true, false},
		{"a domain", func(f *fleet.Fleet) []launchdtest.Fault {
			return []launchdtest.Fault{{Kind: launchdtest.Never, Domain: launchd.GUI(f.UID)}}
		}, []string{"user"}, map[string]launchd.Outcome{"work": launchd.OutcomeFailed, "stuck": launchd.OutcomeFailed}, false, true},
		{"the other domain", func(f *fleet.Fleet) []launchdtest.Fault {
			return []launchdtest.Fault{{Kind: launchdtest.Never, Domain: launchd.User(f.UID)}}
		}, []string{"work", "stuck"}, map[string]launchd.Outcome{"user": launchd.OutcomeFailed}, false, true},
		{"the list of a domain", func(f *fleet.Fleet) []launchdtest.Fault {
			return []launchdtest.Fault{{Kind: launchdtest.Never, Domain: launchd.GUI(f.UID), Routine: 828}}
		}, []string{"work", "stuck", "user"}, nil, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := fleet.New(t, fleet.Options{Outside: outside && !c.silent, Profiles: []fleet.Profile{
				{Name: "work", Plist: fleet.Middle}, {Name: "stuck", Plist: fleet.Oldest}, {Name: "user", Plist: fleet.Oldest, User: true},
			}})
			old := map[string]*fleet.Process{}
			for _, g := range f.Gateways() {
				old[g.Profile] = f.Up(g.Profile, 0)
			}
			stray := strayOf(f, "work", fleet.Plain)
			f.Launchd.SetFaults(c.faults(f)...)
			defer f.Launchd.SetFaults()
			a := ask(t, f, "restart", "--all", "--timeout", bound.String())
			if a.Code != 3 && len(c.bad) > 0 || a.Code == 0 {
				t.Errorf("exit %d: %s%s", a.Code, a.Stdout, a.Stderr)
			}
			if a.Took > 8*bound {
				t.Errorf("it took %v", a.Took)
			}
			for _, profile := range c.good {
				if r := a.of(t, f, profile); r.State != launchd.OutcomeRestarted {
					t.Errorf("%+v", r)
				}
				f.Up(profile, old[profile].PID)
			}
			for profile, state := range c.bad {
				if r := a.of(t, f, profile); r.State != state || r.Error == nil || r.Error.Code != "timeout" && r.Error.Code != "unknown-outcome" {
					t.Errorf("%+v %+v", r, r.Error)
				}
				if alive(t, old[profile]); got(old[profile], syscall.SIGTERM) {
					t.Errorf("%s: %+v\n%s", profile, old[profile].Events(), f.TraceText(0))
				}
			}
			if c.lists {
				f.Gone(stray)
			} else {
				alive(t, stray)
			}
		})
	}
}
