package launchd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/proc"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// How a restart came about, [RestartResult].Method.
const (
	MethodKickstart = "kickstart"      // launchd answered one request with the new process
	MethodWaited    = "wait+kickstart" // the job was being stopped already; started after its exit
	MethodObserved  = "observed"       // no answer named it; the job was seen to have another process
	MethodGraceful  = "graceful"       // the old process finished its work and exited, then one request
	MethodSignal    = "signal"         // launchd refuses the request; the old process was told to exit, KeepAlive started the new one
	MethodReload    = "reload"         // launchd refuses the request, and KeepAlive does not start the job: it was loaded anew
)

// RestartOptions: the zero value is a restart bounded by the job's own timeouts.
type RestartOptions struct {
	// Timeout bounds the whole call, but for the time in Sending. 0 derives it from the
	// job: its exit timeout (time from SIGTERM to SIGKILL) + its minimum runtime
	// (throttle) + 10 s, and besides Graceful.For and ReadyTimeout; a job with an
	// ExitTimeOut of 0 has no bound, then only ctx ends the call.
	Timeout time.Duration
	// CheckEnabled asks launchd besides whether the job's label is disabled (811), which
	// does not hinder a restart but the next load, and warns then. It costs as much as
	// all else that a restart does on this side.
	CheckEnabled bool
	// Old, if not zero, is the process that is to be replaced, as the caller saw it earlier. If
	// the job has another one by now, somebody else was faster: nothing is sent, and the outcome is
	// OutcomeAlreadyRestarting.
	Old Identity
	// Sending, if set, is called once, right before the first request that changes
	// anything, with what is known so far (Target, Old, Inside, Resolve, Warnings). A
	// caller inside the job writes its report here, because the call may not return.
	Sending func(RestartResult)
	// Graceful lets the old process finish its work first. nil stops it at once.
	Graceful *Graceful
	// Verify looks at the job once more, when it has its new process, and waits until that
	// has executed the job's program: launchd answers before, so a program that is missing,
	// or that macOS does not let run because it was replaced since the job was loaded, is
	// only seen then. It fills in OldExit, and warns if the old process had to be killed
	// and if the property list is gone or says something else than launchd has
	// ([Client.Stale]). It costs a request of print's size as a rule.
	Verify bool
	// Ready, if set, is asked about the new process until it returns nil: after 2 ms, then
	// less and less often, every 100 ms in the end. Its ctx ends when the process exits, so
	// one that waits for a while and for ctx asks that the process lives so long.
	Ready func(ctx context.Context, pid int) error
	// ReadyTimeout is how long Verify and Ready may take, besides Timeout if that is set. 0
	// is 30 s.
	ReadyTimeout time.Duration
	// Reload, if set, is how the job is loaded anew where launchd refuses the request and
	// would not start the job again by itself. nil leaves such a job as it is.
	Reload *ReloadOptions
	// OnEvent, if set, is told each step, in order and never concurrently. It should not
	// wait for anything: the restart waits for it.
	OnEvent func(Event)
}

// RestartResult is what [Client.Restart] saw. It is filled in as far as is known when
// there is an error too.
type RestartResult struct {
	Target   Target
	Outcome  Outcome
	Old      int      // pid before; 0 when the job was not running
	New      int      // pid after; 0 when none was seen
	Inside   bool     // the caller is the job's process, a descendant of it, or in its process group, see [Client.Inside]
	Method   string   // one of the Method constants; "" without a new process
	Warnings []string // one sentence each
	// OldExit is how the old process ended, if Verify was set and launchd told. A SIGKILL
	// that nobody else sent says that it did not exit within its exit timeout.
	OldExit Exit
	// Throttled is how long launchd was seen to hold the next start back, from then on and
	// as far as that is known: the rest of the minimum runtime. 0 if it did not.
	Throttled time.Duration
	// Resolve is the time until everything was checked, Drain that of a graceful stop,
	// Request from then until the new process was seen or given up, Ready until it was
	// verified and ready, Total that of the whole call.
	Resolve, Drain, Request, Ready, Total time.Duration
}

