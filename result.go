package hermesgw

import (
	"time"

	"github.com/hermes-gw/hermes-gw/launchd"
)

// Report is what a restart did.
type Report struct {
	Results  []Result   // in the order of the selection
	Sweep    *Sweep     // nil without Selection.All
	Excluded []Excluded // with Selection.All: jobs that bear a gateway's label and are left alone
	Warnings []string   // one sentence each, about the whole
	Total    time.Duration
}

// OK reports whether every job was restarted, or the request that does it is out.
func (r Report) OK() bool {
	for _, one := range r.Results {
		if !one.Outcome.OK() && one.Outcome != launchd.OutcomeRequested {
			return false
		}
	}
	return r.Sweep == nil || r.Sweep.Err == nil && r.Sweep.Left() == 0
}

// Excluded is a job that a restart of all does not touch, because it is not known to be this
// installation's.
type Excluded struct {
	Target launchd.Target
	Reason string
}

// Result is what became of one job.
type Result struct {
	Target  launchd.Target // its Domain is zero if none was found
	Label   string
	Profile string // of a gateway of this installation
	Outcome launchd.Outcome
	// Old and New are the job's processes, OldGateway and NewGateway those of the gateway within
	// them, as far as they were looked for. 0 is none, or not seen.
	Old, New               int
	OldGateway, NewGateway int
	Inside                 bool   // the caller runs in the job
	Method                 string // launchd.MethodKickstart and so on; "" without a new process
	// OldExit is how the old process ended, if launchd told: a SIGKILL says that it did not exit
	// within its exit timeout, unless somebody else sent it.
	OldExit launchd.Exit
	// Throttled is how long launchd was seen to hold the next start back, from then on.
	Throttled             time.Duration
	Phases                Phases
	CodeBefore, CodeAfter string // the commit that the gateway runs, if it tells
	Work                  []Work // what it was still at when a drain ended
	Warnings              []string
	Log                   []string // the last lines of its log, if a new process died or is not ready
	Err                   error    // nil for a success, and for requested

	asked string
}

// Phases are where the time went. 0 is a phase that was not reached or not seen.
type Phases struct {
	Resolve  time.Duration // until everything was checked and the request was about to be sent
	Drain    time.Duration // for its work, after that, in a graceful restart
	Request  time.Duration // for the new process, after that, or until it was given up
	Verify   time.Duration // until that was seen to run, and to be ready if that was waited for
	OldExit  time.Duration // since Resolve, until the old process exited
	NewSpawn time.Duration // since Resolve, until launchd named the new process
	Ready    time.Duration // since Resolve, until it was ready, if that was waited for
	Total    time.Duration
}

// Name names the job, by its target if that is known.
func (r *Result) Name() string {
	if r.Target.Label == "" || r.Target.Domain.IsZero() {
		return r.asked
	}
	return r.Target.String()
}

// Remedy says in one sentence what to do about Err; "" if nothing is known to help.
func (r *Result) Remedy() string { return remedyOf(r.Err) }
