package launchd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hermes-gw/hermes-gw/xpc"
)

// StartResult is what [Client.Start] saw, filled in as far as is known when there is
// an error too.
type StartResult struct {
	Target     Target
	Outcome    Outcome  // OutcomeStarted, or why not
	PID        int      // the job's process; 0 when none was seen
	Loaded     bool     // this call loaded the job
	WasRunning bool     // PID ran before
	Warnings   []string // one sentence each
}

// Start makes sure that a job is loaded and runs.
//
// If it is not loaded, the property list at path, an absolute path, is loaded (800); an
// empty path leaves it at [ErrNotLoaded], and a disabled label at [ErrDisabled] without
// anything being sent. Then the job is asked to start, without kill and with unthrottle
// (702), which changes nothing if it runs. If its process is being stopped, Start waits
// for the exit first (by event, at most the exit timeout + 2 s). A job that is loaded
// but disabled is started, with a warning.
//
// OutcomeStarted is the only success. ctx is the only other bound.
func (c *Client) Start(ctx context.Context, t Target, path string) (StartResult, error) {
	s := &start{change: change{c: c, op: "start", t: t}, res: StartResult{Target: t, Outcome: OutcomeStarted}}
	err := s.do(ctx, path)
	if _, unknown := errors.AsType[*xpc.UnknownOutcome](err); unknown {
		s.res.Outcome = OutcomeUnknown
	} else if err != nil {
		s.res.Outcome = outcomeOf(err)
	}
	return s.res, err
}

type start struct {
	change
	res StartResult
}

func (s *start) do(ctx context.Context, path string) error {
	j, err := s.first(ctx)
	switch {
	case errors.Is(err, ErrNotLoaded):
		if err := s.load(ctx, path); err != nil {
			return err
		}
	case err != nil:
		return renamed(s.op, err)
	case s.c.disabled(ctx, s.t):
		s.res.Warnings = append(s.res.Warnings, fmt.Sprintf(disabledWarning, s.t))
	}
	s.job = j
	if j.State.Stopping() {
		s.from(j.PID)
	}
	pid, err := s.resume(ctx)
	if errors.Is(err, ErrNotLoaded) && !s.res.Loaded && path != "" {
		// It was on its way out: that is over now, so it can be loaded again.
		if err = s.load(ctx, path); err == nil {
			pid, err = s.resume(ctx)
		}
	}
	if s.res.Loaded && errors.Is(err, ErrNotLoaded) {
		return fmt.Errorf("start %s: %s was loaded, but it does not define this label: %w", s.t, path, err)
	}
	s.res.PID = pid
	s.res.WasRunning = pid > 0 && pid == j.PID
	return err
}

func (s *start) load(ctx context.Context, path string) error {
	disabled := s.c.disabled(ctx, s.t)
	if path == "" || disabled {
		return notLoaded(s.op, s.t, disabled)
	}
	// launchd answers a bare 5 to all of these.
	if !filepath.IsAbs(path) {
		return fmt.Errorf("start %s: property list %q: the path must be absolute", s.t, path)
	}
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("start %s: property list: %w", s.t, err)
	}
	err := s.c.Bootstrap(ctx, s.t.Domain, path)
	if errors.Is(err, ErrAlreadyLoaded) {
		return nil
	}
	s.res.Loaded = err == nil
	return err
}

// StopResult is what [Client.Stop] saw, filled in as far as is known when there is
// an error too.
type StopResult struct {
	Target  Target
	Outcome Outcome // OutcomeStopped, or why not
	Old     int     // the process that was stopped; 0 when there was none
}

// Stop unloads a job (801 by name) and returns once it is really gone: its process has
// exited, seen by event, and launchd does not know the job any more. That takes at most
// the job's exit timeout + 5 s, or ctx, which alone bounds a job with an ExitTimeOut of 0.
//
// Nothing less keeps a job stopped, because KeepAlive revives it. If its plist stands in
// a folder that launchd reads, the next login loads it again.
//
// OutcomeStopped is the only success; a job that was not loaded is [ErrNotLoaded]. A
// caller inside the job is stopped with it.
func (c *Client) Stop(ctx context.Context, t Target) (StopResult, error) {
	x := &change{c: c, op: "stop", t: t}
	res := StopResult{Target: t, Outcome: OutcomeStopped}
	err := x.stop(ctx, &res)
	if _, unknown := errors.AsType[*xpc.UnknownOutcome](err); unknown {
		res.Outcome = OutcomeUnknown
	} else if err != nil {
		res.Outcome = outcomeOf(err)
	}
	return res, err
}

func (x *change) stop(ctx context.Context, res *StopResult) error {
	j, err := x.first(ctx)
	if err != nil {
		return renamed(x.op, err)
	}
	x.job = j
	x.from(j.PID) // if that fails, launchd's word alone has to do
	res.Old = j.PID
	if exit, ends := x.exitTimeout(); ends {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, exit+settle)
		defer cancel()
	}
	err = x.c.Bootout(ctx, x.t)
	if err != nil && !errors.Is(err, ErrStopping) && !errors.Is(err, ErrNotLoaded) {
		return err
	}
	if err := x.exited(ctx); err != nil {
		return err
	}
	begin := time.Now()
	for wait := (backoff{}); ; {
		j, err := x.c.look(ctx, x.t)
		switch {
		case errors.Is(err, ErrNotLoaded), errors.Is(err, ErrNoDomain):
			return nil
		case err != nil:
			return renamed(x.op, err)
		case x.old.PID > 0 && x.replaced(ctx, j.PID) && !j.State.Stopping():
			return fmt.Errorf("stop %s: it was unloaded, but someone loaded it again: it runs as process %d", x.t, j.PID)
		}
		if err := wait.sleep(ctx); err != nil {
			return fmt.Errorf("stop %s: still loaded %v after its process exited: %w", x.t, time.Since(begin).Round(time.Millisecond), err)
		}
	}
}
