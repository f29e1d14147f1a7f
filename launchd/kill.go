package launchd

import (
	"context"
	"fmt"
	"os"
)

// Kill sends a signal to a job's process (812).
//
// sig is a [Signal], or a syscall.Signal, which is a signal of the system this runs on.
// The request holds type, handle, name and signal (int64, 1 to 31), with the number that
// the signal has on Darwin, whatever system carries the request; SIGUSR1 is 30 there and
// 10 on Linux. The reply is empty. A signal that Darwin does not have is an error and
// nothing is sent.
//
// Errors: [ErrNotLoaded], [ErrNoDomain], 3 (the job is not running), 1 (not allowed), 22
// (the signal).
// Source: launchd-protocol.md 2.2.
func (c *Client) Kill(ctx context.Context, t Target, sig os.Signal) error {
	if err := t.check(); err != nil {
		return err
	}
	n, ok := darwinSignal(sig)
	if !ok {
		return fmt.Errorf("%s %s: launchd cannot send %v", opKill, t, sig)
	}
	msg := t.dict()
	msg["signal"] = int64(n)
	_, err := c.call(ctx, opKill, t, routineKill, msg)
	return err
}
