package launchd

import "context"

// KickstartOptions: the zero value starts a job that is not running.
type KickstartOptions struct {
	Kill       bool // stop a running process first: SIGTERM, and SIGKILL after the exit timeout
	Unthrottle bool // do not wait for the minimum runtime before the next start
	Suspended  bool // start with the task suspended, for a debugger
}

// Kickstart starts a job, with Kill in place of its running process (702).
//
// The request holds type, handle, name and a bool kill, unthrottle or suspended for
// each option that is set; the reply pid (int64). launchd answers once the old
// process was reaped and the new one was spawned, before it runs the job's program:
// that can take the exit timeout and, without Unthrottle, the minimum runtime. A
// job that runs is no error without Kill; pid is then that process. pid can be 0
// (the domain is shutting down), which says nothing.
//
// Errors: 1 (not allowed, or for some milliseconds after a spawn), 36, 37 (being
// stopped already, and nothing is restarted), [ErrNotLoaded], [ErrNoDomain],
// [ErrProtected], [ErrNotEntitled].
// Sources: Procursus launchctl, kickstart.c; launchd-protocol.md section 1.
func (c *Client) Kickstart(ctx context.Context, t Target, o KickstartOptions) (pid int, err error) {
	if err := t.check(); err != nil {
		return 0, err
	}
	msg := t.dict()
	for key, on := range map[string]bool{"kill": o.Kill, "unthrottle": o.Unthrottle, "suspended": o.Suspended} {
		if on {
			msg[key] = true
		}
	}
	reply, err := c.call(ctx, "kickstart", t, routineKickstart, msg)
	if err != nil {
		return 0, err
	}
	return pidOf(reply), nil
}
