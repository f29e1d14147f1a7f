package hermesgw

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hermes-gw/hermes-gw/internal/proc"
	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/sweep"
)

// predecessor is the gateway that a restart replaces, where it is not the job's own process.
// Then it can outlive that: osascript dies of SIGTERM at once, and a wrapper of SIGKILL, and
// launchd starts the job's next process while the old gateway, which is only asked to end with
// its process group, is still at its teardown and holds the home's lock. A new gateway that
// meets the lock exits, and launchd starts no other for the job's minimum runtime, 30 s.
//
// So the exit of the old gateway is waited for, and if the new process does not survive that, the
// job is asked to start once more, without kill. Whoever dies meanwhile, KeepAlive starts the
// job as well, only later. A nil predecessor is none.
type predecessor struct {
	r       *run
	i       *item
	held    *proc.Process
	told    bool         // launchd asks it to end when the job's process has
	exited  atomic.Int64 // when, on the clock of Identity.Start; 0: not yet
	asked   time.Time    // when the job's process was asked to end, the last time
	spawned int          // the job's next process; 0: none was seen

	done chan struct{} // closed when what follows is set
	pid  int           // of the job's process, if it had to be started once more
	gone time.Time     // when the old gateway's exit was seen
	warn []string
	err  error
}

// Times of waiting for a predecessor.
const (
	beyondExit = time.Second            // above the exit timeout, before SIGKILL: launchd has its turn first
	killedFor  = 5 * time.Second        // for a process to be gone after SIGKILL
	dyingFor   = 500 * time.Millisecond // a gateway that has met the lock is gone so long after it is free
	startFor   = 10 * time.Second       // for launchd to notice an exit and start the job
	bootFor    = 10 * time.Millisecond  // no gateway comes to the lock sooner; as exact as Linux tells a start
)

// predecessor looks for the gateway in a job that is about to be restarted.
func (r *run) predecessor(ctx context.Context, i *item, res *Result) *predecessor {
	if !i.gateway || i.job.IsZero() || i.inside {
		return nil
	}
	id := i.Process
	if id.IsZero() {
		if (sweep.Matcher{}).Match(i.Job.Arguments).Kind == sweep.KindGateway {
			return nil
		}
		var err error
		if id, _, err = r.h.find(ctx, i.job, i.Home); err != nil {
			return nil
		}
	}
	res.OldGateway = id.PID
	if id == i.job {
		return nil
	}
	held, err := proc.OpenIdentity(id)
	if err != nil {
		return nil
	}
	group, err := unix.Getpgid(id.PID)
	abandoned := i.plist != nil && i.plist.AbandonProcessGroup
	p := &predecessor{r: r, i: i, held: held, told: err == nil && group == i.job.PID && !abandoned}
	go func() {
		if held.Wait(context.Background()) == nil { // or until it is closed
			p.exited.Store(proc.Clock().Microseconds())
		}
	}()
	return p
}

// saw is told the restart's events. ctx bounds what follows from them.
func (p *predecessor) saw(ctx context.Context, e launchd.Event) {
	if p == nil {
		return
	}
	switch {
	case e.Kind == launchd.EventRequested, e.Kind == launchd.EventSignaled:
		p.asked = e.Time
	case e.Kind == launchd.EventSpawned && p.spawned == 0:
		p.spawned, p.done = e.PID, make(chan struct{})
		asked := p.asked
		go func() {
			defer close(p.done)
			p.pid, p.err = p.succeed(ctx, asked)
		}()
	}
}

