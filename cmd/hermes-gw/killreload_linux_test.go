package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/launchdsim"
	"github.com/hermes-gw/hermes-gw/internal/proof/killpoint"
	"github.com/hermes-gw/hermes-gw/launchd"
)

// scale makes a launchd's timers so much shorter.
const scale = 0.02

// workerBound is how long after a kill of the worker the job runs at the latest: the
// worker's ThrottleInterval and the job's exit timeout in the launchd's time, and 5 s.
const workerBound = time.Duration(scale*float64(10*time.Second+exitTimeout)) + 5*time.Second

// reload is a run of the command's reload, whose home is the rig's folder; launchd runs
// worker for it.
func (r *rig) reload(worker string) *exec.Cmd {
	return r.command("reload", r.dir, strings.TrimPrefix(r.address, "unix:"), worker, r.target.String())
}

func isWorker(e launchdsim.Event) bool { return strings.HasPrefix(e.Label, "hermes-gw.reload.") }

// settled waits until no worker is loaded and the job runs, and returns the job.
func (r *rig) settled(what string) launchd.Job {
	r.t.Helper()
	for {
		from := r.now()
		jobs, err := r.client.List(r.t.Context(), r.target.Domain)
		if err != nil {
			r.t.Fatal(err)
		}
		worker := slices.ContainsFunc(jobs, func(j launchd.ListEntry) bool { return strings.HasPrefix(j.Label, "hermes-gw.reload.") })
		if !worker {
			j := r.job()
			if j.State == launchd.StateRunning {
				return j
			}
		}
		r.trace.await(r.t, "the end of the reload, "+what, from, func(e launchdsim.Event) bool { return e.Kind == "state" })
	}
}

// reloaded checks what a reload has left that began when the trace was at from, and returns
// whether it took place. hit is when something of it was killed, 0 if nothing was.
func (r *rig) reloaded(what string, from int, old launchd.Job, mark string, hit time.Duration) bool {
	r.t.Helper()
	j := r.settled(what)
	events := r.since(from)
	r.requests(events)
	gaps := r.gaps(events)
	last := j.Arguments[len(j.Arguments)-1]
	switch spawned := r.spawns(events); {
	case len(gaps) == 0 && spawned == 0 && j.PID == old.PID && last == old.Arguments[len(old.Arguments)-1]:
		r.oneRuns(j)
		return false // nothing was touched
	case len(gaps) != 1 || gaps[0].to == 0 || spawned != 1 || j.PID == old.PID || last != mark:
		r.t.Errorf("%s: gaps %v, %d new processes, pid %d -> %d, with %q", what, gaps, spawned, old.PID, j.PID, last)
		return true
	}
	r.oneRuns(j)
	// From the kill, or from when there was no job, whichever is later.
	start := max(hit, gaps[0].from)
	for _, e := range events {
		if r.runs(e) && time.Duration(e.Time)-start > workerBound {
			r.t.Errorf("%s: the job ran again after %v", what, time.Duration(e.Time)-start)
		}
	}
	return true
}

// marks numbers the definitions of a rig's job.
func (r *rig) next(n *int) (mark string) {
	*n++
	mark = fmt.Sprint("definition ", *n)
	r.define(mark, "")
	return mark
}

// clean fails unless reloads have left nothing but lock, log and result.
func (r *rig) clean() {
	r.t.Helper()
	files, err := filepath.Glob(filepath.Join(r.dir, ".local/state/hermes-gw/*"))
	if err != nil || len(files) == 0 {
		r.t.Error(files, err)
	}
	for _, f := range files {
		if !strings.HasSuffix(f, ".lock") && !strings.HasSuffix(f, ".log") && !strings.HasSuffix(f, ".result.json") {
			r.t.Errorf("%s is left", f)
		}
	}
}

// whole runs a reload that nobody kills.
func (r *rig) whole(n *int) {
	r.t.Helper()
	old, from, mark := r.job(), r.now(), r.next(n)
	if text, err := r.reload(built.gw).CombinedOutput(); err != nil || !r.reloaded("nobody killed it", from, old, mark, 0) {
		r.t.Fatalf("%v: %s", err, text)
	}
	r.clean()
}

