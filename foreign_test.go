package hermesgw_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	hermesgw "github.com/hermes-gw/hermes-gw"
	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
	"github.com/hermes-gw/hermes-gw/internal/embedtest/standin"
	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/launchd/launchdtest"
)

// Of another installation's gateway status shows the process and for how long it has been running, as of
// any other: launchd and the process table tell. It is not said to be none. Its files are not read.
func TestForeignGatewayIsLookedAt(t *testing.T) {
	t.Parallel()
	f := fleet.New(t, fleet.Options{Profiles: []fleet.Profile{
		{Name: "work", Plist: fleet.Oldest},
		{Name: "none", Plist: fleet.Oldest, NoWait: true, Label: "ai.hermes.gateway-deadbeef", Keys: map[string]any{
			"ProgramArguments": []string{"/bin/sleep", "1000"}, "EnvironmentVariables": map[string]string{"HERMES_HOME": "/opt/another/hermes"}}},
	}})
	f.Up("work", 0)
	home := filepath.Join(f.Dir, "another")
	theirs := f.Submit(launchd.GUI(f.UID), "ai.hermes.gateway-cafebabe", home, nil, f.Program("python3"), "-m", "hermes_cli.main", "gateway", "run")
	none := f.Wait(0, func(e launchdtest.Event) bool {
		return e.Kind == launchdtest.State && e.Label == f.Gateway("none").Label && e.To == "running"
	})
	put(t, home, standin.FileState, []byte("not to be read"))

	row := func(label string) []string {
		lines := strings.Split(f.Command("status").Stdout, "\n")
		i := slices.IndexFunc(lines, func(l string) bool { return strings.HasSuffix(l, "/"+label) })
		if i < 0 {
			t.Fatalf("no %s in %q", label, lines)
		}
		return strings.Fields(lines[i])
	}
	if got := row("ai.hermes.gateway-cafebabe"); got[1] != "foreign" || got[2] != fmt.Sprint(theirs.PID) || got[3] == "-" || strings.Contains(strings.Join(got, " "), "no gateway") {
		t.Errorf("%q", got)
	}
	if got := strings.Join(row(none.Label), " "); !strings.Contains(got, fmt.Sprintf("foreign %d (no gateway) ", none.PID)) || strings.Contains(got, "(no gateway) -") {
		t.Errorf("%q", got)
	}
	found, err := hermesOf(t, f, hermesgw.Options{}).Discover(t.Context())
	if err != nil || len(found.Others) != 2 {
		t.Fatalf("%+v, %v", found, err)
	}
	if g := found.Others[0]; g.Process.PID != theirs.PID || g.Age() <= 0 || g.Runtime != nil || g.Locked {
		t.Errorf("%+v", g)
	}
	if calls, traced := watched(t, f, "status"); traced {
		for _, c := range calls {
			if slices.ContainsFunc(c.Files, func(path string) bool { return under(path, home) && path != home }) {
				t.Errorf("%v of %q", c, c.Files)
			}
		}
	}
}
