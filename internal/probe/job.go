package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// place is a domain as it stands in a request.
type place struct {
	domain       launchd.Domain
	kind, handle uint64
}

// The domain types of launchd-protocol.md section 3 that are used by number.
const (
	kindSystem = 1
	kindUser   = 2
	kindOwn    = 7
	kindGUI    = 8
)

func kindOf(d launchd.Domain) string {
	word, _, _ := strings.Cut(d.String(), "/")
	return word
}

// placed is the place of a domain that throwaway jobs are loaded into.
func placed(d launchd.Domain) place {
	word, id, _ := strings.Cut(d.String(), "/")
	handle, _ := strconv.ParseUint(id, 10, 32)
	kinds := map[string]uint64{"system": kindSystem, "user": kindUser, "gui": kindGUI}
	return place{d, kinds[word], handle}
}

func (p place) dict() xpc.Dict { return xpc.Dict{"type": p.kind, "handle": p.handle} }

// job is a throwaway job.
type job struct {
	place
	target launchd.Target
	path   string // of its property list
	ready  string // the file that its process writes its pid to
	doubt  bool   // a bootstrap of it may still be carried out
}

// about is a request about the job, with more keys.
func (j *job) about(more xpc.Dict) xpc.Dict {
	msg := j.dict()
	msg["name"] = j.target.Label
	for key, value := range more {
		msg[key] = value
	}
	return msg
}

// make writes the property list of a new throwaway job that takes linger from SIGTERM to
// its exit.
func (p *prober) make(d launchd.Domain, linger time.Duration, change ...func(*launchd.Plist)) (*job, error) {
	label := newLabel()
	j := &job{place: placed(d), target: launchd.Target{Domain: d, Label: label}, path: p.folder.plist(label), ready: p.folder.ready(label)}
	interval := throttle
	list := &launchd.Plist{
		Label:            label,
		ProgramArguments: slices.Concat(p.o.Program, []string{j.ready, linger.String()}),
		ThrottleInterval: &interval,
	}
	if j.kind == kindUser {
		// Without it a job is for the graphical session only: TN2083.
		list.LimitLoadToSessionType = launchd.StringList{"Background"}
	}
	for _, f := range change {
		f(list)
	}
	if err := list.WriteFile(j.path); err != nil {
		return nil, err
	}
	p.jobs = append(p.jobs, j)
	return j, nil
}

func atLoad(l *launchd.Plist) { l.RunAtLoad = true }

// load makes a job and loads it.
func (p *prober) load(ctx context.Context, linger time.Duration, change ...func(*launchd.Plist)) (*job, error) {
	j, err := p.make(p.domain, linger, change...)
	if err != nil {
		return nil, err
	}
	_, err = p.bootstrap(ctx, j)
	return j, err
}

// bootstrap loads a job. It records nothing.
func (p *prober) bootstrap(ctx context.Context, j *job) (xpc.Dict, error) {
	msg := j.dict()
	msg["paths"], msg["by-cli"] = []any{j.path}, true
	reply, err := p.fence.Call(ctx, routineBootstrap, msg)
	if _, unknown := errors.AsType[*xpc.UnknownOutcome](err); unknown {
		j.doubt = true
	}
	if err == nil {
		if code := bootstrapCode(reply); code != 0 {
			err = code
		}
	}
	if err != nil {
		return reply, fmt.Errorf("load a throwaway job: %w", numbered(err))
	}
	return reply, nil
}

// bootstrapCode is what a bootstrap's reply says of its only path.
func bootstrapCode(reply xpc.Dict) xpc.Errno {
	failed, _ := reply.Dict("errors")
	for _, v := range failed {
		if code, ok := v.(int64); ok && code != 0 {
			return xpc.Errno(code)
		}
	}
	code, _ := reply.Int64("bootstrap-error")
	return xpc.Errno(code)
}

// numbered puts launchd's number into an error's text.
func numbered(err error) error {
	if code, ok := err.(xpc.Errno); ok {
		return fmt.Errorf("%d (%w)", int(code), code)
	}
	return err
}

// runs loads a job that runs at load, and waits until it does, and launchd says so.
func (p *prober) runs(ctx context.Context, linger time.Duration, change ...func(*launchd.Plist)) (j *job, pid int, err error) {
	j, err = p.load(ctx, linger, append(change, atLoad)...)
	if err == nil {
		pid, err = j.await(ctx, 0)
	}
	if err == nil {
		p.noticed(ctx, j, pid)
	}
	return j, pid, err
}