// The client is killed before each of its calls: launchd carries the reload out, or it
// was not begun.
func TestKilledReload(t *testing.T) {
	t.Parallel()
	r := newRig(t, scale)
	n := 0
	r.next(&n)
	trace, err := killpoint.Count(t.Context(), r.reload(built.gw))
	traced(t, err)
	if len(trace.Sent(bootstrap)) != 1 || len(trace.Sent(bootout, kickstart)) > 0 || trace.Status.ExitStatus() != exitOK {
		t.Fatalf("%v: %v", trace.Status, trace.Calls)
	}
	r.settled("nobody killed it")
	places := map[string]int{}
	kill := func(k int) bool {
		return r.reloadKilled(&n, places, func(cmd *exec.Cmd) (killpoint.Result, error) { return killpoint.Kill(t.Context(), cmd, k) })
	}
	everyKill(t, len(trace.Calls), around(trace, bootstrap), 1500*time.Millisecond, kill)
	until(trace.Sent(bootstrap)[0].Number, func() bool { return places["after, reloaded"]+places["during, reloaded"] > 0 }, kill)
	r.whole(&n)
	t.Logf("killed %v its request (it is call %d)", places, trace.Sent(bootstrap)[0].Number)
	if places["before, nothing was touched"] == 0 || places["after, reloaded"]+places["during, reloaded"] == 0 {
		t.Errorf("the kills were all on one side: %v", places)
	}
}

func (r *rig) reloadKilled(n *int, places map[string]int, kill func(*exec.Cmd) (killpoint.Result, error)) bool {
	r.t.Helper()
	old, from, mark := r.job(), r.now(), r.next(n)
	result, err := kill(r.reload(built.gw))
	traced(r.t, err)
	r.arrived(result, from, bootstrap)
	where := phaseOf(r.since(from), result)
	place := string(where) + ", nothing was touched"
	if r.reloaded(fmt.Sprintf("client killed at %v", result.Next), from, old, mark, result.At) {
		place = string(where) + ", reloaded"
	}
	if (where == before) != strings.HasSuffix(place, "nothing was touched") {
		r.t.Errorf("killed at %v: %s", result.Next, place)
	}
	if where == never && result.Status.ExitStatus() != exitOK {
		r.t.Errorf("a whole reload: exit %d", result.Status.ExitStatus())
	}
	places[place]++
	return result.Killed
}

func TestKilledReloadAtRandom(t *testing.T) {
	t.Parallel()
	r := newRig(t, scale)
	n := 0
	took := duration(t, func() *exec.Cmd {
		r.settled("nobody killed it")
		r.next(&n)
		return r.reload(built.gw)
	})
	r.settled("nobody killed it")
	places := map[string]int{}
	randomKills(t, took*3/2, time.Second, func(d time.Duration) bool {
		return r.reloadKilled(&n, places, func(cmd *exec.Cmd) (killpoint.Result, error) { return killpoint.KillAfter(t.Context(), cmd, d) })
	})
	r.whole(&n)
	t.Logf("killed %v its request", places)
}

// turnstile is a worker that waits, before it becomes the built command, until it is let go:
// the pid stays, so launchd sees nothing of that. Only the first one waits; those that
// launchd starts after it do not.
type turnstile struct {
	path    string // the program
	waiting *stream[int]
	line    *os.File
	open    string
}

func (r *rig) turnstile() *turnstile {
	r.t.Helper()
	g := &turnstile{path: filepath.Join(r.dir, "worker"), open: filepath.Join(r.dir, "open")}
	g.waiting = fifo(r.t, filepath.Join(r.dir, "waiting"), strconv.Atoi)
	line := filepath.Join(r.dir, "line")
	if err := syscall.Mkfifo(line, 0o600); err != nil {
		r.t.Fatal(err)
	}
	var err error
	if g.line, err = os.OpenFile(line, os.O_RDWR, 0); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { g.line.Close() })
	script := fmt.Sprintf("#!/bin/sh\n[ -e %s ] || { echo $$ >%s; read -r line <%s; }\nexec %s \"$@\"\n", g.open, filepath.Join(r.dir, "waiting"), line, built.gw)
	if err := os.WriteFile(g.path, []byte(script), 0o700); err != nil {
		r.t.Fatal(err)
	}
	return g
}

