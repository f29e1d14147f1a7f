package hermesgw

import (
	"time"

	"github.com/hermes-gw/hermes-gw/internal/proc"
	"github.com/hermes-gw/hermes-gw/launchd"
)

// Identity names one process for good: its pid and when it started.
type Identity = proc.Identity

// Gateway is a gateway's job, or what is left of one, as [Hermes.Discover] found it.
type Gateway struct {
	Label   string
	Profile string // "default", or a profile's name; "" if no profile of this installation has the label
	Home    string // its HERMES_HOME, symbolic links resolved; "" if it is not known
	// Target is where the job is loaded, or was looked for first; Domains are all the domains
	// where it is loaded. More than one is a mistake, and each has a process of its own.
	Target  launchd.Target
	Domains []launchd.Domain
	// Unknown says that it is not known whether it is loaded, because launchd did not answer:
	// Problem tells.
	Unknown bool
	// Job is what launchd tells of it; of a job that is not loaded, only Disabled.
	Job launchd.Job
	// Plist is its property list, "" if there is none. Stale are the keys in which it differs
	// from what launchd loaded.
	Plist string
	Stale []string
	// Foreign is the HERMES_HOME that the job pins, if that belongs to another
	// installation: it is left alone.
	Foreign string
	// Process is the gateway's process, told by its arguments, within the job's tree; the
	// zero value if there is none. Tree are the processes from the job's to the gateway's.
	Process Identity
	Tree    []Identity
	// Stopped says that Process is stopped by a signal (SIGSTOP): it answers nothing and
	// finishes nothing until it is continued.
	Stopped bool
	// Runtime is what the gateway says of itself; a hint. nil if it says nothing, or what
	// there is was said by another process.
	Runtime *Runtime
	// Locked says that some process holds the home's lock, as a gateway does all its life. It is
	// only looked at where no gateway's process was found in the job, and none can be booting.
	Locked bool
	// ServedBy is the label of the job whose gateway serves this profile, too; "" for none.
	ServedBy string
	// Problem is why something of this could not be read; nil if nothing was wrong.
	Problem error

	job        Identity // of Job.PID
	plist      *launchd.Plist
	unreadable bool // Problem is about Plist
}

// Loaded reports whether launchd has the job.
func (g *Gateway) Loaded() bool { return len(g.Domains) > 0 }

// seen is the job's process as launchd named it: with its start time, unless it had exited before
// that could be read. Then any other is a new one.
func (g *Gateway) seen() Identity {
	if g.job.IsZero() {
		return Identity{PID: g.Job.PID}
	}
	return g.job
}

// bearsOurs reports whether the job of another installation is loaded under the label of one of
// this one's profiles, whose gateway cannot be loaded then.
func (g *Gateway) bearsOurs() bool { return g.Foreign != "" && g.Profile != "" && g.Loaded() }

// Runtime is what a gateway writes or answers about itself, as far as it is of use here and holds
// nothing of what it talks about.
type Runtime struct {
	PID       int
	State     string // starting, running, draining, degraded, stopped, startup_failed
	Work      []Work // what keeps it from stopping at once
	Platforms map[string]Platform
	Served    []string // profiles, if it serves several
	CodeSHA   string
	Version   string
	UpdatedAt time.Time
	Answered  bool // by its control socket; else it is from its state file
}

// Age is how long the job's process has been running; 0 without one.
func (g *Gateway) Age() time.Duration {
	if g.job.IsZero() {
		return 0
	}
	return proc.Clock() - time.Duration(g.job.Start)*time.Microsecond
}