// noticed waits until launchd names a process that runs already: an embedded launchd on a busy machine
// can be a moment behind it. One that does not tell is not waited for, nor one that never names it.
func (p *prober) noticed(ctx context.Context, j *job, pid int) {
	ctx, cancel := context.WithTimeout(ctx, p.quick())
	defer cancel()
	until(ctx, func() (bool, error) {
		text, err := p.client.Print(ctx, j.target)
		if err != nil {
			return true, nil
		}
		seen, err := launchd.ParsePrint(text)
		return err != nil || seen.PID == pid, nil
	})
}

// await waits until the job has a process other than old that is ready for signals.
func (j *job) await(ctx context.Context, old int) (pid int, err error) {
	err = until(ctx, func() (bool, error) {
		pid = j.running()
		return pid != 0 && pid != old, nil
	})
	if err != nil {
		return 0, fmt.Errorf("the throwaway job has not started: %w", err)
	}
	return pid, nil
}

// running is the pid that the job's process wrote last, or 0.
func (j *job) running() int {
	f, err := os.OpenFile(j.ready, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return 0
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 32))
	line, whole := strings.CutSuffix(string(b), "\n")
	if err != nil || !whole {
		return 0
	}
	pid, err := strconv.Atoi(line)
	if err != nil {
		return 0
	}
	return pid
}

// until asks until it is so: launchd has no event for what is waited for here.
func until(ctx context.Context, so func() (bool, error)) error {
	for wait := 2 * time.Millisecond; ; wait = min(wait*2, 100*time.Millisecond) {
		if done, err := so(); done || err != nil {
			return err
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// drop unloads the jobs of which it is not known that they are gone, all at once, and
// removes their files. What could not be removed stays in p.jobs.
func (p *prober) drop(ctx context.Context) {
	gone := make([]bool, len(p.jobs))
	var dropping sync.WaitGroup
	for i, j := range p.jobs {
		if j.doubt { // launchd can no longer read it then
			os.Remove(j.path)
		}
		dropping.Go(func() { gone[i] = p.unload(ctx, j.target) == nil })
	}
	dropping.Wait()
	var left []*job
	for i, j := range p.jobs {
		if !gone[i] {
			left = append(left, j)
		} else if err := p.folder.clear(j.target.Label); err != nil {
			p.report.Problems = append(p.report.Problems, err.Error())
		}
	}
	p.jobs = left
}

// unload unloads a throwaway job and waits until launchd does not know it any more. A
// request whose answer did not come is sent again: nobody else has a job of that label.
func (p *prober) unload(ctx context.Context, t launchd.Target) error {
	sent := false
	return until(ctx, func() (bool, error) {
		var refusal error
		if !sent {
			err := p.client.Bootout(ctx, t)
			if errors.Is(err, launchd.ErrNotLoaded) || errors.Is(err, launchd.ErrNoDomain) {
				return true, nil
			}
			_, refused := codeOf(err)
			if refused && !errors.Is(err, launchd.ErrStopping) {
				refusal = err
			}
			sent = err == nil || refused
		}
		if loaded, known := p.loaded(ctx, t); known && !loaded {
			return true, nil
		}
		return false, refusal
	})
}

// loaded asks whether launchd knows a job, in each way that there is, until one is not
// refused.
func (p *prober) loaded(ctx context.Context, t launchd.Target) (loaded, known bool) {
	for _, routine := range []uint64{routinePrintService, routineAttributes, routineEnabled} {
		msg := placed(t.Domain).dict()
		msg["name"] = t.Label
		reply, err := p.fence.Call(ctx, routine, msg)
		code, refused := err.(xpc.Errno)
		switch {
		case refused && (code == xpc.NoSuchService || code == xpc.NoSuchDomain || code == xpc.DomainUnsupported):
			return false, true
		case routine == routinePrintService && refused && code == xpc.EINVAL: // no memory for its text
			return true, true
		case err == nil && routine == routineAttributes:
			return true, true
		case err == nil && routine == routineEnabled:
			loaded, known = reply.Bool("loaded")
			return loaded, known
		}
	}
	return false, false
}
