package launchd

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// chaosUID is the user of the jobs.
var chaosUID = os.Geteuid()

// Chaos is run by internal/proof, too: these say how much of it.
const (
	envChaosCount = "HERMES_GW_CHAOS_SCHEDULES"
	envChaosSeed  = "HERMES_GW_CHAOS_SEED" // of the first schedule; with a count of 1 its log is printed
)

// TestChaos plays schedules of concurrent restarts, stops, starts and reloads, of processes that
// are killed, answers that are delayed, lost and wrong, pids that are used again and a wall
// clock that is stepped. A schedule is all in its seed.
func TestChaos(t *testing.T) {
	count, first := 100, uint64(1)
	if s := os.Getenv(envChaosCount); s != "" {
		var err error
		if count, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	if s := os.Getenv(envChaosSeed); s != "" {
		var err error
		if first, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	dir, err := os.MkdirTemp(memory(), "hgwchaos")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	sums, violations, replayed := map[string]int{}, 0, 0
	for i := range count {
		seed := first + uint64(i)
		w := playChaos(t, seed, dir)
		for what, n := range w.did {
			sums[what] += n
		}
		if count == 1 {
			t.Log("\n" + strings.Join(w.log, "\n"))
		}
		for _, v := range w.violations {
			violations++
			t.Errorf("seed %d: %s", seed, v)
		}
		if i%50 == 0 || len(w.violations) > 0 {
			replayed++
			if again := playChaos(t, seed, dir); digestOf(again) != digestOf(w) {
				t.Errorf("seed %d: another run goes another way: %s", seed, firstDifference(w.log, again.log))
			}
		}
		if violations > 20 {
			t.Fatalf("too many violations after %d schedules", i+1)
		}
	}
	t.Logf("chaos: %d schedules from seed %d, %d violations, %d replayed alike; %v", count, first, violations, replayed, sums)
	if count >= 100 {
		for _, what := range []string{"restarted", "reloaded", "stopped", "started", "killed", "requests lost", "answers lost", "answers delayed", "wrong answers", "pids that others got", "clock steps", "signals sent"} {
			if sums[what] == 0 {
				t.Errorf("no schedule had any: %s", what)
			}
		}
	}
}

// memory is a folder in memory where there is one: a reload syncs its files.
func memory() string {
	const dir = "/dev/shm"
	if info, err := os.Stat(dir); err == nil && info.IsDir() && syscall.Access(dir, 2) == nil {
		return dir
	}
	return ""
}

func digestOf(w *chaosWorld) [32]byte { return sha256.Sum256([]byte(strings.Join(w.log, "\n"))) }

func firstDifference(a, b []string) string {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("line %d: %q, then %q", i, a[i], b[i])
		}
	}
	return fmt.Sprintf("%d lines, then %d", len(a), len(b))
}

// chaosCall is one call of a client, and what must be true of its report.
type chaosCall struct {
	w          *chaosWorld
	link       *chaosLink
	target     Target
	begin      time.Time
	ended      bool
	limit      time.Duration // in which it must end
	last, what string
}

// playChaos plays one schedule.
func playChaos(t *testing.T, seed uint64, top string) (w *chaosWorld) {
	t.Helper()
	dir := filepath.Join(top, "schedule")
	os.RemoveAll(dir)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		w = newChaosWorld(seed, dir)
		w.play(t)
	})
	return w
}

