package launchd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hermes-gw/hermes-gw/xpc"
)

// Job is what launchd tells of a job: its attributes (712), its print text (708), or both.
// A field that its source did not give is "", nil or, for PID, 0.
type Job struct {
	Target    Target
	PID       int      // both; 0 when it is not running
	State     State    // print
	Type      string   // print: "LaunchAgent", "LaunchDaemon", "Submitted", ...
	Path      string   // both: the plist that launchd read; of a job without one words in parentheses, "(submitted by smd.500)"
	Program   string   // both
	Arguments []string // print: argv
	// Environment are the variables of its definition (print), nil if it has none. They can hold
	// secrets.
	Environment    map[string]string
	Runs           *int           // print: spawns since it was loaded
	LastExit       Exit           // print
	MinimumRuntime *time.Duration // print: ThrottleInterval; whole seconds
	ExitTimeout    *time.Duration // print: from SIGTERM to SIGKILL; whole seconds, 0 is for ever
	RunAtLoad      *bool          // both
	// KeepAlive says whether launchd starts the job again by itself: always, or under
	// conditions (both). KeepAliveIf are the conditions, where print shows them, by
	// launchd's names: "successful exit" => false for SuccessfulExit, "after crash" for
	// Crashed. nil in both is not known.
	KeepAlive   *bool
	KeepAliveIf map[string]bool
	Reason      string // print: why the process was started, as [Client.Blame]
	// Pended is why launchd holds back a start that is due: "speculative" in a domain
	// that starts on demand only, "inefficient", "semaphore". A start on demand
	// (702) overrides it. "" if nothing is held back.
	Pended string
	// SpawnIn is the time until launchd starts the job, in StateSpawnScheduled, if its text
	// tells. No public text that was found does; [Client.Watch] knows when it saw the last
	// process start.
	SpawnIn *time.Duration
	// Disabled says whether the label is disabled (811): it can run, but not be loaded
	// again. Only [Client.Inspect] asks.
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
// Errors: [ErrNotLoaded], [ErrNoDomain], 1 (not allowed).
// Source: launchd-protocol.md 2.1, from launchd's dispatcher and libxpc's
// xpc_connection_copy_attrs.
func (c *Client) Job(ctx context.Context, t Target) (Job, error) {
	j, err := c.attributes(ctx, t)
	if isRefusal(err) {
		if j, err = c.describe(ctx, t); errors.Is(err, ErrContradiction) {
			err = nil // without a pid
		}
	}
	return j, err
}

// Inspect tells more than [Client.Job]: it reads the print text (708), asks whether the
// label is disabled (811), and asks for the attributes (712) when the text is refused
// (unless there is no such job or domain), cannot be had ([ErrUnshared]) or contradicts itself about the pid. A refusal of
// 811 leaves Disabled nil.
//
// Requests, replies, errors and sources are those of [Client.Print], [Client.Enabled] and
// [Client.Attributes].
func (c *Client) Inspect(ctx context.Context, t Target) (Job, error) {
	j, err := c.look(ctx, t)
	if err != nil {
		return j, err
	}
	if _, enabled, err := c.Enabled(ctx, t); err == nil {
		disabled := !enabled
		j.Disabled = &disabled
	}
	return j, nil
}

// look is Inspect but for the question whether the label is disabled.
func (c *Client) look(ctx context.Context, t Target) (Job, error) {
	j, err := c.describe(ctx, t)
	switch {
	case errors.Is(err, ErrContradiction):
		a, err := c.attributes(ctx, t)
		j.PID = a.PID
		return j, err
	case errors.Is(err, ErrNotLoaded), errors.Is(err, ErrNoDomain):
		return Job{}, err
	case isRefusal(err), errors.Is(err, ErrUnshared):
		a, aerr := c.attributes(ctx, t)
		if isRefusal(aerr) {
			return Job{}, err // that of the first question says more
		}
		return a, aerr
	}
	return j, err
}

// Attributes returns launchd's dictionary about a job as it is (712): label, path, program
// and bundle-id (string), pid and jp-priority (int64), keep-alive and run-at-load (bool)
// and whatever else this launchd has. [Client.Job] reads it.
//
// The request holds type, handle and name; the reply attrs.
// Errors: [ErrNotLoaded], [ErrNoDomain], 1 (not allowed).
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

// describe reads the job's print text. With ErrContradiction the Job is good but for its
// pid.
func (c *Client) describe(ctx context.Context, t Target) (Job, error) {
	text, err := c.Print(ctx, t)
	if err != nil {
		return Job{}, err
	}
	j, err := ParsePrint(text)
	if err != nil && !errors.Is(err, ErrContradiction) {
		return Job{}, fmt.Errorf("print %s: %w", t, err)
	}
	j.Target = t // whatever the text begins with
	return j, err
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
