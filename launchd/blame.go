package launchd

import (
	"context"

	"github.com/hermes-gw/hermes-gw/xpc"
)

// Blame asks why a job was started last (707), in launchd's words: "speculative",
// "ipc (mach)", "non-ipc demand".
//
// The request holds type, handle and name; the reply reason (string).
// Errors: [ErrNotLoaded], [ErrNoDomain], 3 (it has no process), 1 (not allowed).
// Sources: Procursus launchctl, blame.c; launchk; launchd-protocol.md 2.1.
func (c *Client) Blame(ctx context.Context, t Target) (string, error) {
	const op = "blame"
	if err := t.check(); err != nil {
		return "", err
	}
	reply, err := c.call(ctx, op, t, routineBlame, t.dict())
	if err != nil {
		return "", err
	}
	reason, ok := reply.String("reason")
	if !ok {
		return "", &Error{Op: op, Target: t.String(), Code: xpc.BadResponse}
	}
	return reason, nil
}
