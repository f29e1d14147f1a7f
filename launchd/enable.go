package launchd

import (
	"context"

	"github.com/hermes-gw/hermes-gw/xpc"
)

// SetEnabled enables or disables a label in its domain (808, 809), for good: launchd
// keeps that on disk. A disabled job cannot be loaded; one that is loaded stays so. The
// label need not be loaded.
//
// The request holds type, handle, names (array of string) and name; the reply an int64
// under the label, in older systems under errors, if that label failed.
//
// Errors: [ErrNoDomain] (125, the domain keeps no such settings), 1 (not allowed), 140 (the label),
// [ErrProtected].
// Sources: Procursus launchctl, enable.c; launchk.
func (c *Client) SetEnabled(ctx context.Context, t Target, on bool) error {
	if err := t.check(); err != nil {
		return err
	}
	op, routine := "disable", uint64(routineDisable)
	if on {
		op, routine = "enable", routineEnable
	}
	msg := t.dict()
	msg["names"] = []any{t.Label}
	reply, err := c.call(ctx, op, t, routine, msg)
	if err != nil {
		return err
	}
	code, _ := reply.Int64(t.Label)
	if code == 0 {
		failed, _ := reply.Dict("errors")
		code, _ = failed.Int64(t.Label)
	}
	if code != 0 {
		return &Error{Op: op, Target: t.String(), Code: errno(code)}
	}
	return nil
}

// Enabled asks whether a label is loaded and whether it is enabled (811). A label
// that was never enabled or disabled counts as enabled, even if its plist says Disabled.
//
// The request holds type, handle, name and default-enabled (bool, true); the reply
// loaded and enabled (bool). Errors: [ErrNoDomain] (125 included: the domain keeps no
// such settings).
// Source: launchd-protocol.md 2.2, from launchd's dispatcher.
func (c *Client) Enabled(ctx context.Context, t Target) (loaded, enabled bool, err error) {
	if err := t.check(); err != nil {
		return false, false, err
	}
	msg := t.dict()
	msg["default-enabled"] = true
	reply, err := c.call(ctx, "enabled", t, routineEnabled, msg)
	if err != nil {
		return false, false, err
	}
	loaded, ok := reply.Bool("loaded")
	enabled, ok2 := reply.Bool("enabled")
	if !ok || !ok2 {
		return false, false, &Error{Op: "enabled", Target: t.String(), Code: xpc.BadResponse}
	}
	return loaded, enabled, nil
}
