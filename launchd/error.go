package launchd

import (
	"errors"
	"fmt"

	"github.com/hermes-gw/hermes-gw/xpc"
)

// What errors of launchd mean, for errors.Is. Each stands for the numbers in its
// comment (launchd-protocol.md section 5).
var (
	// ErrNotLoaded: no such job in that domain. 113; from a bootout, start, stop or remove
	// also 3.
	ErrNotLoaded = errors.New("the job is not loaded")
	// ErrNoDomain: that domain does not exist, mostly for want of a graphical
	// login. 112, 125.
	ErrNoDomain = errors.New("the domain does not exist")
	// ErrDisabled: the job's label is disabled, so it cannot be loaded. 119.
	ErrDisabled = errors.New("the job is disabled")
	// ErrAlreadyLoaded: a bootstrap found the label loaded. 17, 37.
	ErrAlreadyLoaded = errors.New("the job is already loaded")
	// ErrStopping: the job is being stopped or started right now. 36; from anything
	// but a bootstrap also 37.
	ErrStopping = errors.New("the job is being stopped or started")
	// ErrProtected: System Integrity Protection keeps the job as it is. 150.
	ErrProtected = errors.New("the job is protected by the system")
	// ErrAmbiguous: a bare label is loaded in gui/uid and user/uid at once. It has no number:
	// an [AmbiguousError] is one.
	ErrAmbiguous = errors.New("the label is loaded in more than one domain")
	// ErrNotEntitled: launchd demands an entitlement that this program lacks. 144, 154.
	ErrNotEntitled = errors.New("launchd demands an entitlement")
)

// Op names of errors, where they decide what a number means.
const (
	opBootstrap = "bootstrap"
	opBootout   = "bootout"
	opKill      = "kill"
	opStart     = "start"
	opStop      = "stop"
	opRemove    = "remove"
)

// Error says that launchd refused a request.
type Error struct {
	Op     string    // "kickstart", "bootstrap", ...
	Target string    // the target or domain it was about
	Path   string    // the plist, from a bootstrap that failed for it
	Code   xpc.Errno // launchd's number
	// Found is what was found when launchd gave no reason (5, from a bootstrap), the
	// likeliest first; empty if nothing was found, or nothing was looked for.
	Found []Cause

	looked bool // for the reason of a 5, at everything that can be
}

// Error reads "kickstart gui/501/x: Could not find specified service (113)", with the
// first of Found behind it: "bootstrap gui/501 /p.plist: Input/output error (5): the label
// x is disabled".
func (e *Error) Error() string {
	what := printable(e.Target)
	if e.Path != "" {
		what += " " + printable(e.Path)
	}
	text := fmt.Sprintf("%s %s: %v (%d)", e.Op, what, e.Code, int32(e.Code))
	if len(e.Found) > 0 {
		text += ": " + e.Found[0].Problem
	}
	return text
}

// Unwrap returns Code, so that errors.Is also finds an [xpc.Errno], fs.ErrNotExist
// and fs.ErrPermission.
func (e *Error) Unwrap() error { return e.Code }

// Is reports whether e means one of this package's sentinels, by its Code or by what was
// found.
func (e *Error) Is(target error) bool {
	for _, c := range e.Found {
		if c.is != nil && c.is == target {
			return true
		}
	}
	switch e.Code {
	case xpc.NoSuchService:
		return target == ErrNotLoaded
	case xpc.ESRCH:
		return target == ErrNotLoaded && (e.Op == opBootout || e.Op == opStart || e.Op == opStop || e.Op == opRemove)
	case xpc.NoSuchDomain, xpc.DomainUnsupported:
		return target == ErrNoDomain
	case xpc.ServiceDisabled:
		return target == ErrDisabled
	case xpc.EEXIST:
		return target == ErrAlreadyLoaded && e.Op == opBootstrap
	case xpc.EALREADY:
		if e.Op == opBootstrap {
			return target == ErrAlreadyLoaded
		}
		return target == ErrStopping
	case xpc.EINPROGRESS:
		return target == ErrStopping
	case xpc.Protected:
		return target == ErrProtected
	case xpc.NotEntitled, xpc.NotPlatformBinary:
		return target == ErrNotEntitled
	}
	return false
}
