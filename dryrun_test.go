package hermesgw_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
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
)

// onlyAsks are the routines by which a launchd is asked, and that change nothing
// (launchd-protocol.md section 2): blame, print, attributes, enabled, list, getenv, print domain,
// print overrides.
var onlyAsks = []uint64{707, 708, 712, 811, 815, 820, 828, 809}

// tree is what the files below a folder are, with their times.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		text := fmt.Sprint(info.Mode(), info.ModTime().UnixNano(), info.Sys().(*syscall.Stat_t).Uid)
		if d.Type().IsRegular() {
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text += fmt.Sprintf(" %x", sha256.Sum256(content))
		}
		files[path] = text
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// Trap 72: a dry run sends no signal and no request that changes anything, and writes nothing; its
// JSON lists the plan, with a reason for everything that is left alone.
func TestTrap72DryRun(t *testing.T) {
	t.Parallel()
	elsewhere := map[string]any{"ProgramArguments": []string{"/bin/sleep", "1000"}, "EnvironmentVariables": map[string]string{"HERMES_HOME": "/opt/another/hermes"}}
	f := fleet.New(t, fleet.Options{Profiles: []fleet.Profile{
		{Name: fleet.Default, Plist: fleet.Newest},
		{Name: "work", Plist: fleet.Middle, Standin: fleet.Standin{NoLock: true}},
		{Name: "both", Plist: fleet.Oldest, Standin: fleet.Standin{NoLock: true}},
		{Name: "off", Plist: fleet.Oldest, Unloaded: true},
		{Name: "unloaded", Plist: fleet.Oldest, Unloaded: true},
		{Name: "theirs", Plist: fleet.Oldest, NoWait: true, Keys: elsewhere},
		{Name: "strange", Plist: fleet.Oldest, NoWait: true, Label: "ai.hermes.gateway.strange", Keys: elsewhere},
		{Name: "older", Plist: fleet.Oldest, NoWait: true, Label: "com.hermes.gateway-older", Keys: map[string]any{
			"ProgramArguments": []string{"/bin/sleep", "1000"}, "EnvironmentVariables": nil}},
		{Name: "reloads", Plist: fleet.Oldest, NoWait: true, Label: "ai.hermes.gateway.reload.4711.1760000000", Keys: map[string]any{
			"ProgramArguments": []string{"/bin/sleep", "1000"}}},
	}})
	if err := f.Client.SetEnabled(t.Context(), f.Gateway("off").Target, false); err != nil {
		t.Fatal(err)
	}
	if err := f.Client.Bootstrap(t.Context(), launchd.User(f.UID), f.Gateway("both").Plist); err != nil {
		t.Fatal(err)
	}
	manual := f.Manual("work", fleet.Orphan)
	spared := f.Manual("work", fleet.Shape{Parent: fleet.OfInit, Args: []string{"-p", "work", "gateway", "restart"}})
	for _, p := range []string{"theirs", "strange", "older", "reloads"} {
		f.Wait(0, func(e launchdtest.Event) bool {
			return e.Kind == launchdtest.State && e.Label == f.Gateway(p).Label && e.To == "running"
		})
	}
	eventually(t, "both processes of a label that is loaded twice run", func() bool {
		n := 0
		for _, p := range f.Processes("both") {
			if slices.ContainsFunc(p.Events(), func(e standin.Event) bool { return e.Kind == standin.State && e.State == "running" }) {
				n++
			}
		}
		return n == 2
	})
	f.AllLoaded()

	f.Command("version") // the fleet writes its user database for a command
	before, mark := tree(t, f.Dir), f.Mark()
	for _, args := range [][]string{
		{"--all"}, {"--all", "--graceful", "--force-after=10s", "--wait=ready"}, {"--all", "--bootstrap"}, {"-p", "work", "--graceful"},
		{"-p", "theirs"}, {f.Gateway("older").Label}, {},
	} {
		f.Command(append([]string{"restart", "--dry-run"}, args...)...)
	}
	p := inJSON(t, f, "restart", "--all", "--dry-run")
	for _, e := range f.Trace(mark) {
		switch e.Kind {
		case launchdtest.Request, launchdtest.Reply:
			if !slices.Contains(onlyAsks, e.Routine) {
				t.Errorf("a dry run sent %v", e)
			}
		default:
			t.Errorf("a dry run brought about %v", e)
		}
	}
	for _, g := range f.Gateways() {
		for _, s := range f.SignalsSeen(g.Profile) {
			t.Errorf("a dry run sent %v", s)
		}
	}
	if !manual.Alive() || !spared.Alive() {
		t.Error("a dry run ended a process")
	}
	after := tree(t, f.Dir)
	for _, path := range slices.Sorted(maps.Keys(after)) {
		if path != filepath.Join(f.Dir, "passwd") && before[path] != after[path] && !strings.HasSuffix(path, ".log") && !strings.HasSuffix(path, "/logs") {
			t.Errorf("a dry run changed %s: %q, then %q", path, before[path], after[path])
		}
	}
	for path := range before {
		if after[path] == "" {
			t.Errorf("a dry run removed %s", path)
		}
	}

	states, why := map[string]any{}, map[string]string{}
	for _, r := range p.results() {
		name := fmt.Sprint(r["profile"])
		states[name] = r["state"]
		if problem, ok := r["error"].(map[string]any); ok {
			why[name] = fmt.Sprint(problem["message"])
		}
	}
	want := map[string]any{"default": "planned", "work": "planned", "both": "ambiguous-domain", "off": "disabled", "unloaded": "not-loaded", "theirs": "foreign"}
	if !maps.Equal(states, want) {
		t.Errorf("%v, want %v", states, want)
	}
	for name, words := range map[string]string{"both": "more than one domain", "off": "disabled", "unloaded": "Could not find", "theirs": "/opt/another/hermes"} {
		if !strings.Contains(why[name], words) {
			t.Errorf("%s: %q does not tell of %q", name, why[name], words)
		}
	}
	excluded := map[string]string{}
	for _, e := range p.doc["excluded"].([]any) {
		excluded[fmt.Sprint(e.(map[string]any)["target"])] = fmt.Sprint(e.(map[string]any)["reason"])
	}
	if len(excluded) != 2 || !strings.Contains(excluded[f.Gateway("strange").Target.String()], "/opt/another/hermes") ||
		!strings.Contains(excluded[f.Gateway("older").Target.String()], "not known") {
		t.Errorf("%v", excluded)
	}
	swept := map[int]string{}
	for _, one := range p.doc["sweep"].(map[string]any)["processes"].([]any) {
		one := one.(map[string]any)
		pid, _ := one["pid"].(json.Number).Int64()
		swept[int(pid)] = fmt.Sprint(one["outcome"], ": ", one["reason"])
	}
	if !strings.HasPrefix(swept[manual.PID], "planned: ") || !strings.Contains(swept[spared.PID], "spared: ") {
		t.Errorf("%v", swept)
	}
	for _, profile := range []string{fleet.Default, "work", "both"} { // the jobs' own
		if reason, ok := swept[f.GatewayPID(profile)]; !ok || !strings.HasPrefix(reason, "spared: ") || !strings.Contains(reason, "ai.hermes.gateway") {
			t.Errorf("%s: %q", profile, reason)
		}
	}
	// The plan is what happens then.
	inJSON(t, f, "restart", "--all").shows(t, 3, "restarted", "ambiguous-domain", "disabled", "not-loaded", "restarted", "foreign")
	f.Gone(manual)
	if !spared.Alive() {
		t.Error("what was to be spared was not")
	}
}