func (w *chaosWorld) play(t *testing.T) {
	plan := w.draw("plan")
	var labels []string
	w.mu.Lock()
	w.faults = plan.IntN(10) < 7
	w.denied = plan.IntN(8) == 0
	for i := range 1 + plan.IntN(3) {
		label := fmt.Sprint("job", i)
		labels = append(labels, label)
		revives := []string{"<true/>", "<dict><key>SuccessfulExit</key><false/></dict>", "<true/>", "<false/>"}[plan.IntN(4)]
		text := fmt.Sprintf(`<?xml version="1.0" encoding="UTF-8"?>
<plist version="1.0"><dict><key>Label</key><string>%s</string>
<key>ProgramArguments</key><array><string>/bin/sh</string></array>
<key>RunAtLoad</key><true/><key>KeepAlive</key>%s
<key>ExitTimeOut</key><integer>%d</integer><key>ThrottleInterval</key><integer>%d</integer></dict></plist>`,
			label, revives, 1+plan.IntN(6), 1+plan.IntN(10))
		if err := os.WriteFile(w.plist(label), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if code := w.load(w.plist(label)); code != 0 {
			t.Fatal(code)
		}
	}
	w.mu.Unlock()

	stops := map[string]bool{}
	var calls []*chaosCall
	for i := range 2 + plan.IntN(7) {
		label := labels[plan.IntN(len(labels))]
		op := []string{"restart", "restart", "restart", "restart", "graceful", "graceful", "stop", "start", "reload"}[plan.IntN(9)]
		if op == "stop" {
			stops[label] = true
		}
		calls = append(calls, w.call(t, fmt.Sprint("client", i), op, label, between(plan, 0, 15*time.Second)))
	}
	for range plan.IntN(4) {
		label, worker := labels[plan.IntN(len(labels))], plan.IntN(2) == 0
		w.after(between(plan, 0, 20*time.Second), func() {
			for _, j := range w.sorted() {
				if j.proc != nil && (j.label == label || worker && j.worker) {
					w.did["killed"]++
					w.tell(j.proc, syscall.SIGKILL)
				}
			}
		})
	}
	for range plan.IntN(3) {
		by := between(plan, -2*time.Hour, 4*time.Hour)
		w.after(between(plan, 0, 20*time.Second), func() {
			w.did["clock steps"]++
			w.note("the wall clock is stepped by %v", by)
			w.step(by)
		})
	}
	time.Sleep(time.Minute) // the last client has begun, and no more is killed
	w.mu.Lock()
	w.faults = false
	w.mu.Unlock()
	time.Sleep(4 * time.Minute)
	w.rest(t, labels, stops, calls)
}

func (w *chaosWorld) plist(label string) string { return filepath.Join(w.dir, label+".plist") }

func (w *chaosWorld) target(label string) Target { return Target{GUI(chaosUID), label} }

// sorted are the jobs in the order of their labels.
func (w *chaosWorld) sorted() (list []*chaosJob) {
	for _, label := range slices.Sorted(maps.Keys(w.jobs)) {
		list = append(list, w.jobs[label])
	}
	return list
}

// call has a client carry something out, some time from now.
func (w *chaosWorld) call(t *testing.T, id, op, label string, at time.Duration) *chaosCall {
	draw := w.draw("client", id)
	link := &chaosLink{w: w, id: id + " " + op, op: op, label: label, counts: map[uint64]int{}, ctx: t.Context()}
	x := &chaosCall{w: w, link: link, target: w.target(label), what: op}
	timeout := between(draw, time.Second, 45*time.Second)
	const look = 2*lastLook + 3*time.Second // a last look, and what a restart still sends after a drain
	x.limit = timeout + look
	if op == "graceful" {
		link.op = "restart"
	}
	go func() {
		time.Sleep(at)
		w.mu.Lock()
		x.begin = time.Now()
		if j := w.jobs[label]; j != nil && j.proc != nil && op == "restart" && draw.IntN(8) == 0 {
			inside, p := j.proc.id, j.proc
			link.inside = &inside
			p.die = func() { link.dead = true; w.did["clients that died with their job"]++ }
		}
		w.note("%s begins, for at most %v", link.id, timeout)
		w.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		defer x.end()
		c := link.client()
		defer c.Close()
		switch op {
		case "restart", "graceful":
			o := RestartOptions{CheckEnabled: draw.IntN(2) == 0, Verify: draw.IntN(3) == 0}
			if draw.IntN(2) == 0 { // the same limit, given the other way
				o.Timeout = timeout
				ctx = context.WithoutCancel(ctx)
				if o.Verify {
					x.limit += 30 * time.Second // ReadyTimeout
				}
			}
			if op == "graceful" {
				o.Graceful = &Graceful{Signal: syscall.SIGUSR1, For: between(draw, 0, 8*time.Second), Leave: draw.IntN(2) == 0}
			}
			r, err := c.Restart(ctx, x.target, o)
			x.reported(r.Outcome, r.Old, r.New, err)
		case "stop":
			r, err := c.Stop(ctx, x.target)
			x.reported(r.Outcome, r.Old, 0, err)
		case "start":
			r, err := c.Start(ctx, x.target, w.plist(label))
			x.reported(r.Outcome, 0, r.PID, err)
		case "reload":
			x.limit += workerRuns + 2*settle
			self, err := os.Executable()
			if err != nil {
				t.Error(err)
			}
			r, err := c.Reload(ctx, x.target, ReloadOptions{
				Path: w.plist(label), Program: []string{self, "worker"}, StateDir: filepath.Join(w.dir, "state"), Address: "unix:none",
			})
			x.reported(r.Outcome, r.Old, r.New, err)
		}
	}()
	return x
}

func (x *chaosCall) end() {
	x.w.mu.Lock()
	defer x.w.mu.Unlock()
	x.ended = true
	if took := time.Since(x.begin); took > x.limit {
		x.w.violated("%s took %v, more than %v", x.link.id, took, x.limit)
	}
}

// reported holds a report to what was.
func (x *chaosCall) reported(outcome Outcome, old, new int, err error) {
	w := x.w
	// The report is of this moment; what other clients do at it comes after.
	w.mu.Lock()
	defer w.mu.Unlock()
	w.did[string(outcome)]++
	if x.what == "reload" && outcome.OK() {
		w.did["reloaded"]++
	}
	x.last = fmt.Sprintf("%s %d -> %d: %v", outcome, old, new, err)
	if outcome.OK() != (err == nil) && outcome != OutcomeRequested {
		w.violated("%s reports %s", x.link.id, x.last)
	}
	if why := w.untrue(x, outcome, old, new); why != "" {
		w.violated("%s reports %s, but %s", x.link.id, x.last, why)
	}
}

// untrue says what is wrong with a report: every process that it names was the job's, whatever
// else it says, and what it says of them has happened.
func (w *chaosWorld) untrue(x *chaosCall, outcome Outcome, old, new int) string {
	label := x.target.Label
	// some finds a process of the job.
	some := func(like func(*chaosProc) bool) bool { return slices.ContainsFunc(w.instances[label], like) }
	lived := func(pid int) bool { return some(func(p *chaosProc) bool { return p.id.PID == pid }) }
	began := func(p *chaosProc) bool { return p.id.PID == new && !p.began.Before(x.begin) }
	switch {
	case old != 0 && !lived(old):
		return fmt.Sprintf("process %d was not the job's", old)
	case new != 0 && !lived(new):
		return fmt.Sprintf("process %d was not the job's", new)
	}
	switch outcome {
	case OutcomeRestarted:
		if old == 0 {
			return "there was nothing to restart"
		}
		replaced := func(p *chaosProc) bool {
			return began(p) && some(func(q *chaosProc) bool { return q.id.PID == old && !q.ended.IsZero() && !q.ended.After(p.began) })
		}
		if !some(replaced) {
			return fmt.Sprintf("no process %d of the job began after the end of process %d", new, old)
		}
	case OutcomeAlreadyRestarting:
		if !some(began) {
			return fmt.Sprintf("no process %d of the job began meanwhile", new)
		}
	case OutcomeStarted:
		if new == 0 {
			return "it names no process"
		}
		if x.what != "start" && !some(began) { // a start counts what ran already
			return fmt.Sprintf("process %d was there before", new)
		}
	case OutcomeRequested:
		if x.link.inside == nil {
			return "the client is not inside the job"
		}
	case OutcomeStopped:
		for _, p := range w.instances[label] {
			if (old == 0 || p.id.PID == old) && p.began.Before(x.begin) && p.ended.IsZero() {
				return fmt.Sprintf("process %d lives", p.id.PID)
			}
		}
		fallthrough
	case OutcomeNotLoaded:
		if len(w.unloads[label]) == 0 {
			return "nobody unloaded the job"
		}
	}
	return ""
}

// rest checks what is left once nothing happens any more.
func (w *chaosWorld) rest(t *testing.T, labels []string, stops map[string]bool, calls []*chaosCall) {
	w.mu.Lock()
	for _, x := range calls {
		if !x.ended {
			w.violated("%s has not ended after %v", x.link.id, time.Since(x.begin))
		}
		w.note("%s: %s", x.link.id, x.last)
	}
	for _, j := range w.sorted() {
		if j.worker {
			w.violated("%s is left, %s", j.label, j.state)
		}
	}
	live := map[string]int{}
	for _, p := range w.procs {
		if p.ended.IsZero() {
			live[p.label]++
		}
	}
	for _, label := range labels {
		j := w.jobs[label]
		switch {
		case live[label] > 1:
			w.violated("%s has %d processes", label, live[label])
		case j == nil && !stops[label]:
			w.violated("%s is not loaded, and nobody asked for a stop (unloaded by %v)", label, w.unloads[label])
		case j != nil && j.revives == "true" && j.proc == nil && j.state != StateSpawnScheduled:
			w.violated("%s does not run", label)
		}
	}
	denied := w.denied
	w.mu.Unlock()
	// Whatever has been, a start and a restart work.
	for _, label := range labels {
		link := &chaosLink{w: w, id: "last " + label, op: "start", label: label, counts: map[uint64]int{}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		c := link.client()
		_, err := c.Start(ctx, w.target(label), w.plist(label))
		c.Close()
		cancel()
		w.mu.Lock()
		if err != nil && !(denied && errors.Is(err, ErrNotEntitled)) {
			w.violated("%s: a start at rest: %v", label, err)
		}
		if j := w.jobs[label]; j == nil {
			w.violated("%s is not loaded after a start", label)
		}
		w.mu.Unlock()
	}
	w.mu.Lock()
	w.over = true
	for _, p := range w.procs {
		p.die()
	}
	w.mu.Unlock()
	w.running.Wait()
}
