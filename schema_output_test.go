package hermesgw_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	hermesgw "github.com/hermes-gw/hermes-gw"
	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
	"github.com/hermes-gw/hermes-gw/internal/embedtest/standin"
	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/launchd/launchdtest"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// printed is what the command printed with --json.
type printed struct {
	fleet.Output
	doc map[string]any
}

// inJSON runs the command, holds its output against the schema, and its exit code against
// what the output says.
func inJSON(t *testing.T, f *fleet.Fleet, args ...string) printed {
	t.Helper()
	return readJSON(t, f.Command(append(args, "--json")...), args)
}

func readJSON(t *testing.T, o fleet.Output, args []string) printed {
	t.Helper()
	p := printed{o, conforms(t, o.Stdout)}
	if code, _ := p.doc["exit_code"].(json.Number).Int64(); int(code) != o.Code {
		t.Errorf("%q exits with %d and prints %d", args, o.Code, code)
	}
	return p
}

func (p printed) results() (list []map[string]any) {
	for _, r := range p.doc["results"].([]any) {
		list = append(list, r.(map[string]any))
	}
	return list
}

// laterJSON starts the command, for what takes its time, and returns what waits for its end.
func laterJSON(t *testing.T, f *fleet.Fleet, args ...string) func() printed {
	t.Helper()
	u := start(t, f.Prepare(append(args, "--json")...))
	return func() printed {
		t.Helper()
		return readJSON(t, u.end(), args)
	}
}

// shows fails the test if the exit code and the states of the results are not these.
func (p printed) shows(t *testing.T, code int, states ...string) printed {
	t.Helper()
	var got []string
	for _, r := range p.results() {
		got = append(got, r["state"].(string))
	}
	if p.Code != code || !slices.Equal(got, states) {
		t.Errorf("exit code %d and %q, want %d and %q\n%s%s", p.Code, got, code, states, p.Stdout, p.Stderr)
	}
	return p
}

// errorCode is the word of what kept the command from having results.
func (p printed) errorCode() any {
	problem, _ := p.doc["error"].(map[string]any)
	return problem["code"]
}

// TestJSON runs every verb into every outcome and holds what it prints against the schema, in
// which everything must have been seen in the end. Trap 73: one object, a stable schema.
func TestJSON(t *testing.T) {
	worlds := map[string]func(*testing.T){
		"restart":                    jsonRestart,
		"restart not ready":          jsonNotReady,
		"restart refused by launchd": jsonRefused,
		"from inside":                jsonInside,
		"restart by other ways":      jsonMethods,
		"sweep":                      jsonSweep,
		"one job":                    jsonOneJob,
		"reload":                     jsonReload,
		"ps":                         jsonPS,
		"probe":                      jsonProbe,
		"status":                     jsonStatus,
		"nothing to do with jobs":    jsonOthers,
		"the library":                jsonLibrary,
	}
	var whole atomic.Int32
	t.Run("outcomes", func(t *testing.T) {
		for name, world := range worlds {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				t.Cleanup(func() {
					if !t.Skipped() {
						whole.Add(1)
					}
				})
				world(t)
			})
		}
	})
	if !t.Failed() && int(whole.Load()) == len(worlds) { // else this system, or -run, leaves some out
		theSchema(t).covered(t)
	}
}

// sleeps are the keys of a job that does nothing for another installation.
func sleeps(home string) map[string]any {
	return map[string]any{"ProgramArguments": []string{"/bin/sleep", "1000"}, "EnvironmentVariables": map[string]string{"HERMES_HOME": home}}
}

