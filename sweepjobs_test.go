package hermesgw_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	hermesgw "github.com/hermes-gw/hermes-gw"
	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
	"github.com/hermes-gw/hermes-gw/internal/embedtest/standin"
	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/launchd/launchdtest"
	"github.com/hermes-gw/hermes-gw/sweep"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// Trap 18: of a job, the process that launchd names and all below it are launchd's: before its
// restart and after it.
func TestTrap18Descendants(t *testing.T) {
	t.Parallel()
	f := fleet.New(t, fleet.Options{Outside: outside, Process: true, Profiles: []fleet.Profile{
		{Name: fleet.Default, Plist: fleet.Newest}, {Name: "work", Plist: fleet.Middle}, {Name: "ops", Plist: fleet.Oldest},
	}})
	mark := f.Mark()
	old := map[string]int{}
	for _, g := range f.Gateways() {
		old[g.Profile] = f.GatewayPID(g.Profile)
	}
	stray := strayOf(f, "work", fleet.Python("work"))
	a := ask(t, f, "restart", "--all", "--wait", "ready")
	if a.Code != 0 {
		t.Fatalf("%+v", a)
	}
	f.Gone(stray)
	for _, g := range f.Gateways() {
		now := f.Running(g.Profile, old[g.Profile])
		if n := f.Spawns(g.Profile, mark); n != 1 {
			t.Errorf("%s was started %d times:\n%s", g.Label, n, f.TraceText(mark))
		}
		// What came up is known to the sweep, and not for signalling.
		outcome, reason := a.swept(now.PID)
		if outcome != string(sweep.Spared) || !strings.Contains(reason, g.Label) {
			t.Errorf("the new gateway of %s: %q, %q", g.Label, outcome, reason)
		}
		for _, p := range f.Processes(g.Profile) {
			if slices.ContainsFunc(p.Events(), func(e standin.Event) bool { return e.Kind == standin.Signal }) {
				t.Errorf("the new %s of %s got a signal: %+v", p.Role, g.Label, p.Events())
			}
		}
	}
	// A restart of one does nothing about the others, and sweeps nothing.
	stray = strayOf(f, "work", fleet.Python("work"))
	mark = f.Mark()
	if a := ask(t, f, "restart", "--profile", "ops"); a.Code != 0 || len(a.Results) != 1 || a.Sweep != nil {
		t.Fatalf("%+v", a)
	}
	alive(t, stray)
	for _, e := range f.Trace(mark) {
		if e.Label != "" && e.Label != f.Gateway("ops").Label {
			t.Errorf("%s", e)
		}
	}
	f.NeverUnloaded(0)
}

