package main

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
	"github.com/hermes-gw/hermes-gw/launchd/launchdtest"
)

// No verb but restart, start, stop, reload, ctl and probe, in no form, sends a request that changes anything, nor does any with --dry-run (trap
// 72), with --help, or with a command line that is not understood. No file of Hermes' is touched, no
// process is signalled, and nothing is written.
func TestOnlyAsks(t *testing.T) {
	t.Parallel()
	f := fleet.New(t, fleet.Options{Profiles: []fleet.Profile{{Name: fleet.Default}, {Name: "work", Plist: fleet.Middle}, {Name: "off", Unloaded: true}}})
	f.Manual("work", fleet.Orphan) // which restart --all would stop, but for --dry-run
	target := f.Gateway("work").Target.String()
	lists := f.AccountHome + "/Library/LaunchAgents"
	forms := []string{
		"", "-h", "--version", "version", "version --json",
		"status", "status --json", "status " + target, "status nobody", "status --uid 4242", "status -h",
		"ps", "ps --tree", "ps --json", "ps --uid 4242",
		"logs", "logs -p work -n 100", "logs " + target + " --json", "logs nobody",
		"doctor", "doctor --json", "lint " + lists, "lint " + lists + " --json --domain gui/501", "lint --rules",
		"completion bash", "completion zsh", "completion fish", "help", "help restart", "help targets", "help nothing",
		"complete -- ", "complete -- restart ", "complete -- restart gui", "complete -- restart -p ", "complete -- stop ai.", "complete -- ctl bootout gui", "complete -- ctl kill 9 gui",
		"restart --dry-run", "restart --all --dry-run", "restart --all --dry-run --json", "restart -p work --dry-run --graceful", "restart -p off --bootstrap --dry-run",
		"restart --all --dry-run --graceful=1s --wait ready --bootstrap --force", "restart --dry-run --graceful --force-after 1ms -p work -v", "restart nobody --dry-run",
		"restart -h", "stop -h", "start -h", "reload -h", "restart --wait raedy " + target, "restart --all " + target, "stop", "stop " + target + " " + target, "start --plist /nonexistent " + target,
		"restart --graceful=-1s " + target, "reload --timeout soon " + target, "stpo " + target,
		"ctl", "ctl help", "ctl list", "ctl list ai.hermes.gateway", "ctl print " + target, "ctl print-disabled user/501", "ctl blame " + target, "ctl getenv PATH", "ctl error 113", "ctl version", "ctl kickstart", "ctl bootuot " + target,
	}
	for _, v := range verbs() {
		used := false
		for _, form := range forms {
			used = used || form == v.name || strings.HasPrefix(form, v.name+" ")
		}
		if !used && v.name != "probe" { // which has a test of its own
			t.Errorf("no form of %s is tried", v.name)
		}
	}
	files := f.Snapshot()
	mark := f.Mark()
	// check fails for what has happened since the last one.
	check := func(form string) {
		t.Helper()
		for _, e := range f.Trace(mark) {
			mark = e.Next
			if e.Kind == launchdtest.Request && !onlyAsks(e.Routine) || e.Kind == launchdtest.Signal || e.Kind == launchdtest.Exit || e.Kind == launchdtest.Spawn {
				t.Errorf("%s: %v", form, e)
			}
		}
	}
	for _, form := range forms {
		args := strings.Split(form, " ")
		if form == "" {
			args = nil
		}
		o := f.Command(args...)
		if o.Code < 0 || strings.Contains(o.Stderr, "goroutine ") {
			t.Errorf("%s: %+v", form, o)
		}
		check(form)
	}
	// What goes on until it is interrupted asks again and again.
	endless := []string{"status --watch", "status --watch --json", "status --watch " + target, "logs -f -p work"}
	var all []*exec.Cmd
	for _, form := range endless {
		cmd := f.Prepare(strings.Split(form, " ")...)
		out := newFlowing()
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		out.until(t, func(s string) bool { return strings.HasSuffix(s, "\n") })
		all = append(all, cmd)
	}
	// Each look asks once whether the job is loaded and enabled.
	for i, cmd := range all {
		for at, looks := mark, 0; looks < 3 && strings.HasPrefix(endless[i], "status"); looks++ {
			at = f.Wait(at, func(e launchdtest.Event) bool {
				return e.Kind == launchdtest.Request && e.Routine == 811 && e.Label == f.Gateway("work").Target.Label &&
					(e.Peer == cmd.Process.Pid || e.Peer == 0) // where that is not known
			}).Next
		}
	}
	for i, cmd := range all {
		cmd.Process.Signal(syscall.SIGINT)
		if cmd.Wait(); cmd.ProcessState.ExitCode() != exitInterrupted {
			t.Errorf("%s: %v", endless[i], cmd.ProcessState)
		}
	}
	check(strings.Join(endless, ", "))
	files.OnlyRead()
	for _, profile := range []string{fleet.Default, "work"} {
		if seen := f.SignalsSeen(profile); len(seen) > 0 {
			t.Errorf("%s: %v", profile, seen)
		}
	}
	if entries, err := os.ReadDir(f.StateDir); err == nil && len(entries) > 0 {
		t.Errorf("written: %v", entries)
	}
	if o := f.Command("restart", "-p", "work"); o.Code != 0 || !slices.ContainsFunc(f.Requests(mark), func(e launchdtest.Event) bool { return !onlyAsks(e.Routine) }) {
		t.Errorf("a restart is not seen in the trace: %+v", o)
	}
}