func jsonRestart(t *testing.T) {
	elsewhere := t.TempDir()
	f := fleet.New(t, fleet.Options{Profiles: []fleet.Profile{
		{Name: fleet.Default, Plist: fleet.Oldest},
		{Name: "work", Plist: fleet.Middle},
		// It has ended well, and launchd leaves it alone.
		{Name: "idle", Plist: fleet.Oldest, NoWait: true, Standin: fleet.Standin{Exit: &standin.Exit{}}},
		{Name: "unloaded", Unloaded: true, Plist: fleet.Oldest},
		{Name: "off", Unloaded: true, Plist: fleet.Oldest},
		{Name: "theirs", Plist: fleet.Oldest, NoWait: true, Keys: sleeps(elsewhere)},
		{Name: "older", Plist: fleet.Oldest, NoWait: true, Label: "com.hermes.gateway", Keys: sleeps(elsewhere)},
	}})
	if err := f.Client.SetEnabled(t.Context(), f.Gateway("off").Target, false); err != nil {
		t.Fatal(err)
	}
	idle := f.Wait(0, launchdtest.Is(launchdtest.Exit, f.Gateway("idle").Label))
	f.Behave("idle", fleet.Standin{})

	inJSON(t, f, "restart", "--dry-run", "--all").shows(t, 3, "planned", "planned", "disabled", "not-loaded", "planned", "foreign")
	inJSON(t, f, "restart", "--dry-run", "--graceful", "--force-after=20s", "-p", "work").shows(t, 0, "planned")
	inJSON(t, f, "restart", "--dry-run", "--bootstrap", "-p", "unloaded").shows(t, 0, "planned")
	theirs := f.JobPID("theirs")
	all := inJSON(t, f, "restart", "--all").shows(t, 3, "restarted", "started", "disabled", "not-loaded", "restarted", "foreign")
	if all.doc["excluded"] == nil || all.doc["sweep"] == nil {
		t.Error(all.Stdout)
	}
	f.Wait(idle.Next, launchdtest.Is(launchdtest.Spawn, f.Gateway("idle").Label))
	if now := f.JobPID("theirs"); now != theirs {
		t.Errorf("another installation's gateway was restarted: %d -> %d", theirs, now)
	}
	inJSON(t, f, "restart", "-p", "theirs").shows(t, 6, "foreign")
	inJSON(t, f, "restart", f.Gateway("off").Label).shows(t, 5, "disabled")
	inJSON(t, f, "restart", f.Gateway("unloaded").Label, "ai.hermes.nothing", "gui/"+fmt.Sprint(f.UID)+"/nothing").shows(t, 5, "not-loaded", "not-loaded", "not-loaded")
	inJSON(t, f, "restart", "-p", "nobody", "-p", "work").shows(t, 3, "not-loaded", "restarted")
	boot := inJSON(t, f, "restart", "--bootstrap", "-p", "unloaded").shows(t, 0, "started")
	if boot.results()[0]["method"] != "bootstrap" {
		t.Error(boot.Stdout)
	}

	f.Behave("work", fleet.Standin{RunDelay: 50 * time.Millisecond, CodeSHA: "0123456789ab"})
	f.Running("work", 0)
	inJSON(t, f, "restart", "-p", "work", "--wait", "ready", "--force").shows(t, 0, "restarted")
	inJSON(t, f, "stop", f.Gateway("unloaded").Label).shows(t, 0, "stopped")
	ready := inJSON(t, f, "restart", "--all", "--wait", "platforms", "--force").shows(t, 3, "restarted", "restarted", "disabled", "not-loaded", "restarted", "foreign")
	if r := ready.results()[4]; r["code_before"] != "0123456789ab" || r["code_after"] != "0123456789ab" || r["new_gateway_pid"] == nil {
		t.Error(ready.Stdout)
	}
	inJSON(t, f, "restart", "-p", "work").shows(t, 6, "refused")
	inJSON(t, f, "restart", "-p", "work", "--dry-run").shows(t, 6, "refused")
}

func jsonNotReady(t *testing.T) {
	at := func(e standin.Exit) fleet.Standin {
		return fleet.Standin{NeverRuns: true, Exit: &e, Stderr: []string{"Traceback (most recent call last):", "token=abcdef0123456789"}}
	}
	f := fleet.New(t, fleet.Options{Outside: true, TimeScale: 0.01, Profiles: []fleet.Profile{
		{Name: "parked", Plist: fleet.Oldest}, {Name: "flapping", Plist: fleet.Oldest}, {Name: "stuck", Plist: fleet.Oldest},
		{Name: "busy", Plist: fleet.Oldest, Standin: fleet.Standin{DrainForever: true, ActiveWork: []standin.Work{{Kind: "cron", Session: "s", Elapsed: 90}}}},
	}})
	f.Behave("parked", at(standin.Exit{After: time.Millisecond}))
	f.Behave("flapping", at(standin.Exit{After: time.Millisecond, Code: 1}))
	f.Behave("stuck", fleet.Standin{NeverRuns: true, Stderr: []string{"waiting"}})
	slow := fleet.New(t, fleet.Options{Outside: true, Profiles: []fleet.Profile{{Name: "slow", Plist: fleet.Oldest}}})
	slow.Behave("slow", at(standin.Exit{After: time.Millisecond, Code: 1}))
	stuck := laterJSON(t, f, "restart", "-p", "stuck", "--wait", "ready", "--timeout", "1s")
	throttled := laterJSON(t, slow, "restart", "-p", "slow", "--wait", "ready", "--timeout", "1s")
	parked := inJSON(t, f, "restart", "-p", "parked", "--wait", "ready").shows(t, 7, "parked")
	if log := fmt.Sprint(parked.results()[0]["log"]); !strings.Contains(log, "Traceback") || strings.Contains(log, "abcdef") {
		t.Error(log)
	}
	inJSON(t, f, "restart", "-p", "flapping", "--wait", "ready").shows(t, 7, "flapping")
	busy := inJSON(t, f, "restart", "-p", "busy", "--graceful=100ms").shows(t, 7, "not-ready")
	if fmt.Sprint(busy.results()[0]["active_work"]) != "[map[elapsed_s:90 kind:cron]]" {
		t.Error(busy.Stdout)
	}
	f.Behave("busy", fleet.Standin{Drain: 50 * time.Millisecond})
	inJSON(t, f, "restart", "-p", "busy").shows(t, 0, "restarted")
	f.Running("busy", int(busy.pid(t, "old_gateway_pid")))
	inJSON(t, f, "restart", "-p", "busy", "--graceful").shows(t, 0, "restarted")
	stuck().shows(t, 7, "not-ready")
	throttled().shows(t, 7, "throttled")
	f.NeverUnloaded(f.Loaded())
}

