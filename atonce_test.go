package hermesgw_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
	"github.com/hermes-gw/hermes-gw/launchd/launchdtest"
)

// Trap 70: nine gateways, each of which takes its time to die, are restarted in the time of the
// slowest, not of all: with 5 s each (HERMES_GW_LONG=1) in less than 7 s. Every request is out before
// the first is answered.
func TestTrap70AllAtOnce(t *testing.T) {
	t.Parallel()
	dies, within := time.Second, 1600*time.Millisecond
	if long {
		dies, within = 5*time.Second, 7*time.Second
	}
	profiles := []fleet.Profile{{Name: fleet.Default}}
	for n := range 8 {
		profiles = append(profiles, fleet.Profile{Name: fmt.Sprintf("p%d", n)})
	}
	for i := range profiles {
		profiles[i].Plist = fleet.Generations[i%len(fleet.Generations)]
		profiles[i].Standin.Teardown = dies
	}
	f := fleet.New(t, fleet.Options{Outside: true, Process: true, Profiles: profiles})
	const tries = 3 // others on the machine can only make it slower
	for try := 1; ; try++ {
		m := f.Mark()
		var states []string
		for range profiles {
			states = append(states, "restarted")
		}
		p := inJSON(t, f, "restart", "--all", "--force").shows(t, 0, states...)
		requests, answers := 0, 0
		for _, e := range f.Trace(m) {
			switch {
			case e.Routine != kickstart:
			case e.Kind == launchdtest.Reply:
				answers++
			case e.Kind == launchdtest.Request:
				if requests++; answers > 0 {
					t.Errorf("a request waited for the answer of another:\n%s", f.TraceText(m))
				}
			}
		}
		if requests != len(profiles) || answers != requests {
			t.Errorf("%d requests, %d answers", requests, answers)
		}
		for _, g := range f.Gateways() {
			if n := f.Spawns(g.Profile, m); n != 1 {
				t.Errorf("%s: %d new processes", g.Profile, n)
			}
		}
		if p.Took < dies {
			t.Errorf("it took %v only: nobody waited for the gateways' end", p.Took)
		}
		t.Logf("%d gateways of %v each: %v", len(profiles), dies, p.Took)
		if p.Took < within {
			break
		}
		if try == tries {
			t.Errorf("%v, want less than %v", p.Took, within)
			break
		}
		f.AllRunning()
	}
	f.NeverUnloaded(f.Loaded())
	f.AllRunning()
}
