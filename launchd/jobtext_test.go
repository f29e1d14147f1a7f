package launchd

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

// jobText is a text in the order and form of launchd-protocol.md 6.2 and 6.3.
const jobText = `gui/501/ai.hermes.gateway = {
	active count = 1
	path = /Users/u/Library/LaunchAgents/ai.hermes.gateway.plist
	type = LaunchAgent
	state = running

	program = /bin/sh
	arguments = {
		/bin/sh
		-c
		exec hermes gateway run
	}

	working directory = /Users/u
	environment = {
		PATH => /usr/bin:/bin
		state => nonsense
	}

	domain = gui/501 [100017]
	minimum runtime = 10
	base minimum runtime = 11
	exit timeout = 5
	runs = 3
	pid = 1486
	immediate reason = speculative
	forks = 3
	last exit code = (never exited)

	resource coalition = {
		ID = 700
		type = resource
		state = active
		pid = 1
	}

	properties = keepalive | runatload | inferred program
}
`

func ptr[T any](v T) *T { return &v }

var target = Target{GUI(501), "ai.hermes.gateway"}

// parse reads a text about t, and says whether it is to be trusted about the pid.
func parse(t Target, text string) (Job, bool) {
	j, err := ParsePrint(text)
	if err == nil || errors.Is(err, ErrContradiction) {
		j.Target = t
	}
	return j, err == nil
}

func parseServices(text string) ([]ListEntry, error) {
	info, err := ParseDomain(text)
	return info.Services, err
}

func TestParseJob(t *testing.T) {
	got, sound := parse(target, jobText)
	want := Job{
		Target: target, PID: 1486, State: "running", Type: "LaunchAgent",
		Path: "/Users/u/Library/LaunchAgents/ai.hermes.gateway.plist", Program: "/bin/sh",
		Arguments: []string{"/bin/sh", "-c", "exec hermes gateway run"}, Runs: ptr(3), LastExit: Exit{Kind: ExitNever},
		MinimumRuntime: ptr(10 * time.Second), ExitTimeout: ptr(5 * time.Second), KeepAlive: ptr(true), RunAtLoad: ptr(true), Reason: "speculative",
		Environment: map[string]string{"PATH": "/usr/bin:/bin", "state": "nonsense"},
	}
	if !sound || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v, %v\nwant %+v", got, sound, want)
	}
}

func TestParseJobAbsentIsNotZero(t *testing.T) {
	got, sound := parse(target, "com.wazuh.agent = {\n\tstate = not running\n\tlast terminating signal = Terminated: 15\n\texit timeout = 0\n\truns = many\n}\n")
	want := Job{Target: target, State: "not running", LastExit: Exit{Kind: ExitSignaled, Signal: 15}, ExitTimeout: ptr(time.Duration(0))}
	if !sound || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v, %v\nwant %+v", got, sound, want)
	}
	for _, text := range []string{"", "}", "x = {", "x = {\n", "x = {\n\tstate = running\n", "x\n}", "\tx = {\n}", " = {\n}", "a/b = {\n}"} {
		if j, err := ParsePrint(text); !errors.Is(err, errNotPrinted) || !reflect.DeepEqual(j, Job{}) {
			t.Errorf("%q: %+v, %v", text, j, err)
		}
	}
	if j, err := ParsePrint("x = {\n}"); err != nil || !reflect.DeepEqual(j, Job{Target: Target{Label: "x"}}) {
		t.Errorf("%+v, %v", j, err)
	}
}

