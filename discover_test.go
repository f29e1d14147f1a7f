package hermesgw_test

import (
	"slices"
	"testing"

	hermesgw "github.com/hermes-gw/hermes-gw"
	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
	"github.com/hermes-gw/hermes-gw/internal/embedtest/standin"
	"github.com/hermes-gw/hermes-gw/internal/proc"
	"github.com/hermes-gw/hermes-gw/launchd"
)

// Of each generation Discover finds the job, launchd's process of it, the gateway's process below
// that and all between them; and what the gateway says of itself, if it is that process that says it.
func TestDiscoverGenerations(t *testing.T) {
	t.Parallel()
	speaks := fleet.Standin{CodeSHA: "0badcafe", CodeVersion: "1.2.3", ActiveWork: []standin.Work{{Kind: "cron", Session: "secret", Elapsed: 7}}}
	writes, lies, hangs, garbles := speaks, speaks, speaks, speaks
	writes.Control, lies.Control, hangs.Control, garbles.Control = standin.Off, standin.Lying, standin.Hanging, standin.Garbled
	f := fleet.New(t, fleet.Options{Profiles: []fleet.Profile{
		{Name: fleet.Default, Plist: fleet.Newest, Standin: speaks},
		{Name: "middle", Plist: fleet.Middle, Standin: writes, User: true},
		{Name: "oldest", Plist: fleet.Oldest, Standin: lies},
		{Name: "hangs", Plist: fleet.Middle, Standin: hangs},
		{Name: "garbles", Plist: fleet.Oldest, Standin: garbles},
		{Name: "silent", Plist: fleet.Newest, Standin: bare},
		{Name: "empty", Absent: true},
	}})
	found, err := hermesOf(t, f, hermesgw.Options{}).Discover(t.Context())
	if err != nil || len(found.Others) != 0 || len(found.Warnings) != 0 {
		t.Fatalf("%+v, %v", found, err)
	}
	var order []string
	for _, g := range found.Gateways {
		order = append(order, g.Profile)
		is := f.Gateway(g.Profile)
		if g.Label != is.Label || g.Home != is.Home || g.Target != is.Target || g.Plist != is.Plist || g.Problem != nil ||
			!slices.Equal(g.Domains, []launchd.Domain{is.Target.Domain}) || len(g.Stale) > 0 || g.Foreign != "" || g.Locked || g.ServedBy != "" {
			t.Errorf("%+v", g)
		}
		// From launchd's process to the gateway's, each the parent of the next.
		processes := f.Processes(g.Profile)
		var pids []int
		for _, p := range processes {
			pids = append(pids, p.PID)
		}
		var tree []int
		for _, id := range g.Tree {
			tree = append(tree, id.PID)
			if now, err := proc.Read(id.PID); err != nil || now != id {
				t.Errorf("%v is %v, %v", id, now, err)
			}
		}
		if !slices.Equal(tree, pids) || g.Job.PID != pids[0] || g.Process != g.Tree[len(g.Tree)-1] || g.Process.PID != f.GatewayPID(g.Profile) {
			t.Errorf("%s: job %d, gateway %d, tree %v; the processes are %v", g.Label, g.Job.PID, g.Process.PID, tree, pids)
		}
		switch r := g.Runtime; {
		case g.Profile == "silent":
			if r != nil {
				t.Errorf("%s: %+v", g.Label, r)
			}
		case r == nil || r.PID != g.Process.PID || r.State != "running" || r.CodeSHA != "0badcafe" || r.Version != "1.2.3" ||
			len(r.Work) != 1 || r.Work[0].Kind != "cron" || r.Platforms["telegram"].State != "connected":
			t.Errorf("%s: %+v", g.Label, r)
		case r.Answered != (g.Profile == "default"):
			t.Errorf("%s: by its socket: %t", g.Label, r.Answered)
		}
	}
	if want := []string{"default", "garbles", "hangs", "middle", "oldest", "silent"}; !slices.Equal(order, want) {
		t.Errorf("%q, want %q", order, want)
	}
}
