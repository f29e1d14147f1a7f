package hermesgw_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	hermesgw "github.com/hermes-gw/hermes-gw"
	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
	"github.com/hermes-gw/hermes-gw/internal/embedtest/standin"
	"github.com/hermes-gw/hermes-gw/internal/proc"
	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/sweep"
)

// put writes a file of Hermes'.
func put(t *testing.T, home, name string, data []byte) {
	t.Helper()
	path := filepath.Join(home, name)
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		err = os.WriteFile(path, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// recordOf is what Hermes writes about a process.
func recordOf(t *testing.T, pid int, home string) standin.Record {
	t.Helper()
	id, err := proc.Read(pid)
	if err != nil {
		t.Fatal(err)
	}
	return standin.Record{PID: pid, Kind: "hermes-gateway", Argv: []string{"hermes", "gateway", "run"}, Start: (id.Start + 5000) / 10000, Home: home}
}

func inJSONText(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// discovered is one gateway of those that Discover finds.
func discovered(t *testing.T, h *hermesgw.Hermes, profile string) hermesgw.Gateway {
	t.Helper()
	found, err := h.Discover(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(found.Gateways, func(g hermesgw.Gateway) bool { return g.Profile == profile })
	if i < 0 {
		t.Fatalf("no gateway of %s: %+v", profile, found)
	}
	return found.Gateways[i]
}

// Trap 27: a gateway that has exited and that its wrapper has not reaped is dead. A drain does not
// wait for it any longer, it is not signalled, and the job is started again though the wrapper
// stays. The same of a manual one.
func TestTrap27Zombie(t *testing.T) {
	t.Parallel()
	fleet.NeedsShell(t)
	f := fleet.New(t, fleet.Options{Outside: outside, Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Oldest, Unloaded: true}}})
	python := f.Program("python3")
	// sleep reaps nobody.
	f.SetKeys("work", map[string]any{"ExitTimeOut": 60, "ProgramArguments": []string{"/bin/sh", "-c",
		`"$0" -m hermes_cli.main -p work gateway run & exec sleep 1000`, python}})
	f.Load("work")
	old := f.Running("work", 0)
	job := f.JobPID("work")
	h := hermesOf(t, f, hermesgw.Options{})
	if g := discovered(t, h, "work"); g.Process.PID != old.PID || g.Job.PID != job || job == old.PID {
		t.Fatalf("%+v; it is %d in %d", g, old.PID, job)
	}
	begin := time.Now()
	report, err := h.Restart(t.Context(), hermesgw.RestartOptions{Select: hermesgw.Selection{Profiles: []string{"work"}}, Graceful: true})
	if err != nil || report.Results[0].Outcome != launchd.OutcomeRestarted || report.Results[0].Old != job {
		t.Fatalf("%+v, %v", report, err)
	}
	if took := time.Since(begin); took > 30*time.Second {
		t.Errorf("it took %v", took)
	}
	now := f.Running("work", old.PID)
	if n := len(slices.DeleteFunc(f.SignalsSeen("work"), func(s fleet.SignalSeen) bool { return s.PID != old.PID })); n != 1 {
		t.Errorf("the gateway got %d signals: %v", n, f.SignalsSeen("work"))
	}

	// A zombie from the start is no gateway.
	now.Signal(syscall.SIGKILL)
	zombie(t, now.PID)
	g := discovered(t, h, "work")
	if !g.Process.IsZero() || g.Job.PID == 0 || g.Runtime != nil {
		t.Errorf("%+v", g)
	}
	manual := zombieOf(t, f, "hermes", "-p", "work", "gateway", "run")
	begin = time.Now()
	a := ask(t, f, "restart", "--all")
	if outcome, reason := a.swept(manual); a.Code != 0 || outcome != string(sweep.Spared) || reason != "it has exited, and its parent has not noticed" {
		t.Errorf("%q, %q: %+v", outcome, reason, a)
	}
	if took := time.Since(begin); took > 9*time.Second {
		t.Errorf("the sweep waited for a zombie: %v", took)
	}
	f.Running("work", now.PID)
	f.NeverUnloaded(f.Mark())
}

// zombie waits until a process is one.
func zombie(t *testing.T, pid int) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		var table sweep.Table
		if err := table.Read(t.Context(), -1); err != nil {
			t.Fatal(err)
		}
		if p := table.Find(pid); p != nil && p.State == sweep.StateZombie {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d is no zombie", pid)
		}
	}
}

