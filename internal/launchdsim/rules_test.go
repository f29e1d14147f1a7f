package launchdsim

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// 1 (EPERM) in the spawn window is transient: nothing happens to the process, and
// the same request succeeds once the program was executed.
func TestSpawnWindow(t *testing.T) {
	f := newFixture(t, Options{SpawnWindow: 300 * time.Millisecond, SpawnWindowDenies: true})
	c := f.dial()
	c.load(f.write("a", sleeper+atLoad))
	_, from := f.waitState(0, "a", xpcproxy)
	if d := c.call(702, gui(dict{"name": "a", "kill": true})); code(d) != 1 {
		t.Fatalf("in the window: %v, want 1", d)
	}
	f.waitState(from, "a", running)
	old := c.kick("a", nil)
	if pid := c.kick("a", dict{"kill": true, "unthrottle": true}); pid == old {
		t.Errorf("after the window: still %d", pid)
	}
}

func TestSpawnWindowAborts(t *testing.T) {
	f := newFixture(t, Options{SpawnWindow: time.Hour})
	c := f.dial()
	c.load(f.write("a", sleeper+atLoad))
	spawn, from := f.wait(0, "spawn", func(e Event) bool { return e.Kind == "spawn" })
	c.send(702, gui(dict{"name": "a", "kill": true, "unthrottle": true}))
	signal, _ := f.wait(from, "signal", func(e Event) bool { return e.Kind == "signal" })
	if signal.Signal != 9 || signal.PID != spawn.PID {
		t.Errorf("%+v, want SIGKILL to %d", signal, spawn.PID)
	}
	if d := c.receive(); d["pid"] == nil || d["pid"] == int64(spawn.PID) {
		t.Errorf("%v", d)
	}
}

func TestPenaltyBox(t *testing.T) {
	f := newFixture(t, Options{})
	c := f.dial()
	c.load(f.write("a", sleeper))
	if !f.SetPenaltyBox(fmt.Sprintf("gui/%d", os.Geteuid()), "a", true) {
		t.Fatal("the job was not found")
	}
	if d := c.call(702, gui(dict{"name": "a"})); code(d) != 139 {
		t.Errorf("in the penalty box: %v, want 139", d)
	}
	if pid := c.kick("a", dict{"unthrottle": true}); pid == 0 {
		t.Error("unthrottle did not let it out")
	}
}

func TestOnDemandOnlyModePendsWhatNobodyAskedFor(t *testing.T) {
	f := newFixture(t, Options{OnDemandOnly: true})
	c := f.dial()
	c.load(f.write("a", sleeper+atLoad))
	c.load(f.write("b", sleeper+keepAliveKey))
	text := c.print(708, gui(dict{"name": "a"}))
	if !strings.Contains(text, "\n\tstate = not running\n") || !strings.Contains(text, "\n\tpended nondemand spawn = speculative\n") {
		t.Errorf("print of a pended job:\n%s", text)
	}
	if pid := c.kick("a", nil); pid == 0 {
		t.Error("a kickstart does not start it")
	}
	if d := c.call(807, gui(nil)); len(d) != 0 {
		t.Errorf("end of the mode: %v", d)
	}
	f.waitState(0, "b", running)
	if n := f.count(func(e Event) bool { return e.Kind == "spawn" && e.Label == "a" }); n != 1 {
		t.Errorf("a was spawned %d times", n)
	}
}

func TestExponentialThrottling(t *testing.T) {
	j := &job{s: &Server{opts: Options{TimeScale: 1}}, def: &definition{throttle: 10 * time.Second}}
	crash := func() { j.countCrash(syscall.WaitStatus(1<<8), false) }
	for range 3 {
		crash()
	}
	if got := j.minimumRuntime(); got != 10*time.Second {
		t.Errorf("without the key: %v", got)
	}
	j.def.backOff, j.crashes = true, 0
	for i, want := range []time.Duration{10, 10, 20, 40, 80, 160, 320, 640, 1200, 1200} {
		if got := j.minimumRuntime(); got != want*time.Second {
			t.Errorf("after %d crashes: %v, want %v", i, got, want*time.Second)
		}
		crash()
	}
	j.countCrash(syscall.WaitStatus(9), true)
	if j.minimumRuntime() != 1200*time.Second {
		t.Error("an end that launchd caused counted")
	}
	j.countCrash(0, false)
	if j.minimumRuntime() != 10*time.Second {
		t.Error("a success did not reset it")
	}
}

func TestLaunchOnlyOnceAndInterval(t *testing.T) {
	f := newFixture(t, Options{TimeScale: 0.01})
	c := f.dial()
	c.load(f.write("once", sh("exit 0")+`<key>LaunchOnlyOnce</key><true/>`+atLoad))
	f.waitState(0, "once", exited)
	if d := c.call(702, gui(dict{"name": "once"})); code(d) != 139 {
		t.Errorf("a second launch: %v, want 139", d)
	}
	c.load(f.write("tick", sh("exit 0")+`<key>StartInterval</key><integer>1</integer><key>ThrottleInterval</key><integer>0</integer>`))
	from := 0
	for range 3 {
		_, from = f.wait(from, "spawn of tick", func(e Event) bool { return e.Kind == "spawn" && e.Label == "tick" })
	}
	c.call(801, gui(dict{"name": "tick"}))
	f.wait(0, "end of tick", func(e Event) bool { return e.Label == "tick" && e.Kind == "state" })
}

