package launchd

import (
	"context"
	"errors"
	"slices"

	"github.com/hermes-gw/hermes-gw/xpc"
)

// The requests of launchctl's oldest verbs go to the domain whose bootstrap port this
// process has: type 7, handle 0. Over ssh that is not the graphical session.

// StartOwn starts a job of one's own domain that is not running (813), as launchctl
// start does. That it runs, or is being started or stopped (36, 37), is no error and
// changes nothing; nothing is returned about the process. [Client.Kickstart] and
// [Client.Start] tell more, and reach every domain.
//
// The request holds type 7, handle 0 and name; the reply is empty.
// Errors: [ErrNotLoaded] (3), [ErrNotEntitled], 1 (launchd refuses the caller).
// Sources: Procursus launchctl, start_stop.c; launchd-protocol.md 2.2.
func (c *Client) StartOwn(ctx context.Context, label string) error {
	return ignoring(c.own(ctx, opStart, label, routineStart), xpc.EINPROGRESS, xpc.EALREADY)
}

// StopOwn stops the process of a job of one's own domain (814), as launchctl stop does:
// SIGTERM and, after the exit timeout, SIGKILL. It does not wait, and KeepAlive starts the
// job again; [Client.Stop] keeps it stopped. A job without a process (37), one that is
// being stopped or started (36, 37) and one whose start was due and is now cancelled (89)
// are no errors.
//
// The request holds type 7, handle 0 and name; the reply is empty.
// Errors: as [Client.StartOwn].
// Sources: Procursus launchctl, start_stop.c; launchd-protocol.md 2.2.
func (c *Client) StopOwn(ctx context.Context, label string) error {
	return ignoring(c.own(ctx, opStop, label, routineStop), xpc.EINPROGRESS, xpc.EALREADY, xpc.ECANCELED)
}

// RemoveOwn unloads a job of one's own domain by label (816), as launchctl remove does.
// It is [Client.Bootout] without saying whether the process still has to exit.
//
// The request holds type 7, handle 0 and name; the reply is empty.
// Errors: as [Client.StartOwn], [ErrProtected].
// Sources: Procursus launchctl, remove.c; launchd-protocol.md 2.2.
func (c *Client) RemoveOwn(ctx context.Context, label string) error {
	return c.own(ctx, opRemove, label, routineRemove)
}

// ignoring takes some of launchd's numbers for the success that they amount to.
func ignoring(err error, codes ...xpc.Errno) error {
	if e, ok := errors.AsType[*Error](err); ok && slices.Contains(codes, e.Code) {
		return nil
	}
	return err
}

func (c *Client) own(ctx context.Context, op, label string, routine uint64) error {
	msg, err := ownJob(label)
	if err != nil {
		return err
	}
	_, err = c.call(ctx, op, ownName{label}, routine, msg)
	return err
}

// ListOwnJob returns what launchd tells of one job of one's own domain (815), with the
// keys that launchctl list LABEL shows: Label, PID (int64, only while it runs),
// LastExitStatus (int64, as wait(2) gives it), OnDemand, Program, ProgramArguments and
// others.
//
// The request holds type 7, handle 0 and name; the reply service.
// Errors: [ErrNotLoaded], [ErrNoDomain], 1 (not allowed).
// Sources: Procursus launchctl, list.c; launchk; launchd-protocol.md 6.4.
func (c *Client) ListOwnJob(ctx context.Context, label string) (xpc.Dict, error) {
	msg, err := ownJob(label)
	if err != nil {
		return nil, err
	}
	reply, err := c.call(ctx, "list", ownName{label}, routineList, msg)
	if err != nil {
		return nil, err
	}
	service, ok := reply.Dict("service")
	if !ok {
		return nil, &Error{Op: "list", Target: ownName{label}.String(), Code: xpc.BadResponse}
	}
	return service, nil
}

func ownJob(label string) (xpc.Dict, error) {
	if problem := labelProblem(label); problem != "" {
		return nil, &SyntaxError{What: "label", Input: label, Problem: problem, Example: "ai.hermes.gateway"}
	}
	msg := Own().dict()
	msg["name"] = label
	return msg, nil
}

// ownName names a job of one's own domain in errors.
type ownName struct{ label string }

func (n ownName) String() string { return n.label + " in the own domain" }
