package launchd

import (
	"context"
	"errors"
	"time"
)

// Outcome is what became of a restart, a start or a stop, in one word that programs
// may rely on.
type Outcome string

// The outcomes. Those of this package's methods say so at the method; the others are
// for the layers above.
const (
	OutcomeRestarted         Outcome = "restarted"          // another process of the job runs
	OutcomeStarted           Outcome = "started"            // the job had no process, now it has
	OutcomeStopped           Outcome = "stopped"            // the job is unloaded and its process is gone
	OutcomeAlreadyRestarting Outcome = "already-restarting" // someone else was replacing the process, and it was replaced
	OutcomeRequested         Outcome = "requested"          // the request is out; the caller is inside the job
	OutcomeNotLoaded         Outcome = "not-loaded"         // launchd does not know the job
	OutcomeDisabled          Outcome = "disabled"           // not loaded, and the label is disabled
	OutcomeParked            Outcome = "parked"             // loaded, but launchd holds its start back
	OutcomeThrottled         Outcome = "throttled"          // launchd delays the next start
	OutcomeFlapping          Outcome = "flapping"           // starts, and exits again and again
	OutcomeNotReady          Outcome = "not-ready"          // runs, but is not ready in time
	OutcomeForeign           Outcome = "foreign"            // the label belongs to another installation
	OutcomeAmbiguousDomain   Outcome = "ambiguous-domain"   // loaded in more than one domain
	OutcomeNoSession         Outcome = "no-session"         // the domain does not exist
	OutcomeProtected         Outcome = "protected"          // the system does not let the job be restarted
	OutcomeBusy              Outcome = "busy"               // another restart holds the lock
	OutcomeRefused           Outcome = "refused"            // too many restarts
	OutcomeUnknown           Outcome = "unknown"            // the answer did not come, and the old process still runs
	OutcomeFailed            Outcome = "failed"
)

// OK reports whether o is a success that was seen: restarted, started,
// already-restarting or stopped. Requested is not: nobody saw its end.
func (o Outcome) OK() bool {
	switch o {
	case OutcomeRestarted, OutcomeStarted, OutcomeAlreadyRestarting, OutcomeStopped:
		return true
	}
	return false
}

// How a restart came about, [RestartResult].Method.
const (
	MethodKickstart = "kickstart"      // launchd answered one request with the new process
	MethodWaited    = "wait+kickstart" // the job was being stopped already; started after its exit
	MethodObserved  = "observed"       // no answer named it; the job was seen to have another process
)

// RestartOptions: the zero value is a restart bounded by the job's own timeouts.
type RestartOptions struct {
	// Timeout bounds the whole call. 0 derives it from the job: its exit timeout
	// (time from SIGTERM to SIGKILL) + its minimum runtime (throttle) + 10 s; a job
	// with an ExitTimeOut of 0 has no bound, then only ctx ends the call.
	Timeout time.Duration
	// Sending, if set, is called once, right before the first request that changes
	// anything, with what is known so far (Target, Old, Inside, Warnings). A caller
	// inside the job writes its report here, because the call may not return.
	Sending func(RestartResult)
}

// RestartResult is what [Client.Restart] saw. It is filled in as far as is known when
// there is an error too.
type RestartResult struct {
	Target   Target
	Outcome  Outcome
	Old      int      // pid before; 0 when the job was not running
	New      int      // pid after; 0 when none was seen
	Inside   bool     // the caller is the job's process or a descendant of it
	Method   string   // MethodKickstart, MethodWaited or MethodObserved; "" without success
	Warnings []string // one sentence each
	// Resolve is the time until everything was checked, Request from then until the
	// last answer of launchd to a kickstart, Total that of the whole call.
	Resolve, Request, Total time.Duration
}

var errTODO = errors.New("not finished")

// Restart replaces the process of a job and never unloads the job.
func (c *Client) Restart(ctx context.Context, t Target, o RestartOptions) (RestartResult, error) {
	return RestartResult{Target: t, Outcome: OutcomeFailed}, errTODO
}