// zombieOf starts a process and lets it exit without noticing.
func zombieOf(t *testing.T, f *fleet.Fleet, argv ...string) (pid int) {
	t.Helper()
	path := cast(t, f, argv[0])
	p, err := os.StartProcess(path, argv, &os.ProcAttr{Env: []string{actorVar + "=no JSON"}, Sys: &syscall.SysProcAttr{Setsid: true}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Wait() })
	zombie(t, p.Pid)
	return p.Pid
}

// Traps 28 and 32: files of a gateway that was killed long ago name a pid that another program has
// by now. The gateway is no phantom, its pid is nobody's, and the files stay as they are. The
// lock decides whether somebody is there: nobody holds it.
func TestTraps28And32Phantom(t *testing.T) {
	t.Parallel()
	f := fleet.New(t, fleet.Options{Outside: outside, Profiles: []fleet.Profile{
		{Name: fleet.Default, Plist: fleet.Middle}, {Name: "gone", Absent: true}, {Name: "idle", Plist: fleet.Oldest, Unloaded: true},
	}})
	stranger := f.Manual("gone", fleet.Shape{Program: "sleep", Args: []string{"1000"}, Sit: true, Session: true})
	long := time.Now().Add(-100 * 24 * time.Hour)
	for _, profile := range []string{"gone", "idle"} {
		home := f.Gateway(profile).Home
		r := recordOf(t, stranger.PID, home)
		r.Start -= 100 * 24 * 3600 * 100 // the one that had the pid then
		put(t, home, standin.FilePID, inJSONText(t, r))
		put(t, home, standin.FileLock, inJSONText(t, r))
		put(t, home, standin.FileState, inJSONText(t, map[string]any{
			"pid": r.PID, "kind": r.Kind, "argv": r.Argv, "start_time": r.Start, "hermes_home": home,
			"gateway_state": "running", "updated_at": long.UTC().Format(time.RFC3339), "served_profiles": []string{"default"},
		}))
		put(t, home, standin.FileHeartbeat, fmt.Appendf(nil, `{"pid": %d, "updated_at": %q, "loop_tick_socket": true}`, r.PID, long.UTC().Format(time.RFC3339)))
		for _, name := range []string{standin.FilePID, standin.FileLock, standin.FileState, standin.FileHeartbeat} {
			if err := os.Chtimes(filepath.Join(home, name), long, long); err != nil {
				t.Fatal(err)
			}
		}
	}
	files := f.Snapshot()
	h := hermesOf(t, f, hermesgw.Options{})
	found, err := h.Discover(t.Context())
	if err != nil || len(found.Gateways) != 2 {
		t.Fatalf("%+v, %v", found, err)
	}
	if g := discovered(t, h, "idle"); g.Locked || g.Runtime != nil || !g.Process.IsZero() || g.Loaded() {
		t.Errorf("%+v", g)
	}
	if g := discovered(t, h, "default"); g.ServedBy != "" || g.Process.PID != f.GatewayPID(fleet.Default) {
		t.Errorf("%+v", g)
	}
	for _, args := range [][]string{{"restart", "--all", "--dry-run"}, {"restart", "--all", "--wait", "ready"}, {"restart", "-p", "gone", "--graceful"}, {"restart", "-p", "idle"}} {
		a := ask(t, f, args...)
		for _, r := range a.Results {
			if r.Profile != "default" && (r.State != launchd.OutcomeNotLoaded || r.OldPID != nil || r.OldGateway != nil) {
				t.Errorf("%q: %+v", args, r)
			}
		}
		if outcome, _ := a.swept(stranger.PID); outcome != "" {
			t.Errorf("%q: the stranger is %s", args, outcome)
		}
	}
	f.Command("status")
	f.Command("ps")
	alive(t, stranger)
	f.AllRunning()
	files.OnlyRead()
}

// Trap 29: gateway.pid is missing, the lock is held and the job runs: the gateway is found below the
// job's process.
func TestTrap29NoPIDFile(t *testing.T) {
	t.Parallel()
	for _, generation := range fleet.Generations {
		f := fleet.New(t, fleet.Options{Profiles: []fleet.Profile{{Name: "work", Plist: generation, Standin: fleet.Standin{NoPID: true, NoState: true}}}})
		old := f.GatewayPID("work")
		h := hermesOf(t, f, hermesgw.Options{})
		if g := discovered(t, h, "work"); g.Process.PID != old || g.Job.PID != f.JobPID("work") {
			t.Errorf("%s: %+v, it is %d", generation, g, old)
		}
		report, err := h.Restart(t.Context(), hermesgw.RestartOptions{Select: hermesgw.Selection{Profiles: []string{"work"}}, Graceful: true, Wait: hermesgw.WaitReady})
		if err != nil || !report.OK() || report.Results[0].OldGateway != old || report.Results[0].Method != launchd.MethodGraceful {
			t.Errorf("%s: %+v, %v", generation, report, err)
		}
		now := f.Running("work", old)
		if g := discovered(t, h, "work"); g.Process.PID != now.PID {
			t.Errorf("%s: %+v, it is %d", generation, g, now.PID)
		}
		if !f.SawSignal("work", standin.RoleGateway, syscall.SIGUSR1) || f.SawSignal("work", standin.RoleWrapper, syscall.SIGUSR1) {
			t.Errorf("%s: %v", generation, f.SignalsSeen("work"))
		}
	}
}