func TestAfterInitialDemand(t *testing.T) {
	f := newFixture(t, Options{})
	c := f.dial()
	c.load(f.write("a", sh("exit 0")+`<key>KeepAlive</key><dict><key>AfterInitialDemand</key><true/></dict>`))
	if text := c.print(708, gui(dict{"name": "a"})); !strings.Contains(text, "\n\truns = 0\n") {
		t.Errorf("ran before anybody asked:\n%s", text)
	}
	c.kick("a", nil)
	f.waitState(0, "a", spawnScheduled)
}

func TestPathState(t *testing.T) {
	f := newFixture(t, Options{})
	c := f.dial()
	path := filepath.Join(f.dir, "present")
	keys := sh("exit 0") + `<key>KeepAlive</key><dict><key>PathState</key><dict><key>` + path + `</key><true/></dict></dict>`
	c.load(f.write("a", keys))
	if n := f.count(func(e Event) bool { return e.Kind == "state" }); n != 0 {
		t.Errorf("started without the path")
	}
	c.call(801, gui(dict{"name": "a"}))
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c.load(f.write("a", keys))
	f.waitState(0, "a", spawnScheduled) // ran, ended, and is to run again
}

func TestUmaskAndLimits(t *testing.T) {
	f := newFixture(t, Options{})
	c := f.dial()
	out := filepath.Join(f.dir, "out")
	c.load(f.write("a", sh(`umask; ulimit -S -n; ulimit -H -n; echo "$0"; echo $$`)+`<key>Umask</key><integer>23</integer>
		<key>SoftResourceLimits</key><dict><key>NumberOfFiles</key><integer>64</integer></dict>
		<key>HardResourceLimits</key><dict><key>NumberOfFiles</key><integer>128</integer></dict>
		<key>StandardOutPath</key><string>`+out+`</string>`+atLoad))
	exit, _ := f.wait(0, "exit", func(e Event) bool { return e.Kind == "exit" })
	text, _ := os.ReadFile(out)
	lines := strings.Fields(string(text))
	if len(lines) != 5 || strings.TrimLeft(lines[0], "0") != "27" || lines[1] != "64" || lines[2] != "128" || lines[4] != fmt.Sprint(exit.PID) {
		t.Errorf("the job saw %q, pid %d", text, exit.PID)
	}
}

func TestUnknownAccountsAreRefused(t *testing.T) {
	f := newFixture(t, Options{})
	c := f.dial()
	for key, want := range map[string]int64{"UserName": 114, "GroupName": 115} {
		path := f.write(key, sleeper+`<key>`+key+`</key><string>nobody-at-all</string>`)
		d := c.call(800, gui(dict{"paths": []any{path}}))
		if errors, _ := d["errors"].(dict); errors[path] != want {
			t.Errorf("%s: %v, want %d", key, d, want)
		}
	}
}

// A process that outlives SIGKILL leaves its job languishing until it ends.
func TestLanguishing(t *testing.T) {
	release := make(chan struct{})
	f := newFixture(t, Options{TimeScale: 0.01})
	f.Server.mu.Lock()
	f.Server.beforeReap = func() { <-release }
	f.Server.mu.Unlock()
	c, other := f.dial(), f.dial()
	c.load(f.write("a", sleeper+atLoad))
	c.kick("a", nil)
	c.send(702, gui(dict{"name": "a", "kill": true, "unthrottle": true}))
	f.waitState(0, "a", languishing)
	if d := other.call(702, gui(dict{"name": "a", "kill": true})); code(d) != 16 {
		t.Errorf("kill of a languishing job: %v, want 16", d)
	}
	close(release)
	if d := c.receive(); d["pid"] == nil || d["pid"] == int64(0) {
		t.Errorf("after its end: %v", d)
	}
}

func TestPIDDomain(t *testing.T) {
	f := newFixture(t, Options{})
	c := f.dial()
	owner := exec.Command("/bin/sleep", "1000")
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	defer owner.Wait()
	defer owner.Process.Kill()
	in := func(more dict) dict { return inDomain(domainPID, uint64(owner.Process.Pid), more) }
	path := f.write("a", sleeper+atLoad)
	if d := c.call(800, in(dict{"paths": []any{path}})); len(d) != 0 {
		t.Fatalf("bootstrap: %v", d)
	}
	pid := c.call(702, in(dict{"name": "a"}))["pid"].(int64)
	if d := c.call(808, in(dict{"names": []any{"a"}})); code(d) != 125 {
		t.Errorf("enable: %v, want 125", d)
	}
	if d := c.call(815, in(nil)); code(d) != 112 {
		t.Errorf("list: %v, want 112", d)
	}
	owner.Process.Kill()
	f.wait(0, "exit", func(e Event) bool { return e.Kind == "exit" && e.PID == int(pid) })
	owner.Wait()
	if d := c.call(708, in(dict{"name": "a"})); code(d) != 112 {
		t.Errorf("after the process's end: %v, want 112", d)
	}
}

