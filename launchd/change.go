package launchd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/proc"
)

// change is what the composites know of a job while they change it.
type change struct {
	c   *Client
	op  string // for errors: "restart", ...
	t   Target
	job Job           // as it was read first
	old proc.Identity // its process; Start is 0 when it could not be read, all is 0 without one
}

// first reads the job, which a launchd that answers does at once.
func (x *change) first(ctx context.Context) (Job, error) {
	ctx, cancel := context.WithTimeout(ctx, margin)
	defer cancel()
	return x.c.look(ctx, x.t)
}

// from takes pid as the old process. The error says why its identity is not known;
// that it has exited is none. The process is not held: that costs as much as all else,
// and only a wait for its exit needs it.
func (x *change) from(pid int) error {
	x.old = proc.Identity{PID: pid}
	if pid == 0 {
		return nil
	}
	id, err := x.c.procs.read(pid)
	if err == nil {
		x.old = id
	}
	if errors.Is(err, proc.ErrGone) {
		return nil
	}
	return err
}

// replaced reports whether pid, which launchd named as the job's, is another process
// than the old one: another number, or the same number with another start time. The latter
// can also be somebody else's process, which got the number after launchd had named the old
// one for the last time, so launchd is asked once more.
func (x *change) replaced(ctx context.Context, pid int) bool {
	id, reused := x.another(pid)
	if !reused {
		return pid > 0 && pid != x.old.PID
	}
	j, err := x.c.look(ctx, x.t)
	if err != nil || j.PID != pid {
		return false
	}
	now, err := x.c.procs.read(pid)
	return err == nil && now == id
}

// another reports whether pid is the old process' number, and another process has it by now.
func (x *change) another(pid int) (id proc.Identity, reused bool) {
	if pid <= 0 || pid != x.old.PID || x.old.Start == 0 {
		return proc.Identity{}, false
	}
	id, err := x.c.procs.read(pid)
	return id, err == nil && id.Start != x.old.Start
}

// exitTimeout returns the time from SIGTERM to SIGKILL; ends is false for a job that is
// given all the time it wants.
func (x *change) exitTimeout() (d time.Duration, ends bool) {
	if x.job.ExitTimeout == nil {
		return assumedExit, true
	}
	return *x.job.ExitTimeout, *x.job.ExitTimeout > 0
}

func (x *change) minimumRuntime() time.Duration {
	if x.job.MinimumRuntime == nil {
		return assumedMinRun
	}
	return *x.job.MinimumRuntime
}

// untilExit bounds ctx by the time within which a process that is being stopped must be
// gone.
func (x *change) untilExit(ctx context.Context) (context.Context, context.CancelFunc) {
	if exit, ends := x.exitTimeout(); ends {
		return context.WithTimeout(ctx, exit+afterExit)
	}
	return context.WithCancel(ctx)
}

// exited waits, by event, until the old process has exited. Without its identity, or on
// a system without such events, it does not wait.
func (x *change) exited(ctx context.Context) error {
	if x.old.Start == 0 {
		return nil
	}
	start := time.Now()
	p, err := x.c.procs.open(x.old)
	if err == nil {
		defer p.Close()
		err = p.Wait(ctx)
	}
	if err != nil && !errors.Is(err, proc.ErrGone) && !errors.Is(err, errors.ErrUnsupported) {
		return fmt.Errorf("%s %s: process %d has not exited after %v: %w", x.op, x.t, x.old.PID, time.Since(start).Round(time.Millisecond), err)
	}
	return nil
}

// resume starts a job. If there is an old process, it is being stopped: resume waits for
// its exit first. Then it asks for a start without kill, which changes nothing if
// KeepAlive was faster, until launchd names another process.
func (x *change) resume(ctx context.Context) (pid int, err error) {
	ctx, cancel := x.untilExit(ctx)
	defer cancel()
	if err := x.exited(ctx); err != nil {
		return 0, err
	}
	var last error // what the answers so far come to
	for wait := (backoff{}); ; {
		pid, err := x.c.Kickstart(ctx, x.t, KickstartOptions{Unthrottle: true})
		switch {
		case err == nil && x.replaced(ctx, pid):
			return pid, nil
		case err == nil && pid == 0:
			last = errors.New("launchd names no process of it")
		case err == nil: // it has not reaped the old process yet
			last = fmt.Errorf("launchd still names process %d", pid)
		case errors.Is(err, ErrStopping): // it is at it itself
			last = err
		case last == nil || ctx.Err() == nil:
			return 0, err
		}
		if ended := wait.sleep(ctx); ended != nil {
			return 0, fmt.Errorf("%s %s: the job was not started in time: %w (%w)", x.op, x.t, last, ended)
		}
	}
}

// inside reports whether this process ends with the old process.
func (x *change) inside() bool { return x.c.Inside(x.old) }

// Inside reports whether this process is the given one, a job's for instance, a descendant of
// it, or in the process group that it leads, so that who stops that process may stop this
// one: launchd ends a job's process group with the job, those included whose parents have
// exited (AbandonProcessGroup in launchd.plist(5)). Environment variables do not count: they
// are inherited by those who are not inside any more. Where the parents cannot be looked
// up it is true for any process, because that is the careful answer: a caller inside must
// not wait for its own end. The zero Identity, and one without a Start whose pid is neither
// among the parents nor the group's, is false.
func (c *Client) Inside(process Identity) bool {
	switch process.PID {
	case 0:
		return false
	case os.Getpid(), syscall.Getpgrp(): // no process gets the number of a group that is not empty
		return true
	}
	above, err := c.ancestors()
	return err != nil || slices.ContainsFunc(above, func(a proc.Identity) bool {
		return a.PID == process.PID && (process.Start == 0 || a.Start == process.Start)
	})
}

// ancestors returns this process' ancestors. They are looked up once: a parent that exits
// hands its children to one of its own ancestors, so there never is a new one, and an
// identity is not reused.
func (c *Client) ancestors() ([]proc.Identity, error) {
	if list := c.above.Load(); list != nil {
		return *list, nil
	}
	list, err := c.procs.ancestors(os.Getpid())
	if err == nil {
		c.above.Store(&list)
	}
	return list, err
}

// backoff spaces out questions that launchd offers no event for. The zero value starts
// at pollFirst and doubles up to pollLast.
type backoff struct {
	next, most time.Duration
}

// sleep waits for the next turn; the error is ctx's.
func (b *backoff) sleep(ctx context.Context) error { return pause(ctx, b.step()) }

// step returns how long to wait for the next turn.
func (b *backoff) step() time.Duration {
	if b.next == 0 {
		b.next = pollFirst
	}
	if b.most == 0 {
		b.most = pollLast
	}
	d := b.next
	b.next = min(2*b.next, b.most)
	return d
}

// outlast returns a context that ends so long after ctx does.
func outlast(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		pause(longer, d)
		cancel()
	})
	return longer, func() { stop(); cancel() }
}

// pause returns after d, or when ctx ends, with its error then.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
