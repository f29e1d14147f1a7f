package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
	"github.com/hermes-gw/hermes-gw/launchd/launchdtest"
)

// flapping is what doctor finds of that, if anything.
func flapping(t *testing.T, f *fleet.Fleet) *found {
	t.Helper()
	for _, one := range doctor(t, f) {
		if one.ID == "flapping" {
			return &one
		}
	}
	return nil
}

// Starts that somebody asked for are not counted, whichever verb asked for them: neither by doctor right
// after them, nor when the gateway then fails once.
func TestDoctorCountsNoStartThatWasAskedFor(t *testing.T) {
	t.Parallel()
	for name, asked := range map[string][]string{
		"restart":        {"restart -p work --force", "restart -p work --force", "restart -p work --force", "restart -p work --force", "restart -p work --force"},
		"restart of all": {"restart --all --force", "restart --all --force", "restart --all --force", "restart --all --force"},
		"graceful":       {"restart -p work --graceful --force", "restart -p work --graceful --force", "restart -p work --graceful --force", "restart -p work --graceful --force"},
		"stop and start": {"stop LABEL", "start LABEL", "stop LABEL", "start LABEL", "stop LABEL", "start LABEL", "stop LABEL", "start LABEL", "restart -p work"},
		"reload":         {"reload LABEL", "reload LABEL", "reload LABEL", "reload LABEL", "restart -p work"},
		"bootstrap":      {"stop LABEL", "restart -p work --bootstrap", "stop LABEL", "restart -p work --bootstrap", "stop LABEL", "restart -p work --bootstrap", "stop LABEL", "restart -p work --bootstrap", "restart -p work"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := fleet.New(t, fleet.Options{TimeScale: 0.02, Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Middle}}})
			g := f.Gateway("work")
			now := f.Up("work", 0)
			for _, line := range asked {
				args := strings.Fields(strings.ReplaceAll(line, "LABEL", g.Label))
				if o := f.Command(args...); o.Code != 0 {
					t.Fatalf("%q: %+v", line, o)
				}
				if args[0] != "stop" {
					now = f.Successor("work", now)
				}
			}
			noted, err := os.ReadFile(filepath.Join(g.Home, "gateway-starts.log"))
			if n := strings.Count(string(noted), "\n"); err != nil || n < 4 {
				t.Fatalf("Hermes noted %d starts: %v", n, err)
			}
			if all := doctor(t, f); len(all) > 0 {
				t.Errorf("%+v", all)
			}
			mark := f.Mark()
			now.Signal(syscall.SIGKILL)
			f.Wait(mark, launchdtest.Is(launchdtest.Spawn, g.Label))
			if one := flapping(t, f); one != nil {
				t.Errorf("it failed once: %+v", one)
			}
		})
	}
}

// A gateway that dies before it notes that it was started, as one that cannot import a module, is found
// each time: also right after a restart, and whatever it is at just then.
func TestDoctorFindsWhatDiesBeforeItsLog(t *testing.T) {
	t.Parallel()
	for name, log := range map[string]string{"it never ran": "", "it ran before": "1600000000.5\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			diesBeforeItsLog(t, log)
		})
	}
}

func diesBeforeItsLog(t *testing.T, log string) {
	f := fleet.New(t, fleet.Options{Outside: true, TimeScale: 0.02, Profiles: []fleet.Profile{
		{Name: "work", Plist: fleet.Middle, NoWait: true, Keys: map[string]any{"ProgramArguments": []string{"/bin/sh", "-c", `while [ -e "$HERMES_HOME/hold" ]; do sleep 0.05; done; exit 1`}, "ThrottleInterval": 10}},
		{Name: "fine", Plist: fleet.Middle},
	}})
	g := f.Gateway("work")
	hold := filepath.Join(g.Home, "hold")
	if log != "" {
		if err := os.WriteFile(filepath.Join(g.Home, "gateway-starts.log"), []byte(log), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mark := f.Loaded()
	for range 5 {
		mark = f.Wait(mark, launchdtest.Is(launchdtest.Exit, g.Label)).Next
	}
	seen := func(when string) {
		t.Helper()
		one := flapping(t, f)
		if one == nil || one.Profile != "work" || !strings.Contains(one.Problem, "last exit 1") && !strings.Contains(one.Problem, "Terminated") {
			t.Errorf("%s: %+v", when, one)
		}
	}
	for range 3 {
		seen("by itself")
	}
	for range 3 {
		if o := f.Command("restart", "-p", "work", "--force"); strings.Contains(o.Stderr, "refused") {
			t.Fatalf("%+v", o)
		}
		seen("restarted")
		mark = f.Mark()
		f.Wait(mark, launchdtest.Is(launchdtest.Exit, g.Label))
		seen("and dead again")
	}
	// What was asked for, and lives, is too young yet.
	if err := os.WriteFile(hold, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if o := f.Command("restart", "-p", "work", "--force"); o.Code != 0 {
		t.Fatalf("%+v", o)
	}
	for range 3 {
		seen("asked for, and alive")
	}
}

// One that runs comes to note its start: doctor waits for that before it judges by launchd's number, which
// is of all times.
func TestDoctorWaitsForTheLog(t *testing.T) {
	t.Parallel()
	f := fleet.New(t, fleet.Options{Outside: true, TimeScale: 0.02, Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Middle, Unloaded: true}}})
	g := f.Gateway("work")
	run := `"$@"`
	if host := os.Getenv("DARWINHOST"); runtime.GOOS == "darwin" && host != "" { // Linux' sh cannot start a Mach-O file
		run = "'" + host + "' " + run
	}
	f.SetKeys("work", map[string]any{"ThrottleInterval": 5, "ProgramArguments": []string{
		"/bin/sh", "-c", `while [ -e "$HERMES_HOME/hold" ]; do sleep 0.02; done; ` + run, "sh",
		f.Program("python3"), "-m", "hermes_cli.main", "--profile", "work", "gateway", "run", "--external-supervisor"}})
	f.Load("work")
	starts, hold := filepath.Join(g.Home, "gateway-starts.log"), filepath.Join(g.Home, "hold")
	now := f.Up("work", 0)
	for range 4 {
		now.Signal(syscall.SIGKILL)
		now = f.Successor("work", now)
	}
	for path, text := range map[string]string{starts: "1600000000.5\n", hold: ""} { // all that was long ago
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mark := f.Mark()
	now.Signal(syscall.SIGKILL)
	mark = f.Wait(mark, launchdtest.Is(launchdtest.Spawn, g.Label)).Next
	looking := f.Prepare("doctor")
	out := newFlowing()
	looking.Stdout, looking.Stderr = out, out
	if err := looking.Start(); err != nil {
		t.Fatal(err)
	}
	f.Wait(mark, asked828or708)
	if err := os.Remove(hold); err != nil {
		t.Fatal(err)
	}
	if err := looking.Wait(); err != nil || out.until(t, func(string) bool { return true }) != "nothing is wrong with 1 gateway\n" {
		t.Errorf("%v: %s", err, out.until(t, func(string) bool { return true }))
	}
	f.Successor("work", now)
}
