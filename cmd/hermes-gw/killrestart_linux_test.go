package main

import (
	"errors"
	"maps"
	"os/exec"
	"testing"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/launchdsim"
	"github.com/hermes-gw/hermes-gw/internal/proof/killpoint"
	"github.com/hermes-gw/hermes-gw/launchd"
)

// restartBound is what Restart gives the job itself: its exit timeout and minimum runtime,
// and 10 s.
const restartBound = exitTimeout + 10*time.Second + 10*time.Second

// restartKilled runs restart, which kill kills somewhere, and checks what that leaves.
func (r *rig) restartKilled(kill func() (killpoint.Result, error)) (killpoint.Result, phase) {
	r.t.Helper()
	old, from := r.job(), r.now()
	result, err := kill()
	traced(r.t, err)
	r.arrived(result, from, kickstart)
	events := r.since(from)
	asked := r.requests(events)
	want := map[uint64]int{}
	if asked[kickstart] > 0 {
		want[kickstart] = 1
		r.trace.await(r.t, "the new process", from, r.runs)
		events = r.since(from)
	}
	where := phaseOf(events, result)
	if !maps.Equal(asked, want) || where == never && asked[kickstart] == 0 {
		r.t.Errorf("killed at %v: requests %v", result.Next, asked)
	}
	if gaps := r.gaps(events); len(gaps) > 0 {
		r.t.Errorf("killed at %v: the job was unloaded: %v", result.Next, gaps)
	}
	new := r.job()
	if n := r.spawns(events); n != asked[kickstart] || (new.PID == old.PID) != (n == 0) || new.State != launchd.StateRunning {
		r.t.Errorf("killed at %v: %d new processes for %d requests, pid %d -> %d, %s", result.Next, n, asked[kickstart], old.PID, new.PID, new.State)
	}
	// A job that was loaded anew would count from 1 again.
	if old.Runs == nil || new.Runs == nil || *new.Runs != *old.Runs+r.spawns(events) {
		r.t.Errorf("killed at %v: runs %v -> %v", result.Next, old.Runs, new.Runs)
	}
	var asking, running time.Duration
	for _, e := range events {
		switch {
		case e.Kind == "request" && e.Routine == kickstart:
			asking = time.Duration(e.Time)
		case r.runs(e):
			running = time.Duration(e.Time)
		}
	}
	if took := running - asking; took > restartBound {
		r.t.Errorf("killed at %v: it ran again after %v", result.Next, took)
	}
	r.oneRuns(new)
	return result, where
}

// Killed before each of its system calls, restart never leaves the job unloaded, and it
// ends running.
func TestKilledRestart(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	trace, err := killpoint.Count(t.Context(), r.command("", "restart", "--force", "job"))
	traced(t, err)
	if len(trace.Sent(kickstart)) != 1 || trace.Status.ExitStatus() != exitOK {
		t.Fatalf("%v: %v", trace.Status, trace.Calls)
	}
	phases := map[phase]int{}
	kill := func(k int) bool {
		result, where := r.restartKilled(func() (killpoint.Result, error) {
			return killpoint.Kill(t.Context(), r.command("", "restart", "--force", "job"), k)
		})
		phases[where]++
		return result.Killed
	}
	everyKill(t, len(trace.Calls), around(trace, kickstart), 1500*time.Millisecond, kill)
	until(trace.Sent(kickstart)[0].Number, func() bool { return phases[during]+phases[after] > 0 }, kill)
	t.Logf("killed %v its request (it is call %d)", phases, trace.Sent(kickstart)[0].Number)
	if phases[before] == 0 || phases[during]+phases[after] == 0 {
		t.Errorf("the kills were all on one side: %v", phases)
	}
}

func TestKilledRestartAtRandom(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	took := duration(t, func() *exec.Cmd { return r.command("", "restart", "--force", "job") })
	phases := map[phase]int{}
	randomKills(t, took*3/2, 700*time.Millisecond, func(d time.Duration) bool {
		result, where := r.restartKilled(func() (killpoint.Result, error) {
			return killpoint.KillAfter(t.Context(), r.command("", "restart", "--force", "job"), d)
		})
		phases[where]++
		return result.Killed
	})
	t.Logf("killed %v its request", phases)
}

// What those tests look at does see a job that is lost: a client that boots it out and
// loads it again is killed in between.
func TestKilledTwoSteps(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	twoSteps := func() []string { return []string{r.target.String(), r.target.Domain.String(), r.plist} }
	from := r.now()
	trace, err := killpoint.Count(t.Context(), r.command("two steps", twoSteps()...))
	traced(t, err)
	if gaps := r.gaps(r.since(from)); len(gaps) != 1 || gaps[0].to == 0 || trace.Status.ExitStatus() != exitOK {
		t.Fatalf("a run to the end: %v, %v", trace.Status, gaps)
	}
	sent := trace.Sent(bootout)
	if len(sent) != 1 {
		t.Fatal(trace.Calls)
	}
	lost := 0
	for _, k := range []int{1, sent[0].Number, sent[0].Number + 1, sent[0].Number + 3} {
		before, from := r.job(), r.now()
		result, err := killpoint.Kill(t.Context(), r.command("two steps", twoSteps()...), k)
		traced(t, err)
		unloads, loads := len(result.Sent(bootout)) > 0, len(result.Sent(bootstrap)) > 0
		if !unloads {
			if gaps := r.gaps(r.since(from)); len(gaps) > 0 || r.job().PID != before.PID {
				t.Errorf("killed at %v: %v", result.Next, gaps)
			}
			continue
		}
		r.trace.await(t, "the end of the job", from, func(e launchdsim.Event) bool { return e.Kind == "exit" && e.PID == before.PID })
		gaps := r.gaps(r.since(from))
		_, err = r.client.Inspect(t.Context(), r.target)
		if err == nil && loads { // it came further than the run before
			r.trace.await(t, "the job", from, r.runs)
			continue
		}
		if len(gaps) != 1 || gaps[0].to != 0 || !errors.Is(err, launchd.ErrNotLoaded) {
			t.Errorf("killed at %v: %v, %v", result.Next, gaps, err)
			continue
		}
		lost++
		from = r.now()
		if err := r.client.Bootstrap(t.Context(), r.target.Domain, r.plist); err != nil {
			t.Fatal(err)
		}
		r.trace.await(t, "the job", from, r.runs)
	}
	if lost == 0 {
		t.Error("the job was never lost")
	}
	t.Logf("the job was lost %d times", lost)
}
