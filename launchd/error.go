package launchd

import (
	"errors"
	"fmt"
	"slices"

	"github.com/hermes-gw/hermes-gw/xpc"
)

// What errors of launchd mean, for errors.Is. Each stands for the numbers in its
// comment (launchd-protocol.md section 5).
var (
	// ErrNotLoaded: no such job in that domain. 113; from a bootout also 3.
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
	// ErrNotEntitled: launchd demands an entitlement that this program lacks. 144, 154.
	ErrNotEntitled = errors.New("launchd demands an entitlement")
)

// Op names of errors, where they decide what a number means.
const (
	opBootstrap = "bootstrap"
	opBootout   = "bootout"
	opKill      = "kill"
)

// Error says that launchd refused a request.
type Error struct {
	Op     string    // "kickstart", "bootstrap", ...
	Target string    // the target or domain it was about
	Path   string    // the plist, from a bootstrap that failed for it
	Code   xpc.Errno // launchd's number
}

// Error reads "kickstart gui/501/x: Could not find specified service (113)".
func (e *Error) Error() string {
	what := e.Target
	if e.Path != "" {
		what += " " + e.Path
	}
	return fmt.Sprintf("%s %s: %v (%d)", e.Op, what, e.Code, int32(e.Code))
}

// Unwrap returns Code, so that errors.Is also finds an [xpc.Errno], fs.ErrNotExist
// and fs.ErrPermission.
func (e *Error) Unwrap() error { return e.Code }

// Is reports whether e means one of this package's sentinels.
func (e *Error) Is(target error) bool {
	in := func(codes ...xpc.Errno) bool { return slices.Contains(codes, e.Code) }
	switch target {
	case ErrNotLoaded:
		return in(113) || e.Op == opBootout && in(3)
	case ErrNoDomain:
		return in(112, 125)
	case ErrDisabled:
		return in(119)
	case ErrAlreadyLoaded:
		return e.Op == opBootstrap && in(17, 37)
	case ErrStopping:
		return in(36) || e.Op != opBootstrap && in(37)
	case ErrProtected:
		return in(150)
	case ErrNotEntitled:
		return in(144, 154)
	}
	return false
}

// Remedy says in one sentence what to do about e, or "".
func (e *Error) Remedy() string { return "" }
