package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
	"github.com/hermes-gw/hermes-gw/internal/embedtest/standin"
	"github.com/hermes-gw/hermes-gw/internal/proof/killpoint"
	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/launchd/launchdtest"
)

// Routines that change what is loaded or what runs (launchd-protocol.md section 2).
const (
	kickstart = 702
	bootstrap = 800
	bootout   = 801
	remove    = 816
)

// asks are the routines that change nothing: all others are mutating.
var asks = []uint64{700, 704, 708, 710, 711, 712, 713, 715, 717, 804, 811, 815, 820, 821, 822, 825, 827, 828, 833, 835, 836}

// sampleTime is for how long a row of the long form is killed at some of its calls only.
const sampleTime = 90 * time.Second

// timeScale makes the launchd's timers so much shorter than the property lists say.
const timeScale = 0.02

// patience is what a run of the command may take, and everything that is waited for.
const patience = 60 * time.Second

// killed is a kind of run that is killed at each of its calls.
type killed struct {
	what    string
	options fleet.Options
	args    func(*fleet.Fleet) []string
	// ready brings the fleet into the state that the run begins with.
	ready func(*rig)
	// check is told what a run has left; it waits until all is at rest.
	check func(*rig, killpoint.Result)
	// first are the routines of which the first request is what kills come before or after.
	first []uint64
	// client replaces the command.
	client func(*fleet.Fleet) *exec.Cmd
	// loses says that jobs may be lost: the number is the result.
	loses bool
	// parks says that kills must leave a job that is loaded and does not run.
	parks bool
	// sampled leaves out calls even where there is time for many.
	sampled bool
}

// rig is one fleet on which one kind of run is killed again and again.
type rig struct {
	*trial
	*fleet.Fleet
	k    killed
	zero time.Time // of CLOCK_MONOTONIC

	mark    launchdtest.Mark // where the present run began
	jobs    map[string]int   // launchd's pid of each job then
	gateway map[string]int   // the pid of each gateway then
	edition int

	before, during, after, whole int
	lost                         int // kills after which a job was not loaded
	revived                      int // by a following command
	drained                      int // killed after the gateway was asked to end, before the request
	slowest                      time.Duration
	ended                        bool   // the last run ended well by itself
	last                         string // how it ended
}

// Cleanup and the like are the trial's.
func newRig(t *trial, k killed) *rig {
	zero, err := fleet.ClockZero()
	if err != nil {
		t.Fatal(err)
	}
	o := k.options
	o.Process, o.Outside, o.TimeScale = true, true, timeScale
	return &rig{trial: t, Fleet: fleet.New(t, o), k: k, zero: zero}
}

// command is a run of the built command, or of the client in its place.
func (r *rig) command() *exec.Cmd {
	if r.k.client != nil {
		return r.k.client(r.Fleet)
	}
	return r.Prepare(r.k.args(r.Fleet)...)
}

// once brings the fleet into its state, has a run killed and checks what is left. It reports
// whether the kill hit.
func (r *rig) once(kill func(*exec.Cmd) (killpoint.Result, error)) bool {
	if r.k.ready != nil {
		r.k.ready(r)
	}
	r.mark = r.Mark()
	r.jobs, r.gateway = map[string]int{}, map[string]int{}
	for _, g := range r.Gateways() {
		if job, err := r.Client.Job(r.ctx, g.Target); err == nil {
			r.jobs[g.Profile] = job.PID
		}
		r.gateway[g.Profile] = r.GatewayPID(g.Profile)
	}
	cmd := r.command()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	result, err := kill(cmd)
	if _, denied := errors.AsType[*killpoint.NotPermittedError](err); denied {
		r.Skip(err)
	}
	if err != nil {
		r.Fatal(err, stderr.String())
	}
	failures := len(r.failures)
	r.last = fmt.Sprintf("status %#x, %s", int(result.Status), &stderr)
	r.ended = !result.Killed && result.Status.Exited() && result.Status.ExitStatus() == 0
	for _, c := range result.Children {
		if c.Left {
			r.Errorf("process %d, a child of the command, was left", c.PID)
		}
	}
	r.count(result)
	r.k.check(r, result)
	wrong, _ := leftIn(r.StateDir)
	for _, text := range wrong {
		r.Errorf("%s", text)
	}
	for i := failures; i < len(r.failures); i++ {
		r.failures[i] = fmt.Sprintf("killed at %v: %s", result.Next, r.failures[i])
		if i == failures {
			r.failures[i] += "\n" + r.TraceText(r.mark)
		}
	}
	return result.Killed
}

