package hermesgw_test

import (
	"testing"

	hermesgw "github.com/hermes-gw/hermes-gw"
	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
	"github.com/hermes-gw/hermes-gw/internal/embedtest/standin"
	"github.com/hermes-gw/hermes-gw/launchd"
)

// Trap 25: one gateway serves several profiles. A restart of a profile that it serves says by
// which job, and starts no second gateway: not by --bootstrap either, where a property list of its
// own is left.
func TestTrap25Multiplexer(t *testing.T) {
	t.Parallel()
	f := fleet.New(t, fleet.Options{Profiles: []fleet.Profile{
		{Name: fleet.Default, Plist: fleet.Newest, Standin: fleet.Standin{Served: []string{"default", "a", "b"}}},
		{Name: "a", Absent: true}, {Name: "b", Plist: fleet.Oldest, Unloaded: true}, {Name: "c", Plist: fleet.Oldest},
	}})
	server := f.Gateway(fleet.Default)
	mark := f.Mark()
	old := f.GatewayPID(fleet.Default)
	for _, c := range []struct {
		profile string
		args    []string
	}{
		{"a", []string{"restart", "-p", "a"}},
		{"a", []string{"restart", "-p", "a", "--bootstrap"}},
		{"a", []string{"restart", "-p", "a", "--graceful"}},
		{"a", []string{"restart", "-p", "a", "--dry-run"}},
		{"a", []string{"restart", f.Gateway("a").Label}},
		{"a", []string{"restart", f.Gateway("a").Target.String()}},
		{"b", []string{"restart", "-p", "b"}},
		{"b", []string{"restart", "-p", "b", "--bootstrap"}},
		{"b", []string{"restart", "-p", "b", "--bootstrap", "--dry-run"}},
		{"b", []string{"restart", f.Gateway("b").Label, "--bootstrap"}},
	} {
		a := ask(t, f, c.args...)
		if a.Code != 5 || len(a.Results) != 1 {
			t.Errorf("%q: %+v", c.args, a)
			continue
		}
		says(t, a.Results[0], launchd.OutcomeNotLoaded, "has no job of its own: "+server.Label+" serves its profile", "hermes-gw restart "+server.Label)
	}
	unmoved(t, f, mark)
	if now := f.GatewayPID(fleet.Default); now != old {
		t.Errorf("the gateway that serves them was %d, is %d", old, now)
	}
	for _, profile := range []string{"a", "b"} {
		if p := f.Processes(profile); len(p) > 0 {
			t.Errorf("a process runs for %s: %q", profile, p[0].Argv)
		}
	}

	found, err := hermesOf(t, f, hermesgw.Options{}).Discover(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	by := map[string]string{}
	for _, g := range found.Gateways {
		by[g.Profile] = g.ServedBy
	}
	if len(by) != 4 || by["a"] != server.Label || by["b"] != server.Label || by["default"] != "" || by["c"] != "" {
		t.Errorf("%q", by)
	}
	// Of all, those that it serves are no failure.
	mark = f.Mark()
	a := ask(t, f, "restart", "--all", "--bootstrap", "--wait", "ready")
	if f.Spawns(fleet.Default, mark) != 1 || f.Spawns("c", mark) != 1 || f.Spawns("b", mark) != 0 {
		t.Errorf("%s", f.TraceText(mark))
	}
	for _, profile := range []string{"a", "b"} {
		says(t, a.of(t, f, profile), launchd.OutcomeNotLoaded, server.Label)
	}
	f.NeverUnloaded(0)

	// Its word counts only while it is its process that says it.
	f.Behave(fleet.Default, fleet.Standin{Control: standin.Off})
	if a := ask(t, f, "restart", server.Label, "--wait", "ready"); a.Code != 0 {
		t.Fatalf("%+v", a)
	}
	if a := ask(t, f, "restart", "-p", "b", "--bootstrap"); a.Code != 0 || a.Results[0].State != launchd.OutcomeStarted {
		t.Errorf("%+v", a)
	}
	f.Running("b", 0)
}