// pid reads a pid of the first result.
func (p printed) pid(t *testing.T, key string) int {
	t.Helper()
	n, ok := p.results()[0][key].(json.Number)
	if !ok {
		t.Fatalf("no %s: %s", key, p.Stdout)
	}
	pid, err := n.Int64()
	if err != nil {
		t.Fatal(err)
	}
	return int(pid)
}

func jsonRefused(t *testing.T) {
	f := fleet.New(t, fleet.Options{Outside: true, Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Oldest, Standin: fleet.Standin{NoLock: true}},
		{Name: "hangs", Plist: fleet.Oldest}}})
	g := f.Gateway("work")
	fail := func(code xpc.Errno) launchdtest.Fault {
		return launchdtest.Fault{Kind: launchdtest.Fail, Routine: 702, Code: code}
	}
	hanging := launchdtest.Fault{Kind: launchdtest.Never, Routine: 702, Label: f.Gateway("hangs").Label}
	f.Launchd.SetFaults(hanging)
	unknown := laterJSON(t, f, "restart", "-p", "hangs", "--timeout", "1s")
	for _, one := range []struct {
		fault launchdtest.Fault
		code  int
		state string
	}{
		{fail(xpc.Protected), 6, "protected"},
		{fail(5), 1, "failed"},
		{fail(xpc.EPERM), 1, "failed"},
		{fail(xpc.NoSuchService), 5, "not-loaded"},
	} {
		f.Launchd.SetFaults(hanging, one.fault)
		inJSON(t, f, "restart", "-p", "work", "--force").shows(t, one.code, one.state)
	}
	unknown().shows(t, 8, "unknown")
	f.Launchd.SetFaults(launchdtest.Fault{Kind: launchdtest.Never})
	if p := inJSON(t, f, "restart", "--all", "--timeout", "100ms").shows(t, 1); p.errorCode() != "timeout" {
		t.Error(p.Stdout)
	}
	f.Launchd.SetFaults(launchdtest.Fault{Kind: launchdtest.Garbage})
	if p := inJSON(t, f, "restart", "--all").shows(t, 1); p.errorCode() != "protocol" {
		t.Error(p.Stdout)
	}
	f.Launchd.SetFaults(launchdtest.Fault{Kind: launchdtest.Hangup})
	if p := inJSON(t, f, "status").shows(t, 1); p.errorCode() != "connection" {
		t.Error(p.Stdout)
	}
	f.Launchd.SetFaults()

	if err := f.Client.Bootstrap(t.Context(), launchd.User(f.UID), g.Plist); err != nil {
		t.Fatal(err)
	}
	inJSON(t, f, "restart", "-p", "work").shows(t, 6, "ambiguous-domain")
	for _, verb := range []string{"start", "stop", "reload"} {
		inJSON(t, f, verb, g.Label).shows(t, 6, "ambiguous-domain")
	}
	if _, err := f.Client.Kickstart(t.Context(), launchd.Target{Domain: launchd.User(f.UID), Label: g.Label}, launchd.KickstartOptions{}); err != nil {
		t.Fatal(err)
	}
	inJSON(t, f, "status", g.Label).shows(t, 0, "running", "running")

	none := fleet.New(t, fleet.Options{Outside: true, NoGUI: true, Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Oldest}}})
	gone := launchd.Target{Domain: launchd.GUI(f.UID), Label: g.Label}.String()
	for _, verb := range []string{"restart", "start", "stop", "reload", "status"} {
		args := []string{verb, gone}
		if verb == "start" {
			args = append(args, "--plist", none.Gateway("work").Plist)
		}
		inJSON(t, none, args...).shows(t, 5, "no-session")
	}
}

// jsonInside has the job's program restart its own job, and reload it.
func jsonInside(t *testing.T) {
	fleet.NeedsShell(t)
	fromInside(t, "restart", 4)
	// The job's end may come to the command, as SIGTERM, before its own.
	fromInside(t, "reload", 4, 143)
}