// Times of a restart.
const (
	margin        = 10 * time.Second // above the job's own times, before giving up
	settle        = 5 * time.Second  // for a process to appear that launchd did not name
	afterExit     = 2 * time.Second  // above the exit timeout, for launchd to notice
	deniedWindow  = time.Second      // 1 (EPERM) is answered so long after a spawn at most
	deniedTries   = 5
	deniedFirst   = 50 * time.Millisecond // between these tries, doubling
	deniedLast    = 250 * time.Millisecond
	young         = 2 * time.Second // a job so young may be in that window
	pollFirst     = 2 * time.Millisecond
	pollLast      = 100 * time.Millisecond
	lastLook      = 2 * time.Second  // for reading the job once more when ctx is over
	assumedExit   = 20 * time.Second // exit timeout of a job that does not tell: launchd.plist(5)
	assumedMinRun = 10 * time.Second // minimum runtime likewise
)

// Restart replaces the process of a job. It never unloads the job: whoever is killed at
// whatever point, launchd keeps the job's definition.
//
// It reads the job and its process' identity, then sends one kickstart with kill and
// unthrottle (702), on which launchd stops the old process (SIGTERM, after the exit
// timeout SIGKILL), reaps it and starts the new one. A job that is being stopped
// already (37) is started once its process has exited; 36, and 1 right after a spawn,
// are tried again for a while, but a kill only while the job still has the process that
// was there before.
//
// Success is a process of the job with another identity (pid and start time) than
// before, whatever launchd answered: OutcomeRestarted, OutcomeStarted (nothing ran
// before) or, if someone else was at it, OutcomeAlreadyRestarting. A job that is loaded
// but disabled is restarted, too. launchd answers before the new process has
// executed its program, so one that ends right away can be a success here;
// [Client.Inspect] tells a moment later.
//
// If the answer is lost (*[xpc.UnknownOutcome]), the job is read again: another process
// is success with MethodObserved, else the outcome is OutcomeUnknown.
//
// A caller that is the job's process, a descendant of it, or in the process group that it
// leads gets OutcomeRequested instead of success or unknown, with New if it was seen. As a rule the call does not return
// then, because launchd stops the caller with the job; the restart still happens.
// See [RestartOptions].Sending.
//
// With [RestartOptions].Graceful the old process is asked to finish its work and exit
// first, and the job is then started by a request without kill, which changes nothing if
// KeepAlive was faster. A launchd that demands an entitlement for the request (144, 154)
// gets none: the old process is sent SIGTERM and, after the job's exit timeout + 1 s, SIGKILL, and
// KeepAlive has its minimum runtime + 5 s to start the next (MethodSignal). A job that
// KeepAlive does not start again is not touched, unless it may be loaded anew:
// [RestartOptions].Reload (MethodReload). With
// RestartOptions.Ready the new process must also be ready.
//
// The error is nil exactly for these four outcomes. Otherwise it is the *[Error] that
// launchd gave (OutcomeNotLoaded, OutcomeDisabled, OutcomeNoSession, OutcomeProtected;
// OutcomeFailed for all others), or says what was waited for in vain: OutcomeThrottled if
// launchd is about to start the job later (Throttled says when); OutcomeParked if the job
// has no process and launchd leaves it alone (it exited well under a KeepAlive with
// SuccessfulExit false, or its start is held back); OutcomeNotReady; OutcomeFlapping if
// three new processes exited before they were ready. A new process that exited too early is
// an *[EarlyExitError].
func (c *Client) Restart(ctx context.Context, t Target, o RestartOptions) (RestartResult, error) {
	r := &restart{change: change{c: c, op: "restart", t: t}, o: o, res: RestartResult{Target: t}}
	start := time.Now()
	err := r.do(ctx, start)
	r.res.Total = time.Since(start)
	if r.sent {
		r.res.Request = r.res.Total - r.res.Resolve - r.res.Drain - r.res.Ready
	}
	if err != nil && (r.res.Outcome == "" || r.res.Outcome.OK()) { // a new process was seen, and lost again
		r.res.Outcome = outcomeOf(err)
	}
	return r.res, err
}

// restart is one call of Restart.
type restart struct {
	change
	o    RestartOptions
	res  RestartResult
	sent bool

	disabled chan bool // one answer, to CheckEnabled
	verified int       // the new process that has executed its program
}

