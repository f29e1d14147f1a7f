package hermesgw

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/sweep"
)

// manualGrace is how long a manual gateway may take to exit after SIGTERM. Hermes' own teardown
// gives scheduled work 30 s, but launchd's gateways have been restarted by then: this is for
// what should not be there at all.
const manualGrace = 10 * time.Second

// Sweep is what became of the gateways that nobody manages.
type Sweep struct {
	Results []sweep.Result  // of the processes that were signalled
	Spared  []sweep.Planned // what looks like a gateway and was left alone, with the reason
	Err     error           // why there was no sweep, or not to the end; then nothing more was signalled
}

// Left returns how many processes were to be stopped and are still there.
func (s *Sweep) Left() int { return sweep.Report{Results: s.Results}.Left() }

// sweepUp stops the manual gateways of the installation: those that run beside the
// job of the same home. It comes after the restarts.
func (r *run) sweepUp(ctx context.Context) {
	r.swept = &Sweep{}
	plan, err := r.strays(ctx, r.takesOver)
	if err != nil {
		r.swept.Err = fmt.Errorf("look for gateways that launchd does not manage: nothing was signalled: %w", err)
		return
	}
	r.swept.Spared = plan.Spared
	for _, p := range plan.Spared {
		r.h.log.Debug("spared", "pid", p.PID, "reason", p.Reason)
	}
	if len(plan.Signal) == 0 {
		return
	}
	grace := r.o.Grace
	if grace <= 0 {
		grace = manualGrace
	}
	r.changing()
	for _, p := range plan.Signal {
		r.event(launchd.Event{Time: time.Now(), Kind: launchd.EventSignaled, PID: p.PID, Detail: "SIGTERM: " + p.Reason})
	}
	report, err := sweep.Run(ctx, plan, sweep.RunOptions{Grace: grace})
	r.swept.Results, r.swept.Err = report.Results, err
}

// takesOver reports whether a job of launchd's runs for the home, or is started for it again and
// again. Without one, the home would be left without a gateway.
func (r *run) takesOver(home string) bool {
	for n, i := range r.items {
		if i.Home != home {
			continue
		}
		switch o := r.results[n].Outcome; o {
		case launchd.OutcomeNotReady, launchd.OutcomeFlapping, launchd.OutcomeThrottled, launchd.OutcomeRequested:
			return true
		case "": // the caller runs in it, and it is restarted last
			return i.inside
		default:
			return o.OK()
		}
	}
	return false
}

// RunsFor returns the gateway that launchd has for a home; nil for none.
func (f *Fleet) RunsFor(home string) *Gateway {
	i := slices.IndexFunc(f.Gateways, func(g Gateway) bool { return g.Loaded() && g.Home == home })
	if i < 0 || home == "" {
		return nil
	}
	return &f.Gateways[i]
}

// isLoaded is takesOver where nothing was restarted.
func (f *Fleet) isLoaded(home string) bool {
	return f.RunsFor(home) != nil
}

// strays plans the sweep of this run. What a job had before the restarts is spared, too, and what
// started since.
func (r *run) strays(ctx context.Context, takesOver func(home string) bool) (sweep.Plan, error) {
	if r.unlisted != nil {
		return sweep.Plan{}, fmt.Errorf("list the jobs: %w", r.unlisted)
	}
	return r.h.strays(ctx, takesOver, sweep.Options{Since: r.since, Managed: r.before})
}

// strays plans a sweep: the processes that are a gateway of this installation by their
// arguments and belong to no job, if a job takes their place.
func (h *Hermes) strays(ctx context.Context, takesOver func(home string) bool, o sweep.Options) (sweep.Plan, error) {
	o.Others = true
	o.Spare = func(p sweep.Planned) string { return h.spare(takesOver, p) }
	return sweep.Survey(ctx, h.in.UID, h.managed, o)
}

