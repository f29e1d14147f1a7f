package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/hermes-gw/hermes-gw/internal/probe"
)

// probing is a run of probe in its own process, with the test's folder for a home. What
// the throwaway jobs run is the built command.
func (s *sim) probing(args ...string) *process {
	p := s.command(append([]string{"probe"}, args...)...)
	p.Path, p.Args = mustSelf(s.t), append([]string{"probe", s.dir, built.gw}, p.Args[1:]...)
	p.Env = append(p.Env, launch+"=probe", "HOME="+s.dir, "USER=joanna")
	return p
}

func probeAs(home, job string, args []string) int {
	env := systemEnv()
	env.home = func(int) (string, error) { return home, nil }
	env.executable = func() (string, error) { return job, nil }
	return run(context.Background(), env, args, os.Stdout, os.Stderr)
}

// undone fails the test if anything is left of a probe, in launchd or on disk.
func (s *sim) undone() {
	s.t.Helper()
	if code, text, stderr := s.ctl("list"); code != 0 || strings.Contains(text, "hermes-gw.probe.") {
		s.t.Errorf("exit %d, %s%s", code, text, stderr)
	}
	for _, dir := range []string{".local/state/hermes-gw", "Library/Application Support/hermes-gw"} {
		filepath.WalkDir(filepath.Join(s.dir, dir, "probe"), func(path string, _ fs.DirEntry, err error) error {
			if err == nil {
				s.t.Errorf("left on disk: %s", path)
			}
			return nil
		})
	}
}

// ours fails the test if a probe touched any job but its own.
func (s *sim) ours() {
	s.t.Helper()
	for _, e := range s.trace.all() {
		if e.Ev == "request" && !onlyAsks(e.Routine) && e.Routine != 800 && !strings.HasPrefix(e.Label, "hermes-gw.probe.") {
			s.t.Errorf("a request %d about %q", e.Routine, e.Label)
		}
	}
}

func parseProbe(t *testing.T, out []byte) *probe.Report {
	t.Helper()
	var doc struct {
		Version int
		Command string
		Exit    int `json:"exit_code"`
		Probe   *probe.Report
	}
	if err := json.Unmarshal(out, &doc); err != nil || doc.Version != 1 || doc.Command != "probe" || doc.Probe == nil {
		t.Fatalf("%v: %s", err, out)
	}
	return doc.Probe
}

func TestProbeVerb(t *testing.T) {
	t.Parallel()
	s := newSimWith(t, []string{"--time-scale", "0.1"}, false, "a")
	old := s.running("a")
	p := s.probing()
	if code := p.start().end(); code != exitOK || p.stderr.Len() > 0 {
		t.Fatalf("exit %d: %s%s", code, &p.stderr, &p.stdout)
	}
	wantContains(t, p.stdout.String(), "# hermes-gw probe\n", "- undone: everything\n", "## 1. Does launchd demand an entitlement",
		"entitlement: Yes, for 703, 713;", "unthrottle: Yes: ", "state = running")
	for _, secret := range []string{s.dir, built.gw, "joanna", s.domain + "/"} {
		if strings.Contains(p.stdout.String(), secret) {
			t.Errorf("%s stands in:\n%s", secret, &p.stdout)
		}
	}
	if now := s.running("a"); now != old {
		t.Errorf("another job: %d -> %d", old, now)
	}
	s.undone()
	s.ours()
}

func TestProbeVerbDenied(t *testing.T) {
	t.Parallel()
	denied := []uint64{702, 703, 711, 712, 713, 714, 811, 812, 813, 814}
	s := newSimWith(t, []string{"--time-scale", "0.1", "--deny", strings.Trim(strings.ReplaceAll(fmt.Sprint(denied), " ", ","), "[]")}, false)
	p := s.probing("--json")
	if code := p.start().end(); code != exitOK || p.stderr.Len() > 0 {
		t.Fatalf("exit %d: %s", code, &p.stderr)
	}
	r := parseProbe(t, p.stdout.Bytes())
	for _, a := range r.Questions {
		if a.ID == "entitlement" {
			for _, raw := range a.Raw {
				if raw.Code == nil || *raw.Code != 144 || !slices.Contains(denied, raw.Routine) {
					t.Errorf("%+v", raw)
				}
			}
			if len(a.Raw) < len(denied) {
				t.Errorf("%d requests", len(a.Raw))
			}
		}
		if a.Status == probe.Failed {
			t.Errorf("%+v", a)
		}
	}
	s.undone()
	s.ours()
}