// end waits until that is over, and puts it into the result.
func (p *predecessor) end(ctx context.Context, res *Result) {
	if p == nil {
		return
	}
	defer p.held.Close()
	idle := res.Outcome == launchd.OutcomeThrottled || res.Outcome == launchd.OutcomeParked
	switch {
	case p.done != nil:
		<-p.done
	case idle: // the next process had exited before anybody saw it
		p.pid, p.err = p.succeed(ctx, p.asked)
	}
	res.Warnings = append(res.Warnings, p.warn...)
	switch {
	case p.err != nil && res.Outcome.OK():
		res.Outcome, res.Err = outcomeOf(p.err), p.err
		if errors.Is(p.err, launchd.ErrDraining) {
			res.Outcome = launchd.OutcomeNotReady
		}
	case p.pid == 0:
	case res.Outcome.OK():
		res.New = p.pid
	case idle && p.r.waits():
		res.New, res.Outcome = p.pid, launchd.OutcomeNotReady
		res.Err = fmt.Errorf("restart %s: process %d was started after the old gateway's exit, and was not waited for", p.i.Target, p.pid)
	case idle:
		res.New, res.Outcome, res.Method, res.Err = p.pid, launchd.OutcomeRestarted, launchd.MethodKickstart, nil
	}
}

// left is when the old gateway exited, if that was waited for.
func (p *predecessor) left() time.Time {
	if p == nil {
		return time.Time{}
	}
	return p.gone
}

// succeed sees to a process of the job that has not met the old gateway. pid is 0 if the one that
// launchd started is such a process.
func (p *predecessor) succeed(ctx context.Context, asked time.Time) (pid int, err error) {
	next, err := proc.Read(p.spawned)
	if err == nil && p.before(next) {
		return 0, nil
	}
	if err := p.wait(ctx, asked); err != nil {
		return 0, fmt.Errorf("restart %s: the old gateway, process %d: %w: %w", p.i.Target, p.held.Identity().PID, launchd.ErrDraining, err)
	}
	p.gone = time.Now()
	if !next.IsZero() && !p.dies(ctx, next) {
		return 0, nil
	}
	// What exits for another reason would do so again.
	if exit := p.lastExit(ctx); exit.Kind != launchd.ExitUnknown && !metLock(exit) {
		return 0, nil
	}
	return p.startAgain(ctx, next)
}

// lastExit is how the job's next process has ended, as soon as launchd knows.
func (p *predecessor) lastExit(ctx context.Context) launchd.Exit {
	noticing, cancel := context.WithTimeout(ctx, startFor)
	defer cancel()
	for wait := lockPollFirst; ; wait = min(2*wait, lockPollLast) {
		j, err := p.r.h.client.Inspect(noticing, p.i.Target)
		if err == nil && (j.PID == 0 || j.PID != p.spawned) {
			return j.LastExit
		}
		if err != nil || !pause(noticing, wait) {
			return launchd.Exit{}
		}
	}
}

// metLock reports whether a gateway exits so that finds another one at work. Source: hermes.md
// 1.6.
func metLock(e launchd.Exit) bool { return e.Kind == launchd.ExitCode && e.Code == 1 }

// before reports whether the old gateway had exited when a process started.
func (p *predecessor) before(next Identity) bool {
	at := p.exited.Load()
	return at != 0 && at <= next.Start+bootFor.Microseconds()
}

// wait waits for the old gateway's exit. It has the job's exit timeout for that, as if it
// were the job's process.
func (p *predecessor) wait(ctx context.Context, asked time.Time) error {
	p.r.event(launchd.Event{Time: time.Now(), Kind: launchd.EventWaiting, Target: p.i.Target, PID: p.held.Identity().PID, Detail: "the exit of the old gateway"})
	if !p.told {
		p.signal(syscall.SIGTERM)
		asked = time.Now()
	}
	timeout, ends := exitTimeout(p.i.Job)
	if !ends {
		return p.held.Wait(ctx)
	}
	waiting, cancel := context.WithDeadline(ctx, asked.Add(timeout+beyondExit))
	defer cancel()
	if err := p.held.Wait(waiting); err == nil || ctx.Err() != nil {
		return err
	}
	p.warn = append(p.warn, fmt.Sprintf("The old gateway, process %d, had not exited after the job's exit timeout of %v and was killed by SIGKILL.", p.held.Identity().PID, timeout))
	p.signal(syscall.SIGKILL)
	killed, cancel := context.WithTimeout(ctx, killedFor)
	defer cancel()
	return p.held.Wait(killed)
}

