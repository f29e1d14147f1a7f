package hermesgw

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/sweep"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// Wait says when a restart is done.
type Wait string

// What can be waited for, each including those before it.
const (
	WaitSpawned   Wait = "spawned"   // launchd names another process of the job; the zero Wait, too
	WaitReady     Wait = "ready"     // that process runs, and a gateway says that it does, by its control socket or its state file
	WaitPlatforms Wait = "platforms" // all platforms of the gateway are connected
)

// RestartOptions: the zero value restarts the gateway of [Install].Home at once. Its times, and those
// of a job, are counted while the machine is awake; only the minute of the rate guard goes on
// while it sleeps. None depends on the clock on the wall.
type RestartOptions struct {
	Select Selection
	// Graceful asks each gateway to finish its work first, by SIGUSR1 to the gateway's own
	// process: a wrapper would die of it. A gateway that is wedged is not asked.
	Graceful bool
	// Drain is how long that may take. At most the job's exit timeout less 5 s, because
	// launchd kills what takes longer to exit; 0 is just that. When it is over the gateway is left at
	// work, and the result is not-ready, unless ForceAfter is set.
	Drain time.Duration
	// ForceAfter, if set, is how long a graceful restart waits before it stops the gateway
	// like any other; then Drain does not count.
	ForceAfter time.Duration
	// Wait is what is waited for, and ReadyTimeout how long that may take; 0 is 60 s.
	Wait         Wait
	ReadyTimeout time.Duration
	// Timeout bounds each job's restart, Drain and ReadyTimeout included. 0 derives it from the
	// job: [launchd.RestartOptions].Timeout.
	Timeout time.Duration
	// Bootstrap loads a gateway that is not loaded, from its property list: into the domain of its
	// Selection.Targets if that has one, unless another domain has it ([launchd.ElsewhereError]),
	// else where [launchd.Places] says.
	Bootstrap bool
	// Force lifts the rate guard: 3 restarts of a target in 60 s.
	Force bool
	// Grace is how long a manual gateway may take to exit after SIGTERM, in the sweep after a
	// restart of all. 0 is 10 s.
	Grace time.Duration
	// Changing, if set, is called right before the first request or signal about each job, and
	// before the first signal of the sweep: from then on the work goes on, whatever becomes of
	// the caller's terminal. It may be called concurrently.
	Changing func()
	// OnEvent, if set, is told each step: those of one job in order, never concurrently. Events
	// without a Target are the sweep's.
	OnEvent func(launchd.Event)
	// Sending, if set, is called before the request that may end the caller, because it runs
	// inside that job: with the whole report, in which that job is requested. Everything
	// else is done by then. Restart may not return after it.
	Sending func(Report)
}

// Restart restarts the selected jobs, all at the same time, and with Selection.All sweeps
// what is left of gateways that no launchd manages.
//
// Everything is checked before the first request. A job that is refused (foreign, ambiguous-domain,
// not-loaded, disabled, refused, busy) is in the report and keeps no other from being
// restarted. Whoever else restarts the same target is waited for: if that gave it a new process,
// the result is already-restarting and nothing is sent.
//
// The error is nil if there is a report: each [Result] has its own. It is of what concerns all
// jobs: a Selection that makes no sense, a launchd that does not answer, no domain.
func (h *Hermes) Restart(ctx context.Context, o RestartOptions) (Report, error) {
	start := time.Now()
	r := &run{h: h, o: o, start: start}
	if err := r.prepareWithin(ctx); err != nil {
		return Report{}, err
	}
	r.all(ctx)
	report := r.report()
	report.Total = time.Since(start)
	return report, nil
}

// run is one call of Restart.
type run struct {
	h     *Hermes
	o     RestartOptions
	start time.Time

	items    []*item
	fleet    *Fleet // with Selection.All
	results  []*Result
	since    int64           // on the clock of sweep.Now, before the first look at the jobs
	before   []sweep.Managed // jobs' processes as they were then
	unlisted error           // why they are not known
	swept    *Sweep
	warnings []string
	emit     sync.Mutex
}