// managed lists the processes of all jobs: of the user's domains, and of the system's as far as
// it can be listed. It is an error if none of the user's can be.
func (h *Hermes) managed(ctx context.Context) (jobs []sweep.Managed, err error) {
	ctx, cancel := briefly(ctx)
	defer cancel()
	domains := append(h.domains(), launchd.System())
	entries := make([][]launchd.ListEntry, len(domains))
	errs := make([]error, len(domains))
	var all sync.WaitGroup
	for i, d := range domains {
		all.Go(func() { entries[i], errs[i] = h.client.List(ctx, d) })
	}
	all.Wait()
	exist := 0
	for i, d := range domains {
		switch err := errs[i]; {
		case errors.Is(err, launchd.ErrNoDomain) && isUsers(d):
			continue
		case err != nil && (isUsers(d) || !refused(err)):
			return nil, err
		case err != nil: // another user's gateways are not this one's to sweep
			continue
		}
		if isUsers(d) {
			exist++
		}
		for _, e := range entries[i] {
			if e.PID > 0 {
				jobs = append(jobs, sweep.Managed{PID: e.PID, Label: e.Label})
			}
		}
	}
	if exist == 0 {
		return nil, fmt.Errorf("user %d has no domain: %w", h.in.UID, launchd.ErrNoDomain)
	}
	return jobs, nil
}

// spare tells why a gateway that nobody manages is left alone all the same.
func (h *Hermes) spare(takesOver func(home string) bool, p sweep.Planned) (reason string) {
	home, proven := h.homeOf(p)
	switch {
	case home == "":
		return "it is not known whose gateway it is"
	case !h.owns(home):
		return "it is a gateway of another installation, " + home
	case !proven: // its arguments could be those of another installation's
		return "it is not known to belong to the installation in " + h.in.Root + ": its environment cannot be read, and no home names it"
	}
	if !takesOver(home) {
		return "no job of launchd's would take its place"
	}
	return ""
}

func (h *Hermes) owns(home string) bool {
	_, ok := h.in.Owns(home)
	return ok
}

// homeOf tells which home a gateway's process runs for. It is proven if the process'
// environment or a home's own record says so; else it follows from the profile in its arguments.
func (h *Hermes) homeOf(p sweep.Planned) (home string, proven bool) {
	where, err := h.whereOf(p.Identity)
	if err == nil {
		in, err := Locate(where)
		if err != nil {
			return "", false
		}
		if p.Match.Profile == "" {
			return in.Home, true
		}
		profile, err := in.Profile(p.Match.Profile)
		return profile.Home, err == nil
	}
	if errors.Is(err, sweep.ErrGone) {
		return "", false
	}
	profiles, _ := h.in.Profiles()
	for _, profile := range profiles {
		for _, name := range recordNames {
			if r, err := readRecord(h.in, profile.Home, name); err == nil && r.names(p.Identity) {
				return profile.Home, true
			}
		}
	}
	name := p.Match.Profile
	if name == "" {
		name = DefaultProfile
	}
	profile, err := h.in.Profile(name)
	if err != nil {
		return "", false
	}
	return profile.Home, false
}

// whereOf is where a process' environment says that its Hermes is. Without HERMES_HOME that is a
// folder of $HOME, which need not be the account's: a sandbox or a test has its own.
// Source: _get_platform_default_hermes_home in hermes_constants.py of NousResearch/hermes-agent.
func (h *Hermes) whereOf(id sweep.Identity) (Where, error) {
	w := Where{UID: h.in.UID, AccountHome: h.in.AccountHome}
	var err error
	if w.HermesHome, _, err = sweep.Variable(id, "HERMES_HOME"); err != nil || strings.TrimSpace(w.HermesHome) != "" {
		return w, err
	}
	home, set, err := sweep.Variable(id, "HOME")
	if err != nil {
		return w, err
	}
	if set {
		w.AccountHome = cmp.Or(home, "/") // as Python has it
	}
	suffix, _, err := sweep.Variable(id, "HERMES_DATA_DIR_SUFFIX")
	if suffix != "" {
		w.HermesHome = filepath.Join(w.AccountHome, ".hermes"+suffix)
	}
	return w, err
}