func fromInside(t *testing.T, verb string, codes ...int) {
	t.Helper()
	f := fleet.New(t, fleet.Options{Outside: true, Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Oldest, Unloaded: true}}})
	out, fifo := filepath.Join(f.Dir, "out"), filepath.Join(f.Dir, "ended")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	command := f.Prepare()
	environment := map[string]string{"HERMES_HOME": f.Gateway("work").Home}
	for _, pair := range command.Env {
		if name, value, _ := strings.Cut(pair, "="); name != "HERMES_HOME" {
			environment[name] = value
		}
	}
	// The first process restarts the job, and is ended for it; the second says so.
	script := fmt.Sprintf(`if mkdir %[1]s.first; then %[2]s %[3]s %[4]s --json >%[1]s; else echo >%[5]s; fi; exec sleep 1000`,
		out, command.Path, verb, f.Gateway("work").Label, fifo)
	f.SetKeys("work", map[string]any{"ProgramArguments": []string{"/bin/sh", "-c", script}, "EnvironmentVariables": environment})
	f.Load("work")
	if _, err := os.ReadFile(fifo); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	p := printed{doc: conforms(t, string(text))}
	code, _ := p.doc["exit_code"].(json.Number).Int64()
	if p.Code = int(code); !slices.Contains(codes, p.Code) {
		t.Errorf("exit code %d: %s", code, text)
	}
	p.shows(t, p.Code, "requested")
}

func jsonMethods(t *testing.T) {
	// How a new process comes.
	var f *fleet.Fleet
	by := func(method, state string, p printed) {
		t.Helper()
		p.shows(t, 0, state)
		if got := p.results()[0]["method"]; got != method {
			t.Errorf("by %v, want %s: %s", got, method, p.Stdout)
		}
	}
	// Without the routine a gateway is told to end, and KeepAlive or a reload starts it.
	f = fleet.New(t, fleet.Options{Outside: true, TimeScale: 0.05, Deny: []uint64{702, 703}, Profiles: []fleet.Profile{
		{Name: "work", Plist: fleet.Middle}, {Name: "plain", Plist: fleet.Oldest, Keys: map[string]any{"KeepAlive": false}}}})
	by("signal", "restarted", inJSON(t, f, "restart", "-p", "work"))
	by("reload", "restarted", inJSON(t, f, "restart", "-p", "plain"))

	f = fleet.New(t, fleet.Options{Outside: true, Profiles: []fleet.Profile{
		{Name: "work", Plist: fleet.Middle, Standin: fleet.Standin{Teardown: 200 * time.Millisecond}}}})
	// Somebody stops the job already: SIGTERM by launchd.
	g := f.Gateway("work")
	f.Launchd.SetFaults(launchdtest.Fault{Kind: launchdtest.Fail, Routine: 702, Code: xpc.EALREADY, Times: 1})
	by("wait+kickstart", "already-restarting", func() printed {
		pid := f.JobPID("work")
		m := f.Mark()
		go func() {
			f.Launchd.Wait(context.Background(), m, func(e launchdtest.Event) bool {
				return e.Kind == launchdtest.Request && e.Routine == 702
			})
			syscall.Kill(pid, syscall.SIGTERM)
		}()
		return inJSON(t, f, "restart", g.Label)
	}())
	f.Running("work", 0)
	f.Launchd.SetFaults(launchdtest.Fault{Kind: launchdtest.Hangup, Routine: 702, Carry: true, Times: 1})
	by("observed", "restarted", inJSON(t, f, "restart", g.Label))
}

func jsonSweep(t *testing.T) {
	f := fleet.New(t, fleet.Options{Outside: true, Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Oldest, Standin: fleet.Standin{NoLock: true}}}})
	stray := f.Manual("work", fleet.Orphan)
	other := f.Manual("work", fleet.Shape{Parent: fleet.OfInit, Args: []string{"--profile", "work", "gateway", "restart"}})
	outcomes := func(p printed) string { // without what else is on the machine
		of := map[int]any{}
		for _, one := range p.doc["sweep"].(map[string]any)["processes"].([]any) {
			pid, _ := one.(map[string]any)["pid"].(json.Number).Int64()
			of[int(pid)] = one.(map[string]any)["outcome"]
		}
		return fmt.Sprint(of[stray.PID], ", ", of[other.PID])
	}
	eventually(t, "the process is older than a look at the jobs", func() bool {
		return outcomes(inJSON(t, f, "restart", "--all", "--dry-run").shows(t, 0, "planned")) == "planned, spared"
	})
	if got := outcomes(inJSON(t, f, "restart", "--all").shows(t, 0, "restarted")); got != "exited, spared" {
		t.Error(got)
	}
	f.Gone(stray)
	// One that does not end by SIGTERM, while the command is interrupted.
	f.Behave("work", fleet.Standin{NoLock: true, IgnoreTERM: true})
	stray = f.Manual("work", fleet.Orphan)
	f.Behave("work", fleet.Standin{})
	eventually(t, "the process is older than a look at the jobs", func() bool {
		return strings.HasPrefix(outcomes(inJSON(t, f, "restart", "--all", "--dry-run")), "planned")
	})
	u := start(t, f.Prepare("restart", "--all", "--json"))
	f.Says(stray, func(e standin.Event) bool { return e.Kind == standin.Signal })
	u.signal(syscall.SIGINT)
	// Whether the job had a process just then is its gateway's affair, which met the stray's files.
	interrupted := readJSON(t, u.end(), nil)
	if got := outcomes(interrupted); interrupted.Code != 130 || got != "left, spared" {
		t.Errorf("exit code %d: %s", interrupted.Code, got)
	}
	stray.End()
	f.Gone(stray)
	// Where launchd lists no jobs there is no sweep.
	f.Launchd.SetFaults(launchdtest.Fault{Kind: launchdtest.Fail, Routine: 828, Code: xpc.EPERM}, launchdtest.Fault{Kind: launchdtest.Fail, Routine: 815, Code: xpc.EPERM})
	p := inJSON(t, f, "restart", "--all").shows(t, 3, "restarted")
	if p.doc["sweep"].(map[string]any)["error"] == nil || p.doc["warnings"] == nil {
		t.Error(p.Stdout)
	}
}

