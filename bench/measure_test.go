package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/hermes-gw/hermes-gw/internal/launchdsim"
)

// The order within a group is A B B A, and the warm-up is not counted.
func TestStretchOrder(t *testing.T) {
	var order []string
	counting := func(name string) method {
		return method{Name: name, measure: func(context.Context) (sample, error) {
			order = append(order, name)
			return sample{total: float64(len(order))}, nil
		}}
	}
	groups := []group{
		{Name: "g", Methods: []method{counting("a"), counting("b")}},
		{Name: "h", burst: 2, Methods: []method{counting("c")}},
	}
	results, err := stretch(t.Context(), groups, 3)
	if err != nil {
		t.Fatal(err)
	}
	round := "a b b a c c c c"
	if got := strings.Join(order, " "); got != strings.Join([]string{round, round, round, round}, " ") {
		t.Error(got)
	}
	got := measured{results["g/a"]}.values(total)
	if len(got) != 1 || !slices.Equal(got[0], []float64{9, 12, 17, 20, 25, 28}) || len(results["h/c"]) != 12 {
		t.Error(got, results)
	}
}

func TestShares(t *testing.T) {
	for _, pairs := range []int{1, 2, 3, 20, 25, 100} {
		all, list := 0, shares(pairs)
		for _, rounds := range list {
			if all += 2 * rounds; rounds == 0 {
				t.Errorf("%d pairs: an empty stretch", pairs)
			}
		}
		if all != pairs+pairs%2 || len(list) > mostStretches || slices.Max(list)-slices.Min(list) > 1 {
			t.Errorf("%d pairs: %v", pairs, list)
		}
	}
}

func TestStretchFails(t *testing.T) {
	failing := method{Name: "f", measure: func(context.Context) (sample, error) { return nil, errNoPeak }}
	if _, err := stretch(t.Context(), []group{{Name: "g", Methods: []method{failing}}}, 2); !errors.Is(err, errNoPeak) {
		t.Error(err)
	}
}

func TestChoose(t *testing.T) {
	groups := func() []group {
		return []group{{Name: "Restart", Methods: []method{{Name: "xpc"}, {Name: "launchctl"}}}, {Name: "CLI", Methods: []method{{Name: "xpc"}}}}
	}
	for names, want := range map[string]string{
		"": "Restart/xpc Restart/launchctl CLI/xpc", "xpc": "Restart/xpc CLI/xpc", "CLI": "CLI/xpc",
		"Restart/launchctl": "Restart/launchctl", "CLI Restart/xpc": "Restart/xpc CLI/xpc",
	} {
		chosen, err := choose(groups(), strings.Fields(names))
		if got := strings.Join(methodNames(chosen), " "); err != nil || got != want {
			t.Errorf("%q: %q, %v", names, got, err)
		}
	}
	if _, err := choose(groups(), []string{"xpc", "nothing"}); err == nil || !strings.Contains(err.Error(), "nothing") || !strings.Contains(err.Error(), "Restart/launchctl") {
		t.Error(err)
	}
}

func TestSplit(t *testing.T) {
	event := func(at int64, kind string, pid int, more ...func(*launchdsim.Event)) launchdsim.Event {
		e := launchdsim.Event{Time: at, Kind: kind, PID: pid, Label: "job"}
		for _, f := range more {
			f(&e)
		}
		return e
	}
	to := func(state string) func(*launchdsim.Event) {
		return func(e *launchdsim.Event) { e.To = state }
	}
	asked := func(id uint64) func(*launchdsim.Event) {
		return func(e *launchdsim.Event) { e.ID, e.Routine = id, routineKickstart }
	}
	whole := []launchdsim.Event{
		event(100, "request", 0, asked(1)), event(110, "signal", 7), event(150, "exit", 7), event(155, "state", 0, to("spawning")),
		event(175, "spawn", 8), event(180, "reply", 8, asked(1)),
	}
	s, kickstarted, ok := splitOf(whole, "job", 7, 8)
	if !ok || !kickstarted || s != (split{kickstart: 80, absent: 25, launchd: 60, spawned: 175}) {
		t.Errorf("%+v, %v, %v", s, kickstarted, ok)
	}
	for missing := range whole {
		part := slices.Delete(slices.Clone(whole), missing, missing+1)
		if _, kickstarted, ok := splitOf(part, "job", 7, 8); ok && kickstarted {
			t.Errorf("without %+v nothing is missing", whole[missing])
		}
	}
	if _, _, ok := splitOf(whole, "other", 7, 8); ok {
		t.Error("another job's events were taken")
	}
}