func (r *restart) do(ctx context.Context, start time.Time) error {
	limit := r.o.Timeout
	if limit <= 0 {
		limit = margin // for the questions; what follows depends on the job
	}
	asking, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := r.resolve(asking)
	r.res.Resolve = time.Since(start)
	if err != nil {
		return err
	}
	if err := asking.Err(); err != nil {
		return fmt.Errorf("restart %s: nothing was sent: %w", r.t, err)
	}
	if other := r.old.PID != r.o.Old.PID || r.old.Start != 0 && r.o.Old.Start != 0 && r.old.Start != r.o.Old.Start; !r.o.Old.IsZero() && r.old.PID > 0 && other {
		now := r.old.PID
		r.old, r.res.Old = r.o.Old, r.o.Old.PID
		return r.success(now, MethodObserved, OutcomeAlreadyRestarting)
	}
	if r.res.Inside { // later there may be nobody to tell
		r.warnDisabled()
	}
	if r.o.Sending != nil {
		r.o.Sending(r.res)
	}
	if r.o.Timeout > 0 { // what is left; the caller's own time in Sending is not counted
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.o.Timeout-r.res.Resolve)
		defer cancel()
	}
	r.sent = true
	err = r.carryOut(ctx)
	if !r.res.Inside {
		r.warnDisabled()
	}
	return err
}

// carryOut is the restart itself, once everything was checked.
func (r *restart) carryOut(ctx context.Context) error {
	gone := false
	if r.o.Graceful != nil && r.old.PID > 0 && r.comesBack() {
		var over bool
		var err error
		start := time.Now()
		gone, over, err = r.drain(ctx)
		r.res.Drain = time.Since(start)
		if over {
			return err
		}
	}
	if err := r.next(ctx, gone); err != nil || !r.res.Outcome.OK() || r.o.Ready == nil && !r.o.Verify {
		return err
	}
	start := time.Now()
	err := r.ready(ctx)
	r.res.Ready = time.Since(start)
	return err
}

// next sees to the new process; gone says that the old one has exited.
func (r *restart) next(ctx context.Context, gone bool) error {
	if r.o.Timeout <= 0 {
		b := r.c.boundByJob(ctx, r.t)
		defer b.cancel()
		ctx = b
	}
	if !gone {
		return r.replace(ctx)
	}
	// The old process is gone, and perhaps nobody else starts the next one: this request
	// is sent even if ctx has ended meanwhile.
	closing, cancel := outlast(ctx, lastLook)
	defer cancel()
	r.emit(Event{Kind: EventRequested, Detail: "kickstart without kill"})
	pid, err := r.resume(closing)
	switch {
	case err == nil:
		return r.arrived(closing, pid, MethodGraceful, "")
	case errors.Is(err, ErrNotEntitled):
		return r.revived(ctx, err)
	}
	return r.lost(ctx, err)
}

// emit tells the caller about a step.
func (r *restart) emit(e Event) {
	if r.o.OnEvent != nil {
		e.Time, e.Target = time.Now(), r.t
		r.o.OnEvent(e)
	}
}

// warnDisabled waits for the answer to a question that is only for a warning's sake.
func (r *restart) warnDisabled() {
	if r.o.CheckEnabled && <-r.disabled {
		r.warn(disabledWarning, r.t)
	}
}

// resolve reads all that must be known before anything is touched.
func (r *restart) resolve(ctx context.Context) error {
	if r.o.CheckEnabled {
		r.disabled = make(chan bool, 1)
		go func() { r.disabled <- r.c.disabled(ctx, r.t) }()
	}
	j, err := r.c.Job(ctx, r.t)
	if errors.Is(err, ErrNotLoaded) {
		return notLoaded("restart", r.t, r.c.disabled(ctx, r.t))
	}
	if err != nil {
		return renamed("restart", err)
	}
	r.job = j
	if err := r.from(j.PID); err != nil {
		r.warn("The start time of process %d cannot be read (%v), so only another pid will count as a restart.", j.PID, err)
	}
	r.res.Old = r.old.PID
	r.res.Inside = r.inside()
	return nil
}

// look reads the job again and keeps what it tells of its times.
func (r *restart) look(ctx context.Context) (Job, error) {
	j, err := r.c.look(ctx, r.t)
	if err == nil && j.ExitTimeout != nil {
		r.job = j
	}
	return j, err
}

// times sees to it that the job's times are known, if launchd tells them: a restart
// that goes well does not need them.
func (r *restart) times(ctx context.Context) {
	if r.job.ExitTimeout == nil {
		r.look(ctx)
	}
}

func (r *restart) warn(format string, args ...any) {
	r.res.Warnings = append(r.res.Warnings, fmt.Sprintf(format, args...))
}

