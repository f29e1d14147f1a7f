package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
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

// long asks for the full numbers: a kill before every call, and a hundred at random.
var long = os.Getenv("HERMES_GW_LONG") == "1"

// Routines that change what is loaded or what runs (launchd-protocol.md section 2).
const (
	kickstart = 702
	bootstrap = 800
	bootout   = 801
	remove    = 816
)

// rig is an embedded launchd in its own process, with one job that takes a moment to
// stop, and everything that it does.
type rig struct {
	t       *testing.T
	dir     string
	address string
	target  launchd.Target
	plist   string
	trace   *stream[launchdsim.Event]
	client  *launchd.Client
	synced  int
}

// stopTime is how long the job takes to stop, so that kills can come meanwhile.
const stopTime = 20 * time.Millisecond

func newRig(t *testing.T, timeScale float64) *rig {
	t.Helper()
	dir, err := os.MkdirTemp("", "hgw")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	r := &rig{t: t, dir: dir, address: "unix:" + filepath.Join(dir, "s"), plist: filepath.Join(dir, "job.plist")}
	r.target, err = launchd.ParseTarget("gui/" + strconv.Itoa(os.Getuid()) + "/job")
	if err != nil {
		t.Fatal(err)
	}
	r.define("first", "")
	r.trace = fifo(t, filepath.Join(dir, "trace"), func(line string) (e launchdsim.Event, err error) {
		return e, json.Unmarshal([]byte(line), &e)
	})
	cmd := exec.Command(built.sim, "--socket", filepath.Join(dir, "s"), "--trace", filepath.Join(dir, "trace"),
		"--time-scale", fmt.Sprint(timeScale), "--load", r.plist)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		io.Copy(io.Discard, stdout)
		cmd.Wait()
	})
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || !strings.HasPrefix(line, "ready ") {
		t.Fatalf("the embedded launchd says %q, %v", line, err)
	}
	r.client, err = launchd.Open(t.Context(), launchd.Options{Address: r.address})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.client.Close() })
	r.trace.await(t, "the job's process", 0, r.runs)
	return r
}

// define writes the job's property list: mark makes it another one, more is more of it.
func (r *rig) define(mark, more string) {
	r.t.Helper()
	script := fmt.Sprintf("trap 'sleep %v; exit 0' TERM; sleep 1000 & wait", stopTime.Seconds())
	text := fmt.Sprintf(xmlHead+`<string>job</string><key>ProgramArguments</key><array><string>/bin/sh</string><string>-c</string><string>%s</string><string>%s</string></array>
<key>RunAtLoad</key><true/><key>KeepAlive</key><true/><key>ExitTimeOut</key><integer>%d</integer>%s</dict></plist>`,
		strings.ReplaceAll(script, "&", "&amp;"), mark, exitTimeout/time.Second, more)
	// In one step: a worker may be about to read it.
	if err := os.WriteFile(r.plist+".new", []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Rename(r.plist+".new", r.plist); err != nil {
		r.t.Fatal(err)
	}
}

// exitTimeout is the job's, in the launchd's time.
const exitTimeout = 5 * time.Second

// runs reports whether an event says that the job runs.
func (r *rig) runs(e launchdsim.Event) bool {
	return e.Kind == "state" && e.Label == r.target.Label && e.To == "running"
}

// now returns the place in the trace after everything that has happened.
func (r *rig) now() int {
	r.t.Helper()
	r.synced++
	mark, err := launchd.ParseTarget(r.target.Domain.String() + "/mark." + strconv.Itoa(r.synced))
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := r.client.Print(r.t.Context(), mark); !errors.Is(err, launchd.ErrNotLoaded) {
		r.t.Fatal(err)
	}
	asked := func(e launchdsim.Event) bool { return e.Kind == "reply" && e.Label == mark.Label }
	r.trace.await(r.t, "a question", 0, asked)
	return len(r.trace.all())
}

// since returns what has happened since then.
func (r *rig) since(from int) []launchdsim.Event {
	r.t.Helper()
	to := r.now()
	return r.trace.all()[from:to]
}

// job is what launchd says of the job.
func (r *rig) job() launchd.Job {
	r.t.Helper()
	j, err := r.client.Inspect(r.t.Context(), r.target)
	if err != nil {
		r.t.Fatal(err)
	}
	return j
}

// command is a run of the built command, or of what launch names, on this launchd.
func (r *rig) command(how string, args ...string) *exec.Cmd {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	r.t.Cleanup(cancel)
	path := built.gw
	if how != "" {
		path = mustSelf(r.t)
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), envLaunchd+"="+r.address, launch+"="+how)
	return cmd
}

