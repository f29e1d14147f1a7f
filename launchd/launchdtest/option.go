package launchdtest

import (
	"io"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/launchdsim"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// Option changes how an embedded launchd behaves, from its start.
type Option func(*settings)

// settings are the model's own.
type settings struct{ launchdsim.Options }

// Faults puts faults in force; [Launchd.SetFaults] changes them later.
func Faults(faults ...Fault) Option {
	return func(o *settings) { o.Faults = append(o.Faults, internalFaults(faults)...) }
}

// Deny answers these routines with 144 ([launchd.ErrNotEntitled]), as a launchd does
// that wants an entitlement for them.
func Deny(routines ...uint64) Option {
	return func(o *settings) { o.Deny = append(o.Deny, routines...) }
}

// TimeScale multiplies the times that launchd waits for, the throttle and the exit
// timeout: 0.1 makes them ten times shorter. What print shows is not scaled. 0 and
// below count as 1.
func TimeScale(f float64) Option {
	return func(o *settings) { o.TimeScale = max(f, 0) }
}

// NoGUI leaves the gui domain out, as for a user who has no graphical session:
// requests to it are answered with 125 ([launchd.ErrNoDomain]), as on macOS 26.
func NoGUI() Option { return NoGUIError(xpc.DomainUnsupported) }

// NoGUIError is [NoGUI] with another answer: 112 (older systems) is
// [xpc.NoSuchDomain].
func NoGUIError(answer xpc.Errno) Option {
	return func(o *settings) { o.NoGUI, o.NoGUIError = true, int64(answer) }
}

// OnDemandOnly starts the domains in launchd's on-demand-only mode, in which macOS 26
// was seen during login and with a locked screen: RunAtLoad and KeepAlive start
// nothing, a kickstart does.
func OnDemandOnly() Option {
	return func(o *settings) { o.OnDemandOnly = true }
}

// SpawnWindow keeps a new process in state xpcproxy for so long, as if it had not
// executed its program yet. [TimeScale] does not apply.
func SpawnWindow(d time.Duration) Option {
	return func(o *settings) { o.SpawnWindow = d }
}

// SpawnWindowDenied is [SpawnWindow] in which a kickstart with kill is answered with 1
// ([xpc.EPERM]), as macOS 14 and 15 were seen to do.
func SpawnWindowDenied(d time.Duration) Option {
	return func(o *settings) { o.SpawnWindow, o.SpawnWindowDenies = d, true }
}

// PinCode kills a job at every spawn, by SIGKILL, whose program has other contents than
// when the job was loaded, as a launch constraint does on macOS with programs that have an
// ad-hoc signature, Go's for instance. Loading it anew ends that. Unlike macOS it treats
// scripts, and programs with a developer's signature, the same.
func PinCode() Option {
	return func(o *settings) { o.PinCode = true }
}

// Log writes lines in the form of macOS' launchd.log to w. Writes are not concurrent.
func Log(w io.Writer) Option {
	return func(o *settings) { o.Log = w }
}