// shut makes the next worker wait.
func (g *turnstile) shut() { os.Remove(g.open) }

// let lets the one that waits go on, and those to come.
func (g *turnstile) let() error {
	if err := os.WriteFile(g.open, nil, 0o600); err != nil {
		return err
	}
	_, err := fmt.Fprintln(g.line)
	return err
}

// workerKilled runs a reload whose first worker is killed before its k-th call; with a k of
// 0 it is only traced. meanwhile is called when the worker waits and everything was checked.
func (r *rig) workerKilled(g *turnstile, k int, meanwhile func()) (result killpoint.Result, code int, stderr string) {
	r.t.Helper()
	g.shut()
	seen := len(g.waiting.all())
	client := r.reload(g.path)
	var text bytes.Buffer
	client.Stderr = &text
	if err := client.Start(); err != nil {
		r.t.Fatal(err)
	}
	defer client.Process.Kill()
	pid := g.waiting.await(r.t, "the worker", seen, func(int) bool { return true })
	meanwhile()
	result, err := killpoint.KillAttached(r.t.Context(), pid, k, g.let)
	if err != nil {
		g.let()
	}
	traced(r.t, err)
	client.Wait()
	return result, client.ProcessState.ExitCode(), text.String()
}

// The worker is killed before each of its calls: the next one goes on where it was.
func TestKilledWorker(t *testing.T) {
	t.Parallel()
	r := newRig(t, scale)
	g := r.turnstile()
	n := 0
	worker := func(k int) killpoint.Result {
		old, from, mark := r.job(), r.now(), r.next(&n)
		result, code, stderr := r.workerKilled(g, k, func() {})
		if !r.reloaded(fmt.Sprintf("worker killed at %v", result.Next), from, old, mark, result.At) {
			t.Errorf("killed at %v: nothing was done", result.Next)
		}
		if code != exitOK {
			t.Errorf("killed at %v: exit %d, %s", result.Next, code, stderr)
		}
		r.clean()
		return result
	}
	all := worker(0)
	sent := all.Sent(bootout)
	if len(sent) != 2 || len(all.Sent(bootstrap)) != 1 {
		t.Fatal(all.Calls)
	}
	// Right after it has unloaded the job, and before it loads it.
	first := append(around(all.Trace, bootout)[2:4], around(all.Trace, bootstrap)[1:2]...)
	inGap, killed := 0, 0
	kill := func(k int) bool {
		result := worker(k)
		if result.Killed {
			killed++
			if len(result.Sent(bootout)) > 0 && len(result.Sent(bootstrap)) == 0 {
				inGap++
			}
		}
		return result.Killed
	}
	everyKill(t, len(all.Calls), first, 2*time.Second, kill)
	until(sent[0].Number+1, func() bool { return inGap > 0 }, kill)
	t.Logf("%d workers killed, %d of them while the job was not loaded (calls %d to %d of %d)",
		killed, inGap, sent[0].Number, all.Sent(bootstrap)[0].Number, len(all.Calls))
	if inGap == 0 {
		t.Error("no worker was killed while the job was not loaded")
	}
}

