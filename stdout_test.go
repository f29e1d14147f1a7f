package hermesgw_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
	"github.com/hermes-gw/hermes-gw/launchd/launchdtest"
)

// Trap 71: nobody reads what the command writes, or there is no terminal: it restarts all the same,
// and exits with 0.
func TestTrap71NobodyReads(t *testing.T) {
	t.Parallel()
	f := fleet.New(t, fleet.Options{Outside: true, Profiles: []fleet.Profile{
		{Name: "work", Plist: fleet.Oldest, Standin: fleet.Standin{Teardown: 30 * time.Millisecond}}, {Name: "other", Plist: fleet.Middle}}})
	pipe := func() (r, w *os.File) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close(); w.Close() })
		return r, w
	}
	closed := func() *os.File {
		r, w := pipe()
		r.Close()
		return w
	}
	open := func(t *testing.T, path string) *os.File {
		file, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Skip(err)
		}
		t.Cleanup(func() { file.Close() })
		return file
	}
	shell := func(t *testing.T, cmd *exec.Cmd, script string) {
		fleet.NeedsShell(t)
		cmd.Path, cmd.Args = "/bin/sh", append([]string{"/bin/sh", "-c", script, "sh", cmd.Path}, cmd.Args[1:]...)
	}
	var gone *os.File // the end of a pipe that is closed while the command works
	for name, one := range map[string]struct {
		prepare func(*testing.T, *exec.Cmd)
		while   func(*underWay)
	}{
		"no reader":                   {prepare: func(t *testing.T, cmd *exec.Cmd) { cmd.Stdout, cmd.Stderr = closed(), closed() }},
		"a full disk":                 {prepare: func(t *testing.T, cmd *exec.Cmd) { cmd.Stdout, cmd.Stderr = open(t, "/dev/full"), open(t, "/dev/full") }},
		"the reader goes":             {prepare: func(t *testing.T, cmd *exec.Cmd) { gone, cmd.Stdout = pipe(); cmd.Stderr = cmd.Stdout }, while: func(*underWay) { gone.Close() }},
		"all closed":                  {prepare: func(t *testing.T, cmd *exec.Cmd) { shell(t, cmd, `exec "$@" <&- >&- 2>&-`) }},
		"SIGPIPE":                     {while: func(u *underWay) { u.signal(syscall.SIGPIPE) }},
		"no terminal, its own leader": {prepare: func(t *testing.T, cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }},
		"SIGHUP ignored, as by nohup": {prepare: func(t *testing.T, cmd *exec.Cmd) { shell(t, cmd, `trap "" HUP; exec "$@" >&- 2>&-`) }, while: func(u *underWay) { u.signal(syscall.SIGHUP) }},
		"stdin is not for reading":    {prepare: func(t *testing.T, cmd *exec.Cmd) { cmd.Stdin = closed() }},
	} {
		for _, format := range []string{"", "--json"} {
			t.Run(strings.TrimSpace(name+" "+format), func(t *testing.T) {
				m := f.Mark()
				cmd := f.Prepare(strings.Fields("restart --all --force " + format)...)
				if one.prepare != nil {
					one.prepare(t, cmd)
				}
				u := start(t, cmd)
				f.Wait(m, about(kickstart, f.Gateway("work").Label))
				if one.while != nil {
					one.while(u)
				}
				if o := u.end(); o.Code != 0 {
					t.Errorf("exit code %d: %s%s", o.Code, o.Stdout, o.Stderr)
				}
				once(t, f, m, "work")
				once(t, f, m, "other")
			})
		}
	}
	f.NeverUnloaded(f.Loaded())
	f.AllRunning()
}

// A caller inside the job writes its report before the request that ends it. That nobody reads it
// keeps the request from nothing.
func TestTrap71InsideAndNobodyReads(t *testing.T) {
	t.Parallel()
	fleet.NeedsShell(t)
	for name, to := range map[string]string{"no reader": "| :", "closed": ">&- 2>&-", "a full disk": ">/dev/full 2>&1"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := fleet.New(t, fleet.Options{Outside: true, Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Oldest, Unloaded: true}}})
			g := f.Gateway("work")
			environment := map[string]string{}
			for _, pair := range f.Prepare().Env {
				key, value, _ := strings.Cut(pair, "=")
				environment[key] = value
			}
			environment["HERMES_HOME"] = g.Home
			first := filepath.Join(f.Dir, "first")
			// The pipe's reader has ended before anything is written.
			script := fmt.Sprintf(`if mkdir %s; then { sleep 0.1; %s restart %s --json; } %s; fi; exec sleep 1000`, first, f.Prepare().Path, g.Label, to)
			f.SetKeys("work", map[string]any{"ProgramArguments": []string{"/bin/sh", "-c", script}, "EnvironmentVariables": environment})
			f.Load("work")
			again := f.Wait(0, launchdtest.Is(launchdtest.Spawn, g.Label))
			f.Wait(again.Next, launchdtest.Is(launchdtest.Spawn, g.Label))
			if n := count(f, 0, kickstart, "work"); n != 1 {
				t.Errorf("%d requests", n)
			}
		})
	}
}