func jsonOneJob(t *testing.T) {
	f := fleet.New(t, fleet.Options{Outside: true, Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Oldest}, {Name: "off", Plist: fleet.Oldest, Unloaded: true}}})
	g, off := f.Gateway("work"), f.Gateway("off")
	hangs := fleet.New(t, fleet.Options{Outside: true, Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Oldest}}})
	hangs.Launchd.SetFaults(launchdtest.Fault{Kind: launchdtest.Never, Routine: 702}, launchdtest.Fault{Kind: launchdtest.Never, Routine: 801})
	starting := laterJSON(t, hangs, "start", g.Label, "--timeout", "1s")
	stopping := laterJSON(t, hangs, "stop", g.Label, "--timeout", "1s")
	if err := f.Client.SetEnabled(t.Context(), off.Target, false); err != nil {
		t.Fatal(err)
	}
	inJSON(t, f, "status").shows(t, 0, "running")
	inJSON(t, f, "start", g.Label).shows(t, 0, "started")
	inJSON(t, f, "stop", g.Label).shows(t, 0, "stopped")
	inJSON(t, f, "stop", g.Label).shows(t, 5, "not-loaded")
	inJSON(t, f, "stop", off.Target.String()).shows(t, 5, "not-loaded")
	inJSON(t, f, "status", g.Label).shows(t, 5, "not-loaded")
	inJSON(t, f, "status", off.Target.String()).shows(t, 5, "disabled")
	inJSON(t, f, "status").shows(t, 5)
	inJSON(t, f, "start", g.Target.String(), "--plist", g.Plist).shows(t, 0, "started")
	inJSON(t, f, "start", off.Target.String(), "--plist", off.Plist).shows(t, 5, "disabled")
	if p := inJSON(t, f, "start", g.Label, "--plist", off.Plist).shows(t, 1, "failed"); p.results()[0]["error"].(map[string]any)["code"] != "plist" {
		t.Error(p.Stdout)
	}
	inJSON(t, f, "start", "ai.hermes.nothing").shows(t, 5, "not-loaded")
	inJSON(t, f, "reload", "ai.hermes.nothing").shows(t, 5, "not-loaded")
	for code, state := range map[xpc.Errno]string{xpc.Protected: "protected", 5: "failed"} {
		exit := map[string]int{"protected": 6, "failed": 1}[state]
		f.Launchd.SetFaults(launchdtest.Fault{Kind: launchdtest.Fail, Routine: 702, Code: code}, launchdtest.Fault{Kind: launchdtest.Fail, Routine: 801, Code: code})
		inJSON(t, f, "start", g.Label).shows(t, exit, state)
		inJSON(t, f, "stop", g.Label).shows(t, exit, state)
	}
	starting().shows(t, 8, "unknown")
	stopping().shows(t, 8, "unknown")
	problem := func(p printed) any { return p.results()[0]["error"].(map[string]any)["code"] }
	f.Launchd.SetFaults(launchdtest.Fault{Kind: launchdtest.Hangup, Routine: 702})
	if p := inJSON(t, f, "start", g.Label).shows(t, 8, "unknown"); problem(p) != "unknown-outcome" {
		t.Error(p.Stdout)
	}
	f.Launchd.SetFaults(launchdtest.Fault{Kind: launchdtest.Fail, Routine: 702, Code: xpc.NotEntitled})
	if p := inJSON(t, f, "start", g.Label).shows(t, 1, "failed"); problem(p) != "not-entitled" {
		t.Error(p.Stdout)
	}
	f.Launchd.SetFaults(launchdtest.Fault{Kind: launchdtest.Fail, Routine: 708, Code: xpc.EPERM}, launchdtest.Fault{Kind: launchdtest.Fail, Routine: 712, Code: xpc.EPERM})
	inJSON(t, f, "status", g.Target.String()).shows(t, 1, "failed")
}

