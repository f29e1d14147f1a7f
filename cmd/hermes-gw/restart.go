package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	hermesgw "github.com/hermes-gw/hermes-gw"
	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/sweep"
)

// restartResult is one job of a restart.
type restartResult struct{ hermesgw.Result }

func (r *restartResult) exitCode() int      { return exitOf(r.Outcome) }
func (r *restartResult) warnings() []string { return r.Warnings }
func (r *restartResult) subject() string    { return r.Name() }

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
	if r.Phases.Ready > 0 {
		how += ", ready after " + took(r.Phases.Ready)
	}
	return head + fmt.Sprintf("%s in %s (checks %s, request %s%s)",
		pids(r.Old, r.New), took(r.Phases.Total), took(r.Phases.Resolve), took(r.Phases.Request), how)
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
	case r.Outcome.OK() || r.Outcome == launchd.OutcomeRequested && r.Err == nil:
		return nil
	case r.Err == nil:
		return &problem{Code: string(r.Outcome), Message: string(r.Outcome)}
	}
	return explain(r.Err)
}

// notes are what a person wants to see of a gateway that did not come up.
func (r *restartResult) notes() (lines []string) {
	for _, w := range r.Work {
		lines = append(lines, fmt.Sprintf("still at work: %s, for %s", shown(w.Kind), age(w.Elapsed)))
	}
	for _, l := range r.Log {
		lines = append(lines, "log: "+shown(l))
	}
	return lines
}

