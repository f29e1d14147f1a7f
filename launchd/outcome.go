package launchd

import (
	"context"
	"errors"
	"fmt"

	"github.com/hermes-gw/hermes-gw/xpc"
)

// Outcome is what became of a restart, a start or a stop, in one word that programs
// may rely on.
type Outcome string

// The outcomes. Those that this package's methods return say so there; the others are
// for the layers above.
const (
	OutcomeRestarted         Outcome = "restarted"          // another process of the job runs
	OutcomeStarted           Outcome = "started"            // the job had no process, now it has
	OutcomeStopped           Outcome = "stopped"            // the job is unloaded and its process is gone
	OutcomeAlreadyRestarting Outcome = "already-restarting" // someone else was stopping or replacing the process, and another one runs
	OutcomeRequested         Outcome = "requested"          // the request is out; the caller is inside the job
	OutcomeNotLoaded         Outcome = "not-loaded"         // launchd does not know the job
	OutcomeDisabled          Outcome = "disabled"           // not loaded, and the label is disabled
	OutcomeParked            Outcome = "parked"             // loaded, but launchd holds its start back
	OutcomeThrottled         Outcome = "throttled"          // launchd delays the next start
	OutcomeFlapping          Outcome = "flapping"           // starts, and exits again and again
	OutcomeNotReady          Outcome = "not-ready"          // runs, but is not ready in time
	OutcomeForeign           Outcome = "foreign"            // the label belongs to another installation
	OutcomeAmbiguousDomain   Outcome = "ambiguous-domain"   // loaded in gui/uid and user/uid at once
	OutcomeNoSession         Outcome = "no-session"         // the domain does not exist
	OutcomeProtected         Outcome = "protected"          // the system does not let the job be restarted
	OutcomeBusy              Outcome = "busy"               // another restart holds the lock
	OutcomeRefused           Outcome = "refused"            // too many restarts
	OutcomeUnknown           Outcome = "unknown"            // the answer did not come, and no new process was seen
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

// outcomeOf gives the word for an error.
func outcomeOf(err error) Outcome {
	switch {
	case errors.Is(err, ErrNotLoaded):
		return OutcomeNotLoaded
	case errors.Is(err, ErrDisabled):
		return OutcomeDisabled
	case errors.Is(err, ErrNoDomain):
		return OutcomeNoSession
	case errors.Is(err, ErrAmbiguous):
		return OutcomeAmbiguousDomain
	case errors.Is(err, ErrProtected):
		return OutcomeProtected
	}
	return OutcomeFailed
}

// notLoaded returns the error about a job that is not loaded: 119 if its label is
// disabled, which is then the reason, else 113.
func notLoaded(op string, t Target, disabled bool) error {
	if disabled {
		return &Error{Op: op, Target: t.String(), Code: xpc.ServiceDisabled}
	}
	return &Error{Op: op, Target: t.String(), Code: xpc.NoSuchService}
}

// disabledWarning is about a job that is loaded although it is disabled.
const disabledWarning = "The job is disabled: it runs now, but launchd will not load it again; hermes-gw ctl enable %s changes that."

// disabled reports whether the label is known to be disabled. It is a question on the
// side: a launchd that does not answer it is no obstacle.
func (c *Client) disabled(ctx context.Context, t Target) bool {
	ctx, cancel := context.WithTimeout(ctx, lastLook)
	defer cancel()
	_, enabled, err := c.Enabled(ctx, t)
	return err == nil && !enabled
}

// renamed gives a refusal of a question the name of what it was asked for.
func renamed(op string, err error) error {
	if e, ok := errors.AsType[*Error](err); ok {
		renamed := *e
		renamed.Op = op
		return &renamed
	}
	return fmt.Errorf("%s: %w", op, err)
}