func jsonReload(t *testing.T) {
	f := fleet.New(t, fleet.Options{Outside: true, TimeScale: 0.1, Profiles: []fleet.Profile{
		{Name: "work", Plist: fleet.Oldest, Standin: fleet.Standin{IgnoreTERM: true}, Keys: map[string]any{"ExitTimeOut": 0}}, // it ends when the test says so
		{Name: "idle", Plist: fleet.Oldest, NoWait: true, Standin: fleet.Standin{Exit: &standin.Exit{}}}}})
	gateway := f.Running("work", 0)
	work, idle := f.Gateway("work"), f.Gateway("idle")
	unloading := func(m launchdtest.Mark) {
		f.Wait(m, func(e launchdtest.Event) bool {
			return e.Kind == launchdtest.Request && e.Routine == 801 && e.Label == work.Label
		})
	}
	f.SetKeys("work", map[string]any{"ThrottleInterval": 15})
	m := f.Mark()
	first := laterJSON(t, f, "reload", work.Label)
	unloading(m)
	inJSON(t, f, "reload", work.Label).shows(t, 6, "busy")
	gateway.End()
	first().shows(t, 0, "restarted")

	f.Wait(0, launchdtest.Is(launchdtest.Exit, idle.Label))
	f.Behave("idle", fleet.Standin{})
	inJSON(t, f, "reload", idle.Label).shows(t, 0, "started")

	gateway = jobOf(t, f, "work")
	m = f.Mark()
	refused := laterJSON(t, f, "reload", work.Label)
	unloading(m)
	f.Launchd.SetFaults(launchdtest.Fault{Kind: launchdtest.Fail, Routine: 800, Code: 134, Times: 1})
	gateway.End()
	if p := refused().shows(t, 1, "failed"); p.results()[0]["rolled_back"] != true {
		t.Error(p.Stdout)
	}
	gateway = jobOf(t, f, "work")
	m = f.Mark()
	inJSON(t, f, "reload", work.Label, "--timeout", "1s").shows(t, 8, "unknown")
	gateway.End()
	f.Wait(m, func(e launchdtest.Event) bool {
		return e.Kind == launchdtest.Reply && e.Routine == 801 && e.Label != work.Label
	})
	if err := f.Client.SetEnabled(t.Context(), work.Target, false); err != nil {
		t.Fatal(err)
	}
	inJSON(t, f, "reload", idle.Label, "--plist", work.Plist).shows(t, 1, "failed")
	inJSON(t, f, "reload", work.Label).shows(t, 5, "disabled")
}

// jobOf waits until the profile's job runs, and returns its process, which is the gateway's.
func jobOf(t *testing.T, f *fleet.Fleet, profile string) (job *fleet.Process) {
	t.Helper()
	eventually(t, "the gateway of "+profile+" runs", func() bool {
		pid := f.JobPID(profile)
		for _, p := range f.Processes(profile) {
			if p.PID == pid && slices.ContainsFunc(p.Events(), func(e standin.Event) bool { return e.Kind == standin.State && e.State == "running" }) {
				job = p
			}
		}
		return job != nil
	})
	return job
}

func jsonPS(t *testing.T) {
	fleet.NeedsShell(t)
	f := fleet.New(t, fleet.Options{Outside: true, Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Newest, Standin: fleet.Standin{NoLock: true}}}})
	f.Manual("work", fleet.Shape{Parent: fleet.OfInit, Args: []string{"--profile", "work", "gateway", "restart"}})
	stray := f.Manual("work", fleet.Orphan)
	if err := stray.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	stopped(t, stray.PID)
	kinds := map[string]bool{}
	for _, row := range inJSON(t, f, "ps").results() {
		kinds[fmt.Sprint(row["kind"], row["managed"], row["state"])] = true
	}
	for _, want := range []string{"wrapper true running", "gateway true running", "restart false running", "gateway false stopped"} {
		if !kinds[strings.ReplaceAll(want, " ", "")] {
			t.Errorf("no %s: %v", want, kinds)
		}
	}
	cmd := f.Prepare("ps", "--json", "--launchd", "unix:"+f.Dir+"/nothing")
	p := readJSON(t, f.Run(cmd), nil)
	if p.Code != 0 || p.results()[0]["managed"] != nil {
		t.Error(p.Stdout)
	}
}

