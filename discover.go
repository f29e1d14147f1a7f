package hermesgw

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/sweep"
)

// Fleet is what [Hermes.Discover] found.
type Fleet struct {
	// Gateways are this installation's: the profile "default" first, the other profiles by name,
	// then jobs of older label schemes. A profile without a job and without a property list is
	// among them only if it is served by another gateway.
	Gateways []Gateway
	// Others are jobs that bear a gateway's label and are not this installation's, or not known
	// to be: Foreign is set, or Home is not known.
	Others   []Gateway
	Warnings []string // one sentence each, about what could not be looked at
}

// Discover finds the gateways of the installation: those that launchd has in gui/UID and
// user/UID, and those whose property list is in the user's LaunchAgents folder. It changes
// nothing and sends no signal.
//
// A profile's job is found by its label, which follows from its home; a job of an older label
// scheme only counts if the HERMES_HOME that it pins belongs to this installation. What
// launchd has loaded decides, not what is in the file by now.
//
// What is wrong with one gateway is its Problem. The error is about all of them: no domain
// that exists ([launchd.ErrNoDomain]), a launchd that does not answer.
func (h *Hermes) Discover(ctx context.Context) (Fleet, error) {
	var fleet Fleet
	profiles, err := h.in.Profiles()
	if err != nil {
		fleet.Warnings = append(fleet.Warnings, fmt.Sprintf("Not all profiles are known: %v.", err))
	}
	loaded, warnings, err := h.loadedJobs(ctx, profiles)
	if err != nil {
		return fleet, err
	}
	fleet.Warnings = append(fleet.Warnings, warnings...)

	derived := map[string]bool{}
	var found []*Gateway
	for _, p := range profiles {
		derived[p.Label] = true
		found = append(found, &Gateway{Label: p.Label, Profile: p.Name, Home: p.Home, Domains: loaded.domains[p.Label]})
	}
	files, err := h.plistLabels()
	if err != nil {
		fleet.Warnings = append(fleet.Warnings, fmt.Sprintf("Property lists of jobs that are not loaded are not known: %v.", err))
	}
	for _, label := range mergedLabels(loaded.domains, files) {
		if !derived[label] {
			found = append(found, &Gateway{Label: label, Domains: loaded.domains[label]})
		}
	}
	var all sync.WaitGroup
	for _, g := range found {
		g.Problem = loaded.unknown(g.Label)
		g.Unknown = g.Problem != nil
		all.Go(func() { h.fill(ctx, g, loaded) })
	}
	all.Wait()

	var table sweep.Table
	if slices.ContainsFunc(found, func(g *Gateway) bool { return g.Job.PID > 0 }) {
		if err := table.Read(ctx, -1); err != nil {
			fleet.Warnings = append(fleet.Warnings, fmt.Sprintf("The process table cannot be read (%v), so no gateway's process is known.", err))
		}
	}
	for _, g := range found {
		h.processes(g, &table)
	}
	for _, g := range found { // each may have to wait for an answer
		all.Go(func() { h.ask(ctx, g) })
	}
	all.Wait()
	h.served(found)
	for _, g := range found {
		switch {
		case g.Foreign != "" || g.Profile == "" && g.Home == "":
			fleet.Others = append(fleet.Others, *g)
		case g.Loaded() || g.Plist != "" || g.ServedBy != "":
			fleet.Gateways = append(fleet.Gateways, *g)
		}
	}
	return fleet, nil
}

// seenJobs are the gateways' jobs that launchd lists.
type seenJobs struct {
	domains map[string][]launchd.Domain // by label
	pids    map[launchd.Target]int
	silent  error            // why it is not known whether another one is loaded
	doubts  map[string]error // the same of one label
}

// unknown is why it is not known whether a job is loaded.
func (s seenJobs) unknown(label string) error {
	switch {
	case len(s.domains[label]) > 0:
		return nil
	case s.doubts[label] != nil:
		return s.doubts[label]
	}
	return s.silent
}