// count tells where the kill hit, from the first mutating request.
func (r *rig) count(result killpoint.Result) {
	if !result.Killed {
		r.whole++
		return
	}
	r.answered(result)
	at := r.zero.Add(result.At)
	var id uint64
	for _, e := range r.Requests(r.mark) {
		if slices.Contains(r.k.first, e.Routine) && !strings.HasPrefix(e.Label, "fleet.") {
			id = e.ID
			break
		}
	}
	if id == 0 {
		r.before++
		return
	}
	for _, e := range r.Trace(r.mark) {
		if e.Kind == launchdtest.Reply && e.ID == id && e.Time.Before(at) {
			r.after++
			return
		}
	}
	r.during++
}

// answered waits until launchd has answered what the run had sent when it was killed. What it
// was still sending was sent whole or not at all, and there is no event for the latter: some
// turns are given to a request that is on its way.
func (r *rig) answered(result killpoint.Result) {
	sent := result.Sent()
	if n := len(sent); n > 0 && !sent[n-1].Returned || result.Calls == nil {
		for range 50 {
			r.Mark()
		}
	}
	for {
		from := r.Mark()
		open := map[uint64]launchdtest.Event{}
		for _, e := range r.Trace(r.mark) {
			switch e.Kind {
			case launchdtest.Request:
				open[e.ID] = e
			case launchdtest.Reply:
				delete(open, e.ID)
			}
		}
		if len(open) == 0 {
			return
		}
		r.Wait(from-1, func(e launchdtest.Event) bool { return e.Kind == launchdtest.Reply && open[e.ID].ID != 0 })
	}
}

// asked counts the mutating requests of the run for each routine.
func (r *rig) asked() map[uint64]int {
	n := map[uint64]int{}
	for _, e := range r.Requests(r.mark) {
		if !slices.Contains(asks, e.Routine) {
			n[e.Routine]++
			if (e.Routine == bootout || e.Routine == remove) && e.Label == "" {
				r.Errorf("a request to unload without a name: %v", e)
			}
		}
	}
	return n
}

// signalled reports whether the run had sent a signal; sure is false if it may have been killed
// right then, or nobody saw its calls.
func signalled(result killpoint.Result) (sent, sure bool) {
	for _, c := range result.Calls {
		if sendsSignal(c) && (!c.Returned || c.Return == 0) {
			sent, sure = true, c.Returned
		}
	}
	return sent || result.Calls == nil, sure
}

// signals are the numbers of the calls that sent one.
func signals(result killpoint.Result) (list []int) {
	for _, c := range result.Calls {
		if sendsSignal(c) && c.Returned && c.Return == 0 {
			list = append(list, c.Number)
		}
	}
	return list
}

func sendsSignal(c killpoint.Call) bool {
	return slices.Contains([]string{"pidfd_send_signal", "kill", "proc_signal_with_audittoken"}, c.Name)
}

// alone fails unless the job of a profile is loaded and runs: exactly one gateway, in the
// process tree of launchd's pid, and at most so many new processes since the run began.
func (r *rig) alone(g fleet.Gateway, most int) {
	r.AllRunning()
	job, err := r.Client.Job(r.ctx, g.Target)
	if err != nil {
		r.Errorf("%s is not loaded: %v", g.Target, err)
		return
	}
	var gateways []int
	for _, p := range r.Processes(g.Profile) {
		if p.Role == standin.RoleGateway {
			gateways = append(gateways, p.PID)
		}
	}
	if len(gateways) != 1 || job.PID <= 0 || syscall.Kill(job.PID, 0) != nil {
		r.Errorf("%s has the gateways %v, launchd names process %d", g.Label, gateways, job.PID)
	}
	if n := r.Spawns(g.Profile, r.mark); n > most {
		r.Errorf("%s got %d new processes", g.Label, n)
	}
}

// ranAgain fails if the job took longer to run again than its property list implies: the exit
// timeout and the minimum runtime in the launchd's time, and what Restart gives besides.
func (r *rig) ranAgain(g fleet.Gateway, since time.Duration, bound time.Duration) {
	if since == 0 {
		return
	}
	at := r.zero.Add(since)
	for _, e := range r.Trace(r.mark) {
		if e.Kind == launchdtest.State && e.Label == g.Label && e.To == "running" && e.Time.After(at) {
			d := e.Time.Sub(at)
			r.slowest = max(r.slowest, d)
			if d > bound {
				r.Errorf("%s ran again after %v, more than %v", g.Label, d, bound)
			}
		}
	}
}

