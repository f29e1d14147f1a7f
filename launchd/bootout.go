package launchd

import "context"

// Bootout unloads a job (801): its process gets SIGTERM, after the exit timeout
// SIGKILL, and launchd forgets the job's definition until it is loaded again, at the
// latest at the next login if its plist is in a folder that launchd reads.
//
// The request holds type, handle and name, always: without a name it would unload the
// whole domain. It holds neither no-einprogress nor wait, so the answer is 36
// ([ErrStopping]) if the process still has to exit: the job then goes, but it is not
// gone. [Client.Stop] waits for that. nil, from an empty reply, means that the job is
// gone.
//
// Errors: [ErrStopping], [ErrNotLoaded] (3, as of this form of the request; 113),
// [ErrNoDomain], [ErrProtected], 1 (not allowed).
// Sources: Procursus launchctl, bootstrap.c (bootout_cmd); launchd-protocol.md 2.2.
func (c *Client) Bootout(ctx context.Context, t Target) error {
	if err := t.check(); err != nil {
		return err
	}
	_, err := c.call(ctx, opBootout, t, routineBootout, t.dict())
	return err
}
