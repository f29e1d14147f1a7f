package launchdsim

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/hermes-gw/hermes-gw/internal/proc"
)

func TestRestartReplacesTheProcess(t *testing.T) {
	f := newFixture(t, Options{})
	c := f.dial()
	c.load(f.write("a", sleeper+atLoad))
	old := c.kick("a", nil)
	if again := c.kick("a", nil); again != old {
		t.Fatalf("kickstart without kill of a running job: pid %d, was %d", again, old)
	}
	from := f.seen()
	pid := c.kick("a", dict{"kill": true, "unthrottle": true})
	if pid == old || pid == 0 {
		t.Fatalf("pid %d after a restart of %d", pid, old)
	}
	if alive(old) {
		t.Fatalf("the reply came before the old process %d was reaped", old)
	}
	if !alive(pid) {
		t.Fatalf("the new process %d is not there", pid)
	}
	// In this order: signal, exit, spawn, reply.
	request, from := f.wait(from, "request", func(e Event) bool { return e.Kind == "request" })
	order := []string{request.Kind}
	f.wait(from, "reply", func(e Event) bool {
		// The reply of an earlier request may be noted as late as this.
		if e.Kind != "state" && (e.Kind != "reply" || e.ID == request.ID) {
			order = append(order, e.Kind)
		}
		return e.Kind == "reply" && e.ID == request.ID
	})
	if want := []string{"request", "signal", "exit", "spawn", "reply"}; !slices.Equal(order, want) {
		t.Fatalf("events %v, want %v", order, want)
	}
	if text := c.print(708, gui(dict{"name": "a"})); !strings.Contains(text, "\n\truns = 2\n") || !strings.Contains(text, "\n\tlast terminating signal = Terminated: 15\n") {
		t.Errorf("print after a restart:\n%s", text)
	}
}

func TestKillIsTermThenExitTimeoutThenKill(t *testing.T) {
	f := newFixture(t, Options{TimeScale: 0.01})
	c := f.dial()
	up := f.fifo("up")
	c.load(f.write("stubborn", sh(`trap "" TERM; echo up > `+up+`; while :; do sleep 1; done`)+`<key>ExitTimeOut</key><integer>20</integer>`+atLoad))
	f.read(up)
	old := c.kick("stubborn", nil)
	from := f.seen()
	c.kick("stubborn", dict{"kill": true, "unthrottle": true})
	var signals []int
	exit, _ := f.wait(from, "exit", func(e Event) bool {
		if e.Kind == "signal" {
			signals = append(signals, e.Signal)
		}
		return e.Kind == "exit"
	})
	if !slices.Equal(signals, []int{15, 9}) || exit.PID != old || *exit.Status != 9 {
		t.Fatalf("signals %v, exit of %d with %d", signals, exit.PID, *exit.Status)
	}
}

// While one request waits for the exit, a second one with kill is told so (37)
// and one without gets the dying pid.
func TestRequestsDuringAStop(t *testing.T) {
	f := newFixture(t, Options{})
	c, other := f.dial(), f.dial()
	up := f.fifo("up")
	c.load(f.write("slow", sh(`trap "read x < `+f.fifo("go")+`; exit 0" TERM; echo up > `+up+`; while :; do sleep 0.05; done`)+atLoad))
	f.read(up)
	old := c.kick("slow", nil)
	from := f.seen()
	c.send(702, gui(dict{"name": "slow", "kill": true, "unthrottle": true}))
	f.waitState(from, "slow", sigtermed)
	if d := other.call(702, gui(dict{"name": "slow", "kill": true})); code(d) != 37 {
		t.Errorf("second kill: %v, want 37", d)
	}
	if pid := other.kick("slow", nil); pid != old {
		t.Errorf("without kill: pid %d, want the dying %d", pid, old)
	}
	f.tell(filepath.Join(f.dir, "go"))
	if d := c.receive(); d["pid"] == int64(old) || d["pid"] == nil {
		t.Errorf("the restart: %v", d)
	}
}

func TestThrottle(t *testing.T) {
	f := newFixture(t, Options{TimeScale: 0.02}) // 10 s are 200 ms
	c := f.dial()
	c.load(f.write("a", sleeper+atLoad))
	c.kick("a", nil)

	from := f.seen()
	c.kick("a", dict{"kill": true})
	scheduled, next := f.waitState(from, "a", spawnScheduled)
	spawn, _ := f.wait(next, "spawn", func(e Event) bool { return e.Kind == "spawn" })
	if spawn.Time-scheduled.Time < 100e6 {
		t.Errorf("a throttled spawn after %d ns", spawn.Time-scheduled.Time)
	}

	from = f.seen()
	c.kick("a", dict{"kill": true, "unthrottle": true})
	f.mu.Lock()
	for _, e := range f.events[from:] {
		if e.To == spawnScheduled.String() {
			t.Errorf("throttled in spite of unthrottle: %+v", e)
		}
	}
	f.mu.Unlock()
}