func jsonProbe(t *testing.T) {
	f := fleet.New(t, fleet.Options{Outside: true, TimeScale: 0.1})
	statuses := func(p printed) map[string]bool {
		found := map[string]bool{}
		for _, q := range p.doc["probe"].(map[string]any)["questions"].([]any) {
			found[q.(map[string]any)["status"].(string)] = true
		}
		return found
	}
	if p := inJSON(t, f, "probe").shows(t, 0); statuses(p)["failed"] {
		t.Error(p.Stdout)
	}
	// Questions that have no answer.
	f.Launchd.SetFaults(launchdtest.Fault{Kind: launchdtest.Garbage, Routine: 702})
	if p := inJSON(t, f, "probe").shows(t, 3); !statuses(p)["failed"] {
		t.Error(p.Stdout)
	}
	f.Launchd.SetFaults()

	g := fleet.New(t, fleet.Options{Outside: true, NoGUI: true, Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Oldest, User: true}}})
	m := g.Mark()
	u := start(t, g.Prepare("probe", "--json"))
	g.Wait(m, func(e launchdtest.Event) bool { return e.Kind == launchdtest.Request && e.Routine == 800 })
	u.signal(syscall.SIGHUP)
	if p := readJSON(t, u.end(), nil).shows(t, 129); !statuses(p)["not asked"] {
		t.Error(p.Stdout)
	}
	inJSON(t, g, "probe", "--uid", "501").shows(t, 2)
	inJSON(t, g, "probe", "--help").shows(t, 0)
}

// stopped waits until a process has been stopped, which only the process table tells.
func stopped(t *testing.T, pid int) {
	t.Helper()
	eventually(t, fmt.Sprintf("process %d is stopped", pid), func() bool {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return true // another system
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		return strings.HasPrefix(rest, "T")
	})
}

// eventually waits for what no event tells.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("in vain: %s", what)
		}
	}
}

// jsonStatus has a gateway of every kind that status, doctor and logs can show.
func jsonStatus(t *testing.T) {
	f := fleet.New(t, fleet.Options{Profiles: []fleet.Profile{
		{Name: fleet.Default, Plist: fleet.Oldest, Standin: fleet.Standin{Served: []string{"default", "served"}, CodeSHA: "0123456789ab", CodeVersion: "1.2.3",
			ActiveWork: []standin.Work{{Kind: "chat", Session: "s", Elapsed: 2}}, Stderr: []string{"a line"}}},
		{Name: "served", Absent: true},
		{Name: "stale", Plist: fleet.Middle},
		{Name: "theirs", Plist: fleet.Oldest, NoWait: true, Keys: sleeps("/opt/another/hermes")},
		{Name: "locked", Plist: fleet.Oldest, NoWait: true},
		{Name: "broken", Plist: fleet.Oldest, Unloaded: true},
	}})
	// A job that has exited well and is left alone: where one has a process, that may be about to boot.
	f.SetKeys("locked", map[string]any{"ProgramArguments": []string{"/bin/sh", "-c", "exit 0"}, "StandardOutPath": nil, "StandardErrorPath": nil})
	inJSON(t, f, "stop", f.Gateway("locked").Label).shows(t, 0, "stopped")
	m := f.Mark()
	f.Load("locked")
	f.Wait(m, launchdtest.Is(launchdtest.Exit, f.Gateway("locked").Label))
	f.Manual("locked", fleet.Orphan) // holds the lock of its home
	f.SetKeys("stale", map[string]any{"ThrottleInterval": 31})
	write(t, f.Gateway("broken").Plist, "<plist>", 0o644)
	seen := map[any]map[string]any{}
	for _, r := range inJSON(t, f, "status").results() {
		seen[r["profile"]] = r
	}
	for profile, key := range map[string]string{"default": "runtime", "served": "served_by", "stale": "stale", "theirs": "foreign", "locked": "locked", "broken": "error"} {
		if seen[profile][key] == nil {
			t.Errorf("%s of %s is not told: %v", key, profile, seen[profile])
		}
	}
	if p := inJSON(t, f, "doctor"); p.Code != 1 || len(p.results()) < 4 {
		t.Errorf("%s%s", p.Stdout, p.Stderr)
	}
	if p := inJSON(t, f, "logs"); p.Code != 0 || !strings.Contains(p.Stdout, "a line") {
		t.Errorf("%s%s", p.Stdout, p.Stderr)
	}
	plain := launchd.Target{Domain: launchd.GUI(f.UID), Label: "org.example.silent"}
	path := filepath.Join(f.Dir, plain.Label+".plist")
	write(t, path, `<plist version="1.0"><dict><key>Label</key><string>org.example.silent</string><key>ProgramArguments</key><array><string>/bin/sleep</string><string>1000</string></array></dict></plist>`, 0o644)
	if err := f.Client.Bootstrap(t.Context(), plain.Domain, path); err != nil {
		t.Fatal(err)
	}
	if p := inJSON(t, f, "logs", plain.String()); p.Code != 1 {
		t.Errorf("%s%s", p.Stdout, p.Stderr)
	}
}

