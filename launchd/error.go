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

// Remedy says in one sentence what to do about e, "" if there is nothing to say
// that the error does not say itself.
func (e *Error) Remedy() string {
	switch e.Code {
	case xpc.EPERM:
		if e.Op == opBootstrap || e.Op == opBootout {
			return "Only root may change the system domain, and only a user or root that user's domains: try again with sudo, or name a domain of your own."
		}
		return "The job belongs to another user or to the system (try again with sudo), or it was started this very moment (try again)."
	case xpc.ESRCH:
		if e.Op == opBootout {
			return "There is nothing to unload: the job is not loaded in this domain."
		}
		return "The job has no process: start it first."
	case xpc.EIO:
		return "launchd gives no reason; check that the job is not loaded already, that its old process is gone, that the property list exists, is well formed and belongs to you with mode 0644, that the label is enabled, and that you are logged in graphically if it is for gui; /var/log/com.apple.xpc.launchd/launchd.log has the reason."
	case xpc.EINVAL:
		return "launchd did not accept the request as it is: check the target, and report this if the target is right."
	case xpc.EINPROGRESS:
		return "The job is being started or stopped right now: try again in a moment."
	case xpc.EEXIST, xpc.EALREADY:
		if e.Op == opBootstrap {
			return "The job is loaded already: restart it, or unload it first if its property list changed."
		}
		return "The job is being stopped already: try again when its process is gone."
	case xpc.NoSuchDomain, xpc.DomainUnsupported:
		return "This domain does not exist here: gui/UID needs that user to be logged in graphically (over ssh alone there is only user/UID)."
	case xpc.NoSuchService:
		return "The job is not loaded in this domain: check the label and the domain, or load it with its property list."
	case xpc.ServiceDisabled:
		return "The label is disabled: enable it first, with launchctl enable " + e.Target + "."
	case xpc.BadOwnership:
		return "Make the property list belong to the user of the domain (root for system) and writable by nobody else: chmod 0644."
	case xpc.WrongSession:
		return "The job's LimitLoadToSessionType names another kind of session: load it into the domain of that kind."
	case xpc.NotEntitled, xpc.NotPlatformBinary:
		return "This launchd lets only programs of the system do this: use launchctl, which has the entitlement."
	case xpc.Protected:
		return "The job belongs to macOS and System Integrity Protection keeps it as it is: leave it alone."
	}
	return ""
}