// A spawn that waits for its throttle is brought forward by unthrottle; whoever
// waited for it is told 89.
func TestUnthrottleCancelsAScheduledSpawn(t *testing.T) {
	f := newFixture(t, Options{})
	c, other := f.dial(), f.dial()
	c.load(f.write("a", sleeper))
	c.kick("a", nil)
	c.call(812, gui(dict{"name": "a", "signal": int64(9)}))
	_, from := f.waitState(0, "a", exited)
	other.send(702, gui(dict{"name": "a"}))
	f.waitState(from, "a", spawnScheduled)
	f.wait(0, "second request", func(e Event) bool { return e.Kind == "request" && e.Conn == 2 })
	if text := c.print(708, gui(dict{"name": "a"})); !strings.Contains(text, "\n\tstate = spawn scheduled\n") {
		t.Errorf("print:\n%s", text)
	}
	if pid := c.kick("a", dict{"unthrottle": true}); !alive(pid) {
		t.Errorf("pid %d", pid)
	}
	if d := other.receive(); code(d) != 89 {
		t.Errorf("the request that waited: %v, want 89", d)
	}
}

func TestKeepAlive(t *testing.T) {
	condition := func(key, value string) string {
		return `<key>KeepAlive</key><dict><key>` + key + `</key><` + value + `/></dict>`
	}
	for _, test := range []struct {
		name, keys, script string
		again              bool
	}{
		{"always", keepAliveKey, "exit 0", true},
		{"failure only, failed", condition("SuccessfulExit", "false"), "exit 75", true},
		{"failure only, clean", condition("SuccessfulExit", "false"), "exit 0", false},
		{"failure only, signal", condition("SuccessfulExit", "false"), "kill -KILL $$", true},
		{"success only, clean", condition("SuccessfulExit", "true"), "exit 0", true},
		{"success only, failed", condition("SuccessfulExit", "true"), "exit 1", false},
		{"crash, crashed", condition("Crashed", "true"), "kill -SEGV $$", true},
		{"crash, failed", condition("Crashed", "true"), "exit 1", false},
		{"no crash, clean", condition("Crashed", "false"), "exit 0", true},
		{"none", atLoad, "exit 1", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, Options{})
			c := f.dial()
			c.load(f.write("a", sh(test.script)+test.keys))
			f.waitState(0, "a", exited)
			// The exit path is one step under the lock, so print sees its end.
			state := c.print(708, gui(dict{"name": "a"}))
			if again := strings.Contains(state, "state = spawn scheduled"); again != test.again {
				t.Errorf("runs again: %v, want %v\n%s", again, test.again, state)
			}
		})
	}
}

// Without unthrottle a job that exits cleanly on SIGTERM, and that KeepAlive would
// not revive, still comes back: the request itself starts it.
func TestRestartStartsWhatKeepAliveWouldNot(t *testing.T) {
	f := newFixture(t, Options{})
	c := f.dial()
	up := f.fifo("up")
	c.load(f.write("a", sh(`trap "exit 0" TERM; echo up > `+up+`; while :; do sleep 0.05; done`)+`<key>KeepAlive</key><dict><key>SuccessfulExit</key><false/></dict>`))
	f.read(up)
	old := c.kick("a", nil)
	if pid := c.kick("a", dict{"kill": true, "unthrottle": true}); pid == old || pid == 0 {
		t.Fatalf("pid %d after %d", pid, old)
	}
}

// A request that was read is carried out although its client is gone, once.
func TestClientGoneAfterTheRequest(t *testing.T) {
	f := newFixture(t, Options{})
	c := f.dial()
	c.load(f.write("a", sleeper+atLoad))
	old := c.kick("a", nil)
	from := f.seen()
	doomed := f.dial()
	doomed.send(702, gui(dict{"name": "a", "kill": true, "unthrottle": true}))
	doomed.c.Close()
	f.wait(from, "reply to nobody", func(e Event) bool { return e.Kind == "reply" && e.Conn == 2 })
	f.waitState(from, "a", running)
	if pid := c.kick("a", nil); pid == old {
		t.Fatalf("still pid %d", pid)
	}
	if spawns := f.count(func(e Event) bool { return e.Kind == "spawn" }); spawns != 2 {
		t.Errorf("%d spawns, want 2", spawns)
	}
}

// The group of a process that has ended gets SIGTERM, unless the plist says
// AbandonProcessGroup.
func TestProcessGroupCleanup(t *testing.T) {
	for _, abandon := range []bool{false, true} {
		f := newFixture(t, Options{})
		c := f.dial()
		pids := f.fifo("pids")
		keys := atLoad
		if abandon {
			keys += `<key>AbandonProcessGroup</key><true/>`
		}
		c.load(f.write("a", sh(`sleep 1000 & echo $! > `+pids)+keys))
		var child int
		if _, err := fmt.Sscan(f.read(pids), &child); err != nil {
			t.Fatal(err)
		}
		f.waitState(0, "a", exited)
		process, err := proc.Open(child)
		switch {
		case abandon && err != nil:
			t.Errorf("an abandoned child: %v", err)
		case !abandon && err == nil:
			// SIGTERM went out before the exit was handled.
			if err := process.Wait(t.Context()); err != nil {
				t.Errorf("the child outlived its group's leader: %v", err)
			}
		}
		if err == nil {
			process.Close()
		}
		syscall.Kill(child, syscall.SIGKILL)
	}
}