func (r *restartResult) MarshalJSON() ([]byte, error) {
	d := r.Document()
	d.Error = r.trouble()
	return json.Marshal(d)
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

// sweepLines tell of the processes that were signalled or, in a dry run, would be.
func sweepLines(d *hermesgw.SweepDocument) (lines []string) {
	for _, p := range d.Processes {
		switch p.Outcome {
		case string(sweep.Spared):
			continue
		case hermesgw.StatePlanned:
			p.Outcome = "would stop"
		}
		line := fmt.Sprintf("%s manual gateway %d", p.Outcome, p.PID)
		if p.Profile != "" {
			line += " of profile " + p.Profile
		}
		if p.Error != "" {
			line += ": " + p.Error
		}
		lines = append(lines, shown(line))
	}
	return lines
}

// selection reads what is to be restarted.
func (c *command) selection() (s hermesgw.Selection, err error) {
	if s.Targets, err = parseArguments(c.args); err != nil {
		return s, err
	}
	s.All, s.Profiles = c.opts.all, c.opts.profiles
	if s.All && len(s.Targets)+len(s.Profiles) > 0 {
		return s, usage(c.verb.page(), "--%s is every gateway: name no other", flagAll)
	}
	return s, nil
}

// restartOptions are the flags as the library has them.
func (c *command) restartOptions() (o hermesgw.RestartOptions, err error) {
	if o.Select, err = c.selection(); err != nil {
		return o, err
	}
	switch {
	case c.opts.forceAfter > 0 && !c.opts.graceful.set:
		return o, usage(c.verb.page(), "--%s is about --%s: give both", flagForceAfter, flagGraceful)
	case c.opts.wait != "" && !slices.Contains(waits, hermesgw.Wait(c.opts.wait)):
		return o, wrongValue(flagWait, c.opts.wait)
	}
	o.Graceful, o.Drain, o.ForceAfter = c.opts.graceful.set, c.opts.graceful.d, c.opts.forceAfter
	o.Wait, o.Timeout = hermesgw.Wait(c.opts.wait), c.opts.timeout
	o.Bootstrap, o.Force = c.opts.bootstrap, c.opts.force
	o.Changing = c.interrupts.changing
	return o, nil
}

// runRestart restarts all that is selected at the same time. A job that this command runs in
// comes last, after the report: its request may end the command.
func runRestart(c *command) report {
	o, err := c.restartOptions()
	if err != nil {
		return report{err: err}
	}
	uid, err := c.user()
	if err != nil {
		return report{err: err}
	}
	if err := c.connect(); err != nil {
		return report{err: err}
	}
	groups := byUser(o.Select, uid)
	if c.opts.dryRun {
		return c.planned(groups, o)
	}
	progress := c.progress()
	defer progress.end()
	o.OnEvent = func(e launchd.Event) {
		if o.Graceful && e.Kind == launchd.EventExited {
			c.interrupts.drained(e.Target.Label)
		}
		progress.event(e)
	}
	all := newGroups(len(groups))
	for n, g := range groups {
		o := o
		o.Select = g.Selection
		o.Sending = func(r hermesgw.Report) {
			if all.alone(c.ctx, n) { // else nothing more goes out, and there is a report in the end
				progress.end()
				c.printNow(all.report(n, &r))
			}
		}
		work := func() { all.end(n)(c.restartGroup(g.uid, o)) }
		if n < len(groups)-1 {
			go work()
		} else { // most often the only one, which another thread would only delay
			work()
		}
	}
	return all.wait()
}

func (c *command) restartGroup(uid int, o hermesgw.RestartOptions) (hermesgw.Report, error) {
	h, err := c.hermes(uid)
	if err != nil {
		return hermesgw.Report{}, err
	}
	return h.Restart(c.ctx, o)
}

// userGroup is the part of a selection that is about one user's jobs.
type userGroup struct {
	uid int
	hermesgw.Selection
}

// byUser sorts targets by the user of their domain: homes, locks and property lists are a
// user's. Anything else is uid's.
func byUser(s hermesgw.Selection, uid int) []userGroup {
	own := userGroup{uid, s}
	own.Targets = nil
	var others []userGroup
	for _, t := range s.Targets {
		owner, ok := domainUser(t.Domain)
		if !ok || owner == uid {
			own.Targets = append(own.Targets, t)
			continue
		}
		i := slices.IndexFunc(others, func(g userGroup) bool { return g.uid == owner })
		if i < 0 {
			i = len(others)
			others = append(others, userGroup{uid: owner})
		}
		others[i].Targets = append(others[i].Targets, t)
	}
	if len(own.Targets)+len(own.Profiles) == 0 && !own.All && len(others) > 0 {
		return others
	}
	return append([]userGroup{own}, others...)
}

// groups collect what becomes of each user's jobs.
type groups struct {
	mu    sync.Mutex
	done  []*hermesgw.Report
	errs  []error
	ended []chan struct{}
}

func newGroups(n int) *groups {
	g := &groups{done: make([]*hermesgw.Report, n), errs: make([]error, n), ended: make([]chan struct{}, n)}
	for i := range g.ended {
		g.ended[i] = make(chan struct{})
	}
	return g
}

// end takes what the n-th group came to.
func (g *groups) end(n int) func(hermesgw.Report, error) {
	return func(r hermesgw.Report, err error) {
		g.mu.Lock()
		g.done[n], g.errs[n] = &r, err
		g.mu.Unlock()
		close(g.ended[n])
	}
}

// alone waits until all groups but the n-th have ended.
func (g *groups) alone(ctx context.Context, n int) bool {
	for i, ended := range g.ended {
		if i == n {
			continue
		}
		select {
		case <-ended:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

func (g *groups) wait() report {
	for _, ended := range g.ended {
		<-ended
	}
	return g.report(-1, nil)
}

// report joins what is known of all groups; the n-th, which is about to send its last request,
// stands as it says.
func (g *groups) report(n int, sofar *hermesgw.Report) (r report) {
	g.mu.Lock()
	defer g.mu.Unlock()
	var errs []error
	for i, done := range g.done {
		if i == n {
			done = sofar
		} else if g.errs[i] != nil {
			errs = append(errs, g.errs[i])
			continue
		}
		for k := range done.Results {
			r.results = append(r.results, &restartResult{done.Results[k]})
		}
		r.fields.Warnings = append(r.fields.Warnings, done.Warnings...)
		r.fields.Excluded = append(r.fields.Excluded, done.Excluded...)
		if done.Sweep != nil {
			d := done.Sweep.Document()
			r.fields.Sweep, r.after = &d, sweepLines(&d)
			if done.Sweep.Err != nil {
				d.Error = explain(done.Sweep.Err)
				r.fields.Warnings = append(r.fields.Warnings, done.Sweep.Err.Error())
			}
			r.failed = done.Sweep.Err != nil || done.Sweep.Left() > 0
		}
	}
	switch {
	case len(r.results) == 0 && len(errs) > 0:
		return report{err: errors.Join(errs...)}
	case len(r.results) == 0:
		r.text, r.fields.Note, r.exit = noGateways()
	}
	for _, err := range errs {
		r.failed = true
		r.fields.Warnings = append(r.fields.Warnings, message(err))
	}
	return r
}

// noGateways is what there is to say of an installation without any.
func noGateways() (text, note string, code int) {
	note = "this installation has no gateway with a job or a property list"
	return note + "\n", note, exitNotThere
}

// planned is a dry run.
func (c *command) planned(groups []userGroup, o hermesgw.RestartOptions) (r report) {
	ctx, cancel := c.within(askTimeout)
	defer cancel()
	for _, g := range groups {
		h, err := c.hermes(g.uid)
		if err != nil {
			return report{err: err}
		}
		o.Select = g.Selection
		plan, err := h.Plan(ctx, o)
		if err != nil {
			return report{err: err}
		}
		for i := range plan.Jobs {
			r.results = append(r.results, &plannedResult{plan.Jobs[i]})
		}
		r.fields.Warnings = append(r.fields.Warnings, plan.Warnings...)
		r.fields.Excluded = append(r.fields.Excluded, plan.Excluded...)
		r.after = append(r.after, excludedLines(plan.Excluded)...)
		if d := plan.SweepDocument(); d != nil {
			r.fields.Sweep = d
			r.after = append(append(r.after, sweepLines(d)...), sparedLines(d)...)
			if plan.SweepErr != nil {
				r.fields.Warnings = append(r.fields.Warnings, "There would be no sweep: "+message(plan.SweepErr))
			}
		}
	}
	if len(r.results) == 0 {
		r.text, r.fields.Note, r.exit = noGateways()
	}
	r.fields.DryRun = true
	return r
}

// excludedLines tell of the jobs that look like gateways and would be left alone.
func excludedLines(list []hermesgw.Excluded) (lines []string) {
	for _, e := range list {
		lines = append(lines, shown(fmt.Sprintf("would leave %s alone: %s", e.Target, e.Reason)))
	}
	return lines
}

// sparedLines tell of the processes that look like gateways and would be left alone, a line for
// each reason.
func sparedLines(d *hermesgw.SweepDocument) (lines []string) {
	const most = 8 // pids in a line; JSON has them all
	pids := map[string][]string{}
	var reasons []string
	for _, p := range d.Processes {
		if p.Outcome != string(sweep.Spared) {
			continue
		}
		if pids[p.Reason] == nil {
			reasons = append(reasons, p.Reason)
		}
		pids[p.Reason] = append(pids[p.Reason], strconv.Itoa(p.PID))
	}
	for _, reason := range reasons {
		who := "process " + pids[reason][0]
		if n := len(pids[reason]); n > 1 {
			who = fmt.Sprintf("%d processes (%s", n, strings.Join(pids[reason][:min(n, most)], ", "))
			if n > most {
				who += ", ..."
			}
			who += ")"
		}
		lines = append(lines, shown("would spare "+who+": "+reason))
	}
	return lines
}

// plannedResult is one job of a dry run.
type plannedResult struct{ hermesgw.PlannedJob }

func (r *plannedResult) warnings() []string { return r.Warnings }
func (r *plannedResult) subject() string    { return r.Name() }
func (r *plannedResult) trouble() *problem  { return explain(r.Err) }

func (r *plannedResult) exitCode() int {
	if r.Err != nil {
		return exitOf(r.Outcome)
	}
	return exitOK
}

func (r *plannedResult) line() string {
	if r.Err != nil {
		return ""
	}
	line := "would restart " + shown(r.subject())
	if r.Old > 0 {
		line += fmt.Sprintf(" (pid %d)", r.Old)
	}
	if r.Inside {
		line += ", last: this command runs inside it"
	}
	for _, s := range r.Steps {
		line += "\n  " + shown(s)
	}
	return line
}

func (r *plannedResult) MarshalJSON() ([]byte, error) {
	d := r.Document()
	d.Error = r.trouble()
	return json.Marshal(d)
}