// bound is what the newest property list implies for a job, in the launchd's time.
func bound(exit, throttle time.Duration) time.Duration {
	return time.Duration(timeScale*float64(exit+throttle)) + 10*time.Second
}

// next waits until the old gateway of a profile has ended and another one runs.
func (r *rig) next(g fleet.Gateway) {
	for _, p := range r.Processes(g.Profile) {
		if p.PID == r.gateway[g.Profile] && p.Role == standin.RoleGateway {
			select {
			case <-p.Gone():
			case <-time.After(patience):
				r.Fatalf("the old gateway %d of %s does not end", p.PID, g.Label)
			}
		}
	}
	r.AllRunning()
}

// size says how much of it all is done.
type size struct {
	long   bool
	budget time.Duration // of a row in the short form
	seed   uint64
}

// means are how runs are counted and killed.
type means struct {
	// count runs a command to its end. calls is how many it made, first the one that sent the
	// first request of a routine.
	count func(ctx context.Context, cmd *exec.Cmd, routines []uint64) (result killpoint.Result, calls, first int, err error)
	kill  func(ctx context.Context, cmd *exec.Cmd, n int) (killpoint.Result, error)
	// after kills it after a time; nil leaves that out.
	after func(ctx context.Context, cmd *exec.Cmd, d time.Duration) (killpoint.Result, error)
	of    string // what is counted
}

// systemCalls are ptrace's means.
var systemCalls = means{
	count: func(ctx context.Context, cmd *exec.Cmd, routines []uint64) (result killpoint.Result, calls, first int, err error) {
		result.Trace, err = killpoint.Count(ctx, cmd)
		if sent := result.Sent(routines...); len(sent) > 0 {
			first = sent[0].Number
		}
		return result, len(result.Calls), first, err
	},
	kill: killpoint.Kill, after: killpoint.KillAfter, of: "system calls",
}