// replace sends the request, again where the answer says that this helps, and sees
// the new process.
func (r *restart) replace(ctx context.Context) error {
	var busy, denied time.Time // of the first such answer
	var denials int
	var wait backoff
	r.emit(Event{Kind: EventRequested, Detail: "kickstart with kill"})
	for {
		pid, taken, err := r.kick(ctx)
		switch {
		case taken:
			return r.requested()
		case err == nil:
			return r.prove(ctx, pid)
		case errors.Is(err, ErrNotEntitled):
			return r.bySignal(ctx, err)
		}
		e, refused := errors.AsType[*Error](err)
		if !refused {
			return r.lost(ctx, err)
		}
		if e.Code != xpc.EPERM && e.Code != xpc.EINPROGRESS && e.Code != xpc.EALREADY {
			return err
		}
		j, lookErr := r.look(ctx)
		if lookErr != nil {
			return renamed("restart", lookErr)
		}
		switch {
		case r.replaced(ctx, j.PID) && !j.State.Stopping():
			return r.arrived(ctx, j.PID, MethodObserved, OutcomeAlreadyRestarting)
		case e.Code == xpc.EALREADY, r.replaced(ctx, j.PID):
			if r.replaced(ctx, j.PID) { // it is someone else's process that is being stopped
				r.from(j.PID)
			}
			r.emit(Event{Kind: EventWaiting, PID: r.old.PID, Detail: "the exit of a process that is being stopped already"})
			pid, err := r.resume(ctx)
			if err != nil {
				return r.lost(ctx, err)
			}
			return r.arrived(ctx, pid, MethodWaited, OutcomeAlreadyRestarting)
		case e.Code == xpc.EPERM:
			if denials++; denials == 1 {
				denied, wait = time.Now(), backoff{next: deniedFirst, most: deniedLast}
			}
			if denials == deniedTries || time.Since(denied)+wait.next > deniedWindow || !r.young(j.PID) {
				return err
			}
		case e.Code == xpc.EINPROGRESS:
			if busy.IsZero() {
				busy = time.Now()
			}
			if exit, ends := r.exitTimeout(); ends && time.Since(busy) > exit+afterExit {
				return err
			}
		}
		if err := wait.sleep(ctx); err != nil {
			return fmt.Errorf("restart %s: out of time (%w) with the answer: %w", r.t, err, e)
		}
	}
}

// kick sends the request. A caller inside the job cannot wait for the answer: it comes
// when the caller itself has gone. taken is true once launchd is seen to have the request.
func (r *restart) kick(ctx context.Context) (pid int, taken bool, err error) {
	kill := func(ctx context.Context) (int, error) {
		return r.c.Kickstart(ctx, r.t, KickstartOptions{Kill: true, Unthrottle: true})
	}
	if !r.res.Inside {
		pid, err = kill(ctx)
		return pid, false, err
	}
	type answer struct {
		pid int
		err error
	}
	answered := make(chan answer, 1)
	go func() {
		pid, err := kill(ctx)
		answered <- answer{pid, err}
	}()
	for wait := (backoff{}); ; {
		timer := time.NewTimer(wait.step())
		select {
		case a := <-answered:
			timer.Stop()
			return a.pid, false, a.err
		case <-timer.C:
		}
		asking, cancel := context.WithTimeout(ctx, lastLook)
		j, err := r.c.look(asking, r.t)
		cancel()
		if err == nil && j.PID == r.old.PID && j.State.Stopping() {
			return 0, true, nil
		}
	}
}

// requested is the end for a caller that the restart will stop.
func (r *restart) requested() error {
	r.res.Outcome, r.res.Method = OutcomeRequested, MethodKickstart
	return nil
}

// young reports whether the process may still be in the window right after its spawn.
func (r *restart) young(pid int) bool {
	id, err := r.c.procs.read(pid)
	return pid > 0 && err == nil && r.c.procs.age(id) < young
}

// prove turns the pid of an answer into a success, or waits for a process that is one.
func (r *restart) prove(ctx context.Context, pid int) error {
	method := MethodKickstart
	if !r.replaced(ctx, pid) {
		method = MethodObserved
		r.times(ctx)
		patience := r.minimumRuntime() + settle
		if pid > 0 { // the old process, still
			exit, ends := r.exitTimeout()
			patience += exit
			if !ends {
				patience = 0
			}
		}
		var err error
		if pid, err = r.await(ctx, patience); err != nil {
			return err
		}
	}
	return r.arrived(ctx, pid, method, "")
}

// arrived takes pid for the new process, if it is still there. Where there is a question
// whether it is ready, that decides.
func (r *restart) arrived(ctx context.Context, pid int, method string, outcome Outcome) error {
	if _, err := r.c.procs.read(pid); r.o.Ready == nil && errors.Is(err, proc.ErrGone) {
		return r.goneAgain(ctx, pid)
	}
	return r.success(pid, method, outcome)
}