// Trap 30: two processes of the job look like its gateway, and a pid file tells which. One that is
// about another home tells nothing.
func TestTrap30ForeignPIDFile(t *testing.T) {
	t.Parallel()
	fleet.NeedsShell(t)
	silent := bare
	f := fleet.New(t, fleet.Options{Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Oldest, Unloaded: true, Standin: silent}}})
	f.SetKeys("work", map[string]any{"ProgramArguments": []string{"/bin/sh", "-c",
		`STANDIN_SIT=1 "$0" -m hermes_cli.main -p work gateway run & exec "$0" -m hermes_cli.main -p work gateway run`, f.Program("python3")}})
	f.Load("work")
	gateway := f.Running("work", 0)
	fork := f.ChildOf(gateway)
	home := f.Gateway("work").Home
	h := hermesOf(t, f, hermesgw.Options{})
	is := func(want *fleet.Process, why string) {
		t.Helper()
		if g := discovered(t, h, "work"); g.Process.PID != want.PID {
			t.Errorf("%s: process %d of %d and %d", why, g.Process.PID, gateway.PID, fork.PID)
		}
	}
	is(gateway, "no file")
	r := recordOf(t, fork.PID, home)
	put(t, home, standin.FilePID, inJSONText(t, r))
	is(fork, "the file names the fork")
	r.Home = f.Root
	put(t, home, standin.FilePID, inJSONText(t, r))
	is(gateway, "a file of another home")
	r.Home, r.Start = home, r.Start-3
	put(t, home, standin.FilePID, inJSONText(t, r))
	is(gateway, "another start time")
	r.Home, r.Start = f.Root, r.Start+3
	put(t, home, standin.FilePID, inJSONText(t, r))
	files := f.Snapshot()
	report, err := h.Restart(t.Context(), hermesgw.RestartOptions{Select: hermesgw.Selection{Profiles: []string{"work"}}, Graceful: true})
	if err != nil || !report.OK() || report.Results[0].OldGateway != gateway.PID {
		t.Errorf("%+v, %v", report, err)
	}
	if !f.SawSignal("work", standin.RoleGateway, syscall.SIGUSR1) {
		t.Errorf("%v", f.SignalsSeen("work"))
	}
	f.Running("work", gateway.PID)
	files.OnlyRead()
}