// run does a row: every call, or a sample of them, and random moments.
func (k killed) run(ctx context.Context, s size, by means) row {
	began := time.Now()
	w := row{what: k.what}
	var r *rig
	calls := &walk{hits: map[int]bool{}}
	random, tries := 0, 0
	t := attempt(ctx, k.what, func(t *trial) {
		r = newRig(t, k)
		over := func() bool { return len(r.failures) >= 20 || ctx.Err() != nil }
		var took time.Duration
		var effects []int // the calls that end a process or send the first request
		whole := func() {
			r.once(func(cmd *exec.Cmd) (result killpoint.Result, err error) {
				began := time.Now()
				result, of, first, err := by.count(ctx, cmd, k.first)
				took = time.Since(began)
				if err == nil && (!result.Status.Exited() || result.Status.ExitStatus() != 0 || first == 0) {
					err = fmt.Errorf("a run that nobody kills ends with status %#x, and its first request is call %d", int(result.Status), first)
				}
				calls.whole = append(calls.whole, of)
				effects = append(signals(result), first)
				return result, err
			})
		}
		whole()
		at := func(n int) bool {
			return r.once(func(cmd *exec.Cmd) (killpoint.Result, error) { return by.kill(ctx, cmd, n) })
		}
		if s.long && !k.sampled {
			for len(calls.whole) < wholeRuns && !over() {
				whole()
			}
			calls.run(func(n int) bool {
				for range 5 {
					if at(n) || r.ended {
						return !r.ended
					}
					// It gave up before it came so far: that says nothing about this call.
				}
				r.Fatalf("the run ends by itself before call %d: %s", n, r.last)
				return false
			}, over)
			if text := calls.failure(by.of); text != "" && !over() {
				r.Errorf("%s", text)
			}
		} else {
			all := calls.most()
			try := func(n int) {
				if at(n) {
					calls.hits[n] = true
				}
			}
			budget := s.budget * 2 / 3
			if s.long {
				budget = sampleTime
			}
			deadline := time.Now().Add(budget)
			for _, n := range append(around(effects, all), rand.New(rand.NewPCG(s.seed, 1)).Perm(all)...) {
				if time.Now().After(deadline) && len(calls.hits) >= 8 || over() {
					break
				}
				try(n + 1)
			}
			for n := effects[len(effects)-1]; r.during+r.after == 0 && n < all && !over(); n++ {
				try(n)
			}
			// Other runs come to the signal earlier or later than the one that was counted.
			for n := max(1, effects[0]-20); k.parks && r.revived == 0 && n < all && !over(); n++ {
				try(n)
			}
		}
		moments := rand.New(rand.NewPCG(s.seed, 2))
		deadline := time.Now().Add(s.budget / 3)
		for ; by.after != nil && random < 100 && tries < 1000 && (s.long || time.Now().Before(deadline)) && !over(); tries++ {
			after := time.Duration(moments.Int64N(int64(took * 5 / 4)))
			if r.once(func(cmd *exec.Cmd) (killpoint.Result, error) { return by.after(ctx, cmd, after) }) {
				random++
			}
		}
		if r.before == 0 || r.during+r.after == 0 {
			r.Errorf("the kills were all on one side of the first request: %d before, %d during, %d after", r.before, r.during, r.after)
		}
		if s.long && by.after != nil && random < 100 && !r.Failed() {
			r.Errorf("only %d of %d random kills hit", random, tries)
		}
		if k.parks && r.revived == 0 && !r.Failed() {
			r.Errorf("no kill came after the gateway had ended and before the request, so nothing was shown of such jobs")
		}
		if k.loses {
			return
		}
		// A run that nobody kills removes what killed ones were writing, and its own.
		r.once(func(cmd *exec.Cmd) (killpoint.Result, error) {
			result, _, _, err := by.count(ctx, cmd, k.first)
			return result, err
		})
		var agents []string
		for _, g := range r.Gateways() {
			agents = append(agents, filepath.Dir(g.Plist))
		}
		slices.Sort(agents)
		for _, text := range remains(r.StateDir, slices.Compact(agents)...) {
			r.Errorf("%s", text)
		}
	})
	w.of(t)
	w.tried = calls.text(by.of)
	if by.after != nil {
		w.tried += fmt.Sprintf(", %d random moments (seed %d)", random, s.seed)
	}
	if r != nil {
		w.tried += fmt.Sprintf("; %d before, %d during, %d after the first request", r.before, r.during, r.after)
		w.figure = fmt.Sprintf("%d lost", r.lost)
		if k.loses {
			w.figure = fmt.Sprintf("%d of %d kill points lose the job", r.lost, r.before+r.during+r.after)
			if r.lost == 0 && len(w.failed) == 0 && w.skipped == "" {
				w.failed = append(w.failed, "the comparison lost nothing, so the proof would not see a job that is lost")
			}
		} else if r.lost > 0 {
			w.failed = append(w.failed, w.figure)
		}
		if r.drained > 0 {
			w.figure += fmt.Sprintf(", %d killed between the drain and the request", r.drained)
		}
		if r.revived > 0 {
			w.figure += fmt.Sprintf(", %d started by a following %s", r.revived, r.starts())
		}
		if r.slowest > 0 {
			w.figure += fmt.Sprintf(", running again %v after the kill at the latest", took(r.slowest))
		}
	}
	w.took = time.Since(began)
	return w
}

// around are indexes of calls around those that matter, the last of which sends the first request,
// and of one well before and one well after it.
func around(effects []int, all int) (list []int) {
	last := effects[len(effects)-1]
	list = append(list, last/2, (last+all)/2)
	for _, n := range effects {
		for k := max(0, n-2); k < min(all, n+2); k++ {
			list = append(list, k)
		}
	}
	return list
}

// starts is the command that starts a job which a killed run has left stopped.
func (r *rig) starts() string {
	if r.k.parks {
		return "restart"
	}
	return "start"
}

// loadedNow looks whether a job is loaded, and counts it as lost if not.
func (r *rig) loadedNow(g fleet.Gateway) bool {
	_, err := r.Client.Job(r.ctx, g.Target)
	if errors.Is(err, launchd.ErrNotLoaded) {
		return false
	}
	if err != nil {
		r.Errorf("%s: %v", g.Target, err)
	}
	return true
}

// unloads are the answers by which launchd took a job away since the run began.
func (r *rig) unloads(label string) (n int) {
	for _, e := range r.Trace(r.mark) {
		if fleet.Unloaded(e) && e.Label == label {
			n++
		}
	}
	return n
}
