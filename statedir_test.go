package hermesgw_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
	"github.com/hermes-gw/hermes-gw/launchd"
)

// The folder of the locks cannot be used, for every reason that there is: the gateway is restarted
// all the same, and the report says what could not be done.
func TestStateFolderUnusable(t *testing.T) {
	t.Parallel()
	root := os.Geteuid() == 0
	for name, one := range map[string]struct {
		spoil func(t *testing.T, f *fleet.Fleet)
		// through runs the command in surroundings that a mount or a limit makes.
		through string
		says    string
	}{
		"a file is in its place": {
			spoil: func(t *testing.T, f *fleet.Fleet) { write(t, f.StateDir, "x", 0o600) }, says: "not a folder"},
		"a file is above it": {
			spoil: func(t *testing.T, f *fleet.Fleet) {
				f.StateDir = filepath.Join(f.Dir, "file", "state")
				write(t, filepath.Dir(f.StateDir), "x", 0o600)
			}, says: "not a directory"},
		"a link is in its place": {
			spoil: func(t *testing.T, f *fleet.Fleet) { must(t, os.Symlink(f.Dir, f.StateDir)) }, says: "not a folder"},
		"others can write there": {
			spoil: func(t *testing.T, f *fleet.Fleet) { must(t, os.Mkdir(f.StateDir, 0o700), os.Chmod(f.StateDir, 0o770)) }, says: "chmod 0700"},
		"another user's": {
			spoil: func(t *testing.T, f *fleet.Fleet) {
				if !root {
					t.Skip("only root can give a folder to another user")
				}
				must(t, os.Mkdir(f.StateDir, 0o700), os.Chown(f.StateDir, 65534, 65534))
			}, says: "belongs to another user"},
		"the lock is a folder": {
			spoil: func(t *testing.T, f *fleet.Fleet) {
				must(t, os.MkdirAll(flightPath(f, f.Gateway("work").Target), 0o700), os.Chmod(f.StateDir, 0o700))
			}, says: "is a directory"},
		"the lock is a link to somebody's file": {
			spoil: func(t *testing.T, f *fleet.Fleet) {
				must(t, os.Mkdir(f.StateDir, 0o700))
				write(t, filepath.Join(f.Dir, "precious"), "precious", 0o600)
				must(t, os.Symlink(filepath.Join(f.Dir, "precious"), flightPath(f, f.Gateway("work").Target)))
			}, says: "too many levels of symbolic links"},
		"a home that is only read": {
			spoil: func(t *testing.T, f *fleet.Fleet) {
				if !root {
					must(t, os.Mkdir(f.StateDir, 0o500))
					f.StateDir = filepath.Join(f.StateDir, "state")
					return
				}
				must(t, os.Mkdir(f.StateDir, 0o700))
				f.StateDir = filepath.Join(f.StateDir, "state")
			},
			through: `mount -t tmpfs -o ro none "${1%/*}"`, says: ""},
		"a full disk": {
			spoil:   func(t *testing.T, f *fleet.Fleet) { must(t, os.Mkdir(f.StateDir, 0o700)) },
			through: `mount -t tmpfs -o size=4k,mode=700 none "$1"; echo >"$1/full"`, says: "no space left"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := fleet.New(t, fleet.Options{Outside: true, Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Oldest}}})
			one.spoil(t, f)
			cmd := f.Prepare("restart", "-p", "work", "--json")
			if one.through != "" {
				fleet.NeedsShell(t)
				namespace(t, cmd, one.through, f.StateDir)
			}
			m := f.Mark()
			p := readJSON(t, f.Run(cmd), nil).shows(t, 0, "restarted")
			once(t, f, m, "work")
			if warnings := fmt.Sprint(p.results()[0]["warnings"]); !strings.Contains(warnings, one.says) || warnings == "[]" {
				t.Errorf("%q is not in %s", one.says, warnings)
			}
			if text, err := os.ReadFile(filepath.Join(f.Dir, "precious")); err == nil && string(text) != "precious" {
				t.Errorf("the link was followed: %q", text)
			}
			f.NeverUnloaded(m)
		})
	}
}

// namespace runs a shell's command before the command, as the same process and, if it mounts
// something, for it alone.
func namespace(t *testing.T, cmd *exec.Cmd, shell string, argument string) {
	t.Helper()
	args := []string{"/bin/sh", "-ec", shell + `; shift; exec "$@"`, "sh", argument}
	if strings.Contains(shell, "mount ") {
		if os.Geteuid() == 0 {
			args = append([]string{"unshare", "--mount"}, args...)
		} else {
			args = append([]string{"unshare", "--user", "--map-current-user", "--mount"}, args...)
		}
	}
	path, err := exec.LookPath(args[0])
	if err != nil {
		t.Skip("this system has no ", args[0])
	}
	if text, err := exec.Command(path, append(args[1:len(args):len(args)], "/bin/true")...).CombinedOutput(); err != nil {
		t.Skipf("%q: %v: %s", args, err, text)
	}
	cmd.Path, cmd.Args = path, append(append(args, cmd.Path), cmd.Args[1:]...)
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(text), mode))
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// A reload where the home is only read says which folder it needs and which variable names another, and
// with that it works: neither the command nor the worker writes anything in the home.
func TestReloadInAReadOnlyHome(t *testing.T) {
	t.Parallel()
	f := fleet.New(t, fleet.Options{Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Oldest}}})
	work := f.Gateway("work")
	old := f.Up("work", 0)
	reload := func(stateDir string) answer {
		cmd := f.Prepare("reload", work.Target.String(), "--json")
		cmd.Env = append(cmd.Env, "HERMES_GW_STATE_DIR="+stateDir)
		i := slices.Index(cmd.Args, "reload") - 1 // of the command, behind what gives it the account
		shell := []string{"/bin/sh", "-ec", `mount --bind "$1" "$1"; mount -o remount,ro,bind "$1"; shift; exec "$@"`, "sh", f.AccountHome}
		cmd.Args = slices.Insert(cmd.Args, i, shell...)
		return parsed(t, f.Run(cmd))
	}
	f.Prepare()
	fleet.NeedsShell(t)
	if err := exec.Command("unshare", "--mount", "true").Run(); err != nil {
		t.Skip("this system lets no test mount anything: ", err)
	}
	mark := f.Mark()
	a := reload("")
	unmoved(t, f, mark)
	folder := filepath.Join(f.AccountHome, ".local", "state", "hermes-gw")
	says(t, a.of(t, f, "work"), launchd.OutcomeFailed, "cannot be kept in "+folder, "read-only file system", "HERMES_GW_STATE_DIR")
	if a.Code != 1 {
		t.Errorf("%s%s", a.Stdout, a.Stderr)
	}
	must(t, os.MkdirAll(f.StateDir, 0o700))
	before := f.Snapshot()
	a = reload(f.StateDir)
	if r := a.of(t, f, "work"); a.Code != 0 || r.State != launchd.OutcomeRestarted {
		t.Errorf("%s%s", a.Stdout, a.Stderr)
	}
	f.Up("work", old.PID)
	before.OnlyRead()
	if _, err := os.Lstat(folder); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s: %v", folder, err)
	}
}