// loadedJobs lists the gateways' jobs in the user's domains. Where a domain cannot be listed the
// profiles' labels are asked for one by one; one that does not answer at all does not keep the
// other's jobs from being found.
func (h *Hermes) loadedJobs(ctx context.Context, profiles []Profile) (jobs seenJobs, warnings []string, err error) {
	domains := h.domains()
	entries := make([][]launchd.ListEntry, len(domains))
	errs := make([]error, len(domains))
	asking, cancel := briefly(ctx)
	defer cancel()
	var all sync.WaitGroup
	for i, d := range domains {
		all.Go(func() { entries[i], errs[i] = h.client.List(asking, d) })
	}
	all.Wait()
	jobs = seenJobs{domains: map[string][]launchd.Domain{}, pids: map[launchd.Target]int{}, doubts: map[string]error{}}
	exist := 0
	for i, d := range domains {
		err := errs[i]
		switch {
		case errors.Is(err, launchd.ErrNoDomain):
			continue
		case refused(err), errors.Is(err, launchd.ErrUnshared), silent(err) && ctx.Err() == nil:
			var doubts map[string]error
			if entries[i], doubts, errs[i] = h.askEach(ctx, d, profiles); errs[i] == nil {
				warnings = append(warnings, fmt.Sprintf("The jobs of %s cannot be listed (%v), so only those of known labels are looked for.", d, err))
				maps.Copy(jobs.doubts, doubts)
				break
			}
			fallthrough
		case err != nil:
			jobs.silent = err
			warnings = append(warnings, fmt.Sprintf("The jobs of %s are not known: %v.", d, err))
			continue
		}
		exist++
		for _, e := range entries[i] {
			if IsGatewayLabel(e.Label) && !jobs.has(e) {
				jobs.domains[e.Label] = append(jobs.domains[e.Label], d)
				jobs.pids[launchd.Target{Domain: d, Label: e.Label}] = e.PID
			}
		}
	}
	if exist == 0 { // the first says most, unless it is only not there
		for _, err := range errs {
			if !errors.Is(err, launchd.ErrNoDomain) {
				return jobs, nil, err
			}
		}
		return jobs, nil, errs[0]
	}
	return jobs, warnings, nil
}

// has reports whether a job is known from another domain: one may answer for the jobs of the one
// around it, too, and two jobs never have the same process.
func (s seenJobs) has(e launchd.ListEntry) bool {
	return e.PID > 0 && slices.ContainsFunc(s.domains[e.Label], func(d launchd.Domain) bool {
		return s.pids[launchd.Target{Domain: d, Label: e.Label}] == e.PID
	})
}

// domains are where a user's gateways can be, the best first.
func (h *Hermes) domains() []launchd.Domain {
	return []launchd.Domain{launchd.GUI(h.in.UID), launchd.User(h.in.UID)}
}

// askEach asks for the profiles' jobs in a domain, instead of a list. Of the doubts it is not known
// whether they are there; the error is that no question was answered by a yes or no.
func (h *Hermes) askEach(ctx context.Context, d launchd.Domain, profiles []Profile) (list []launchd.ListEntry, doubts map[string]error, err error) {
	ctx, cancel := briefly(ctx)
	defer cancel()
	jobs := make([]launchd.Job, len(profiles))
	errs := make([]error, len(profiles))
	var all sync.WaitGroup
	for i, p := range profiles {
		all.Go(func() { jobs[i], errs[i] = h.client.Job(ctx, launchd.Target{Domain: d, Label: p.Label}) })
	}
	all.Wait()
	doubts = map[string]error{}
	answered := false
	for i, p := range profiles {
		switch {
		case errs[i] == nil:
			list = append(list, launchd.ListEntry{Label: p.Label, PID: jobs[i].PID})
			answered = true
		case errors.Is(errs[i], launchd.ErrNotLoaded), errors.Is(errs[i], launchd.ErrNoDomain):
			answered = true
		default:
			doubts[p.Label], err = errs[i], errs[i]
		}
	}
	if answered {
		return list, doubts, nil
	}
	return nil, nil, err
}