// goneAgain handles a new process that has exited before it could be looked at.
func (r *restart) goneAgain(ctx context.Context, pid int) error {
	j, err := r.reaped(ctx, pid)
	if err != nil {
		return renamed("restart", err)
	}
	if j.PID != pid && r.replaced(ctx, j.PID) {
		r.warn("The first new process, %d, exited at once.", pid)
		return r.success(j.PID, MethodObserved, "")
	}
	r.res.Outcome = r.without(j, 0)
	return r.earlyExit(pid, 1, "at once", j)
}

// reaped reads the job once launchd has seen the exit of a process: only then it tells how
// that ended, and what comes next.
func (r *restart) reaped(ctx context.Context, pid int) (Job, error) {
	ctx, cancel := context.WithTimeout(ctx, settle)
	defer cancel()
	for wait := (backoff{}); ; {
		j, err := r.c.look(ctx, r.t)
		if err != nil || j.PID != pid {
			return j, err
		}
		if wait.sleep(ctx) != nil {
			return j, nil
		}
	}
}

// without is the outcome for a job that has no process; the last one was started so long
// ago.
func (r *restart) without(j Job, ago time.Duration) Outcome {
	switch {
	case j.State == StateSpawnScheduled:
		r.held(j, ago)
		return OutcomeThrottled
	case j.State == StateNotRunning:
		return OutcomeParked
	}
	return OutcomeFailed
}

// pended says why launchd holds a start back.
func pended(j Job) string {
	if j.Pended == "" {
		return ""
	}
	return fmt.Sprintf(", start held back: %s", clip(j.Pended))
}

// await reads the job until it has another process than the old one. patience of 0 has
// no end but ctx.
func (r *restart) await(ctx context.Context, patience time.Duration) (pid int, err error) {
	if patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	var last Job
	begin := time.Now()
	for wait := (backoff{}); ; {
		j, err := r.c.look(ctx, r.t)
		switch {
		case err == nil:
			last = j
			if r.replaced(ctx, j.PID) {
				return j.PID, nil
			}
		case ctx.Err() == nil:
			return 0, renamed("restart", err)
		}
		if err := wait.sleep(ctx); err != nil {
			switch {
			case last.State == StateSpawnScheduled:
				r.held(last, r.oldAge())
				r.res.Outcome = OutcomeThrottled
			case last.Pended != "":
				r.res.Outcome = OutcomeParked
			}
			return 0, fmt.Errorf("restart %s: no new process within %v (old process %d, state %q%s): %w",
				r.t, time.Since(begin).Round(time.Millisecond), r.old.PID, last.State, pended(last), err)
		}
	}
}

// lost decides what became of a request without an answer. Any other error than
// *[xpc.UnknownOutcome] means that it was not carried out: a new process is then someone
// else's doing.
func (r *restart) lost(ctx context.Context, cause error) error {
	var pid int
	var err error
	if _, unknown := errors.AsType[*xpc.UnknownOutcome](cause); !unknown {
		if pid, err = r.once(ctx); err == nil {
			return r.success(pid, MethodObserved, OutcomeAlreadyRestarting)
		}
		return cause
	}
	if ctx.Err() != nil {
		pid, err = r.once(ctx)
	} else {
		// launchd has the request and there is time: it may still be at it.
		r.times(ctx)
		exit, ends := r.exitTimeout()
		if !ends {
			exit = assumedExit
		}
		pid, err = r.await(ctx, exit+afterExit)
	}
	switch {
	case err == nil:
		return r.success(pid, MethodObserved, "")
	case r.res.Inside:
		r.res.Outcome = OutcomeRequested
		return nil
	}
	r.res.Outcome = OutcomeUnknown
	return cause
}

// once reads the job once more, even if ctx is over.
func (r *restart) once(ctx context.Context) (pid int, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastLook)
	defer cancel()
	j, err := r.c.look(ctx, r.t)
	if err == nil && !r.replaced(ctx, j.PID) {
		err = errors.New("the old process is still there")
	}
	return j.PID, err
}

// success fills in the result; outcome is "" unless someone else did it.
func (r *restart) success(pid int, method string, outcome Outcome) error {
	r.res.New, r.res.Method, r.res.Outcome = pid, method, outcome
	r.emit(Event{Kind: EventSpawned, PID: pid})
	switch {
	case r.res.Inside:
		r.res.Outcome = OutcomeRequested
	case outcome != "":
	case r.res.Old == 0:
		r.res.Outcome = OutcomeStarted
	default:
		r.res.Outcome = OutcomeRestarted
	}
	return nil
}
