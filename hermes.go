package hermesgw

import (
	"log/slog"

	"github.com/hermes-gw/hermes-gw/launchd"
)

// Options: the zero value restarts without locks, so that two callers can be at one gateway at
// the same time, and without a last resort.
type Options struct {
	// StateDir is a folder for the locks of restarts, an absolute path: one file for each target,
	// <8 hex digits of SHA-256 of the target>.lock. It belongs to the user of the
	// installation, has mode 0700, and is made if it is missing. What keeps a lock from
	// being taken is a warning, and the restart happens without. "" is no locks.
	StateDir string
	// Command is who asks, for whoever finds the lock held: "hermes-gw restart --all".
	Command string
	// Address is the launchd that the Client speaks to, as [launchd.Options].Address.
	Address string
	// Reload, if its Program is set, is how a job is loaded anew where launchd refuses a
	// restart and KeepAlive would not start the job again: [launchd.RestartOptions].Reload.
	Reload launchd.ReloadOptions
	// GatewayLockDir and StateHome are HERMES_GATEWAY_LOCK_DIR and XDG_STATE_HOME: where Hermes
	// notes which gateway serves several profiles. "" is unset.
	GatewayLockDir, StateHome string
	// Around says where a gateway belongs that is to be loaded; its UID does not count.
	Around launchd.Surroundings
	// Logger gets a debug line for each decision. nil logs nothing.
	Logger *slog.Logger
}

// Hermes is one installation, and the launchd that runs its gateways. Its methods may be
// called concurrently.
type Hermes struct {
	in     Install
	client *launchd.Client
	o      Options
	log    *slog.Logger
}

// New returns the installation in as seen through client, which stays the caller's.
func New(in Install, client *launchd.Client, o Options) *Hermes {
	h := &Hermes{in: in, client: client, o: o, log: o.Logger}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	return h
}

// Install returns the installation.
func (h *Hermes) Install() Install { return h.in }