// Trap 19: a job of an older label scheme, one with a dot, one of another installation, one of
// an unknown label: what belongs to it is launchd's, whether or not the job is one to restart.
func TestTrap19UnknownJobs(t *testing.T) {
	t.Parallel()
	f := fleet.New(t, fleet.Options{Outside: outside, Profiles: []fleet.Profile{
		{Name: fleet.Default, Plist: fleet.Oldest},
		{Name: "work", Plist: fleet.Middle, Label: "ai.hermes.gateway-0badcafe"}, // a hash from before
		{Name: "ops", Plist: fleet.Newest, Label: "ai.hermes.gateway.ops"},
		{Name: "old", Plist: fleet.Oldest, Label: "com.hermes.gateway.old"}, // from before the rename
	}})
	python, gui := f.Program("python3"), launchd.GUI(f.UID)
	run := []string{python, "-m", "hermes_cli.main", "gateway", "run"}
	f.Behave(fleet.Default, bare)
	runner := f.Submit(gui, "org.example.runner", f.Root, nil, run...)
	wrapped := f.Submit(gui, "org.example.wrapper", f.Root, nil,
		append([]string{python, "-m", "hermes_cli.stderr_timestamp", "--error-log", filepath.Join(f.Dir, "log"), "--"}, run...)...)
	inside := f.ChildOf(wrapped)
	f.Behave(fleet.Default, fleet.Standin{})
	serve := f.Submit(gui, "ai.hermes.serve", f.Root, map[string]any{
		"EnvironmentVariables": map[string]string{"HERMES_HOME": f.Root, standin.EnvTag: "ai.hermes.serve", standin.EnvSit: "1"},
	}, f.Program("hermes"), "serve")
	their := f.Submit(gui, "ai.hermes.gateway-their", filepath.Join(f.Dir, "their"), nil, run...)
	stray := strayOf(f, fleet.Default, fleet.Orphan)

	mark := f.Mark()
	a := ask(t, f, "restart", "--all", "--wait", "ready")
	if a.Code != 0 || len(a.Results) != 4 {
		t.Errorf("%+v", a)
	}
	for _, g := range f.Gateways() {
		if r := a.of(t, f, g.Profile); r.State != launchd.OutcomeRestarted || r.Profile != g.Profile || f.Spawns(g.Profile, mark) != 1 {
			t.Errorf("%+v\n%s", r, f.TraceText(mark))
		}
	}
	f.Gone(stray)
	alive(t, runner, wrapped, inside, serve, their)
	for _, p := range []*fleet.Process{runner, wrapped, inside, serve, their} {
		if slices.ContainsFunc(p.Events(), func(e standin.Event) bool { return e.Kind == standin.Signal }) {
			t.Errorf("%q got a signal: %+v", p.Argv, p.Events())
		}
		if outcome, reason := a.swept(p.PID); outcome != "" && (outcome != string(sweep.Spared) || !strings.Contains(reason, "org.example.") && !strings.Contains(reason, "ai.hermes.gateway-their")) {
			t.Errorf("%q: %s, %s", p.Argv, outcome, reason)
		}
	}
	for _, e := range f.Trace(mark) {
		if e.Kind == launchdtest.Request && !asks(e.Routine) && e.Routine != 702 {
			t.Errorf("%s", e)
		}
	}
	f.NeverUnloaded(mark)
}

// Trap 20: a job that Hermes submits to reload a gateway's, GATEWAY.reload.PID.EPOCH, is neither
// restarted nor swept, though its shell is about to run a gateway.
func TestTrap20TransientJob(t *testing.T) {
	t.Parallel()
	f := fleet.New(t, fleet.Options{Outside: outside, Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Oldest}}})
	f.Behave("work", bare)
	label := fmt.Sprintf("%s.reload.%d.%d", f.Gateway("work").Label, 4711, time.Now().Unix())
	helper := f.Submit(launchd.GUI(f.UID), label, f.Gateway("work").Home, nil, f.Program("hermes"), "-p", "work", "gateway", "run")
	f.Behave("work", fleet.Standin{})
	f.Wait(0, launchdtest.Became("running", label)) // its start is noted a moment after it is there
	mark := f.Mark()
	a := ask(t, f, "restart", "--all")
	if a.Code != 0 || len(a.Results) != 1 || a.of(t, f, "work").State != launchd.OutcomeRestarted {
		t.Errorf("%+v", a)
	}
	alive(t, helper)
	if outcome, reason := a.swept(helper.PID); outcome != string(sweep.Spared) || !strings.Contains(reason, label) {
		t.Errorf("%q, %q", outcome, reason)
	}
	for _, e := range f.Trace(mark) {
		if e.Label == label && (e.Kind != launchdtest.Request || !asks(e.Routine)) && e.Kind != launchdtest.Reply {
			t.Errorf("%s", e)
		}
	}
	found, err := hermesOf(t, f, hermesgw.Options{}).Discover(t.Context())
	if err != nil || len(found.Gateways) != 1 || len(found.Others) != 0 {
		t.Errorf("%+v, %v", found, err)
	}
}