func TestKilledWorkerAtRandom(t *testing.T) {
	t.Parallel()
	r := newRig(t, scale)
	n := 0
	var life time.Duration
	worker := func(after time.Duration, kill bool) (killed bool) {
		old, from, mark := r.job(), r.now(), r.next(&n)
		client := r.reload(built.gw)
		var text bytes.Buffer
		client.Stderr = &text
		if err := client.Start(); err != nil {
			t.Fatal(err)
		}
		defer client.Process.Kill()
		spawned := r.trace.await(t, "the worker", from, func(e launchdsim.Event) bool { return e.Kind == "spawn" && isWorker(e) })
		var hit time.Duration
		if kill {
			// By a descriptor: it may have ended.
			if p, err := os.FindProcess(spawned.PID); err == nil {
				time.Sleep(after)
				if p.Kill() == nil {
					hit = time.Duration(spawned.Time) + after
				}
				p.Release()
			}
		}
		client.Wait()
		if code := client.ProcessState.ExitCode(); code != exitOK {
			t.Errorf("killed after %v: exit %d, %s", after, code, &text)
		}
		if !r.reloaded(fmt.Sprintf("worker killed after %v", after), from, old, mark, hit) {
			t.Errorf("killed after %v: nothing was done", after)
		}
		r.clean()
		for _, e := range r.since(from) {
			if e.Kind == "exit" && isWorker(e) && e.PID == spawned.PID {
				life = time.Duration(e.Time - spawned.Time)
				killed = syscall.WaitStatus(*e.Status).Signal() == syscall.SIGKILL
			}
		}
		return killed
	}
	if worker(0, false); life == 0 {
		t.Fatal("the worker's end is not in the trace")
	}
	most := life
	randomKills(t, most*5/4, time.Second, func(d time.Duration) bool { return worker(d, true) })
}

// A property list that cannot be loaded any more when its turn comes: the old definition
// runs again and the error is told, whenever the worker is killed meanwhile.
func TestKilledRollBack(t *testing.T) {
	t.Parallel()
	calls, first := 0, []int(nil)
	rollBack := func(k int) killpoint.Result {
		r := newRig(t, scale)
		g := r.turnstile()
		old, from := r.job(), r.now()
		r.define("bad", "")
		result, code, stderr := r.workerKilled(g, k, func() { // what it says stays as it was checked
			if err := os.Chmod(r.plist, 0o666); err != nil {
				t.Fatal(err)
			}
		})
		what := fmt.Sprintf("worker killed at %v", result.Next)
		if !r.reloaded(what, from, old, "first", result.At) {
			t.Errorf("%s: nothing was done", what)
		}
		if code != exitFailed || !strings.Contains(stderr, "the old one was loaded again") || !strings.Contains(stderr, "(122)") {
			t.Errorf("%s: exit %d, %s", what, code, stderr)
		}
		if calls == 0 {
			calls, first = len(result.Calls), around(result.Trace, bootstrap)[1:3]
		}
		return result
	}
	rollBack(0)
	everyKill(t, calls, first, 800*time.Millisecond, func(k int) bool { return rollBack(k).Killed })
}

// Two reloads at once, one of them killed or not: one instance runs, by the new definition.
func TestKilledTwoReloads(t *testing.T) {
	t.Parallel()
	r := newRig(t, scale)
	n, busy := 0, 0
	r.whole(&n)
	took := duration(t, func() *exec.Cmd { r.settled("nobody killed it"); return r.reload(built.gw) })
	r.settled("nobody killed it")
	ended := func(cmd *exec.Cmd) {
		switch code := cmd.ProcessState.ExitCode(); code {
		case exitRefused:
			busy++
		case exitOK:
		default:
			t.Errorf("exit %d", code)
		}
	}
	two := func(after time.Duration, kill bool) (killed bool) {
		from, mark := r.now(), r.next(&n)
		other := r.reload(built.gw)
		if err := other.Start(); err != nil {
			t.Fatal(err)
		}
		defer other.Process.Kill()
		if kill {
			result, err := killpoint.KillAfter(t.Context(), r.reload(built.gw), after)
			traced(t, err)
			killed = result.Killed
		} else {
			one := r.reload(built.gw)
			one.Run()
			ended(one)
		}
		other.Wait()
		ended(other)
		j := r.settled("two at once")
		events := r.since(from)
		r.requests(events)
		gaps := r.gaps(events)
		if last := j.Arguments[len(j.Arguments)-1]; len(gaps) == 0 || gaps[len(gaps)-1].to == 0 || r.spawns(events) != len(gaps) || last != mark {
			t.Errorf("gaps %v, %d new processes, with %q", gaps, r.spawns(events), last)
		}
		r.oneRuns(j)
		return killed
	}
	for range 2 {
		two(0, false)
	}
	randomKills(t, took, 500*time.Millisecond, func(d time.Duration) bool { return two(d, true) })
	t.Logf("%d found another one under way", busy)
}
