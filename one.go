package hermesgw

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/proc"
	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// Times of one job's restart.
const (
	margin       = 10 * time.Second // above the job's own times, before a wait for somebody else's restart is given up
	drainMargin  = 5 * time.Second  // a drain ends so long before launchd would kill what it has sent SIGTERM
	drainNoLimit = 30 * time.Minute // a drain of a job without an exit timeout: what Hermes gives it itself (hermes.md 1.6)
	exitAssumed  = 20 * time.Second // exit timeout of a job that does not tell: launchd.plist(5)
	readyAssumed = 60 * time.Second // without RestartOptions.ReadyTimeout: a Python gateway takes its time
	stormWindow  = 2 * time.Minute  // gateway-starts.log: more than 5 starts in it make Hermes sleep at boot (hermes.md 1.5)
	stormStarts  = 5
	logLines     = 10
	bootstrapFor = 30 * time.Second
)

// one restarts one job. sending, if set, is called right before the request that may end the
// caller.
func (r *run) one(ctx context.Context, i *item, res *Result, sending func()) {
	defer func() { res.Phases.Total = time.Since(r.start) }()
	if r.o.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, max(r.o.Timeout-res.Phases.Resolve, time.Millisecond))
		defer cancel()
	}
	if !i.Loaded() {
		r.bootstrap(ctx, i, res)
		return
	}
	right, replaced := r.right(ctx, i, res)
	defer right.land()
	if res.Err != nil || replaced {
		return
	}
	if !r.o.Force {
		if err := right.allowed(i.Target); err != nil {
			res.fail(err)
			return
		}
	}
	o, err := r.options(ctx, i, res)
	if err != nil {
		res.fail(err)
		return
	}
	old := r.predecessor(ctx, i, res)
	if timeout, ends := exitTimeout(i.Job); old != nil && ends {
		o.ReadyTimeout += timeout + beyondExit // the new gateway cannot be ready before the old one is gone
	}
	children := r.leftovers(ctx, i)
	exit := watchExit(i.job)
	var sent time.Time
	since := func(at time.Time) time.Duration {
		if sent.IsZero() || at.IsZero() {
			return 0
		}
		return at.Sub(sent)
	}
	o.OnEvent = func(e launchd.Event) {
		switch e.Kind {
		case launchd.EventSpawned:
			res.Phases.NewSpawn = since(e.Time)
		case launchd.EventReady:
			res.Phases.Ready = since(e.Time)
		}
		r.event(e)
		old.saw(ctx, e)
	}
	o.Sending = func(sofar launchd.RestartResult) {
		if err := right.sending(r.h.startsOf(&i.Gateway, right)); err != nil {
			res.Warnings = append(res.Warnings, fmt.Sprintf("It could not be noted that it is restarted (%v), so the guard against too many restarts does not count it.", err))
		}
		r.changing()
		res.Phases.Resolve = time.Since(r.start)
		sent = time.Now()
		if sofar.Inside && sending != nil {
			before := *res
			res.Outcome = launchd.OutcomeRequested
			if o.Graceful == nil {
				res.Method = launchd.MethodKickstart
			}
			res.Warnings = append(res.Warnings, sofar.Warnings...)
			res.Phases.Total = time.Since(r.start)
			sending()
			*res = before
		}
	}
	stop := func() {}
	if o.Graceful != nil {
		stop = r.tellWork(ctx, i)
	}
	r.h.log.Debug("restart", "target", i.Target, "pid", i.job.PID, "graceful", o.Graceful != nil, "inside", i.inside)
	done, err := r.h.client.Restart(ctx, i.Target, o)
	stop()
	r.h.log.Debug("restarted", "target", i.Target, "outcome", done.Outcome, "pid", done.New, "error", err)
	res.take(done, err)
	old.end(ctx, res)
	res.Phases.Drain, res.Phases.Request, res.Phases.Verify = done.Drain, done.Request, done.Ready
	if at, ok := exit(err == nil); ok {
		res.Phases.OldExit = max(since(at), since(old.left()))
	}
	left(ctx, children, res)
	r.aftermath(i, res)
}

// take fills in what launchd's side of the restart came to.
func (res *Result) take(done launchd.RestartResult, err error) {
	res.Outcome, res.Err = done.Outcome, err
	res.New, res.Method, res.Inside = done.New, done.Method, done.Inside
	res.OldExit, res.Throttled = done.OldExit, done.Throttled
	if done.Old > 0 {
		res.Old = done.Old
	}
	res.Warnings = append(res.Warnings, done.Warnings...)
}

// fail ends a result with an error.
func (res *Result) fail(err error) { res.Outcome, res.Err = outcomeOf(err), err }

