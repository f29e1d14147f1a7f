package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/sweep"
)

// stray starts a process that looks like a gateway and waits: this test binary, as the
// command it becomes would take any arguments for its own.
func stray(t *testing.T, argv ...string) int {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := &exec.Cmd{Path: self, Args: argv, Env: append(os.Environ(), launch+"=waiting")}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Process.Kill()
		cmd.Wait()
	})
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid
}

// belowVar has the argv of the processes that a waiting one has below it, the nearest first.
const belowVar = "HERMES_GW_TEST_BELOW"

// waitAbove starts the next process of belowVar and waits for it, if there is one: it does
// not return then.
func waitAbove() {
	var below [][]string
	if json.Unmarshal([]byte(os.Getenv(belowVar)), &below) != nil || len(below) == 0 {
		return
	}
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	rest, err := json.Marshal(below[1:])
	if err != nil {
		panic(err)
	}
	os.Setenv(belowVar, string(rest))
	cmd := &exec.Cmd{Path: self, Args: below[0], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// A job in the newest form: a shell that waits, the wrapper, a shell, the gateway. The table has
// the gateway, the tree its wrapper as well, and the job is that of all of them.
func TestPSOfAWrappedJob(t *testing.T) {
	s := newSim(t, false)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	below, err := json.Marshal([][]string{{"python3", "-m", "hermes_cli.stderr_timestamp", "--", "hermes", "-p", "new", "gateway", "run"}, {"sh"}, {"hermes", "-p", "new", "gateway", "run"}})
	if err != nil {
		t.Fatal(err)
	}
	p := &launchd.Plist{Label: "ai.hermes.gateway-new", Program: self, ProgramArguments: []string{"sh"}, RunAtLoad: true,
		EnvironmentVariables: map[string]string{launch: "waiting", belowVar: string(below), "HERMES_GW_TEST_STARTED": filepath.Join(s.dir, "starts")}}
	path := filepath.Join(s.dir, "ai.hermes.gateway-new.plist")
	if err := p.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := s.ctl("bootstrap", s.domain, path); code != 0 {
		t.Fatal(stderr)
	}
	var gateway int
	s.starts.await(t, "the gateway", 0, func(pid int) bool { gateway = pid; return true })
	lines := func(args ...string) (found []string) {
		ps := s.command(args...)
		if code := ps.start().end(); code != exitOK {
			t.Fatalf("exit %d: %s", code, &ps.stderr)
		}
		for _, line := range strings.Split(ps.stdout.String(), "\n") {
			if strings.Contains(line, s.domain+"/ai.hermes.gateway-new") {
				found = append(found, line)
			}
		}
		return found
	}
	if got := lines("ps"); len(got) != 1 || !strings.HasPrefix(got[0], fmt.Sprint(gateway, " ")) || !strings.Contains(got[0], " new ") {
		t.Errorf("%q", got)
	}
	if got := lines("ps", "--tree"); len(got) != 2 || !strings.Contains(got[0], " wrapper ") || !strings.HasPrefix(got[1], fmt.Sprint("└ ", gateway, " ")) {
		t.Errorf("%q", got)
	}
}

type psLine struct {
	PID     int
	Kind    string
	Profile string
	Managed *bool
	Target  string
	Label   string
	AgeS    *float64 `json:"age_s"`
	Argv    []string
}

func psJSON(t *testing.T, b []byte) (rows []psLine) {
	t.Helper()
	var doc struct{ Results []psLine }
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	return doc.Results
}

// Gateways that launchd manages and such that it does not, with secrets that are not shown.
func TestPS(t *testing.T) {
	s := newSim(t, false)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// A job whose process is a gateway by its arguments: Program is what runs.
	p := &launchd.Plist{Label: "ai.hermes.gateway-ops", Program: self, ProgramArguments: []string{"hermes", "-p", "ops", "gateway", "run", "--token", "hunter2hunter2"},
		EnvironmentVariables: map[string]string{launch: "waiting", "HERMES_GW_TEST_STARTED": filepath.Join(s.dir, "starts")}, RunAtLoad: true, KeepAlive: &launchd.KeepAlive{Always: true}}
	path := filepath.Join(s.dir, "ai.hermes.gateway-ops.plist")
	if err := p.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := s.ctl("bootstrap", s.domain, path); code != 0 {
		t.Fatal(stderr)
	}
	s.starts.await(t, "the job", 0, func(int) bool { return true })
	job := s.running("ai.hermes.gateway-ops")
	manual := stray(t, "/usr/bin/python3", "-m", "hermes_cli.main", "gateway", "run")

	ps := s.command("ps", "--json")
	if code := ps.start().end(); code != exitOK || ps.stderr.Len() > 0 {
		t.Fatalf("exit %d: %s", code, &ps.stderr)
	}
	rows := psJSON(t, ps.stdout.Bytes())
	find := func(pid int) psLine {
		i := slices.IndexFunc(rows, func(r psLine) bool { return r.PID == pid })
		if i < 0 {
			t.Fatalf("no process %d in %s", pid, &ps.stdout)
		}
		return rows[i]
	}
	if r := find(job); r.Kind != "gateway" || r.Profile != "ops" || r.Managed == nil || !*r.Managed || r.Target != s.domain+"/ai.hermes.gateway-ops" || r.Label != "ai.hermes.gateway-ops" || !slices.Contains(r.Argv, "***") || r.AgeS == nil {
		t.Errorf("%+v", r)
	}
	if r := find(manual); r.Kind != "gateway" || r.Profile != "" || r.Managed == nil || *r.Managed || r.Target != "" {
		t.Errorf("%+v", r)
	}
	if strings.Contains(ps.stdout.String(), "hunter2") {
		t.Error("a secret is shown")
	}
	for _, args := range [][]string{{"ps"}, {"ps", "--tree"}} {
		ps := s.command(args...)
		if code := ps.start().end(); code != exitOK {
			t.Fatalf("exit %d: %s", code, &ps.stderr)
		}
		text := ps.stdout.String()
		wantContains(t, text, "PID", "PROFILE", "MANAGED BY", "manual", s.domain+"/ai.hermes.gateway-ops", "hermes_cli.main gateway run", "--token ***")
		if strings.Contains(text, "hunter2") {
			t.Error("a secret is shown")
		}
	}

	// Without a launchd the processes are there, and who started them is not known.
	c := newCall(filepath.Join(s.dir, "none"))
	c.env.euid = os.Geteuid()
	if code := c.run("ps", "--json"); code != exitOK {
		t.Errorf("exit %d: %s", code, &c.stderr)
	}
	wantContains(t, c.oneLine(t), "launchd was not asked")
	rows = psJSON(t, c.stdout.Bytes())
	if r := find(manual); r.Managed != nil {
		t.Errorf("%+v", r)
	}
	c = newCall("")
	if code := c.run("ps", "--launchd", "nonsense"); code != exitUsage {
		t.Errorf("exit %d: %s", code, &c.stderr)
	}
	c = newCall(filepath.Join(s.dir, "none")) // a user without any
	if code := c.run("ps", "--uid", "54321"); code != exitNotThere || !strings.Contains(c.stdout.String(), "54321 has no process") {
		t.Errorf("exit %d: %s", code, &c.stdout)
	}
}

// What a person starts from Terminal is below a job of launchd's, and manual all the same.
func TestPSFromTerminal(t *testing.T) {
	pid := stray(t, "hermes", "gateway", "run")
	var table sweep.Table
	if err := table.Read(t.Context(), -1); err != nil {
		t.Fatal(err)
	}
	for label, want := range map[string]string{"application.com.apple.Terminal.1.2": "manual", "com.example.mine": "gui/501/com.example.mine"} {
		rows := psRows(&table, uint32(os.Geteuid()), map[int]launchd.Target{os.Getpid(): {Domain: launchd.GUI(501), Label: label}}, true)
		i := slices.IndexFunc(rows, func(r psRow) bool { return r.pid == pid })
		if i < 0 || rows[i].managed() != want {
			t.Errorf("%s: %+v, want %s", label, rows, want)
		}
	}
}

// A tree stands as such, whatever the parents are.
func TestPSTree(t *testing.T) {
	row := func(pid, under int) psRow {
		return psRow{pid: pid, under: under, match: sweep.Match{Kind: sweep.KindGateway}, argv: []string{"hermes"}, age: time.Hour, known: true}
	}
	rows := inTree([]psRow{row(30, 20), row(20, 10), row(10, 0), row(15, 0), row(40, 10), row(7, 0)})
	var got []string
	for _, r := range rows {
		got = append(got, fmt.Sprintf("%d@%d", r.pid, r.depth))
	}
	if want := []string{"7@0", "10@0", "20@1", "30@2", "40@1", "15@0"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	want := "PID     PROFILE  KIND     AGE    MANAGED BY  COMMAND\n" +
		"7       default  gateway  1h00m  manual      hermes\n" +
		"10      default  gateway  1h00m  manual      hermes\n" +
		"└ 20    default  gateway  1h00m  manual      hermes\n" +
		"  └ 30  default  gateway  1h00m  manual      hermes\n" +
		"└ 40    default  gateway  1h00m  manual      hermes\n" +
		"15      default  gateway  1h00m  manual      hermes\n"
	if text := psTable(rows, true); text != want {
		t.Errorf("%s\nwant\n%s", text, want)
	}
	// The wrappers of gateways are part of the tree only.
	wrapper, alone := row(10, 0), row(12, 0)
	wrapper.match.Kind, alone.match.Kind = sweep.KindWrapper, sweep.KindWrapper
	rows = inTree([]psRow{wrapper, row(20, 10), alone})
	for tree, want := range map[bool][]string{true: {"10", "└ 20", "12"}, false: {"20", "12"}} {
		var got []string
		for _, line := range strings.Split(strings.TrimSpace(psTable(rows, tree)), "\n")[1:] {
			got = append(got, strings.TrimSpace(strings.Split(line, "  ")[0]))
		}
		if !slices.Equal(got, want) {
			t.Errorf("tree %v: %q, want %q", tree, got, want)
		}
	}
	if rows := inTree([]psRow{row(5, 6), row(6, 5)}); len(rows) != 2 { // a cycle ends, and hides nothing
		t.Errorf("%v", rows)
	}
	for d, want := range map[time.Duration]string{0: "0s", 59 * time.Second: "59s", 61 * time.Second: "1m01s", 25 * time.Hour: "1d01h"} {
		if got := age(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}
