package main

import (
	"bytes"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
	"github.com/hermes-gw/hermes-gw/internal/embedtest/standin"
	"github.com/hermes-gw/hermes-gw/launchd"
)

// busyFleet has a gateway that takes its time and says why.
func busyFleet(t *testing.T) *fleet.Fleet {
	return fleet.New(t, fleet.Options{Outside: true, Profiles: []fleet.Profile{{Name: "work", Standin: fleet.Standin{
		Drain: 3 * time.Second, ActiveWork: []standin.Work{{Kind: "chat", Session: "secret-session", Elapsed: 12}},
	}}}})
}

// On a terminal one line tells who is waited for, how long, and what the gateway is still at; it is
// gone when the report comes. Nothing of what the gateway talks about is in it.
func TestProgressOnATerminal(t *testing.T) {
	t.Parallel()
	f := busyFleet(t)
	cmd := f.Prepare("restart", "-p", "work", "--graceful")
	cmd.Env = append(cmd.Env, "TERM=xterm")
	terminal := f.Terminal(cmd)
	waits := regexp.MustCompile(`\rgui/\d+/ai\.hermes\.gateway-work waits for .*, [1-9] s`)
	work := regexp.MustCompile(`waits for the gateway to finish .*chat.*, \d s`)
	terminal.Shows(0, func(s string) bool { return waits.MatchString(s) && work.MatchString(s) })
	output, code := terminal.End()
	if code != 0 {
		t.Fatalf("exit code %d: %q", code, output)
	}
	line := output[strings.LastIndex(output, "\r  "):]
	if !regexp.MustCompile(`^\r +\rrestarted gui/\d+/ai\.hermes\.gateway-work: pid \d+ -> \d+ in [^\r\n]*\r\n$`).MatchString(line) {
		t.Errorf("the line is not gone: %q", line)
	}
	if strings.Contains(output, "secret-session") || strings.ContainsFunc(output, func(r rune) bool { return r > 0x7e || r == 0x1b }) {
		t.Errorf("%q", output)
	}
}

// A terminal that only prints what it is sent gets a line for each step.
func TestProgressOnADumbTerminal(t *testing.T) {
	t.Parallel()
	f := busyFleet(t)
	cmd := f.Prepare("restart", "-p", "work", "--graceful")
	cmd.Env = append(cmd.Env, "TERM=dumb")
	output, code := f.Terminal(cmd).End()
	lines := strings.Split(strings.TrimSuffix(output, "\r\n"), "\r\n")
	if code != 0 || len(lines) < 5 || !strings.HasPrefix(lines[len(lines)-1], "restarted ") {
		t.Fatalf("exit code %d: %q", code, output)
	}
	for _, l := range lines[:len(lines)-1] {
		if !regexp.MustCompile(`^hermes-gw: [0-9.]+ m?s gui/\d+/ai\.hermes\.gateway-work: \S`).MatchString(l) {
			t.Errorf("%q", l)
		}
	}
	wantContains(t, output, "SIGUSR1", "finish 1 chat", "has exited", "is the job's now")
	if strings.ContainsAny(strings.ReplaceAll(output, "\r\n", ""), "\r\x1b") {
		t.Errorf("%q", output)
	}
}

// A pipe gets nothing, unless it is asked for.
func TestProgressInAPipe(t *testing.T) {
	t.Parallel()
	f := fleet.New(t, fleet.Options{Outside: true, Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Oldest, Standin: fleet.Standin{Teardown: time.Second}}}})
	if o := f.Command("restart", "-p", "work"); o.Code != 0 || o.Stderr != "" || strings.Count(o.Stdout, "\n") != 1 {
		t.Errorf("%+v", o)
	}
	for _, more := range []string{"", "--json"} {
		args := []string{"restart", "-p", "work", "-v"}
		if more != "" {
			args = append(args, more)
		}
		o := f.Command(args...)
		if o.Code != 0 || strings.Count(o.Stdout, "\n") != 1 {
			t.Errorf("%+v", o)
		}
		wantContains(t, o.Stderr, "asks launchd: kickstart", "is the job's now")
	}
}

// The last lines of its log tell why a new process died.
func TestNewProcessDies(t *testing.T) {
	t.Parallel()
	f := fleet.New(t, fleet.Options{Outside: true, TimeScale: 0.05, Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Middle, Keys: map[string]any{"ThrottleInterval": 2}}}})
	f.Behave("work", fleet.Standin{Stderr: []string{"Traceback (most recent call last):", "\x1b[31mKeyError: 'token'", "password=hunter2"}, Exit: &standin.Exit{Code: 1}})
	o := f.Command("restart", "-p", "work", "--wait", "ready", "--timeout", "20s")
	if o.Code != exitNotReady || o.Stdout != "" {
		t.Errorf("%+v", o)
	}
	wantContains(t, o.Stderr, "\n  log: ", "\\x1b[31mKeyError: 'token'", "password=***")
}

// A line is never wider than the window: it could not be taken back.
func TestProgressFitsTheWindow(t *testing.T) {
	for columns, most := range map[int]int{0: 78, 5: 78, 40: 38, 200: 198} {
		var out bytes.Buffer
		p := &progress{w: &out, size: func(io.Writer) (int, int) { return columns, 24 }, jobs: map[string]*waitedFor{}}
		p.put(strings.Repeat("\u00e4", 150))
		if n := len(out.String()) - len("\r"); n > most || n < most-4 {
			t.Errorf("%d columns: a line of %d", columns, n)
		}
		p.put("")
		if out.String()[strings.LastIndex(out.String(), "\r")+1:] != strings.Repeat(" ", len(strings.Split(out.String(), "\r")[1])) {
			t.Errorf("%q", out.String())
		}
	}
}

// What is done is not what is waited for.
func TestProgressText(t *testing.T) {
	target := func(label string) launchd.Target { return launchd.Target{Domain: launchd.GUI(501), Label: label} }
	p := &progress{w: io.Discard, start: time.Now(), jobs: map[string]*waitedFor{}}
	for _, e := range []launchd.Event{
		{Kind: launchd.EventWaiting, Target: target("a"), Detail: "its exit"},
		{Kind: launchd.EventWaiting, Target: target("b"), Detail: "its exit"},
		{Kind: launchd.EventSpawned, Target: target("a"), PID: 5},
	} {
		p.event(e)
	}
	if got := p.text(); got != "1 of 2 done; gui/501/b waits for its exit, 0 s" {
		t.Error(got)
	}
	p.event(launchd.Event{Kind: launchd.EventRequested, Target: target("b"), Detail: "kickstart"})
	if got := p.text(); got != "1 of 2 done; gui/501/b waits for launchd (kickstart), 0 s" {
		t.Error(got)
	}
	p.event(launchd.Event{Kind: launchd.EventSpawned, Target: target("b"), PID: 6})
	if got := p.text(); got != "" {
		t.Error(got)
	}
}
