package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"syscall"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/launchdsim"
	"github.com/hermes-gw/hermes-gw/internal/proc"
	"github.com/hermes-gw/hermes-gw/launchd"
)

// restarts are the ways to restart the job.
func (w *world) restarts() group {
	return group{
		Name: "Restart", Reference: "xpc",
		What: "the throwaway job is restarted",
		Methods: []method{
			{"xpc", "Client.Restart of this module, connected before", w.restartXPC},
			{"hermes-gw", "runs hermes-gw restart", w.restartHermes},
			{"launchctl", "runs launchctl kickstart -k", w.restartLaunchctl},
			{"bootout-bootstrap", "runs launchctl bootout, then launchctl bootstrap until it succeeds", w.restartTwoSteps},
			{"hermes-today", "what Hermes runs: launchctl print, print, kickstart -k, print at once and each 0.5 s until there is another pid", w.restartHermesToday},
		},
	}
}

// restart has the job restarted by how, which returns the CPU time of the programs that it
// ran, and sees what happens.
func (w *world) restart(ctx context.Context, how func(context.Context) (cpu time.Duration, err error)) (sample, error) {
	if err := w.rest(ctx); err != nil {
		return nil, err
	}
	old := w.now.pid
	exited, stop := w.watch(ctx, old)
	defer stop()
	began, start := monotonic(), time.Now()
	cpu, err := how(ctx)
	took := time.Since(start)
	if err != nil {
		return nil, err
	}
	arrived, err := w.arrived(ctx, old)
	if err != nil {
		return nil, err
	}
	w.now = arrived
	s := sample{total: float64(took), ready: float64(w.now.at.Sub(start)), clientCPU: float64(cpu)}
	if w.trace == nil {
		return s, w.seen(ctx, s, exited)
	}
	parts, kickstarted, err := w.told(ctx, old)
	if err != nil {
		return nil, err
	}
	if kickstarted {
		s[request] = parts.kickstart
	}
	s[absent], s[launchds] = parts.absent, parts.launchd
	// A program can be done before launchd is.
	s[clients] = max(s[total], float64(parts.spawned-began)) - parts.launchd
	return s, nil
}

// told is what the embedded launchd tells of the restart of process old, which it may do a
// little after the new process has said that it runs.
func (w *world) told(ctx context.Context, old int) (parts split, kickstarted bool, err error) {
	var events []launchdsim.Event
	for deadline := time.Now().Add(10 * time.Second); ; {
		more, err := w.trace.untilAnswered(ctx)
		if err != nil {
			return split{}, false, err
		}
		events = append(events, more...)
		parts, kickstarted, whole := splitOf(events, w.job.Target.Label, old, w.now.pid)
		switch {
		case whole:
			return parts, kickstarted, nil
		case ctx.Err() != nil:
			return split{}, false, context.Cause(ctx)
		case time.Now().After(deadline):
			return split{}, false, fmt.Errorf("the embedded launchd does not tell of the restart of process %d", old)
		}
		time.Sleep(200 * time.Microsecond)
	}
}

// rest waits until the job has run for longer than its throttle.
func (w *world) rest(ctx context.Context) error {
	const margin = 5 * time.Millisecond
	run := throttle * time.Second
	if w.trace != nil { // and events of what came before are not wanted
		run = time.Duration(float64(run) * timeScale)
		if _, err := w.trace.untilAnswered(ctx); err != nil {
			return err
		}
	}
	timer := time.NewTimer(time.Until(w.now.at.Add(run + margin)))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	// A processor that has just slept is slow for a while, and a program that is run wakes it
	// up in its own first milliseconds: each method finds it awake.
	const awake = 3 * time.Millisecond
	for start := time.Now(); time.Since(start) < awake; {
	}
	return nil
}

// watch waits for the exit of the old process where launchd writes no trace.
func (w *world) watch(ctx context.Context, old int) (exited <-chan time.Time, stop func()) {
	if w.trace != nil {
		return nil, func() {}
	}
	at := make(chan time.Time, 1)
	p, err := proc.Open(old)
	if err != nil {
		return at, func() {}
	}
	go func() {
		if p.Wait(ctx) == nil {
			at <- time.Now()
		}
	}()
	return at, func() { p.Close() }
}

