package hermesgw

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hermes-gw/hermes-gw/internal/proc"
	"github.com/hermes-gw/hermes-gw/launchd"
)

// readiness returns the question that a new process is asked until it is ready. A
// gateway is ready when it says so itself, over its control socket or else in its state
// file, and that was said by the process that launchd started, or by one below it. Any other
// job is ready when launchd calls it running: it has executed its program.
//
// The home's lock is not looked at: a gateway that finds it held while it boots exits.
func (r *run) readiness(i *item, res *Result) func(context.Context, int) error {
	if !i.gateway || i.Home == "" {
		return func(ctx context.Context, pid int) error { return r.running(ctx, i, pid) }
	}
	return func(ctx context.Context, pid int) error {
		id, err := proc.Read(pid)
		if err != nil {
			return err
		}
		now := r.h.runtime(ctx, &Gateway{Home: i.Home, job: id})
		if now == nil {
			return errors.New("the gateway has not said that it runs")
		}
		res.NewGateway, res.CodeAfter = now.PID, now.CodeSHA
		switch now.State {
		case "running", "degraded":
		default:
			return fmt.Errorf("the gateway says that it is %s", now.State)
		}
		if waiting := unconnected(now.Platforms); len(waiting) > 0 && r.o.Wait == WaitPlatforms {
			return fmt.Errorf("the gateway runs, but is not connected to %s", joined(waiting))
		}
		return nil
	}
}

// running asks launchd whether the job's process has executed its program.
func (r *run) running(ctx context.Context, i *item, pid int) error {
	j, err := r.h.client.Inspect(ctx, i.Target)
	switch {
	case err != nil:
		return err
	case j.PID != pid:
		return fmt.Errorf("launchd names process %d", j.PID)
	case j.State != launchd.StateRunning && j.State != "":
		return fmt.Errorf("launchd calls it %s", j.State)
	}
	return nil
}

// unconnected are the platforms that do not say that they are connected.
func unconnected(platforms map[string]Platform) (names []string) {
	for name, p := range platforms {
		if p.State != "connected" {
			names = append(names, strings.TrimSpace(name+" "+parenthesized(p.State)))
		}
	}
	slices.Sort(names)
	return names
}

func parenthesized(s string) string {
	if s == "" {
		return ""
	}
	return "(" + s + ")"
}
