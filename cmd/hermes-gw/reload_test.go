package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/hermes-gw/hermes-gw/launchd"
)

// reloading is a run of reload in the test's own process: its home is the test's folder, and
// the worker is the built command.
func (s *sim) reloading() *call {
	s.ran([]string{"reload"})
	c := newCall(s.socket)
	c.env.euid = os.Geteuid()
	c.env.home = func(int) (string, error) { return s.dir, nil }
	c.env.executable = func() (string, error) { return built.gw, nil }
	return c
}

// change gives the job's property list another argument.
func (s *sim) change(label, more string) {
	s.t.Helper()
	path := filepath.Join(s.dir, label+".plist")
	p, err := launchd.ReadPlist(path)
	if err != nil {
		s.t.Fatal(err)
	}
	p.ProgramArguments = append(p.ProgramArguments, more)
	if err := p.WriteFile(path); err != nil {
		s.t.Fatal(err)
	}
}

func TestReloadVerb(t *testing.T) {
	s := newSim(t, false, "a")
	old := s.running("a")
	s.change("a", "changed")
	c := s.reloading()
	if code := c.run("reload", "a", "--json"); code != exitOK {
		t.Fatalf("exit %d: %s", code, &c.stderr)
	}
	r := parseJSON(t, c.stdout.Bytes()).Results[0]
	if r.Target != s.domain+"/a" || r.State != "restarted" || *r.OldPID != old || *r.NewPID == old || *r.NewPID != s.running("a") {
		t.Errorf("%s", &c.stdout)
	}
	if code, text, _ := s.ctl("print", s.domain+"/a"); code != 0 || !strings.Contains(text, "\t\tchanged\n") {
		t.Errorf("exit %d, %s", code, text)
	}
	c = s.reloading()
	if code := c.run("reload", s.domain+"/a"); code != exitOK {
		t.Fatalf("exit %d: %s", code, &c.stderr)
	}
	wantContains(t, c.stdout.String(), "restarted "+s.domain+"/a: pid ", " -> ", "with the property list on disk")

	// What is wrong changes nothing.
	pid := s.running("a")
	for args, want := range map[string]struct {
		code int
		text string
	}{
		"reload none": {exitNotThere, "none"},
		"reload a --plist " + s.dir + "/none.plist": {exitFailed, "no such file"},
		"reload":     {exitUsage, "reload needs TARGET|LABEL"},
		"reload a b": {exitUsage, "reload takes one"},
	} {
		c := s.reloading()
		if code := c.run(strings.Fields(args)...); code != want.code {
			t.Errorf("%s: exit %d", args, code)
		}
		wantContains(t, c.oneLine(t), want.text)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "a.plist"), []byte("hello"), 0o644); err != nil {
		t.Fatal(err)
	}
	c = s.reloading()
	if code := c.run("reload", "a"); code != exitFailed {
		t.Errorf("exit %d", code)
	}
	wantContains(t, c.oneLine(t), "nothing was changed", "neither XML nor binary")
	if now := s.running("a"); now != pid {
		t.Errorf("pid %d -> %d", pid, now)
	}
	// Nobody else can read the notes, and nothing is left of the workers.
	for _, dir := range []string{".local/state/hermes-gw", "Library/Application Support/hermes-gw"} {
		if info, err := os.Stat(filepath.Join(s.dir, dir)); err == nil && info.Mode().Perm() != 0o700 {
			t.Errorf("%v", info.Mode())
		}
	}
	if code, text, _ := s.ctl("list"); code != 0 || strings.Contains(text, "hermes-gw.reload") {
		t.Errorf("exit %d, %s", code, text)
	}
}

// The command is killed, at moments all over a reload: it ends loaded and running, by the new
// definition or, if nothing was begun, by the old.
func TestReloadKilled(t *testing.T) {
	s := newSim(t, false, "a")
	home := s.dir
	for n := range 12 {
		s.change("a", fmt.Sprint("change", n))
		p := s.command("reload", s.domain+"/a")
		p.Path, p.Args = mustSelf(t), append([]string{"reload"}, home, s.socket, built.gw, s.domain+"/a")
		p.Env = append(p.Env, launch+"=reload")
		seen := len(s.trace.all())
		p.start()
		if n > 0 { // after the n-th event of the trace
			s.trace.await(t, "an event", seen+n-1, func(event) bool { return true })
		}
		p.signal(syscall.SIGKILL)
		p.end()
		// The worker is gone, if there was one, and the job is there.
		s.settled("a")
	}
	for _, e := range s.trace.all() {
		if e.Ev == "request" && e.Routine == 801 && e.Label == "" {
			t.Errorf("%+v", e)
		}
	}
}

// settled waits until no worker is loaded and the job runs.
func (s *sim) settled(label string) {
	s.t.Helper()
	for {
		before := len(s.trace.all()) // what comes after this may not be in the list yet
		code, text, stderr := s.ctl("list")
		if code != 0 {
			s.t.Fatal(stderr)
		}
		lines := strings.Split(text, "\n")
		worker := slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, "hermes-gw.reload.") })
		runs := slices.ContainsFunc(lines, func(l string) bool { return strings.HasSuffix(l, "\t"+label) && !strings.HasPrefix(l, "-") })
		if runs && !worker {
			return
		}
		s.trace.await(s.t, "the end of the reload: "+text, before, func(e event) bool { return e.Ev == "state" })
	}
}

func mustSelf(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return self
}

// reloadAs is the command's reload with a home that is not the account's.
func reloadAs(home, socket, worker, target string) int {
	env := systemEnv()
	env.home = func(int) (string, error) { return home, nil }
	env.executable = func() (string, error) { return worker, nil }
	return run(context.Background(), env, []string{"--launchd", "unix:" + socket, "reload", target}, os.Stdout, os.Stderr)
}