func TestParseJobForged(t *testing.T) {
	for name, c := range map[string]struct {
		old, new string
		sound    bool
		check    func(Job) bool
	}{
		"pid twice":             {"run\n\t}", "run\n\t}\n\tpid = 1\n\t}", false, func(j Job) bool { return j.PID == 0 }},
		"state twice":           {"run\n\t}", "run\n\tstate = not running\n\t}", false, func(j Job) bool { return j.PID == 0 && j.State == "" }},
		"exit timeout twice":    {"run\n\t}", "run\n\texit timeout = 86400\n\t}", true, func(j Job) bool { return j.ExitTimeout == nil && j.PID == 1486 }},
		"pid while not running": {"state = running", "state = not running", false, func(j Job) bool { return j.PID == 0 }},
		"pid too large":         {"pid = 1486", "pid = 4294967296", true, func(j Job) bool { return j.PID == 0 }},
		"pid negative":          {"pid = 1486", "pid = -1", true, func(j Job) bool { return j.PID == 0 }},
		"block without end":     {"run\n\t}", "run", true, func(j Job) bool { return j.PID == 1486 }},
	} {
		text := strings.Replace(jobText, c.old, c.new, 1)
		if text == jobText {
			t.Fatalf("%s: nothing replaced", name)
		}
		j, sound := parse(target, text)
		if sound != c.sound || !c.check(j) {
			t.Errorf("%s: sound %v, %+v", name, sound, j)
		}
	}
}

const domainText = `gui/501 = {
	type = login
	handle = 100017
	security context = {
		uid = 501
		asid = 100017
	}

	services = {
		     887      - 	net.jwpconsulting.postgresql
		       0     78 	com.example.broken
		       0     -9 	com.example.killed
		       0      0 	com.example.clean-exit
		    4242   (pe) 	com.example.helperd
		       0   (jt) 	com.example.constructiond
		   97811      - 	application.com.apple.RemoteDesktop.53958277.53958923
		       -      0 	with a space
	}

	unmanaged processes = {
		       1      0 	not.a.job
	}

	disabled services = {
		"com.apple.rcd" => disabled
	}

	properties = gui | gui login
}
`

func TestParseServices(t *testing.T) {
	got, err := parseServices(domainText)
	want := []ListEntry{
		{"net.jwpconsulting.postgresql", 887, Exit{Kind: ExitNever}},
		{"com.example.broken", 0, Exit{Kind: ExitCode, Code: 78}},
		{"com.example.killed", 0, Exit{Kind: ExitSignaled, Signal: 9}},
		{"com.example.clean-exit", 0, Exit{Kind: ExitCode}},
		{"com.example.helperd", 4242, Exit{Words: "(pe)"}},
		{"com.example.constructiond", 0, Exit{Words: "(jt)"}},
		{"application.com.apple.RemoteDesktop.53958277.53958923", 97811, Exit{Kind: ExitNever}},
		{"with a space", 0, Exit{Kind: ExitCode}},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
	}
}

func TestParseServicesNone(t *testing.T) {
	for name, text := range map[string]string{
		"absent": "user/501 = {\n\ttype = user\n\tendpoints = {\n\t\t1 0 \tx\n\t}\n}\n",
		"empty":  "user/501 = {\n\tservices = {\n\t}\n}\n",
	} {
		if got, err := parseServices(text); err != nil || len(got) != 0 {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// A list that may be too short must never pass for a whole one.
func TestParseServicesBroken(t *testing.T) {
	for i := range len(domainText) - 2 { // the last newline may be missing
		if got, err := parseServices(domainText[:i]); err == nil {
			t.Fatalf("cut off at byte %d: %+v", i, got)
		}
	}
	for _, row := range []string{
		"\t\tx      - \tlabel", "\t\t-2      - \tlabel", "\t\t99999999999      - \tlabel", "\t\t1 \tlabel",
		"\t\t1 0 label", "\t\t1 0 \t", "\t1 0 \tlabel", "label", "\t\t\tlabel",
	} {
		text := "gui/501 = {\n\tservices = {\n" + row + "\n\t}\n}\n"
		if got, err := parseServices(text); err == nil {
			t.Errorf("row %q: %+v", row, got)
		}
	}
}

func TestExitStatus(t *testing.T) {
	for raw, want := range map[int64]Exit{
		0: {Kind: ExitCode}, 15: {Kind: ExitSignaled, Signal: 15}, 0x86: {Kind: ExitSignaled, Signal: 6},
		3840: {Kind: ExitCode, Code: 15}, 0xff00: {Kind: ExitCode, Code: 255},
		0x7f: {Words: "?"}, 0x7fff: {Words: "?"}, -1: {Words: "?"}, 1 << 40: {Words: "?"},
	} {
		if got := exitStatus(raw); got != want {
			t.Errorf("%#x: %+v", raw, got)
		}
	}
}
