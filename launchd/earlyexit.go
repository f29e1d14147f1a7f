package launchd

import (
	"fmt"
	"strings"
	"time"
)

// EarlyExitError says that a restart brought a new process about which exited before it
// could count as one that runs.
type EarlyExitError struct {
	Target Target
	PID    int    // the process that exited; of several the last one
	Count  int    // how many new processes exited so
	Exit   Exit   // how, if launchd told
	When   string // "at once", "before it was ready"
	Then   string // what launchd does now; "" if that is not known
}

// Error reads "restart gui/501/x: the new process 200 exited at once (last exit: 78:
// EX_CONFIG)", with Then behind it.
func (e *EarlyExitError) Error() string {
	what := fmt.Sprintf("the new process %d exited %s", e.PID, e.When)
	if e.Count > 1 {
		what = fmt.Sprintf("%d new processes exited %s", e.Count, strings.Replace(e.When, " it was", " they were", 1))
	}
	text := fmt.Sprintf("restart %s: %s%s", e.Target, what, exitWords(e.Exit))
	if e.Then != "" {
		text += ", and " + e.Then
	}
	return text
}

// Remedy says what to do.
func (e *EarlyExitError) Remedy() string {
	text := "Its log may tell why: hermes-gw ctl print TARGET names the files."
	switch {
	case e.Exit.Kind == ExitSignaled && e.Exit.Signal == sigkill:
		// launchd-protocol.md 7.5
		text = "If its program was replaced or signed anew since the job was loaded, macOS kills it at every start: hermes-gw reload TARGET loads the job anew."
	case e.Exit.Kind == ExitCode && e.Exit.Code == exConfig:
		text = "78 stands for a configuration that cannot work, and launchd gives it where the program, the folder or a log file cannot be used: look at the job's log and at hermes-gw lint."
	}
	return strings.ReplaceAll(text, "TARGET", printable(e.Target.String()))
}

const (
	sigkill  = Signal(9)
	exConfig = 78 // sysexits.h
)

// refusedToRun reports whether a process that ended so before it was seen to run may never
// have executed its program.
func refusedToRun(e Exit) bool {
	return e.Kind == ExitSignaled && e.Signal == sigkill || e.Kind == ExitCode && e.Code == exConfig
}

// earlyExit is the error about the n-th new process, which has exited.
func (r *restart) earlyExit(pid, n int, when string, j Job) *EarlyExitError {
	e := &EarlyExitError{Target: r.t, PID: pid, Count: n, Exit: j.LastExit, When: when}
	switch j.State {
	case StateSpawnScheduled:
		e.Then = fmt.Sprintf("launchd holds the next start back for up to %v", r.res.Throttled.Round(time.Second/10))
	case StateNotRunning:
		e.Then = "launchd leaves the job alone"
		if j.Pended != "" {
			e.Then = "launchd holds the next start back: " + clip(j.Pended)
		}
	}
	return e
}

// held notes how long launchd holds the next start back: until the minimum runtime has
// passed since the last one (launchd-protocol.md 1.5), which was so long ago.
func (r *restart) held(j Job, ago time.Duration) {
	if j.MinimumRuntime != nil {
		r.job.MinimumRuntime = j.MinimumRuntime
	}
	r.res.Throttled = max(r.minimumRuntime()-max(ago, 0), 0)
	if j.SpawnIn != nil {
		r.res.Throttled = *j.SpawnIn
	}
}

// throttled is held, told to the caller.
func (r *restart) throttled(j Job, ago time.Duration) {
	r.held(j, ago)
	r.emit(Event{Kind: EventThrottled, Until: time.Now().Add(r.res.Throttled), Detail: fmt.Sprintf("launchd holds the next start back for up to %v", r.res.Throttled.Round(time.Second/10))})
}

// oldAge is how long ago the old process was started, 0 if that is not known.
func (r *restart) oldAge() time.Duration {
	if r.old.Start == 0 {
		return 0
	}
	return r.c.procs.age(r.old)
}

// lastExit puts how the last process ended into parentheses.
func lastExit(j Job) string { return exitWords(j.LastExit) }

func exitWords(e Exit) string {
	last := e.String()
	if last == "" {
		return ""
	}
	return fmt.Sprintf(" (last exit: %s)", clip(last))
}