// right waits for the right to restart the target. replaced says that whoever had it gave the
// job a new process, so that there is nothing left to do.
func (r *run) right(ctx context.Context, i *item, res *Result) (f *flight, replaced bool) {
	if r.h.o.StateDir == "" {
		return nil, false
	}
	waiting := ctx
	if exit, ends := exitTimeout(i.Job); ends && r.o.Timeout <= 0 {
		limit := exit + margin
		if i.Job.MinimumRuntime != nil {
			limit += *i.Job.MinimumRuntime
		}
		var cancel context.CancelFunc
		waiting, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	f, waited, err := board(waiting, r.h.o.StateDir, r.h.in.UID, i.Target, r.h.o.Command, r.h.o.Address)
	var busy *BusyError
	switch {
	case errors.As(err, &busy) && ctx.Err() != nil && context.Cause(ctx) != context.DeadlineExceeded:
		res.fail(fmt.Errorf("restart %s: nothing was sent: %w", i.Target, context.Cause(ctx)))
		return nil, false
	case errors.As(err, &busy):
		res.fail(err)
		return nil, false
	case err != nil:
		res.Warnings = append(res.Warnings, fmt.Sprintf("No lock could be taken (%v), so a second restart at the same time would not be noticed.", err))
		return nil, false
	case !waited:
		return f, false
	}
	job, err := r.h.client.Job(ctx, i.Target)
	if err != nil {
		res.fail(err)
		return f, false
	}
	if now, seen := jobIdentity(job), i.seen(); !now.IsZero() && (now.PID != seen.PID || seen.Start != 0 && now != seen) {
		res.Outcome, res.New, res.Method = launchd.OutcomeAlreadyRestarting, now.PID, launchd.MethodObserved
		return f, true
	}
	return f, false
}

// options says how launchd is to restart the job.
func (r *run) options(ctx context.Context, i *item, res *Result) (o launchd.RestartOptions, err error) {
	o = launchd.RestartOptions{CheckEnabled: true, Verify: true, Old: i.seen(), ReadyTimeout: r.o.ReadyTimeout}
	if r.o.Timeout > 0 { // what is left of it
		deadline, _ := ctx.Deadline()
		o.Timeout = max(time.Until(deadline), time.Millisecond)
	}
	if o.ReadyTimeout <= 0 {
		o.ReadyTimeout = readyAssumed
	}
	if len(r.h.o.Reload.Program) > 0 {
		reload := r.h.o.Reload
		o.Reload = &reload
	}
	if r.waits() {
		o.Ready = r.readiness(i, res)
	}
	if !r.o.Graceful || i.job.IsZero() {
		return o, nil
	}
	o.Graceful = &launchd.Graceful{For: r.drainFor(i.Job), Leave: r.o.ForceAfter <= 0}
	if !i.gateway {
		return o, nil
	}
	process, isStopped, err := r.h.find(ctx, i.job, i.Home)
	if err != nil {
		return o, &NoGatewayError{Target: i.Target, Err: err}
	}
	res.OldGateway = process.PID
	if i.Stopped = isStopped; isStopped {
		res.Warnings = append(res.Warnings, fmt.Sprintf("Its gateway's process %d is stopped (SIGSTOP), so it finishes no work: let it go on with kill -CONT %[1]d.", process.PID))
	}
	if stuck, why := wedged(ctx, r.h.in, i.Home, process.PID, time.Now()); stuck {
		res.Warnings = append(res.Warnings, "It was not asked to finish its work, because it is wedged: "+why+".")
		o.Graceful = nil
		return o, nil
	}
	o.Graceful.Signal = syscall.SIGUSR1
	o.Graceful.Process = func(ctx context.Context, job launchd.Identity) (launchd.Identity, error) {
		id, _, err := r.h.find(ctx, job, i.Home)
		return id, err
	}
	return o, nil
}

// waits reports whether a new process must also be ready.
func (r *run) waits() bool { return r.o.Wait == WaitReady || r.o.Wait == WaitPlatforms }

// drainFor is how long a gateway may take to finish its work.
func (r *run) drainFor(j launchd.Job) time.Duration {
	if r.o.ForceAfter > 0 {
		return r.o.ForceAfter
	}
	limit := drainNoLimit
	if exit, ends := exitTimeout(j); ends {
		limit = max(exit-drainMargin, exit*4/5)
	}
	if r.o.Drain > 0 {
		limit = min(limit, r.o.Drain)
	}
	return limit
}

// exitTimeout is the live one; ends is false for a job that is given all the time it wants.
func exitTimeout(j launchd.Job) (d time.Duration, ends bool) {
	if j.ExitTimeout == nil {
		return exitAssumed, true
	}
	return *j.ExitTimeout, *j.ExitTimeout > 0
}

// watchExit waits for the exit of a process, by event. The function that it returns ends the wait
// and tells when the exit was seen; soon waits a moment for one that has just happened.
func watchExit(id Identity) func(soon bool) (at time.Time, ok bool) {
	none := func(bool) (time.Time, bool) { return time.Time{}, false }
	if id.IsZero() {
		return none
	}
	p, err := proc.OpenIdentity(id)
	if err != nil {
		return none
	}
	ctx, cancel := context.WithCancel(context.Background())
	seen := make(chan time.Time, 1)
	go func() {
		defer close(seen)
		if p.Wait(ctx) == nil {
			seen <- time.Now()
		}
	}()
	return func(soon bool) (at time.Time, ok bool) {
		defer p.Close()
		if soon {
			timer := time.AfterFunc(50*time.Millisecond, cancel)
			defer timer.Stop()
		} else {
			cancel()
		}
		defer cancel()
		at, ok = <-seen
		return at, ok
	}
}

// aftermath looks at what a restart left behind that did not go well.
func (r *run) aftermath(i *item, res *Result) {
	if !i.gateway || i.Home == "" || res.Outcome.OK() || res.Outcome == launchd.OutcomeRequested {
		return
	}
	switch res.Outcome {
	case launchd.OutcomeNotReady, launchd.OutcomeFlapping, launchd.OutcomeParked, launchd.OutcomeThrottled, launchd.OutcomeFailed:
	default:
		return
	}
	if errors.Is(res.Err, launchd.ErrDraining) {
		if now := r.h.runtime(context.Background(), &i.Gateway); now != nil {
			res.Work = now.Work
		}
		return
	}
	res.Log = LogTail(r.h.in, i.Home, logLines)
	if n := recentStarts(r.h.in, i.Home, stormWindow, time.Now()); n > stormStarts {
		res.Warnings = append(res.Warnings, fmt.Sprintf("It was started %d times in the last %v: Hermes then sleeps for up to 5 minutes at each start, which looks like a gateway that does not come up.", n, stormWindow))
	}
}

// bootstraps reports whether a job that is not loaded is to be loaded.
func (r *run) bootstraps(i *item) bool {
	if _, other := errors.AsType[*launchd.ElsewhereError](i.refusal); other {
		return false // it would be a second instance
	}
	return r.o.Bootstrap && i.gateway && i.outcome == launchd.OutcomeNotLoaded && i.Plist != "" && i.ServedBy == ""
}

// places are where a job that is not loaded may be loaded, the best first: a domain that was named is
// the only one.
func (r *run) places(i *item) []launchd.Domain {
	if !i.place.IsZero() {
		return []launchd.Domain{i.place}
	}
	return r.h.places()
}

// places are where a gateway may be loaded of which no domain was named.
func (h *Hermes) places() []launchd.Domain {
	around := h.o.Around
	around.UID = h.in.UID
	return launchd.Places(around)
}

// bootstrap loads a gateway's job, which starts it.
func (r *run) bootstrap(ctx context.Context, i *item, res *Result) {
	ctx, cancel := context.WithTimeout(ctx, bootstrapFor)
	defer cancel()
	r.changing()
	sent := time.Now()
	res.Phases.Resolve = time.Since(r.start)
	defer func() { res.Phases.Request = time.Since(sent) }()
	var done launchd.StartResult
	var err error
	for _, d := range r.places(i) {
		res.Target = launchd.Target{Domain: d, Label: i.Label}
		done, err = r.h.client.Start(ctx, res.Target, i.Plist)
		if !errors.Is(err, launchd.ErrNoDomain) {
			break
		}
	}
	res.Outcome, res.Err, res.New = done.Outcome, err, done.PID
	res.Warnings = append(res.Warnings, done.Warnings...)
	if err != nil {
		return
	}
	if !done.Loaded { // somebody else has loaded it since it was looked for
		res.Outcome, res.Method = launchd.OutcomeAlreadyRestarting, launchd.MethodObserved
		return
	}
	res.Phases.NewSpawn = time.Since(sent)
	res.Method = MethodBootstrap
}

// MethodBootstrap is [Result].Method of a job that was not loaded and was.
const MethodBootstrap = "bootstrap"

// NoGatewayError says that a graceful restart found nobody to ask.
type NoGatewayError struct {
	Target launchd.Target
	Err    error
}

func (e *NoGatewayError) Error() string {
	return fmt.Sprintf("restart %s: nobody was asked to finish its work, and nothing was sent: %v", e.Target, e.Err)
}

func (e *NoGatewayError) Unwrap() error { return e.Err }

// Remedy says in one sentence what to do.
func (e *NoGatewayError) Remedy() string { return "Restart it without --graceful." }

// remedyOf is the advice that an error brings along.
func remedyOf(err error) string {
	advice, ok := errors.AsType[interface {
		error
		Remedy() string
	}](err)
	if ok {
		return advice.Remedy()
	}
	if _, unknown := errors.AsType[*xpc.UnknownOutcome](err); unknown {
		return "Look with hermes-gw status before anything is sent again."
	}
	return ""
}

// joined is a list in words: a, b and c.
func joined(list []string) string {
	if n := len(list) - 1; n > 0 {
		return strings.Join(list[:n], ", ") + " and " + list[n]
	}
	return strings.Join(list, "")
}
