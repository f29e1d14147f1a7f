package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
)

// Whatever is wrong with its surroundings (trap 71), the restart happens, its exit code says so, and
// what could not be done is told where somebody can read it.
func TestRestartInAdverseSurroundings(t *testing.T) {
	t.Parallel()
	f := fleet.New(t, fleet.Options{Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Oldest}}})
	fleet.NeedsShell(t)
	gw := f.Prepare("x").Args
	const restart = "hermes-gw restart -p work --force"
	for _, test := range []struct {
		name, line     string
		stdout, stderr string // are in it; "-": nothing is
		set            func(*exec.Cmd)
	}{
		{name: "a full disk", line: restart + " >/dev/full", stdout: "-", stderr: "the report could not be written: no space left on device"},
		{name: "a full disk, JSON", line: restart + " --json >/dev/full", stdout: "-", stderr: "no space left on device"},
		{name: "a full disk for everything", line: restart + " >/dev/full 2>/dev/full", stdout: "-", stderr: "-"},
		{name: "files must not grow", line: "ulimit -f 0; " + restart, stdout: "restarted ", stderr: "It could not be noted that it is restarted"},
		{name: "files must not grow, nor the report", line: "ulimit -f 0; " + restart + " >report", stdout: "-", stderr: "the report could not be written: file too large"},
		{name: "stdout is closed", line: restart + " >&-", stdout: "-", stderr: ""},
		{name: "everything is closed", line: restart + " <&- >&- 2>&-", stdout: "-", stderr: "-"},
		{name: "nobody reads", line: restart + " | true; sleep 0", stdout: "-"},
		{name: "no terminal", line: restart, stdout: "restarted ", stderr: "-", set: func(cmd *exec.Cmd) {
			cmd.SysProcAttr.Setsid = true
		}},
		{name: "no HOME", line: "unset HOME; " + restart, stdout: "restarted ", stderr: "-"},
		{name: "HOME is elsewhere", line: "HOME=/nonexistent " + restart, stdout: "restarted ", stderr: "-"},
		{name: "no PATH", line: "unset PATH; " + gw[len(gw)-2] + " restart -p work --force", stdout: "restarted ", stderr: "-"},
		{name: "next to nothing", line: "exec env -i HERMES_GW_LAUNCHD=\"$HERMES_GW_LAUNCHD\" " + gw[len(gw)-2] + " restart -p work --force", stdout: "restarted ", stderr: "-"},
		{name: "no folder for locks", line: "HERMES_GW_STATE_DIR=/dev/null/x " + restart, stdout: "restarted ", stderr: "No lock could be taken"},
		{name: "few descriptors", line: "ulimit -n 16; " + restart, stdout: "restarted ", stderr: ""},
		{name: "the folder it is run in is gone", line: "mkdir gone && cd gone && rmdir ../gone && " + restart, stdout: "restarted ", stderr: "-"},
	} {
		t.Run(test.name, func(t *testing.T) {
			old := f.Running("work", 0)
			cmd := typed(t, f, test.line)
			if test.set != nil {
				if cmd.SysProcAttr == nil {
					cmd.SysProcAttr = &syscall.SysProcAttr{}
				}
				test.set(cmd)
			}
			o := f.Run(cmd)
			f.Running("work", old.PID)
			f.Gone(old)
			if o.Code != 0 {
				t.Errorf("exit code %d", o.Code)
			}
			for _, out := range []struct{ got, want string }{{o.Stdout, test.stdout}, {o.Stderr, test.stderr}} {
				if out.want == "-" && out.got != "" || out.want != "-" && !strings.Contains(out.got, out.want) {
					t.Errorf("%q, want %q", out.got, out.want)
				}
			}
		})
	}
	t.Run("a home that can only be read", func(t *testing.T) {
		if os.Geteuid() != 0 {
			t.Skip("only root can mount a folder once more, read-only")
		}
		old := f.Running("work", 0)
		cmd := typed(t, f, "unset HERMES_GW_STATE_DIR; mount --bind '"+f.AccountHome+"' '"+f.AccountHome+"' && mount -o remount,ro,bind '"+f.AccountHome+"' && ! touch '"+f.AccountHome+"/x' 2>/dev/null && exec hermes-gw restart -p work --force --json")
		o := f.Run(cmd)
		if o.Code == 32 || o.Code == 1 && strings.Contains(o.Stderr, "mount:") {
			t.Skip("this system lets no test mount anything: ", o.Stderr)
		}
		f.Running("work", old.PID)
		var p parsed
		if err := json.Unmarshal([]byte(o.Stdout), &p); err != nil || o.Code != 0 || p.Results[0].State != "restarted" {
			t.Fatalf("%v: %+v", err, o)
		}
		if list := strings.Join(p.Results[0].Warnings, " "); !strings.Contains(list, "read-only file system") {
			t.Errorf("warnings: %s", list)
		}
	})
}

// A caller without a home folder: what is named is restarted.
func TestNoHome(t *testing.T) {
	f := newFake(t, oneJob().answers)
	c := newCall(f.path)
	if code := c.run("restart", jobLabel); code != exitOK || c.stderr.Len() > 0 {
		t.Errorf("exit code %d: %s", code, &c.stderr)
	}
	c = newCall(f.path)
	if code := c.run("restart"); code != exitUsage {
		t.Errorf("exit code %d", code)
	}
	wantContains(t, c.oneLine(t), "home folder of user 501 is not known", envHome)
}