// An ad-hoc signed binary that was replaced dies at every spawn until the job was
// booted out and in again.
func TestPinnedCode(t *testing.T) {
	f := newFixture(t, Options{PinCode: true})
	c := f.dial()
	program := filepath.Join(f.dir, "program")
	install := func(version string) {
		next := program + ".new"
		if err := os.WriteFile(next, []byte("#!/bin/sh\n# "+version+"\nsleep 1000\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, program); err != nil {
			t.Fatal(err)
		}
	}
	install("1")
	path := f.write("a", `<key>Program</key><string>`+program+`</string>`)
	c.load(path)
	c.kick("a", nil)
	install("1") // another file, the same program
	pid := c.kick("a", dict{"kill": true, "unthrottle": true})
	if text := c.print(708, gui(dict{"name": "a"})); !strings.Contains(text, "\n\tstate = running\n") || !strings.Contains(text, fmt.Sprintf("\n\tpid = %d\n", pid)) {
		t.Errorf("after a copy took the program's place:\n%s", text)
	}
	install("2")
	from := f.seen()
	pid = c.kick("a", dict{"kill": true, "unthrottle": true})
	exit, _ := f.wait(from, "exit", func(e Event) bool { return e.Kind == "exit" && e.PID == pid })
	if *exit.Status != 9 {
		t.Errorf("the replaced program ended with %#x, want SIGKILL", *exit.Status)
	}
	c.call(801, gui(dict{"name": "a"}))
	c.load(path)
	pid = c.kick("a", nil)
	if text := c.print(708, gui(dict{"name": "a"})); !strings.Contains(text, fmt.Sprintf("\n\tpid = %d\n", pid)) {
		t.Errorf("after bootout and bootstrap:\n%s", text)
	}
}

func TestFaults(t *testing.T) {
	f := newFixture(t, Options{})
	f.dial().load(f.write("a", sleeper+atLoad))
	probe := gui(dict{"name": "a"})
	runs := func() int { return f.count(func(e Event) bool { return e.Kind == "spawn" }) }
	kick := gui(dict{"name": "a", "kill": true, "unthrottle": true})
	f.waitState(0, "a", running)

	f.SetFaults(Fault{Kind: Fail, Code: 999, Routine: 708, Times: 2})
	c := f.dial()
	for _, want := range []int64{999, 999, 22} {
		if d := c.call(708, probe); code(d) != want {
			t.Errorf("fail: %v, want %d", d, want)
		}
	}
	f.SetFaults(Fault{Kind: Mistype, Key: "pid", Routine: 702})
	if d := c.call(702, gui(dict{"name": "a"})); d["pid"] != "not what you expect" {
		t.Errorf("mistype: %v", d)
	}
	f.SetFaults(Fault{Kind: Late, Delay: 50 * time.Millisecond})
	before := time.Now()
	if d := c.call(708, probe); code(d) != 22 || time.Since(before) < 50*time.Millisecond {
		t.Errorf("late: %v after %v", d, time.Since(before))
	}
	for _, carry := range []bool{false, true} {
		n := runs()
		f.SetFaults(Fault{Kind: Hangup, Routine: 702, Label: "a", Carry: carry})
		c := f.dial()
		c.send(702, kick)
		if _, _, err := c.c.ReadFrame(); err == nil {
			t.Error("hangup answered")
		}
		if got := runs() - n; (got == 1) != carry {
			t.Errorf("hangup, carry %v: %d spawns", carry, got)
		}
	}
	f.SetFaults(Fault{Kind: Garbage, Domain: fmt.Sprintf("gui/%d", os.Geteuid())})
	c.send(708, probe)
	if body, _, err := c.c.ReadFrame(); err != nil || string(body[4:]) != "garbage!" {
		t.Errorf("garbage: %q, %v", body, err)
	}
	if d := c.call(708, inDomain(domainSystem, 0, dict{"name": "a"})); code(d) != 113 {
		t.Errorf("another domain: %v", d)
	}
	f.SetFaults(Fault{Kind: Broken, Code: 141})
	c.send(708, probe)
	if body, _, err := c.c.ReadFrame(); err != nil || len(body) != 4 || body[0] != 141 {
		t.Errorf("broken: %q, %v", body, err)
	}
	f.SetFaults(Fault{Kind: Never})
	from := f.seen()
	c.send(708, probe)
	f.wait(from, "request", func(e Event) bool { return e.Kind == "request" && e.Routine == 708 })
	f.SetFaults()
	if d := f.dial().call(708, probe); code(d) != 22 {
		t.Errorf("after the faults: %v", d)
	}
	c.c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if body, _, err := c.c.ReadFrame(); err == nil {
		t.Errorf("never: %q", body)
	}
}