// prepareWithin is prepare, within the time that questions may take.
func (r *run) prepareWithin(ctx context.Context) error {
	limit := askFor
	if r.o.Timeout > 0 {
		limit = r.o.Timeout
		if s := r.o.Select; s.All || len(s.Profiles)+len(s.Targets) > 1 {
			limit /= 2 // one job that launchd does not answer about leaves the others time
		}
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return r.prepare(ctx)
}

// askFor bounds the questions before a restart, which a launchd that answers does at once.
const askFor = 10 * time.Second

// prepare finds out everything that can be wrong.
func (r *run) prepare(ctx context.Context) error {
	if r.o.Select.All {
		r.since = sweep.Now()
		r.before, r.unlisted = r.h.managed(ctx)
	}
	items, fleet, err := r.h.choose(ctx, r.o.Select)
	if err != nil {
		return err
	}
	r.items, r.fleet = items, fleet
	if fleet != nil {
		r.warnings = append(r.warnings, fleet.Warnings...)
	}
	for n, i := range items {
		r.check(i)
		r.twice(n)
		r.results = append(r.results, r.begin(i))
	}
	return nil
}

// check refuses what is not to be restarted.
func (r *run) check(i *item) {
	if e, ok := errors.AsType[*launchd.ElsewhereError](i.refusal); ok {
		e.Verb = "restart"
	}
	switch {
	case i.Foreign != "" && i.ours:
		// Whatever else is wrong with it: it is somebody else's.
		i.outcome, i.refusal = launchd.OutcomeForeign, &ForeignError{i.Target, i.Foreign, r.h.in.Root}
	case i.refusal != nil:
	case i.Unknown:
		i.refuse(outcomeOf(i.Problem), i.Problem)
	case len(i.Domains) > 1:
		i.refuse(launchd.OutcomeAmbiguousDomain, ambiguous(i))
	case !i.Loaded() && i.Job.Disabled != nil && *i.Job.Disabled:
		i.refuse(launchd.OutcomeDisabled, &launchd.Error{Op: "restart", Target: i.Target.String(), Code: xpc.ServiceDisabled})
	case !i.Loaded():
		err := &launchd.Error{Op: "restart", Target: i.Target.String(), Code: xpc.NoSuchService}
		i.refuse(launchd.OutcomeNotLoaded, &NotLoadedError{Target: i.Target, Plist: i.Plist, ServedBy: i.ServedBy, Err: err})
	}
	i.inside = i.Loaded() && r.h.client.Inside(i.job)
}

// twice refuses a gateway that was named before with another domain, if neither is loaded: both would
// be loaded then, and one home has one gateway.
func (r *run) twice(n int) {
	i := r.items[n]
	if !r.bootstraps(i) {
		return
	}
	for _, other := range r.items[:n] {
		if other.Label == i.Label && r.bootstraps(other) {
			i.outcome = launchd.OutcomeRefused
			i.refusal = &TwiceError{Target: i.Target, Before: other.name()}
		}
	}
}

// TwiceError says that a gateway which is not loaded was named a second time, with another domain.
type TwiceError struct {
	Target launchd.Target
	Before string // as it was named first
}

func (e *TwiceError) Error() string {
	return fmt.Sprintf("restart %s: %s was named, too, and both would be loaded", e.Target, e.Before)
}

// Remedy says in one sentence what to do.
func (e *TwiceError) Remedy() string { return "Name it once, in the domain where it is to be." }

func ambiguous(i *item) error {
	e := &launchd.AmbiguousError{}
	for _, d := range i.Domains {
		e.Targets = append(e.Targets, launchd.Target{Domain: d, Label: i.Label})
	}
	return e
}

// all carries the restarts out: a job that the caller runs in comes last, after the sweep. Where
// the caller's ancestors are not known it may be any of them, and all come last.
func (r *run) all(ctx context.Context) {
	var work sync.WaitGroup
	var last []int
	for n, i := range r.items {
		switch {
		case i.refusal != nil && !r.bootstraps(i):
			r.h.log.Debug("not restarted", "job", i.name(), "outcome", i.outcome, "reason", i.refusal)
		case i.inside:
			last = append(last, n)
		default:
			work.Go(func() { r.one(ctx, i, r.results[n], nil) })
		}
	}
	work.Wait()
	if r.o.Select.All {
		r.sweepUp(ctx)
	}
	var told sync.Once
	for _, n := range last {
		r.one(ctx, r.items[n], r.results[n], func() { told.Do(func() { r.tell(last) }) })
	}
}

// tell passes the report on before the request that may end the caller.
func (r *run) tell(last []int) {
	if r.o.Sending == nil {
		return
	}
	report := r.report()
	for _, n := range last {
		if one := &report.Results[n]; one.Outcome == "" {
			one.Outcome = launchd.OutcomeRequested
		}
	}
	report.Total = time.Since(r.start)
	r.o.Sending(report)
}

// report is what is known so far.
func (r *run) report() Report {
	report := Report{Sweep: r.swept, Excluded: r.excluded(), Warnings: r.warnings}
	for _, one := range r.results {
		report.Results = append(report.Results, *one)
	}
	return report
}

// excluded are the jobs of other installations, and those of nobody known, as far as they are not
// reported as foreign.
func (r *run) excluded() (list []Excluded) {
	if r.fleet == nil {
		return nil
	}
	for _, g := range r.fleet.Others {
		if g.bearsOurs() {
			continue
		}
		reason := "it is not known which installation it belongs to"
		if g.Foreign != "" {
			reason = "it belongs to another installation, " + g.Foreign
		}
		list = append(list, Excluded{g.Target, reason})
	}
	return list
}

func (r *run) changing() {
	if r.o.Changing != nil {
		r.o.Changing()
	}
}

// event passes an event on, one at a time.
func (r *run) event(e launchd.Event) {
	if r.o.OnEvent == nil {
		return
	}
	r.emit.Lock()
	defer r.emit.Unlock()
	r.o.OnEvent(e)
}

// outcomeOf is the word for an error about one job.
func outcomeOf(err error) launchd.Outcome {
	var foreign *ForeignError
	var busy *BusyError
	var rate *RateError
	var twice *TwiceError
	switch {
	case errors.Is(err, launchd.ErrAmbiguous):
		return launchd.OutcomeAmbiguousDomain
	case errors.As(err, &foreign):
		return launchd.OutcomeForeign
	case errors.As(err, &busy):
		return launchd.OutcomeBusy
	case errors.As(err, &rate), errors.As(err, &twice):
		return launchd.OutcomeRefused
	case errors.Is(err, launchd.ErrDisabled):
		return launchd.OutcomeDisabled
	case errors.Is(err, launchd.ErrNotLoaded):
		return launchd.OutcomeNotLoaded
	case errors.Is(err, launchd.ErrNoDomain):
		return launchd.OutcomeNoSession
	case errors.Is(err, launchd.ErrProtected):
		return launchd.OutcomeProtected
	}
	return launchd.OutcomeFailed
}

// begin is an item's result before anything was done.
func (r *run) begin(i *item) *Result {
	res := &Result{
		asked: i.name(), Target: i.Target, Label: i.Label, Profile: i.Profile, Inside: i.inside,
		Old: i.Job.PID, OldGateway: i.Process.PID, Outcome: i.outcome, Err: i.refusal,
	}
	if i.Runtime != nil {
		res.CodeBefore = i.Runtime.CodeSHA
	}
	res.Phases.Resolve = time.Since(r.start)
	res.Phases.Total = res.Phases.Resolve
	if i.Loaded() && i.gateway {
		res.Warnings = append(res.Warnings, cautions(i)...)
	}
	return res
}

// cautions are what is not as it should be and does not hinder a restart.
func cautions(i *item) (list []string) {
	warn := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	if i.Foreign != "" {
		warn("It belongs to another installation of Hermes, %s.", i.Foreign)
	}
	if i.Stopped {
		warn("Its gateway's process %d is stopped (SIGSTOP), so launchd kills it when its exit timeout is over.", i.Process.PID)
	}
	if i.plist != nil && slices.Contains(i.plist.ProgramArguments, "--replace") {
		warn("Its arguments have --replace: each start stops any other gateway of the same home, which can go on for ever (NousResearch/hermes-agent#79048).")
	}
	return list
}