// Trap 31: what can stand where Hermes' files are. None of it is believed, hinders a restart or is
// changed, nobody is signalled for it, and nothing waits for a pipe.
func TestTrap31DamagedFiles(t *testing.T) {
	t.Parallel()
	f := fleet.New(t, fleet.Options{Outside: outside, Profiles: []fleet.Profile{
		{Name: "work", Plist: fleet.Newest, Standin: bare}, {Name: "bare", Absent: true},
	}})
	home := f.Gateway("work").Home
	stranger := f.Manual("bare", fleet.Shape{Program: "sleep", Args: []string{"1000"}, Sit: true, Session: true})
	record := inJSONText(t, recordOf(t, stranger.PID, home))
	theirs := filepath.Join(f.Dir, "theirs")
	put(t, f.Dir, "theirs", record)
	if os.Geteuid() == 0 {
		if err := os.Chown(theirs, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	names := []string{standin.FilePID, standin.FileLock, standin.FileState, standin.FileHeartbeat, standin.FileSocket, standin.FilePointer}
	text := func(data []byte) func(string) error {
		return func(path string) error { return os.WriteFile(path, data, 0o600) }
	}
	h := hermesOf(t, f, hermesgw.Options{})
	for _, c := range []struct {
		name string
		make func(path string) error
	}{
		{"a pid alone, of a stranger", text(fmt.Appendf(nil, "%d\n", stranger.PID))},
		{"a record of a stranger, with a BOM", text(append([]byte("\ufeff"), record...))},
		{"cut off", text(record[:len(record)/2])},
		{"empty", text(nil)},
		{"large", text([]byte(strings.Repeat("[", 1<<20)))},
		{"not UTF-8", text([]byte("\xff\xfe{\x00\"\x00p\x00"))},
		{"a list", text([]byte("[1, 2, 3]"))},
		{"numbers of the wrong size", text([]byte(`{"pid": 1e99, "start_time": -1, "hermes_home": 7, "gateway_state": ["running"], "platforms": 3, "active_work": {"kind": 1}}`))},
		{"the pids that a signal must never go to", text([]byte(`{"pid": -1, "kind": "hermes-gateway", "start_time": 1}`))},
		{"a link to another user's file", func(path string) error { return os.Symlink(theirs, path) }},
		{"a link to itself", func(path string) error { return os.Symlink(path, path) }},
		{"a folder", func(path string) error { return os.Mkdir(path, 0o700) }},
		{"a pipe", func(path string) error { return syscall.Mkfifo(path, 0o600) }},
		{"a device", func(path string) error { return os.Symlink("/dev/zero", path) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, name := range names {
				path := filepath.Join(home, name)
				err := os.RemoveAll(path)
				if err == nil {
					err = os.MkdirAll(filepath.Dir(path), 0o700)
				}
				if err == nil {
					err = c.make(path)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			files := f.Snapshot()
			old := f.GatewayPID("work")
			g := discovered(t, h, "work")
			if g.Process.PID != old || g.Runtime != nil || g.Problem != nil {
				t.Errorf("%+v, it is %d", g, old)
			}
			report, err := h.Restart(t.Context(), hermesgw.RestartOptions{Select: hermesgw.Selection{Profiles: []string{"work"}}, Graceful: true})
			if err != nil || !report.OK() || report.Results[0].OldGateway != old {
				t.Errorf("%+v, %v", report, err)
			}
			f.AllRunning()
			files.OnlyRead()
		})
	}
	alive(t, stranger)
	f.NeverUnloaded(0)
}

// Trap 33: a stopped process (SIGSTOP) is said to be stopped, and what would wait for it is bounded:
// a drain by its budget, the end of the job's by its exit timeout, that of a manual one by the
// grace of the sweep.
func TestTrap33Stopped(t *testing.T) {
	t.Parallel()
	f := fleet.New(t, fleet.Options{Outside: outside, Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Oldest, Keys: map[string]any{"ExitTimeOut": 1}}}})
	manual := strayOf(f, "work", fleet.Orphan)
	old := f.Running("work", 0)
	for _, p := range []*fleet.Process{manual, old} {
		p.Signal(syscall.SIGSTOP)
		for stoppedOf(t, p.PID) != sweep.StateStopped {
			time.Sleep(time.Millisecond)
		}
	}
	type row struct {
		PID   int    `json:"pid"`
		State string `json:"state"`
	}
	var ps struct {
		Results []row `json:"results"`
	}
	o := f.Command("ps", "--json")
	if err := json.Unmarshal([]byte(o.Stdout), &ps); err != nil {
		t.Fatal(err)
	}
	for _, p := range []*fleet.Process{manual, old} {
		if !slices.Contains(ps.Results, row{p.PID, "stopped"}) {
			t.Errorf("%d is not said to be stopped: %s", p.PID, o.Stdout)
		}
	}
	h := hermesOf(t, f, hermesgw.Options{})
	if g := discovered(t, h, "work"); !g.Stopped || g.Runtime == nil || g.Runtime.Answered {
		t.Errorf("%+v", g)
	}
	// It finishes no work, and is left alone.
	a := ask(t, f, "restart", "-p", "work", "--graceful=100ms")
	says(t, a.of(t, f, "work"), launchd.OutcomeNotReady, fmt.Sprintf("process %d is stopped (SIGSTOP)", old.PID), fmt.Sprintf("kill -CONT %d", old.PID))
	alive(t, manual, old)

	begin := time.Now()
	report, err := h.Restart(t.Context(), hermesgw.RestartOptions{Select: hermesgw.Selection{All: true}, Grace: 100 * time.Millisecond})
	if err != nil || !report.OK() || len(report.Sweep.Results) != 1 || report.Sweep.Results[0].Outcome != sweep.Killed || report.Sweep.Results[0].State != sweep.StateStopped {
		t.Fatalf("%+v, %v", report, err)
	}
	if w := report.Results[0].Warnings; !slices.ContainsFunc(w, func(s string) bool { return strings.Contains(s, "is stopped (SIGSTOP)") }) {
		t.Errorf("%q", w)
	}
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
	f.Gone(manual)
	f.Gone(old)
	f.Running("work", old.PID)
}

func stoppedOf(t *testing.T, pid int) sweep.State {
	t.Helper()
	var table sweep.Table
	if err := table.Read(t.Context(), -1); err != nil {
		t.Fatal(err)
	}
	if p := table.Find(pid); p != nil {
		return p.State
	}
	t.Fatalf("process %d is gone", pid)
	return 0
}
