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
func TestMeasureAllOrder(t *testing.T) {
	var order []string
	counting := func(name string) method {
		return method{name: name, measure: func(context.Context) (sample, error) {
			order = append(order, name)
			return sample{total: float64(len(order))}, nil
		}}
	}
	groups := []group{
		{name: "g", methods: []method{counting("a"), counting("b")}},
		{name: "h", burst: 2, methods: []method{counting("c")}},
	}
	results, err := measureAll(t.Context(), groups, 3, func(int, int) {})
	if err != nil {
		t.Fatal(err)
	}
	round := "a b b a c c c c"
	if got := strings.Join(order, " "); got != strings.Join([]string{round, round, round}, " ") {
		t.Error(got)
	}
	got := slices.Concat(results["g/a"].values(total)...)
	if !slices.Equal(got, []float64{9, 12, 17, 20}) || len(results["g/a"]) != 2 || len(slices.Concat(results["h/c"]...)) != 8 {
		t.Error(got, results)
	}
}

func TestMeasureAllShares(t *testing.T) {
	one := method{name: "m", measure: func(context.Context) (sample, error) { return sample{total: 1}, nil }}
	for _, pairs := range []int{1, 2, 3, 20, 25, 100} {
		results, err := measureAll(t.Context(), []group{{name: "g", methods: []method{one}}}, pairs, func(int, int) {})
		if err != nil {
			t.Fatal(err)
		}
		m := results["g/m"]
		if n := len(slices.Concat(m...)); n != pairs+pairs%2 || len(m) > mostStretches {
			t.Errorf("%d pairs: %d runs in %d stretches", pairs, n, len(m))
		}
		for _, stretch := range m {
			if len(stretch) == 0 {
				t.Errorf("%d pairs: an empty stretch", pairs)
			}
		}
	}
	failing := method{name: "f", measure: func(context.Context) (sample, error) { return nil, errNoPeak }}
	if _, err := measureAll(t.Context(), []group{{name: "g", methods: []method{failing}}}, 2, func(int, int) {}); !errors.Is(err, errNoPeak) {
		t.Error(err)
	}
}

func TestChoose(t *testing.T) {
	groups := func() []group {
		return []group{{name: "Restart", methods: []method{{name: "xpc"}, {name: "launchctl"}}}, {name: "CLI", methods: []method{{name: "xpc"}}}}
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