// plistLabels are the labels of the gateways' property lists, by the names of the files.
func (h *Hermes) plistLabels() (labels []string, err error) {
	entries, err := os.ReadDir(filepath.Dir(h.in.PlistPath(gatewayLabel)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		if label, ok := strings.CutSuffix(e.Name(), ".plist"); ok && IsGatewayLabel(label) {
			labels = append(labels, label)
		}
	}
	return labels, err
}

func mergedLabels(loaded map[string][]launchd.Domain, files []string) []string {
	labels := slices.Clone(files)
	for label := range loaded {
		labels = append(labels, label)
	}
	slices.Sort(labels)
	return slices.Compact(labels)
}

// fill reads what launchd and the property list tell of a job whose Domains are known.
func (h *Hermes) fill(ctx context.Context, g *Gateway, loaded seenJobs) {
	g.Target = launchd.Target{Domain: h.domains()[0], Label: g.Label}
	if g.Loaded() {
		g.Target.Domain = g.Domains[0]
		asking, cancel := briefly(ctx)
		defer cancel()
		job, err := h.client.Inspect(asking, g.Target)
		if errors.Is(err, launchd.ErrNotLoaded) { // since it was listed
			g.Domains = nil
		} else if err != nil {
			g.Problem = err
			job.PID = loaded.pids[g.Target]
		}
		g.Job = job
	}
	g.Job.Target = g.Target
	if !g.Loaded() && !g.Unknown {
		asking, cancel := briefly(ctx)
		defer cancel()
		if _, enabled, err := h.client.Enabled(asking, g.Target); err == nil {
			disabled := !enabled
			g.Job.Disabled = &disabled
		}
	}
	h.readPlist(ctx, g)
	h.own(g)
}

// readPlist reads the file that the job was loaded from, else the one where Hermes keeps it.
func (h *Hermes) readPlist(ctx context.Context, g *Gateway) {
	path := g.Job.Path
	if !filepath.IsAbs(path) { // "(submitted by ...)", or not told
		path = h.in.PlistPath(g.Label)
		if g.Target.Domain == launchd.System() && path != "" { // where launchd itself would load it from
			path = filepath.Join("/Library/LaunchDaemons", filepath.Base(path))
		}
	}
	if path == "" {
		return
	}
	p, err := launchd.ReadPlist(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return
	case err != nil && g.Problem == nil:
		g.Problem, g.unreadable = err, true
	}
	g.Plist = path
	if p == nil {
		return
	}
	g.plist = p
	if g.Loaded() && g.Problem == nil {
		asking, cancel := briefly(ctx)
		defer cancel()
		g.Stale, _ = h.client.Stale(asking, g.Target) // what cannot be compared is no difference
	}
}

// own decides whose the job is.
func (h *Hermes) own(g *Gateway) {
	pinned := strings.TrimSpace(g.Job.Environment["HERMES_HOME"])
	if pinned == "" {
		pinned, _ = homeOfPlist(g.plist)
	}
	if pinned == "" {
		return // a profile's label then stands for its home; any other is nobody's
	}
	if home, err := h.in.expand(pinned); err == nil {
		if home, err = resolve(home); err == nil {
			g.Home = home
		}
	}
	profile, ok := h.in.Owns(pinned)
	if !ok {
		g.Foreign = pinned
		return
	}
	if g.Profile == "" {
		g.Profile = profile
	}
}

// processes looks for the gateway among the job's processes. What another installation's noted in its
// home is not read.
func (h *Hermes) processes(g *Gateway, table *sweep.Table) {
	if g.Job.PID == 0 {
		return
	}
	home := g.Home
	if g.Foreign != "" {
		home = ""
	}
	if root := table.Find(g.Job.PID); root != nil {
		g.job = root.Identity
		g.Process, g.Tree = h.gatewayIn(table, g.job, home)
		g.Stopped = stopped(table, g.Process)
	}
}

// ask reads what the gateway says of itself, and whether its home is taken.
func (h *Hermes) ask(ctx context.Context, g *Gateway) {
	if g.Foreign != "" || g.Home == "" {
		return
	}
	g.Runtime = h.runtime(ctx, g)
	if h.mayProbe(g) {
		g.Locked, _ = lockHeld(h.in, g.Home)
	}
}

// bootsFor is how old a job's process is at least in which no gateway boots any more: Python takes
// its time, and so does a back-off after many starts.
const bootsFor = time.Minute

// mayProbe reports whether nothing but the lock tells if a gateway is there, and none is likely to
// boot just now: that one would find the lock held, and exit.
func (h *Hermes) mayProbe(g *Gateway) bool {
	known := g.Loaded() || g.Plist != ""
	booting := g.Unknown || g.Job.PID > 0 && g.Age() < bootsFor
	return known && g.Process.IsZero() && !booting
}

// served marks the profiles that have no job of their own and that another gateway serves: by what
// that gateway says, or by what Hermes noted of the one that serves several.
func (h *Hermes) served(found []*Gateway) {
	by := map[string]string{}
	host, err := hostGateway(h.in, dirs{GatewayLockDir: h.o.GatewayLockDir, StateHome: h.o.StateHome})
	for _, g := range found {
		profiles := []string{}
		if g.Runtime != nil {
			profiles = g.Runtime.Served
		}
		if err == nil && !g.Process.IsZero() && g.Foreign == "" && host.names(g.Process) { // another's may have the same names
			profiles = slices.Concat(profiles, host.Profiles)
		}
		for _, profile := range profiles {
			if profile != g.Profile {
				by[profile] = g.Label
			}
		}
	}
	for _, g := range found {
		if g.Profile != "" && !g.Loaded() {
			g.ServedBy = by[g.Profile]
		}
	}
}

// refused tells an answer of launchd from a failed connection.
func refused(err error) bool {
	_, ok := errors.AsType[*launchd.Error](err)
	return ok
}
