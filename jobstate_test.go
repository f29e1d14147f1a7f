package hermesgw_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
	"github.com/hermes-gw/hermes-gw/internal/embedtest/standin"
	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/launchd/launchdtest"
	"github.com/hermes-gw/hermes-gw/sweep"
)

// kicked are the labels that were sent a restart since m; no other request that changes
// anything came.
func kicked(t *testing.T, f *fleet.Fleet, m launchdtest.Mark) (labels []string) {
	t.Helper()
	for _, e := range f.Requests(m) {
		switch {
		case e.Routine == 702:
			labels = append(labels, e.Domain+"/"+e.Label)
		case !asks(e.Routine):
			t.Errorf("%s", e)
		}
	}
	slices.Sort(labels)
	return labels
}

// oddJobs is a fleet with a job in each state that is not the usual one: traps 48 to 54, 58, 63.
func oddJobs(t *testing.T) (f *fleet.Fleet, foreign string) {
	t.Helper()
	once := map[string]any{"KeepAlive": nil}
	idle := map[string]any{"KeepAlive": nil, "RunAtLoad": false}
	f = fleet.New(t, fleet.Options{Profiles: []fleet.Profile{
		{Name: fleet.Default, Plist: fleet.Oldest},
		{Name: "disabled", Plist: fleet.Middle, Unloaded: true},
		{Name: "disabled-runs", Plist: fleet.Oldest},
		{Name: "unloaded", Plist: fleet.Oldest, Unloaded: true},
		{Name: "manual", Absent: true},
		{Name: "plist-gone", Plist: fleet.Middle},
		{Name: "stale", Plist: fleet.Oldest},
		{Name: "both", Plist: fleet.Oldest, Standin: bare},
		{Name: "user", Plist: fleet.Middle, User: true},
		{Name: "their", Plist: fleet.Oldest, Unloaded: true},
		{Name: "never", Plist: fleet.Oldest, Keys: idle, NoWait: true},
		{Name: "failed", Plist: fleet.Oldest, Keys: once, NoWait: true, Standin: fleet.Standin{Exit: &standin.Exit{Code: 1}}},
	}})
	ctx := t.Context()
	for _, profile := range []string{"disabled", "disabled-runs"} {
		if err := f.Client.SetEnabled(ctx, f.Gateway(profile).Target, false); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(f.Gateway("plist-gone").Plist); err != nil {
		t.Fatal(err)
	}
	f.SetKeys("stale", map[string]any{"ExitTimeOut": 31, "ThrottleInterval": 11})
	first := f.GatewayPID("both")
	if err := f.Client.Bootstrap(ctx, launchd.User(f.UID), f.Gateway("both").Plist); err != nil {
		t.Fatal(err)
	}
	f.Up("both", first)
	foreign = filepath.Join(f.Dir, "foreign")
	g := f.Gateway("their")
	f.Submit(launchd.GUI(f.UID), g.Label, foreign, nil, f.Program("python3"), "-m", "hermes_cli.main", "gateway", "run")
	f.Wait(0, launchdtest.Is(launchdtest.Exit, f.Gateway("failed").Label))
	f.Behave("failed", fleet.Standin{})
	return f, foreign
}

// Traps 48 to 54, 58 and 63, all at once: what can be restarted is, by one request, whatever is wrong
// with the others; those are touched in no way.
func TestTraps48To63All(t *testing.T) {
	t.Parallel()
	f, foreign := oddJobs(t)
	manual := older(f.Manual("manual", fleet.Orphan)) // its files name it
	user, gui := launchd.User(f.UID).String(), launchd.GUI(f.UID).String()
	old := map[string]int{}
	for _, g := range f.Gateways() {
		old[g.Profile] = f.GatewayPID(g.Profile)
	}
	mark := f.Mark()
	a := ask(t, f, "restart", "--all")
	if a.Code != 3 {
		t.Errorf("exit %d: %s", a.Code, a.Stderr)
	}
	want := []string{}
	for _, profile := range []string{fleet.Default, "disabled-runs", "plist-gone", "stale", "never", "failed"} {
		want = append(want, gui+"/"+f.Gateway(profile).Label)
	}
	want = append(want, user+"/"+f.Gateway("user").Label)
	slices.Sort(want)
	if got := kicked(t, f, mark); !slices.Equal(got, want) {
		t.Errorf("requests for\n%q, want\n%q", got, want)
	}
	says(t, a.of(t, f, fleet.Default), launchd.OutcomeRestarted)
	says(t, a.of(t, f, "disabled"), launchd.OutcomeDisabled, "enable")
	says(t, a.of(t, f, "disabled-runs"), launchd.OutcomeRestarted, "disabled")
	says(t, a.of(t, f, "unloaded"), launchd.OutcomeNotLoaded, "hermes-gw start "+f.Gateway("unloaded").Label, "--bootstrap")
	says(t, a.of(t, f, "plist-gone"), launchd.OutcomeRestarted, f.Gateway("plist-gone").Plist, "gone")
	says(t, a.of(t, f, "stale"), launchd.OutcomeRestarted, f.Gateway("stale").Plist, "ThrottleInterval", "reload")
	says(t, a.of(t, f, "both"), launchd.OutcomeAmbiguousDomain, gui+"/"+f.Gateway("both").Label, user+"/"+f.Gateway("both").Label)
	says(t, a.of(t, f, "their"), launchd.OutcomeForeign, foreign, f.Root)
	says(t, a.of(t, f, "user"), launchd.OutcomeRestarted)
	for _, profile := range []string{"never", "failed"} {
		r := a.of(t, f, profile)
		says(t, r, launchd.OutcomeStarted)
		if r.OldPID != nil || r.NewPID == nil {
			t.Errorf("%+v", r)
		}
	}
	for _, r := range a.Results {
		if r.Label == f.Gateway("manual").Label {
			t.Errorf("a profile without a job is selected: %+v", r)
		}
	}
	if outcome, reason := a.swept(manual.PID); outcome != string(sweep.Spared) || !strings.Contains(reason, "would take its place") {
		t.Errorf("%q, %q", outcome, reason)
	}
	alive(t, manual)
	for _, profile := range []string{"both", "disabled", "unloaded"} {
		if now := f.GatewayPID(profile); now != old[profile] {
			t.Errorf("%s: process %d, was %d", profile, now, old[profile])
		}
	}
	if files, err := os.ReadDir(foreign); err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, profile := range []string{fleet.Default, "disabled-runs", "plist-gone", "stale", "user", "never", "failed"} {
		f.Up(profile, old[profile])
	}
}

// Each of them alone, by every name that it can have.
func TestTraps48To63One(t *testing.T) {
	t.Parallel()
	f, foreign := oddJobs(t)
	f.Behave("manual", bare)
	manual := older(f.Manual("manual", fleet.Orphan))
	user, gui := launchd.User(f.UID), launchd.GUI(f.UID)
	for _, c := range []struct {
		trap    string
		profile string
		state   launchd.Outcome
		exit    int
		words   []string
		target  bool // by its target, the same
	}{
		{"48", "disabled", launchd.OutcomeDisabled, 5, []string{"enable"}, true},
		{"49", "unloaded", launchd.OutcomeNotLoaded, 5, []string{"hermes-gw start " + f.Gateway("unloaded").Label, "--bootstrap"}, true},
		{"51", "manual", launchd.OutcomeNotLoaded, 5, []string{"no property list", "hermes gateway install"}, true},
		{"53", "both", launchd.OutcomeAmbiguousDomain, 6, []string{gui.String(), user.String()}, false},
		{"63", "their", launchd.OutcomeForeign, 6, []string{foreign, f.Root}, true},
	} {
		names := [][]string{{"-p", c.profile}, {f.Gateway(c.profile).Label}}
		if c.target {
			names = append(names, []string{f.Gateway(c.profile).Target.String()})
		}
		for _, name := range names {
			for _, flags := range [][]string{nil, {"--graceful"}, {"--graceful", "--force-after", "1s"}, {"--wait", "ready"}, {"--dry-run"}} {
				mark := f.Mark()
				a := ask(t, f, slices.Concat([]string{"restart"}, name, flags)...)
				if len(a.Results) != 1 || a.Code != c.exit {
					t.Errorf("trap %s, %q %q: exit %d: %s%s", c.trap, name, flags, a.Code, a.Stdout, a.Stderr)
					continue
				}
				says(t, a.Results[0], c.state, c.words...)
				unmoved(t, f, mark)
			}
		}
	}
	alive(t, manual)
	if got(manual, syscall.SIGTERM) || got(manual, syscall.SIGUSR1) {
		t.Errorf("%+v", manual.Events())
	}

	t.Run("trap 49: --bootstrap", func(t *testing.T) {
		mark := f.Mark()
		a := ask(t, f, "restart", "-p", "unloaded", "--bootstrap")
		now := f.Up("unloaded", 0)
		if r := a.of(t, f, "unloaded"); a.Code != 0 || r.State != launchd.OutcomeStarted || r.NewPID == nil || *r.NewPID != now.PID || r.Method != "bootstrap" || r.OldPID != nil {
			t.Errorf("%s", a.Stdout)
		}
		loads := 0
		for _, e := range f.Requests(mark) {
			if e.Routine == 800 {
				loads++
			}
		}
		if loads != 1 || f.Spawns("unloaded", mark) != 1 {
			t.Errorf("%s", f.TraceText(mark))
		}
		// Never for one that is disabled, foreign or of no property list.
		mark = f.Mark()
		for _, profile := range []string{"disabled", "manual", "their", "both"} {
			if a := ask(t, f, "restart", "-p", profile, "--bootstrap"); a.Code < 5 {
				t.Errorf("%s", a.Stdout)
			}
		}
		unmoved(t, f, mark)
	})
	t.Run("trap 53: told", func(t *testing.T) {
		old, mark := f.GatewayPID("both"), f.Mark()
		target := user.String() + "/" + f.Gateway("both").Label
		a := ask(t, f, "restart", target)
		if got := kicked(t, f, mark); a.Code != 0 || !slices.Equal(got, []string{target}) {
			t.Errorf("%s: %q", a.Stdout, got)
		}
		f.Up("both", old)
	})
	for trap, c := range map[string]struct {
		profile string
		words   []string
	}{
		"50": {"plist-gone", []string{"gone"}}, "52": {"stale", []string{"ThrottleInterval", "reload"}}, "54": {"user", nil},
		"48: it runs": {"disabled-runs", []string{"disabled"}}, "58": {"never", nil},
	} {
		t.Run("trap "+trap, func(t *testing.T) {
			for _, flags := range [][]string{nil, {"--graceful"}} {
				old, mark := f.GatewayPID(c.profile), f.Mark()
				a := ask(t, f, append([]string{"restart", f.Gateway(c.profile).Label, "--force"}, flags...)...)
				state := launchd.OutcomeRestarted
				if old == 0 {
					state = launchd.OutcomeStarted
				}
				says(t, a.of(t, f, c.profile), state, c.words...)
				// launchd may not have noticed the end of a drain at the first request.
				got := slices.Compact(kicked(t, f, mark))
				if len(got) != 1 || got[0] != f.Gateway(c.profile).Target.String() || f.Spawns(c.profile, mark) != 1 {
					t.Errorf("%q\n%s", got, f.TraceText(mark))
				}
				f.Up(c.profile, old)
			}
		})
	}
}
