package main

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/hermes-gw/hermes-gw/launchd"
)

// restartResult is one job of a restart.
type restartResult struct {
	asked launchd.Target // its domain may be missing
	launchd.RestartResult
	err error
}

func (r *restartResult) exitCode() int      { return exitOf(r.Outcome) }
func (r *restartResult) warnings() []string { return r.Warnings }

func (r *restartResult) subject() string { return called(r.Target, r.asked) }

func (r *restartResult) line() string {
	head := fmt.Sprintf("%s %s: ", r.Outcome, shown(r.subject()))
	switch {
	case r.Outcome == launchd.OutcomeRequested:
		return head + fmt.Sprintf("this command runs inside the job (pid %d) and ends with it", r.Old)
	case !r.Outcome.OK():
		return ""
	}
	how := ""
	if r.Method != "" && r.Method != launchd.MethodKickstart {
		how = ", by " + r.Method
	}
	return head + fmt.Sprintf("%s in %s (checks %s, request %s%s)",
		pids(r.Old, r.New), took(r.Total), took(r.Resolve), took(r.Request), how)
}

// pids says which process went and which came.
func pids(from, to int) string {
	if from == 0 {
		return fmt.Sprintf("pid %d", to)
	}
	return fmt.Sprintf("pid %d -> %d", from, to)
}

func (r *restartResult) trouble() *problem {
	switch {
	case r.Outcome.OK() || r.Outcome == launchd.OutcomeRequested && r.err == nil:
		return nil
	case r.err == nil:
		return &problem{Code: string(r.Outcome), Message: string(r.Outcome)}
	}
	return explain(r.err)
}

// phases are durations in milliseconds.
type phases struct {
	Resolve float64 `json:"resolve"`
	Request float64 `json:"request"`
	Verify  float64 `json:"verify"` // that the new process has executed its program
	Total   float64 `json:"total"`
}

func milliseconds(d time.Duration) float64 {
	return float64(d.Round(time.Microsecond)) / float64(time.Millisecond)
}

func (r *restartResult) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Target   string          `json:"target"`
		State    launchd.Outcome `json:"state"`
		OldPID   *int            `json:"old_pid"`
		NewPID   *int            `json:"new_pid"`
		Method   string          `json:"method,omitempty"`
		Phases   phases          `json:"phases_ms"`
		Warnings []string        `json:"warnings"`
		Error    *problem        `json:"error,omitempty"`
	}{
		r.subject(), r.Outcome, pid(r.Old), pid(r.New), r.Method,
		phases{milliseconds(r.Resolve), milliseconds(r.Request), milliseconds(r.Ready), milliseconds(r.Total)},
		list(r.Warnings), r.trouble(),
	})
}

// pid is null in JSON where there is no process.
func pid(n int) *int {
	if n == 0 {
		return nil
	}
	return &n
}

// list is [] in JSON where there is nothing.
func list(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

// runRestart restarts all targets at the same time. A job that this command runs in
// comes last, after the report: its request may end the command.
func runRestart(c *command) report {
	targets, uid, err := c.begin()
	if err != nil {
		return report{err: err}
	}
	results := c.resolveAll(targets, uid)
	last := newLast(len(results))
	var all sync.WaitGroup
	for i, r := range results {
		all.Go(func() {
			defer last.settle(i)
			if r.err == nil {
				c.restart(r, func(sofar launchd.RestartResult) (reported bool) {
					if !sofar.Inside {
						return false
					}
					sofar.Outcome = launchd.OutcomeRequested
					sofar.Resolve += r.Resolve
					sofar.Total = sofar.Resolve
					r.RestartResult = sofar
					last.settle(i)
					return last.wait(c, func() report { return reportOf(results) })
				})
			}
		})
	}
	all.Wait()
	return reportOf(results)
}

func reportOf(results []*restartResult) (r report) {
	for _, one := range results {
		r.results = append(r.results, one)
	}
	return r
}

// resolveAll finds each target's domain. A job that was named twice stands in the
// results once.
func (c *command) resolveAll(targets []launchd.Target, uid int) []*restartResult {
	found := make([]*restartResult, len(targets))
	var all sync.WaitGroup
	for i, t := range targets {
		found[i] = &restartResult{asked: t}
		all.Go(func() {
			ctx, cancel := c.within(askTimeout)
			defer cancel()
			r, start := found[i], time.Now()
			if r.Target, r.err = c.find(ctx, t, uid); r.err != nil {
				r.Outcome = outcomeOf(r.err)
			}
			r.Resolve = time.Since(start)
			r.Total = r.Resolve
		})
	}
	all.Wait()
	var results []*restartResult
	first := map[string]*restartResult{}
	for _, r := range found {
		if same := first[r.subject()]; same != nil {
			continue
		}
		first[r.subject()] = r
		results = append(results, r)
	}
	return results
}

// restart carries out one restart. sending is called right before the request and
// tells whether the report was written.
func (c *command) restart(r *restartResult, sending func(launchd.RestartResult) bool) {
	looked, reported := r.Resolve, false
	o := launchd.RestartOptions{CheckEnabled: true, Verify: true, Sending: func(sofar launchd.RestartResult) { reported = sending(sofar) }}
	if c.opts.timeout > 0 {
		o.Timeout = max(c.opts.timeout-looked, time.Millisecond)
	}
	done, err := c.launchd.Restart(c.ctx, r.Target, o)
	if reported && err == nil {
		return // as was reported; nobody inside the job was meant to see its end
	}
	done.Target = r.Target
	done.Resolve += looked
	done.Total += looked
	r.RestartResult, r.err = done, err
	if reported {
		complain(c.stderr, c.verb.name, r.subject(), explain(err))
	}
}

// lastOnes holds back the requests that may end this command until all others were
// answered and the report is written.
type lastOnes struct {
	mu      sync.Mutex
	settled []bool
	left    int
	ready   chan struct{} // closed when none is left
	report  sync.Once
}

func newLast(n int) *lastOnes {
	return &lastOnes{settled: make([]bool, n), left: n, ready: make(chan struct{})}
}

// settle notes that the i-th job was answered, or waits for the others.
func (l *lastOnes) settle(i int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.settled[i] {
		return
	}
	l.settled[i] = true
	if l.left--; l.left == 0 {
		close(l.ready)
	}
}

// wait returns when everything that can be reported was. An interruption ends it
// early, without a report; the request that it holds back is then not sent.
func (l *lastOnes) wait(c *command, report func() report) (reported bool) {
	select {
	case <-l.ready:
		l.report.Do(func() { c.printNow(report()) })
		return true
	case <-c.ctx.Done():
		return false
	}
}