// seen adds the time without a process as the kernel tells it: the exit by its event, the
// spawn by the start time of the new process.
func (w *world) seen(ctx context.Context, s sample, exited <-chan time.Time) error {
	select {
	case at := <-exited:
		id, err := proc.Read(w.now.pid)
		if err != nil {
			return err
		}
		const perMicrosecond = 1000
		age := int64(proc.Clock()) - id.Start*perMicrosecond // on the clock of Identity.Start
		s[absent] = float64(max(0, time.Since(at).Nanoseconds()-(time.Duration(age)).Nanoseconds()))
	case <-time.After(100 * time.Millisecond): // not to be had
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// used is the CPU time of this process so far.
func used() time.Duration {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func (w *world) restartXPC(ctx context.Context) (sample, error) {
	var result launchd.RestartResult
	var before, after runtime.MemStats
	var began time.Time
	s, err := w.restart(ctx, func(ctx context.Context) (time.Duration, error) {
		runtime.ReadMemStats(&before)
		cpu := used()
		began = time.Now()
		var err error
		result, err = w.client.Restart(ctx, w.job.Target, launchd.RestartOptions{})
		cpu = used() - cpu
		runtime.ReadMemStats(&after)
		return cpu, err
	})
	if err != nil {
		return nil, err
	}
	if result.Outcome != launchd.OutcomeRestarted || result.New != w.now.pid {
		return nil, fmt.Errorf("it came to %s of %d -> %d, and process %d runs", result.Outcome, result.Old, result.New, w.now.pid)
	}
	// The reading of the memory's figures is not the call's.
	s[total], s[ready] = float64(result.Total), float64(w.now.at.Sub(began))
	if s[launchds] > 0 {
		s[clients] = max(0, s[total]-s[launchds])
	}
	if _, known := s[request]; !known {
		s[request] = float64(result.Request)
	}
	s[allocated] = float64(after.TotalAlloc - before.TotalAlloc)
	s[objects] = float64(after.Mallocs - before.Mallocs)
	return s, nil
}

func (w *world) restartHermes(ctx context.Context) (sample, error) {
	return w.restart(ctx, func(ctx context.Context) (time.Duration, error) {
		// --force: the guard against restarting too often is met by design.
		r, err := w.demand(ctx, w.hermes, "restart", "--force", w.job.Target.String())
		return r.cpu, err
	})
}

func (w *world) restartLaunchctl(ctx context.Context) (sample, error) {
	return w.restart(ctx, func(ctx context.Context) (time.Duration, error) {
		r, err := w.demand(ctx, w.launchctl, "kickstart", "-k", w.job.Target.String())
		return r.cpu, err
	})
}

// restartTwoSteps does not wait between its tries: it is as fast as it can be.
func (w *world) restartTwoSteps(ctx context.Context) (sample, error) {
	return w.restart(ctx, func(ctx context.Context) (time.Duration, error) {
		r, err := w.demand(ctx, w.launchctl, "bootout", w.job.Target.String())
		cpu := r.cpu
		for deadline := time.Now().Add(patience); err == nil; {
			r, err = w.program(ctx, false, w.launchctl, "bootstrap", w.job.Target.Domain.String(), w.job.Plist)
			cpu += r.cpu
			switch {
			case err == nil && r.code == 0:
				return cpu, nil
			case err == nil && time.Now().After(deadline):
				err = fmt.Errorf("bootstrap has not succeeded within %v: exit code %d", patience, r.code)
			}
		}
		return cpu, err
	})
}

// pollInterval is Hermes' own: hermes.md section 2.1.
const pollInterval = 500 * time.Millisecond

func (w *world) restartHermesToday(ctx context.Context) (sample, error) {
	return w.restart(ctx, func(ctx context.Context) (cpu time.Duration, err error) {
		old := 0
		for range 2 {
			pid, took, err := w.printed(ctx)
			if cpu += took; err != nil {
				return cpu, err
			}
			old = pid
		}
		r, err := w.demand(ctx, w.launchctl, "kickstart", "-k", w.job.Target.String())
		if cpu += r.cpu; err != nil {
			return cpu, err
		}
		for deadline := time.Now().Add(patience); ; {
			pid, took, err := w.printed(ctx)
			if cpu += took; err != nil || pid > 0 && pid != old {
				return cpu, err
			}
			if time.Now().After(deadline) {
				return cpu, fmt.Errorf("no other pid within %v", patience)
			}
			select {
			case <-time.After(pollInterval):
			case <-ctx.Done():
				return cpu, context.Cause(ctx)
			}
		}
	})
}

// printed is the pid in what launchctl prints of the job.
func (w *world) printed(ctx context.Context) (pid int, cpu time.Duration, err error) {
	r, err := w.program(ctx, true, w.launchctl, "print", w.job.Target.String())
	if err != nil {
		return 0, r.cpu, err
	}
	if r.code != 0 {
		return 0, r.cpu, fmt.Errorf("launchctl print: exit code %d", r.code)
	}
	j, err := launchd.ParsePrint(r.out)
	if errors.Is(err, launchd.ErrContradiction) {
		err = nil
	}
	return j.PID, r.cpu, err
}