// traced takes the result of a run under ptrace, or skips the test.
func traced(t *testing.T, err error) {
	t.Helper()
	if _, denied := errors.AsType[*killpoint.NotPermittedError](err); denied {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// arrived waits until launchd has answered a request that a client had sent when it was
// killed. If the client was still sending it, it was sent whole or not at all, and there is
// no event for the latter: some turns are given to a request that is on its way.
func (r *rig) arrived(result killpoint.Result, from int, routine uint64) {
	r.t.Helper()
	for _, c := range result.Sent(routine) {
		if c.Returned {
			r.trace.await(r.t, "the answer", from, func(e launchdsim.Event) bool { return e.Kind == "reply" && e.Routine == routine })
			continue
		}
		for range 50 {
			r.now()
		}
	}
}

// gap is a time in which the job was not loaded; to is 0 if it still is not.
type gap struct{ from, to time.Duration }

// gaps reads from a trace when the job was not loaded: from a request that unloads it and
// is granted, until it has a state again that only a loaded job gets into.
func (r *rig) gaps(events []launchdsim.Event) (list []gap) {
	asked := map[uint64]launchdsim.Event{}
	for _, e := range events {
		switch {
		case e.Kind == "request" && (e.Routine == bootout || e.Routine == remove) && (e.Label == r.target.Label || e.Label == ""):
			asked[e.ID] = e
		case e.Kind == "reply" && asked[e.ID].Time != 0 && (*e.Error == 0 || *e.Error == 36):
			if n := len(list); n == 0 || list[n-1].to != 0 {
				list = append(list, gap{from: time.Duration(asked[e.ID].Time)})
			}
		case e.Kind == "state" && e.Label == r.target.Label && e.To == "spawning":
			if n := len(list); n > 0 && list[n-1].to == 0 {
				list[n-1].to = time.Duration(e.Time)
			}
		}
	}
	return list
}

// requests counts the requests of a trace that are more than questions, and fails the test
// if one unloads something that it does not name.
func (r *rig) requests(events []launchdsim.Event) map[uint64]int {
	r.t.Helper()
	n := map[uint64]int{}
	for _, e := range events {
		if e.Kind == "request" && !onlyAsks(e.Routine) {
			n[e.Routine]++
			if (e.Routine == bootout || e.Routine == remove) && e.Label == "" {
				r.t.Errorf("a request without a name: %+v", e)
			}
		}
	}
	return n
}

func (r *rig) spawns(events []launchdsim.Event) (n int) {
	for _, e := range events {
		if e.Kind == "spawn" && e.Label == r.target.Label {
			n++
		}
	}
	return n
}

// oneRuns fails unless exactly one process of the job lives: the one that launchd names.
func (r *rig) oneRuns(j launchd.Job) {
	r.t.Helper()
	live := map[int]bool{}
	for _, e := range r.trace.all() {
		switch {
		case e.Label != r.target.Label:
		case e.Kind == "spawn":
			live[e.PID] = true
		case e.Kind == "exit":
			delete(live, e.PID)
		}
	}
	if len(live) != 1 || !live[j.PID] || syscall.Kill(j.PID, 0) != nil {
		r.t.Errorf("launchd names process %d of %v", j.PID, live)
	}
}

// phase is where a kill hit, seen from the first request that changes something.
type phase string

const (
	before phase = "before"
	during phase = "during" // it was sent, and not answered
	after  phase = "after"
	never  phase = "not killed" // it ran to completion
)

// phaseOf tells it from the trace.
func phaseOf(events []launchdsim.Event, result killpoint.Result) phase {
	if !result.Killed {
		return never
	}
	i := slices.IndexFunc(events, func(e launchdsim.Event) bool { return e.Kind == "request" && !onlyAsks(e.Routine) })
	if i < 0 {
		return before
	}
	for _, e := range events[i:] {
		if e.Kind == "reply" && e.ID == events[i].ID && time.Duration(e.Time) < result.At {
			return after
		}
	}
	return during
}

// everyKill calls kill for every k from 1 until the program runs to completion, which
// kill reports as false. Without HERMES_GW_LONG it is a sample: those of the list first, then
// seeded random ones, for a time.
func everyKill(t *testing.T, calls int, first []int, budget time.Duration, kill func(k int) bool) {
	t.Helper()
	done := 0
	if long {
		for beyond := 0; beyond < 3 && !t.Failed(); done++ {
			if !kill(done + 1) {
				beyond++ // this run had fewer calls: the next may have more
			}
		}
		t.Logf("killed before each of %d calls", done-3)
		return
	}
	deadline := time.Now().Add(budget)
	for i, k := range append(first, rand.New(rand.NewPCG(6, 4)).Perm(calls)...) {
		if i >= len(first) && time.Now().After(deadline) || t.Failed() {
			break
		}
		kill(k + 1)
		done++
	}
	t.Logf("a sample: %d kills, of a program of %d calls", done, calls)
}

// until goes on with later and later calls while a sample has missed what it is about:
// another run can make more calls before it.
func until(from int, hit func() bool, kill func(k int) bool) {
	for k := from; !hit() && k < from+100; k++ {
		kill(k)
	}
}

// randomKills calls kill with seeded random moments up to most until 100 have hit, which
// kill reports; without HERMES_GW_LONG only for a time.
func randomKills(t *testing.T, most, budget time.Duration, kill func(after time.Duration) bool) {
	t.Helper()
	const seed1, seed2 = 6, 5
	random := rand.New(rand.NewPCG(seed1, seed2))
	deadline := time.Now().Add(budget)
	hits, tries := 0, 0
	for ; hits < 100 && !t.Failed() && (long || time.Now().Before(deadline)); tries++ {
		if tries == 1000 {
			t.Fatalf("only %d of %d kills hit anything", hits, tries)
		}
		if kill(time.Duration(random.Int64N(int64(most)))) {
			hits++
		}
	}
	t.Logf("%d of 100 kills at random moments up to %v (seeds %d, %d), and %d that came too late", hits, most, seed1, seed2, tries-hits)
}

// duration is how long a program takes that is traced, once it has run before.
func duration(t *testing.T, command func() *exec.Cmd) (d time.Duration) {
	t.Helper()
	for range 2 {
		start := time.Now()
		_, err := killpoint.Count(t.Context(), command())
		traced(t, err)
		d = time.Since(start)
	}
	return d
}

// around are indexes of calls around the first one that sends one of the routines, and of
// one well before and one well after it: another run may make a few calls more or fewer.
func around(trace killpoint.Trace, routines ...uint64) (list []int) {
	if sent := trace.Sent(routines...); len(sent) > 0 {
		n, all := sent[0].Number, len(trace.Calls)
		for k := max(0, n-2); k < min(all, n+2); k++ {
			list = append(list, k)
		}
		list = append(list, n/2, (n+all)/2)
	}
	return list
}
