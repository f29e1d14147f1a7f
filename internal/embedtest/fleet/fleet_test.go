package fleet

import (
	"testing"
)

func TestFleet(t *testing.T) {
	for _, g := range Generations {
		t.Run(g.String(), func(t *testing.T) {
			f := New(t, Options{Profiles: []Profile{{Name: "work", Plist: g}}})
			if pid := f.GatewayPID("work"); pid == 0 || f.State("work").PID != pid {
				t.Errorf("gateway %d, state %+v", pid, f.State("work"))
			}
			f.NeverUnloaded(0)
		})
	}
}