// Trap 21: the jobs cannot be listed: then nobody knows what launchd manages, and nothing is
// swept. The jobs themselves are restarted where they are known by name.
func TestTrap21NoList(t *testing.T) {
	t.Parallel()
	f := fleet.New(t, fleet.Options{Outside: outside, Profiles: []fleet.Profile{{Name: fleet.Default, Plist: fleet.Oldest}, {Name: "work", Plist: fleet.Oldest}}})
	stray := strayOf(f, "work", fleet.Plain)
	f.Prepare() // the test, not one of its parts, is skipped where there can be no command
	refused := func(t *testing.T, a answer, restarted bool) {
		t.Helper()
		if a.Code == 0 || restarted && (a.Sweep == nil || a.Sweep.Error == nil) {
			t.Errorf("%+v", a)
		}
		if len(a.Results) == 2 != restarted {
			t.Errorf("%d results: %s%s", len(a.Results), a.Stdout, a.Stderr)
		}
		for _, r := range a.Results {
			if r.State != launchd.OutcomeRestarted {
				t.Errorf("%+v", r)
			}
		}
		alive(t, stray)
	}
	for _, c := range []struct {
		name      string
		faults    []launchdtest.Fault
		restarted bool
	}{
		{"refused", []launchdtest.Fault{{Kind: launchdtest.Fail, Routine: 828, Code: xpc.EPERM}}, true},
		{"of one domain only", []launchdtest.Fault{{Kind: launchdtest.Fail, Routine: 828, Domain: launchd.User(f.UID), Code: xpc.NotEntitled}}, true},
		{"no answer", []launchdtest.Fault{{Kind: launchdtest.Hangup, Routine: 828}}, false},
		{"no message", []launchdtest.Fault{{Kind: launchdtest.Garbage, Routine: 828}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			f.Launchd.SetFaults(c.faults...)
			defer f.Launchd.SetFaults()
			refused(t, ask(t, f, "restart", "--all", "--force"), c.restarted)
		})
	}
	// Each of the lists in turn: before the restarts, to find what is to be restarted, before the
	// process table is read, after it.
	stops := map[string][]int64{}
	for _, d := range []launchd.Domain{launchd.GUI(f.UID), launchd.User(f.UID), launchd.System()} {
		for n := int64(1); ; n++ {
			failing := &failingList{domain: d, at: n}
			client, err := launchd.Open(t.Context(), launchd.Options{Address: f.Address(), Wrap: func(inner xpc.Transport) xpc.Transport {
				failing.Transport = inner
				return failing
			}})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			if !stray.Alive() {
				stray = strayOf(f, "work", fleet.Plain)
			}
			h := hermesgw.New(hermesOf(t, f, hermesgw.Options{}).Install(), client, hermesgw.Options{})
			report, err := h.Restart(t.Context(), hermesgw.RestartOptions{Select: hermesgw.Selection{All: true}})
			if err != nil || len(report.Results) != 2 || report.Sweep == nil {
				t.Fatalf("list %d of %s: %+v, %v", n, d, report, err)
			}
			for _, r := range report.Results {
				if r.Outcome != launchd.OutcomeRestarted {
					t.Errorf("list %d of %s: %+v", n, d, r)
				}
			}
			all := failing.lists.Load() < n
			switch {
			case report.Sweep.Err != nil:
				stops[d.String()] = append(stops[d.String()], n)
				alive(t, stray)
				if report.OK() || !errors.Is(report.Sweep.Err, fs.ErrPermission) {
					t.Errorf("list %d of %s: %+v", n, d, report.Sweep)
				}
			default:
				f.Gone(stray)
				if d != launchd.System() && !all && len(report.Warnings) == 0 {
					t.Errorf("list %d of %s was refused, and nobody says so: %+v", n, d, report)
				}
			}
			if all { // each was refused once
				break
			}
		}
	}
	// The second is the one that finds what is to be restarted. The system's may be refused.
	want := map[string][]int64{launchd.GUI(f.UID).String(): {1, 3, 4}, launchd.User(f.UID).String(): {1, 3, 4}}
	if !reflect.DeepEqual(stops, want) {
		t.Errorf("these lists stop a sweep: %v, want %v", stops, want)
	}
	f.NeverUnloaded(0)
}

// failingList refuses one of the lists of a domain.
type failingList struct {
	xpc.Transport
	domain launchd.Domain
	at     int64
	lists  atomic.Int64
}

func (l *failingList) Call(ctx context.Context, routine uint64, msg xpc.Dict) (xpc.Dict, error) {
	kinds := map[uint64]string{1: "system", 2: "user", 8: "gui"}
	kind, _ := msg["type"].(uint64)
	if of, _, _ := strings.Cut(l.domain.String(), "/"); routine != 828 || of != kinds[kind] || l.lists.Add(1) != l.at {
		return l.Transport.Call(ctx, routine, msg)
	}
	return nil, xpc.EPERM
}
