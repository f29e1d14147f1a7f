package main

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// A label that is loaded in gui and in user (trap 53): each verb that would change a job
// refuses and names both, and nothing is touched; status shows both; a full target works.
func TestAmbiguousLabel(t *testing.T) {
	s := newSim(t, false, "a", "b")
	gui, user := s.domain+"/a", "user/"+strconv.Itoa(os.Getuid())+"/a"
	first := s.running("a")
	if code, _, stderr := s.ctl("bootstrap", strings.TrimSuffix(user, "/a"), s.dir+"/a.plist"); code != 0 {
		t.Fatalf("exit %d, %s", code, stderr)
	}
	second := s.starts.await(t, "the second a", 0, func(pid int) bool { return pid != first && pid != s.running("b") })
	s.trace.await(t, "its spawn", 0, func(e event) bool { return e.Ev == "spawn" && e.PID == second })
	before := len(s.trace.all())
	for _, verb := range []string{"restart a", "start a", "stop a", "reload a"} {
		c := s.reloading()
		if code := c.run(strings.Fields(verb)...); code != exitRefused || c.stdout.Len() > 0 {
			t.Errorf("%s: exit %d, %s", verb, code, &c.stdout)
		}
		wantContains(t, c.oneLine(t), "the label is loaded in more than one domain: "+gui+" and "+user, "say which one you mean")
		c = s.reloading()
		if code := c.run(append(strings.Fields(verb), "--json")...); code != exitRefused {
			t.Errorf("%s: exit %d", verb, code)
		}
		p := parseJSON(t, c.stdout.Bytes())
		if len(p.Results) != 1 || p.Results[0].State != "ambiguous-domain" || p.Results[0].Target != "a" || p.Results[0].Error == nil ||
			p.Results[0].Error.Code != "ambiguous-domain" || p.Results[0].Error.Remedy == "" || p.ExitCode != exitRefused {
			t.Errorf("%s: %s", verb, &c.stdout)
		}
	}
	for _, e := range s.trace.all()[before:] {
		if e.Ev == "request" && !onlyAsks(e.Routine) || e.Ev == "signal" {
			t.Errorf("a refusal did something: %+v", e)
		}
	}

	// Of several the others are carried out.
	old := s.running("b")
	c := s.reloading()
	if code := c.run("restart", "a", "b"); code != exitSome || s.running("b") == old || s.running("a") != first {
		t.Errorf("exit %d, %s%s", code, &c.stdout, &c.stderr)
	}

	c = s.reloading()
	if code := c.run("status", "a"); code != exitOK {
		t.Errorf("exit %d", code)
	}
	wantContains(t, c.stdout.String(), gui+": running, pid "+strconv.Itoa(first), user+": running, pid "+strconv.Itoa(second))
	wantContains(t, c.oneLine(t), "hermes-gw: warning: ", "more than one domain: "+gui+" and "+user)
	c = s.reloading()
	c.run("status", "a", "b", "--json")
	p := parseJSON(t, c.stdout.Bytes())
	if len(p.Results) != 3 || p.Results[0].Target != gui || *p.Results[1].PID != second || p.Results[2].Target != s.domain+"/b" ||
		len(p.Results[0].Warnings) != 1 || len(p.Results[1].Warnings) != 0 {
		t.Errorf("%s", &c.stdout)
	}

	c = s.reloading()
	if code := c.run("stop", user); code != exitOK {
		t.Errorf("exit %d, %s", code, &c.stderr)
	}
	c = s.reloading()
	if code := c.run("restart", "a"); code != exitOK || s.running("a") == first {
		t.Errorf("exit %d, %s", code, &c.stderr)
	}
}