// Interrupted at moments all over: what was asked until then is told, and nothing is left.
func TestProbeSignals(t *testing.T) {
	t.Parallel()
	s := newSimWith(t, []string{"--time-scale", "0.1"}, false)
	signals := []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP}
	for n := range 9 {
		sig := signals[n%len(signals)]
		seen := len(s.trace.all())
		p := s.probing("--json").start()
		s.trace.await(t, "an event", seen+5+12*n, func(event) bool { return true })
		p.signal(sig)
		if code := p.end(); code != 128+int(sig) || p.stderr.Len() > 0 {
			t.Errorf("%v after %d events: exit %d, %s", sig, 5+12*n, code, &p.stderr)
			continue
		}
		r := parseProbe(t, p.stdout.Bytes())
		if last := r.Questions[len(r.Questions)-1]; last.Status != probe.NotAsked || !strings.Contains(last.Verdict, "interrupted") || !r.Clean() {
			t.Errorf("%v after %d events: %+v", sig, 5+12*n, last)
		}
		s.undone()
	}
	s.ours()
}

// Killed at moments all over: the next probe removes what the one before left.
func TestProbeKilled(t *testing.T) {
	t.Parallel()
	s := newSimWith(t, []string{"--time-scale", "0.1"}, false)
	for n := range 8 {
		seen := len(s.trace.all())
		p := s.probing().start()
		s.trace.await(t, "an event", seen+5+17*n, func(event) bool { return true })
		p.signal(syscall.SIGKILL)
		p.end()
	}
	// Until one has left a job. The spawn may be that of one before.
	left := ""
	for left == "" {
		from := len(s.trace.all())
		p := s.probing().start()
		s.trace.await(t, "a job", from, func(e event) bool { return e.Ev == "spawn" })
		p.signal(syscall.SIGKILL)
		p.end()
		code, text, stderr := s.ctl("list")
		if code != 0 {
			t.Fatal(stderr)
		}
		if i := strings.Index(text, "hermes-gw.probe."); i >= 0 {
			left, _, _ = strings.Cut(text[i:], "\n")
		}
	}
	p := s.probing("--json")
	if code := p.start().end(); code != exitOK {
		t.Fatalf("exit %d: %s", code, &p.stderr)
	}
	if r := parseProbe(t, p.stdout.Bytes()); !slices.Contains(r.Removed, left) {
		t.Errorf("%s was left, and %q removed", left, r.Removed)
	}
	s.undone()
	s.ours()
}

func TestProbeUsage(t *testing.T) {
	t.Parallel()
	s := newSim(t, false)
	for args, want := range map[string]struct {
		code int
		text string
	}{
		"x":                            {exitUsage, "probe takes no arguments"},
		"--timeout 0s":                 {exitUsage, "--timeout does not take"},
		"--uid 501":                    {exitUsage, "unknown flag --uid"},
		"--launchd unix:/nonexistent/": {exitFailed, "/nonexistent"},
	} {
		p := s.probing(strings.Fields(args)...)
		if code := p.start().end(); code != want.code || p.stdout.Len() > 0 {
			t.Errorf("%s: exit %d, %s", args, code, &p.stdout)
		}
		wantContains(t, oneLine(t, p.stderr.String()), want.text)
	}
	// A folder that others can write to is not used.
	for _, dir := range []string{".local/state/hermes-gw", "Library/Application Support/hermes-gw"} {
		os.MkdirAll(filepath.Join(s.dir, dir), 0o777)
		os.Chmod(filepath.Join(s.dir, dir), 0o777)
	}
	p := s.probing()
	if code := p.start().end(); code != exitFailed {
		t.Errorf("exit %d", code)
	}
	wantContains(t, oneLine(t, p.stderr.String()), "others can reach it", "chmod 0700")
	for _, e := range s.trace.all() {
		if e.Ev == "request" {
			t.Errorf("%+v was sent", e)
		}
	}
}
