package hermesgw

import (
	"context"
	"errors"
	"io/fs"

	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// Problem is an error as programs get it, in JSON.
type Problem struct {
	// Code is a word that programs may rely on: not-loaded, no-session, disabled,
	// already-loaded, stopping, protected, not-entitled, busy, refused, foreign, ambiguous-domain,
	// draining, interrupted, timeout, unknown-outcome, permission, failed. A command
	// has more for what is wrong with its arguments.
	Code    string `json:"code"`
	Errno   int    `json:"errno,omitempty"` // launchd's number
	Message string `json:"message"`
	Remedy  string `json:"remedy,omitempty"`
}

// Explain puts an error of this package or of package launchd into a Problem; nil gives nil.
func Explain(err error) *Problem {
	if err == nil {
		return nil
	}
	p := &Problem{Code: problemCode(err), Message: err.Error(), Remedy: remedyOf(err)}
	if e, ok := errors.AsType[*launchd.Error](err); ok {
		p.Errno = int(e.Code)
	}
	return p
}

func problemCode(err error) string {
	switch o := outcomeOf(err); o {
	case launchd.OutcomeForeign, launchd.OutcomeAmbiguousDomain, launchd.OutcomeRefused, launchd.OutcomeBusy:
		return string(o)
	}
	for _, row := range []struct {
		sentinel error
		code     string
	}{
		{launchd.ErrNotLoaded, "not-loaded"},
		{launchd.ErrNoDomain, "no-session"},
		{launchd.ErrDisabled, "disabled"},
		{launchd.ErrAlreadyLoaded, "already-loaded"},
		{launchd.ErrStopping, "stopping"},
		{launchd.ErrProtected, "protected"},
		{launchd.ErrNotEntitled, "not-entitled"},
		{launchd.ErrReloading, "busy"},
		{launchd.ErrDraining, "draining"},
		{context.Canceled, "interrupted"},
		{context.DeadlineExceeded, "timeout"},
	} {
		if errors.Is(err, row.sentinel) {
			return row.code
		}
	}
	if _, unknown := errors.AsType[*xpc.UnknownOutcome](err); unknown {
		return "unknown-outcome"
	}
	if errors.Is(err, fs.ErrPermission) {
		return "permission"
	}
	return "failed"
}
