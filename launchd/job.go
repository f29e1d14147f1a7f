package launchd

import (
	"context"
	"time"
)

// Job is what launchd tells of a job. A field that no source gave is "", nil or, for
// PID, 0: see [Client.Job] for what each source gives.
type Job struct {
	Target         Target
	PID            int    // 0 when it is not running
	State          string // "running", "not running", "spawn scheduled", "xpcproxy", "SIGTERMed", ...
	Type           string // "LaunchAgent", "LaunchDaemon", "Submitted", ...
	Path           string // the plist that launchd read
	Program        string
	Arguments      []string       // argv
	Runs           *int           // spawns since it was loaded
	LastExit       string         // in launchd's words: "0", "(never exited)", "78: EX_CONFIG", "Terminated: 15"
	MinimumRuntime *time.Duration // ThrottleInterval; whole seconds
	ExitTimeout    *time.Duration // from SIGTERM to SIGKILL; whole seconds, 0 is for ever
	KeepAlive      *bool
	RunAtLoad      *bool
}

// Running reports whether the job has a process.
func (j Job) Running() bool { return j.PID > 0 }

// Job asks for a job's attributes (712) and, when that is refused for any reason, reads
// its print text (708).
func (c *Client) Job(ctx context.Context, t Target) (Job, error) { return Job{}, errTODO }

// Inspect is [Client.Job] the other way round: the print text, which tells more, and the
// attributes when that is refused.
func (c *Client) Inspect(ctx context.Context, t Target) (Job, error) { return Job{}, errTODO }
