package hermesgw

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/proc"
	"github.com/hermes-gw/hermes-gw/launchd"
)

// A gateway that launchd has started so often without being asked to, each time because it had failed,
// is flapping, unless it has been running since for longer than launchd holds it back: 30 s in the
// lists of Hermes. What Hermes or hermes-gw noted of its starts counts for so long.
const (
	flapStarts = 3
	flapWindow = 2 * time.Minute
	flapOver   = 30 * time.Second
)

// notesEvery is how often the log of a gateway that begins is looked at.
const notesEvery = 20 * time.Millisecond

// How a gateway exits that wants to be started again, and one that no start would mend (hermes.md 1.6).
const (
	exitRestart = 75
	exitConfig  = 78
)

// unasked counts the starts of a failing job that nobody asked for, as far as that is known; 0 if it
// is not failing. last is the last request that hermes-gw sent about it. mended says that its process
// is one that was asked for after these, of which it is too early to say whether it stays.
//
// launchd tells only how often it has started a job since it was loaded. What nobody asked for are
// the starts after the last request that hermes-gw noted, or all after the first: the first is the
// load's, whoever asked for that. The log of Hermes tells how many of them were lately; a gateway
// that dies before it comes to write it has none.
func (h *Hermes) unasked(g *Gateway, last *flightRequest) (n int, mended bool) {
	j := g.Job
	switch {
	case j.Runs == nil:
		return 0, false
	case j.PID == 0 && j.State == launchd.StateNotRunning: // launchd leaves it alone
		return 0, false
	case j.PID > 0 && g.Age() >= flapOver:
		return 0, false
	}
	n = *j.Runs - 1
	before := 0
	if last != nil && last.Runs > 0 && *j.Runs >= last.Runs { // else it was loaded anew since
		n = max(*j.Runs-last.Runs-1, 0)
		if proc.SinceBoot().Sub(last.At) < flapWindow {
			before = last.Unasked
		}
	}
	wanted := j.PID > 0 && (askedFor(j) || last != nil && *j.Runs == last.Runs+1)
	if before == 0 && (wanted || !crashed(j.LastExit)) {
		return 0, false
	}
	lately := 0
	if g.Home != "" {
		lately = recentStarts(h.in, g.Home, flapWindow, time.Now())
	}
	switch {
	case lately > 0:
		n = min(n, lately)
	case j.LastExit.Kind == launchd.ExitCode && j.LastExit.Code == exitConfig:
		// So exits, too, what launchd cannot start at all: that is another finding's.
		return 0, false
	}
	return before + n, wanted
}

// settled is unasked for a gateway that may be about to note its start. Until it has, launchd's number
// would count starts of all times; so it is waited for, or for its end, for as long as it may take to
// come to it.
func (h *Hermes) settled(ctx context.Context, g *Gateway, last *flightRequest) (n int, mended bool) {
	n, mended = h.unasked(g, last)
	if n < flapStarts || mended || g.job.IsZero() || g.Home == "" {
		return n, mended
	}
	if _, err := os.Lstat(filepath.Join(g.Home, "gateway-starts.log")); err != nil {
		return n, mended // a Hermes that notes none, or that never came to it
	}
	for recentStarts(h.in, g.Home, flapWindow, time.Now()) == 0 && g.Age() < startsFor {
		if id, err := proc.Read(g.job.PID); err != nil || id != g.job {
			break
		}
		select {
		case <-time.After(notesEvery):
			continue
		case <-ctx.Done():
		}
		break
	}
	return h.unasked(g, last)
}

// startsOf is what is noted of a job's starts before a request that restarts it.
func (h *Hermes) startsOf(g *Gateway, f *flight) (runs, unasked int) {
	if g.Job.Runs == nil {
		return 0, 0
	}
	if f != nil {
		unasked, _ = h.unasked(g, f.note.last(f.address))
	}
	return *g.Job.Runs, unasked
}

// askedFor reports whether somebody asked launchd for the start of a job's process, or loaded the job:
// then that is the reason that launchd gives (launchd-protocol.md 6.2).
func askedFor(j launchd.Job) bool {
	return slices.Contains([]string{"speculative", "non-ipc demand", "one-shot"}, j.Reason)
}

// crashed tells a failure from an exit that is to be followed by a start.
func crashed(e launchd.Exit) bool {
	return e.Failed() && !(e.Kind == launchd.ExitCode && e.Code == exitRestart)
}