func jsonOthers(t *testing.T) {
	f := fleet.New(t, fleet.Options{Outside: true, Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Oldest, Unloaded: true}, {Name: "none", Absent: true}}})
	inJSON(t, f, "version").shows(t, 0)
	inJSON(t, f, "help", "restart").shows(t, 0)
	inJSON(t, f, "restart", "--help").shows(t, 0)
	for _, args := range [][]string{{"restart", "--wait", "tomorrow"}, {"restart", "gui/x/y"}, {"restart", "--nothing"}, {"restrat"}, {}, {"start"}, {"status", "a/b"}} {
		if p := inJSON(t, f, args...).shows(t, 2); p.errorCode() != "usage" {
			t.Errorf("%q: %s", args, p.Stdout)
		}
	}
	path := f.Gateway("work").Plist
	if p := inJSON(t, f, "lint", path); p.Code > 1 {
		t.Error(p.Stdout)
	}
	bad := filepath.Join(f.Dir, "bad.plist")
	text := `<plist version="1.0"><dict><key>Label</key><string>b</string><key>KeepAlife</key><true/></dict></plist>`
	if err := os.WriteFile(bad, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if p := inJSON(t, f, "lint", bad, filepath.Join(f.Dir, "none.plist")); p.Code != 1 || p.results()[1]["error"] == nil {
		t.Error(p.Stdout)
	}
	if p := inJSON(t, f, "lint", "--rules"); p.doc["rules"] == nil {
		t.Error(p.Stdout)
	}
	// Where no gateway is.
	inJSON(t, f, "ps", "--uid", "54321").shows(t, 5)
	if p := inJSON(t, f, "restart", "--all"); p.Code != 5 {
		t.Error(p.Stdout)
	}
	for _, args := range [][]string{{"restart"}, {"restart", "-p", "none"}} {
		if p := inJSON(t, f, args...).shows(t, 5, "not-loaded"); p.results()[0]["target"] == "" {
			t.Error("no target: ", p.Stdout)
		}
	}
	// A command that is interrupted while it waits.
	g := fleet.New(t, fleet.Options{Outside: true, Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Oldest}}})
	g.Launchd.SetFaults(launchdtest.Fault{Kind: launchdtest.Never, Routine: 702})
	for signal, code := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143} {
		m := g.Mark()
		cmd := g.Prepare("restart", "-p", "work", "--json", "--force")
		u := start(t, cmd)
		g.Wait(m, func(e launchdtest.Event) bool { return e.Kind == launchdtest.Request && e.Routine == 702 })
		u.signal(signal)
		readJSON(t, u.end(), nil).shows(t, code, "unknown")
	}
	// One that waits for another's lock.
	busy := fleet.New(t, fleet.Options{Outside: true, Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Oldest}}})
	defer holdFlight(t, busy, "work", `{"pid":0}`)()
	inJSON(t, busy, "restart", "-p", "work", "--timeout", "1s").shows(t, 6, "busy")
}

func jsonLibrary(t *testing.T) {
	f := fleet.New(t, fleet.Options{Outside: true, Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Oldest, Standin: fleet.Standin{NoLock: true, IgnoreTERM: true}},
		{Name: "other", Plist: fleet.Oldest, NoWait: true, Label: "com.hermes.gateway", Keys: sleeps("/nowhere")}}})
	in, err := hermesgw.Locate(hermesgw.Where{UID: f.UID, HermesHome: f.Root, AccountHome: f.AccountHome})
	if err != nil {
		t.Fatal(err)
	}
	h := hermesgw.New(in, f.Client, hermesgw.Options{StateDir: f.StateDir, Address: f.Address()})
	stray := f.Manual("work", fleet.Orphan)
	f.Behave("work", fleet.Standin{})
	o := hermesgw.RestartOptions{Select: hermesgw.Selection{All: true}, Grace: 50 * time.Millisecond}
	plan, err := h.Plan(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(plan)
	if err != nil {
		t.Fatal(err)
	}
	if doc := conforms(t, string(text)); doc["dry_run"] != true || doc["excluded"] == nil {
		t.Errorf("%s", text)
	}
	if !stray.Alive() {
		t.Fatal("a plan ended it")
	}
	// The job ignores SIGTERM as well, for its exit timeout: launchd's own times.
	gateway := f.Running("work", 0)
	m := f.Mark()
	go func() {
		f.Launchd.Wait(context.Background(), m, func(e launchdtest.Event) bool { return e.Kind == launchdtest.Signal })
		gateway.End()
	}()
	report, err := h.Restart(t.Context(), o)
	if err != nil || !report.OK() {
		t.Fatalf("%+v, %v", report, err)
	}
	if text, err = json.Marshal(report); err != nil {
		t.Fatal(err)
	}
	if doc := conforms(t, string(text)); !strings.Contains(string(text), `"killed"`) || doc["total_ms"] == nil {
		t.Errorf("%s", text)
	}
	if text, err = json.Marshal(hermesgw.Report{}); err != nil {
		t.Fatal(err)
	}
	conforms(t, string(text))
}
