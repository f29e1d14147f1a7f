package launchd

import (
	"context"
	"errors"
	"time"

	"github.com/hermes-gw/hermes-gw/xpc"
)

// Job is what launchd tells of a job. A field that its source did not give is "", nil
// or, for PID, 0.
type Job struct {
	Target         Target
	PID            int            // 0 when it is not running
	State          State          // print
	Type           string         // print: "LaunchAgent", "LaunchDaemon", "Submitted", ...
	Path           string         // both: the plist that launchd read
	Program        string         // both
	Arguments      []string       // print: argv
	Runs           *int           // print: spawns since it was loaded
	LastExit       Exit           // print
	MinimumRuntime *time.Duration // print: ThrottleInterval; whole seconds
	ExitTimeout    *time.Duration // print: from SIGTERM to SIGKILL; whole seconds, 0 is for ever
	KeepAlive      *bool          // both
	RunAtLoad      *bool          // both
	// SpawnIn is the time until launchd starts the job, when a text tells it; only with
	// StateSpawnScheduled. launchctl print does not show it on the systems known.
	SpawnIn *time.Duration
	// Disabled says whether the label is disabled (811): it can run, but not be loaded
	// again.
	Disabled *bool
}

// Running reports whether the job has a process.
func (j Job) Running() bool { return j.PID > 0 }

// Job asks for a job's attributes (712) and, when launchd refuses that for any reason,
// reads its print text ([Client.Print]); if that is refused too, the error is the
// latter's. [Client.Inspect] tells more.
//
// The request holds type, handle and name; the reply attrs, a dictionary with label,
// path and program (string), pid (int64), keep-alive and run-at-load (bool) and others.
// Errors: [ErrNotLoaded], [ErrNoDomain], 1.
// Source: launchd-protocol.md 2.1, from launchd's dispatcher and libxpc's
// xpc_connection_copy_attrs.
func (c *Client) Job(ctx context.Context, t Target) (Job, error) {
	j, err := c.attributes(ctx, t)
	if isRefusal(err) {
		j, _, err = c.describe(ctx, t)
	}
	return j, err
}

// Inspect is [Client.Job] the other way round: it reads the print text, which tells
// more, and asks for the attributes when that is refused (unless there is no such job or
// domain) or contradicts itself about the pid.
func (c *Client) Inspect(ctx context.Context, t Target) (Job, error) {
	j, sound, err := c.describe(ctx, t)
	switch {
	case errors.Is(err, ErrNotLoaded), errors.Is(err, ErrNoDomain):
		return Job{}, err
	case isRefusal(err):
		a, aerr := c.attributes(ctx, t)
		if isRefusal(aerr) {
			return Job{}, err // that of the first question says more
		}
		return a, aerr
	case err != nil || sound:
		return j, err
	}
	a, err := c.attributes(ctx, t)
	j.PID = a.PID
	return j, err
}

// Attributes returns launchd's dictionary about a job as it is (712): label, path, program
// and bundle-id (string), pid and jp-priority (int64), keep-alive and run-at-load (bool)
// and whatever else this launchd has. [Client.Job] reads it.
//
// The request holds type, handle and name; the reply attrs.
// Errors: [ErrNotLoaded], [ErrNoDomain], 1.
// Source: launchd-protocol.md 2.1, from launchd's dispatcher and libxpc's
// xpc_connection_copy_attrs.
func (c *Client) Attributes(ctx context.Context, t Target) (xpc.Dict, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	reply, err := c.call(ctx, "attributes", t, routineAttributes, t.dict())
	if err != nil {
		return nil, err
	}
	attrs, ok := reply.Dict("attrs")
	if !ok {
		return nil, &Error{Op: "attributes", Target: t.String(), Code: xpc.BadResponse}
	}
	return attrs, nil
}

func (c *Client) attributes(ctx context.Context, t Target) (Job, error) {
	attrs, err := c.Attributes(ctx, t)
	if err != nil {
		return Job{}, err
	}
	j := Job{Target: t, PID: pidOf(attrs)}
	j.Path, _ = attrs.String("path")
	j.Program, _ = attrs.String("program")
	if v, ok := attrs.Bool("keep-alive"); ok {
		j.KeepAlive = &v
	}
	if v, ok := attrs.Bool("run-at-load"); ok {
		j.RunAtLoad = &v
	}
	return j, nil
}

func (c *Client) describe(ctx context.Context, t Target) (j Job, sound bool, err error) {
	text, err := c.Print(ctx, t)
	if err != nil {
		return Job{}, false, err
	}
	j, sound = parseJob(t, text)
	return j, sound, nil
}

// pidOf returns the pid in a reply, 0 if there is none that can be a job's; 1 is launchd.
func pidOf(d xpc.Dict) int {
	pid, _ := d.Int64("pid")
	if pid < 2 || pid > 1<<31-1 {
		return 0
	}
	return int(pid)
}

// errno turns a number in a reply into an Errno; one out of range is a bad reply.
func errno(code int64) xpc.Errno {
	if code != int64(xpc.Errno(code)) {
		return xpc.BadResponse
	}
	return xpc.Errno(code)
}
