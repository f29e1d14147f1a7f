package hermesgw_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	hermesgw "github.com/hermes-gw/hermes-gw"
	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
	"github.com/hermes-gw/hermes-gw/internal/embedtest/standin"
	"github.com/hermes-gw/hermes-gw/internal/proc"
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
	if a.Code != 0 || len(a.Results) != 2 || len(a.Warnings) != 2 {
		t.Errorf("%s%s", a.Stdout, a.Stderr)
	}
	for _, w := range a.Warnings {
		if !strings.Contains(w, "has no job of its own: "+server.Label+" serves it") {
			t.Errorf("%q", w)
		}
	}
	f.NeverUnloaded(0)

	// What Hermes noted of it counts as well, if it is about that very process.
	f.Behave(fleet.Default, fleet.Standin{})
	if a := ask(t, f, "restart", server.Label, "--wait", "ready"); a.Code != 0 {
		t.Fatalf("%+v", a)
	}
	locks := filepath.Join(f.Dir, "locks")
	if err := os.Mkdir(locks, 0o700); err != nil {
		t.Fatal(err)
	}
	note := func(pid int, start float64) {
		put(t, locks, "host-gateway.json", fmt.Appendf(nil, `{"role": "gateway", "home": %q, "pid": %d, "createTime": %f, "protocolVersion": 1, "profiles": ["default", "a"]}`, f.Root, pid, start))
	}
	serves := func(profile string, want string) {
		t.Helper()
		h := hermesOf(t, f, hermesgw.Options{GatewayLockDir: locks})
		found, err := h.Discover(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		by := ""
		for _, g := range found.Gateways {
			if g.Profile == profile {
				by = g.ServedBy
			}
		}
		if by != want {
			t.Errorf("%s is served by %q, want %q", profile, by, want)
		}
	}
	now := f.Up(fleet.Default, 0)
	id, err := proc.Read(now.PID)
	if err != nil {
		t.Fatal(err)
	}
	began := float64(time.Now().Add(-proc.Clock()+time.Duration(id.Start)*time.Microsecond).UnixMicro()) / 1e6
	serves("a", "")
	note(now.PID, began)
	serves("a", server.Label)
	note(now.PID, began-100)
	serves("a", "")
	note(os.Getpid(), began)
	serves("a", "")

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