// signal tells the old gateway, if it is still there.
func (p *predecessor) signal(s syscall.Signal) {
	if p.held.Signal(s) == nil {
		p.r.event(launchd.Event{Time: time.Now(), Kind: launchd.EventSignaled, Target: p.i.Target, PID: p.held.Identity().PID, Detail: signalName(s)})
	}
}

// dies reports whether the job's next process exits because its gateway has met the old one. A
// gateway that tells of itself has got the lock.
func (p *predecessor) dies(ctx context.Context, next Identity) bool {
	held, err := proc.OpenIdentity(next)
	if err != nil {
		return true
	}
	defer held.Close()
	dying, cancel := context.WithTimeout(ctx, dyingFor)
	defer cancel()
	gone := make(chan bool, 1)
	go func() { gone <- held.Wait(dying) == nil }()
	for wait := lockPollFirst; ; wait = min(2*wait, lockPollLast) {
		timer := time.NewTimer(wait)
		select {
		case is := <-gone:
			timer.Stop()
			return is
		case <-timer.C:
		}
		s, err := readState(p.r.h.in, p.i.Home)
		if err != nil {
			continue
		}
		if id, ok := inTree(s.PID, next); ok && s.names(id) {
			switch s.State {
			case "starting", "running", "degraded":
				return false
			}
		}
	}
}

// startAgain has launchd start the job, which changes nothing if it was faster, and returns the
// pid of another process than the one that has exited.
func (p *predecessor) startAgain(ctx context.Context, than Identity) (pid int, err error) {
	p.warn = append(p.warn, fmt.Sprintf("The first new process, %d, met the old gateway and exited.", p.spawned))
	p.r.event(launchd.Event{Time: time.Now(), Kind: launchd.EventRequested, Target: p.i.Target, Detail: "kickstart without kill"})
	starting, cancel := context.WithTimeout(ctx, startFor)
	defer cancel()
	for wait := lockPollFirst; ; wait = min(2*wait, lockPollLast) {
		pid, err := p.r.h.client.Kickstart(starting, p.i.Target, launchd.KickstartOptions{Unthrottle: true})
		switch {
		case errors.Is(err, launchd.ErrNotEntitled):
			return p.revived(ctx, than)
		case err == nil && p.other(pid, than):
			p.r.event(launchd.Event{Time: time.Now(), Kind: launchd.EventSpawned, Target: p.i.Target, PID: pid})
			return pid, nil
		case err != nil && !errors.Is(err, launchd.ErrStopping):
			return 0, err
		}
		if !pause(starting, wait) {
			return 0, errors.Join(fmt.Errorf("restart %s: the job was not started again after the old gateway's exit: %w", p.i.Target, starting.Err()), err)
		}
	}
}

// revived waits until launchd has started the job by itself, where it lets nobody ask for it.
func (p *predecessor) revived(ctx context.Context, than Identity) (pid int, err error) {
	limit := startFor
	if p.i.Job.MinimumRuntime != nil {
		limit += *p.i.Job.MinimumRuntime
	}
	waiting, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for wait := lockPollFirst; ; wait = min(2*wait, lockPollLast) {
		job, err := p.r.h.client.Job(waiting, p.i.Target)
		switch {
		case err == nil && p.other(job.PID, than):
			return job.PID, nil
		case err != nil && waiting.Err() == nil:
			return 0, err
		}
		if !pause(waiting, wait) {
			return 0, fmt.Errorf("restart %s: launchd has not started the job again after the old gateway's exit: %w", p.i.Target, waiting.Err())
		}
	}
}

// other reports whether pid is a process, and another one than that.
func (p *predecessor) other(pid int, than Identity) bool {
	id, err := proc.Read(pid)
	return err == nil && id != than
}

// pause reports whether ctx lasted so long.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
