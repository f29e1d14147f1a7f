package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
	"github.com/hermes-gw/hermes-gw/internal/embedtest/standin"
	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/launchd/launchdtest"
)

// What the command says, and its exit code, in the states of a job and in the ways of a shutdown that
// hermes.md section 5, groups E and F, has: each names the job, the state, and what to do.
func TestWords(t *testing.T) {
	t.Parallel()
	abroad := t.TempDir()
	crash := &standin.Exit{After: 30 * time.Millisecond, Code: 1}
	work := []standin.Work{{Kind: "cron", Session: "secret-session", Elapsed: 600}}
	f := fleet.New(t, fleet.Options{TimeScale: 0.05, Profiles: []fleet.Profile{
		{Name: fleet.Default},
		{Name: "stubborn", Plist: fleet.Oldest, Standin: fleet.Standin{IgnoreTERM: true}},
		{Name: "endless", Standin: fleet.Standin{DrainForever: true, ActiveWork: work}},
		{Name: "forced", Standin: fleet.Standin{DrainForever: true, ActiveWork: work}},
		{Name: "drains"},
		{Name: "parks"},
		{Name: "flaps", Plist: fleet.Middle, Keys: map[string]any{"ThrottleInterval": 2}},
		{Name: "off", Unloaded: true},
		{Name: "absent", Unloaded: true},
		{Name: "gone"},
		{Name: "manual", Absent: true, Unloaded: true},
		{Name: "stale"},
		{Name: "twice", Standin: fleet.Standin{NoLock: true}},
		{Name: "background", User: true},
		{Name: "idle", NoWait: true, Standin: fleet.Standin{Exit: &standin.Exit{Code: standin.ExitConfig}}},
		{Name: "heldback", Keys: map[string]any{"ThrottleInterval": 100000}, Standin: fleet.Standin{Exit: crash}, NoWait: true},
		{Name: "abroad", Plist: fleet.Middle, NoWait: true, Keys: map[string]any{
			"ProgramArguments":     []string{"/bin/sleep", "1000"},
			"EnvironmentVariables": map[string]string{"HERMES_HOME": abroad}}},
	}})
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(f.Client.SetEnabled(ctx, f.Gateway("off").Target, false))
	must(os.Remove(f.Gateway("gone").Plist))
	f.Manual("manual", fleet.Orphan)
	f.SetKeys("stale", map[string]any{"ThrottleInterval": 77})
	must(f.Client.Bootstrap(ctx, launchd.User(f.UID), f.Gateway("twice").Plist))
	f.Wait(0, launchdtest.Became("not running", f.Gateway("idle").Label))
	f.Wait(0, launchdtest.Became("spawn scheduled", f.Gateway("heldback").Label))
	f.Behave("parks", fleet.Standin{Exit: &standin.Exit{Code: standin.ExitConfig}, Stderr: []string{"no platform is configured"}})
	f.Behave("flaps", fleet.Standin{Exit: &standin.Exit{Code: 1}, Stderr: []string{"it crashed"}})
	f.Behave("idle", fleet.Standin{})
	f.Behave("heldback", fleet.Standin{})

	for _, test := range []struct {
		trap   string
		args   string
		code   int
		state  string   // in JSON; the same command with --json and --force
		stdout string   // is in it
		stderr []string // are in it; nil: there is nothing
	}{
		{"34", "restart -p stubborn", exitOK, "restarted", "restarted gui/UID/ai.hermes.gateway-stubborn: pid ", []string{"killed by SIGKILL", "exit timeout"}},
		{"37", "restart -p drains --graceful", exitOK, "restarted", "by graceful", nil},
		{"40", "restart -p endless --graceful=300ms", exitNotReady, "not-ready", "", []string{"gui/UID/ai.hermes.gateway-endless", "still at work: cron, for 10m00s", "--force-after"}},
		{"40", "restart -p forced --graceful --force-after 300ms", exitOK, "restarted", "restarted gui/UID/ai.hermes.gateway-forced", []string{""}},
		{"43", "restart -p parks --wait ready", exitNotReady, "parked", "", []string{"ai.hermes.gateway-parks", "log: ", "no platform is configured"}},
		{"44", "restart -p flaps --wait ready --timeout 30s", exitNotReady, "flapping", "", []string{"ai.hermes.gateway-flaps", "log: ", "it crashed"}},
		{"48", "restart -p off", exitNotThere, "disabled", "", []string{"disabled", "hermes-gw ctl enable gui/UID/ai.hermes.gateway-off"}},
		{"49", "restart -p absent", exitNotThere, "not-loaded", "", []string{"hermes-gw start ai.hermes.gateway-absent", "--bootstrap"}},
		{"50", "restart -p gone", exitOK, "restarted", "restarted gui/UID/ai.hermes.gateway-gone", []string{"ai.hermes.gateway-gone.plist is gone", "next login"}},
		{"51", "restart -p manual", exitNotThere, "not-loaded", "", []string{"ai.hermes.gateway-manual", "no property list", "hermes gateway install"}},
		{"52", "restart -p stale", exitOK, "restarted", "restarted gui/UID/ai.hermes.gateway-stale", []string{"has changed since it was loaded (ThrottleInterval)", "hermes-gw reload gui/UID/ai.hermes.gateway-stale"}},
		{"53", "restart -p twice", exitRefused, "ambiguous-domain", "", []string{"gui/UID/ai.hermes.gateway-twice", "user/UID/ai.hermes.gateway-twice"}},
		{"53", "restart user/UID/ai.hermes.gateway-twice", exitOK, "restarted", "restarted user/UID/ai.hermes.gateway-twice", nil},
		{"54", "restart -p background", exitOK, "restarted", "restarted user/UID/ai.hermes.gateway-background", nil},
		{"56", "restart system/org.example.none", exitNotThere, "not-loaded", "", []string{"system/org.example.none", "check the label and the domain"}},
		{"57", "restart -p heldback", exitOK, "started", "started gui/UID/ai.hermes.gateway-heldback: pid ", nil},
		{"58", "restart -p idle", exitOK, "started", "started gui/UID/ai.hermes.gateway-idle: pid ", nil},
		{"63", "restart -p abroad", exitRefused, "foreign", "", []string{"ai.hermes.gateway-abroad", "belongs to another installation", "HERMES_HOME"}},
		{"65", "restart -p Bad/Name", exitNotThere, "not-loaded", "", []string{"Bad/Name"}},
		{"49", "restart -p absent --bootstrap", exitOK, "started", "started gui/UID/ai.hermes.gateway-absent: pid ", nil},
	} {
		uid := strings.NewReplacer("UID", itoa(f.UID))
		args := strings.Fields(uid.Replace(test.args))
		o := f.Command(args...)
		if o.Code != test.code {
			t.Errorf("trap %s: %s: exit code %d, want %d: %s%s", test.trap, test.args, o.Code, test.code, o.Stdout, o.Stderr)
		}
		if test.stdout == "" && o.Stdout != "" || !strings.Contains(o.Stdout, uid.Replace(test.stdout)) {
			t.Errorf("trap %s: %s: stdout %q", test.trap, test.args, o.Stdout)
		}
		if test.stderr == nil && o.Stderr != "" {
			t.Errorf("trap %s: %s: stderr %q", test.trap, test.args, o.Stderr)
		}
		for _, words := range test.stderr {
			if !strings.Contains(o.Stderr, uid.Replace(words)) {
				t.Errorf("trap %s: %s: %q is not in %q", test.trap, test.args, words, o.Stderr)
			}
		}
		if strings.Contains(o.Stdout+o.Stderr, "secret-session") {
			t.Errorf("trap 73: %q", o.Stdout+o.Stderr)
		}
		if test.code == exitOK {
			continue // it is another state now
		}
		o = f.Command(append(args, "--json", "--force")...)
		var p parsed
		if err := json.Unmarshal([]byte(o.Stdout), &p); err != nil || len(p.Results) != 1 {
			t.Errorf("trap %s: %v: %s", test.trap, err, o.Stdout)
			continue
		}
		if r := p.Results[0]; r.State != test.state || p.ExitCode != test.code || r.Error == nil || r.Error.Message == "" {
			t.Errorf("trap %s: %s: state %s: %+v", test.trap, test.args, r.State, r.Error)
		}
	}
}
