package hermesgw_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
	"github.com/hermes-gw/hermes-gw/internal/embedtest/standin"
	"github.com/hermes-gw/hermes-gw/launchd/launchdtest"
)

// Trap 76, as far as it is about reports: what the gateway takes to end and to boot dwarfs the
// request, so they are told apart. The figures against launchctl are those of bench.
func TestTrap76Phases(t *testing.T) {
	t.Parallel()
	const dies, boots, runs, drains = 150 * time.Millisecond, 100 * time.Millisecond, 120 * time.Millisecond, 130 * time.Millisecond
	f := fleet.New(t, fleet.Options{Outside: true, Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Middle, Standin: fleet.Standin{Teardown: dies, Drain: drains}}}})
	f.Behave("work", fleet.Standin{Teardown: dies, Drain: drains, BootDelay: boots, RunDelay: runs})
	label := f.Gateway("work").Label
	phases := func(p printed) map[string]time.Duration {
		var doc struct {
			Results []struct {
				Phases map[string]float64 `json:"phases_ms"`
			}
		}
		must(t, json.Unmarshal([]byte(p.Stdout), &doc))
		list := map[string]time.Duration{}
		for name, ms := range doc.Results[0].Phases {
			list[name] = time.Duration(ms * float64(time.Millisecond))
		}
		return list
	}
	between := func(what string, got, least, most time.Duration) {
		t.Helper()
		if got < least || got > most {
			t.Errorf("%s is %v, want %v to %v", what, got, least, most)
		}
	}
	const slack = 5 * time.Millisecond // of rounding, and of clocks that are read one after the other

	m := f.Mark()
	p := inJSON(t, f, "restart", "-p", "work", "--wait", "ready").shows(t, 0, "restarted")
	ph := phases(p)
	request := f.Wait(m, about(kickstart, label))
	exit := f.Wait(m, launchdtest.Is(launchdtest.Exit, label))
	spawn := f.Wait(m, launchdtest.Is(launchdtest.Spawn, label))
	gateway := f.Running("work", p.pid(t, "old_gateway_pid"))
	running := f.Says(gateway, func(e standin.Event) bool { return e.Kind == standin.State && e.State == "running" })
	between("resolve", ph["resolve"], time.Microsecond, p.Took)
	// What launchd saw lies within what the command says.
	between("old_exit", ph["old_exit"], dies, ph["new_spawn"]+slack)
	between("new_spawn", ph["new_spawn"], spawn.Time.Sub(request.Time)-slack, ph["ready"]+slack)
	between("launchd's exit", exit.Time.Sub(request.Time), dies, ph["new_spawn"]+slack)
	between("ready", ph["ready"], max(running.Time.Sub(request.Time), dies+boots+runs)-slack, p.Took)
	between("total", ph["total"], ph["resolve"]+ph["ready"]-slack, p.Took)
	between("request", ph["request"], dies, ph["ready"]+slack)

	f.Running("work", 0)
	p = inJSON(t, f, "restart", "-p", "work", "--graceful").shows(t, 0, "restarted")
	ph = phases(p)
	between("drain", ph["drain"], drains+dies, ph["total"])
	if _, waited := ph["ready"]; waited {
		t.Errorf("a phase that nobody waited for: %v", ph)
	}
	p = inJSON(t, f, "restart", "-p", "work", "--dry-run").shows(t, 0, "planned")
	if ph = phases(p); len(ph) != 3 || ph["resolve"]+ph["request"]+ph["total"] != 0 {
		t.Errorf("phases of a dry run: %v", ph)
	}
}
