package hermesgw

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/proc"
	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/sweep"
)

// Finding is one thing that is wrong with a gateway, and the command that mends it.
type Finding struct {
	// ID is a word that programs may rely on: not-loaded, disabled, wrong-domain, both-domains,
	// foreign, stale, duplicate, flapping, parked, log-path, throttled, replaced-program, no-gateway,
	// not-running, plist-gone, plist-unreadable, or the name of a rule of [launchd.Lint].
	ID      string
	Target  launchd.Target
	Profile string
	Problem string // one sentence
	Command string // what mends it, as it is typed; "" if no command does
	Advice  string // what else is to be done; "" for nothing
}

// young is how long a gateway must have been running that was started often, so as not to be
// said to be flapping.
const young = time.Minute

// Diagnose looks for what is wrong with the gateways of the installation. It changes nothing. The
// error is that of Discover.
func (h *Hermes) Diagnose(ctx context.Context) ([]Finding, Fleet, error) {
	fleet, err := h.Discover(ctx)
	if err != nil {
		return nil, fleet, err
	}
	d := &diagnosis{h: h}
	for i := range fleet.Gateways {
		d.gateway(&fleet.Gateways[i])
	}
	for i := range fleet.Others {
		d.foreign(&fleet.Others[i])
	}
	d.shared(fleet.Gateways)
	plan, err := h.strays(ctx, fleet.isLoaded, sweep.Options{})
	if err != nil {
		fleet.Warnings = append(fleet.Warnings, fmt.Sprintf("Gateways that launchd does not manage are not known: %v.", err))
	}
	d.strays(plan, fleet.Gateways)
	return d.found, fleet, nil
}

type diagnosis struct {
	h     *Hermes
	found []Finding
}

func (d *diagnosis) add(g *Gateway, id, command, advice, format string, args ...any) {
	d.found = append(d.found, Finding{ID: id, Target: g.Target, Profile: g.Profile, Problem: fmt.Sprintf(format, args...), Command: command, Advice: advice})
}

// gateway looks at one.
func (d *diagnosis) gateway(g *Gateway) {
	if g.Problem != nil {
		d.add(g, "plist-unreadable", "", remedyOf(g.Problem), "It cannot be looked at as a whole: %v.", g.Problem)
	}
	if g.Unknown {
		return
	}
	if !g.Loaded() {
		d.unloaded(g)
		return
	}
	if len(g.Domains) > 1 {
		other := launchd.Target{Domain: g.Domains[1], Label: g.Label}
		d.add(g, "both-domains", "hermes-gw stop "+other.String(), "", "It is loaded in %s and in %s, each time with a process of its own.", g.Domains[0], g.Domains[1])
	}
	if g.Job.Disabled != nil && *g.Job.Disabled {
		d.add(g, "disabled", "hermes-gw ctl enable "+g.Target.String(), "", "It is disabled: it runs now, but launchd does not load it at the next login.")
	}
	d.plist(g)
	d.process(g)
}

func (d *diagnosis) unloaded(g *Gateway) {
	switch {
	case g.ServedBy != "" || g.Plist == "":
	case g.Job.Disabled != nil && *g.Job.Disabled:
		d.add(g, "disabled", "hermes-gw ctl enable "+g.Target.String()+" && hermes-gw start "+g.Label, "", "It is disabled, so launchd does not load it, although its property list is there.")
	default:
		d.add(g, "not-loaded", "hermes-gw start "+g.Label, "", "launchd does not have it, although its property list is there: it does not run.")
	}
}

// plist looks at the file, and at what launchd has of it.
func (d *diagnosis) plist(g *Gateway) {
	if g.Plist == "" {
		if filepath.IsAbs(g.Job.Path) {
			d.add(g, "plist-gone", "", "Write it again with hermes gateway install.", "Its property list %s is gone: it runs on, but is not loaded at the next login.", g.Job.Path)
		}
		return
	}
	if len(g.Stale) > 0 {
		d.add(g, "stale", "hermes-gw reload "+g.Target.String(), "", "Its property list says otherwise than what is loaded: %s.", joined(g.Stale))
	}
	findings, err := launchd.Lint(g.Plist, launchd.LintOptions{Domain: g.Target.Domain})
	if err != nil {
		return // Problem says so
	}
	for _, f := range findings {
		switch {
		case f.Rule == "session-domain":
			d.add(g, "wrong-domain", "hermes-gw stop "+g.Target.String()+" && hermes-gw start "+g.Label, "", "It is loaded in a domain that its property list does not admit: %s.", f.Problem)
		case strings.HasPrefix(f.Rule, "output-"):
			d.add(g, "log-path", "", f.Fix, "launchd cannot write its log, and does not start it without: %s.", f.Problem)
		case f.Fatal, f.Rule == "keepalive-replace":
			d.add(g, f.Rule, "hermes-gw lint "+g.Plist, f.Fix, "Its property list: %s.", f.Problem)
		}
	}
	for _, path := range []string{g.plist.StandardOutPath, g.plist.StandardErrorPath} {
		if err := readableLog(d.h.in, path); err != nil {
			d.add(g, "log-path", "", "Give it to this user, or name another one in the property list.", "Its log cannot be read: %v.", err)
		}
	}
}

// readableLog says why a log that is there cannot be read by its user.
func readableLog(in Install, path string) error {
	if path == "" {
		return nil
	}
	f, _, err := openFile(in, path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		f.Close()
	}
	return err
}

// process looks at what runs, or does not.
func (d *diagnosis) process(g *Gateway) {
	restart := "hermes-gw restart " + g.Target.String()
	j := g.Job
	switch {
	case j.State == launchd.StateSpawnScheduled:
		d.add(g, "throttled", restart, "", "launchd holds its next start back: it exited sooner than %s after its last one%s.", throttle(j), lastExit(j))
		return
	case j.Pended != "":
		d.add(g, "throttled", restart, "", "launchd holds its start back (%s).", j.Pended)
		return
	case j.PID == 0 && (j.LastExit.Kind == launchd.ExitCode && (j.LastExit.Code == 78 || j.LastExit.Code == 0)):
		d.add(g, "parked", "hermes-gw logs "+g.Label, "Mend what its log says, then "+restart+".", "It is parked: it exited%s, which it does when its configuration is refused, and launchd leaves it alone.", lastExit(j))
		return
	case j.PID == 0:
		d.add(g, "not-running", restart, "", "It is loaded, but has no process%s.", lastExit(j))
		return
	}
	if age := g.Age(); age < young && j.Runs != nil && *j.Runs > 3 && j.LastExit.Failed() {
		d.add(g, "flapping", "hermes-gw logs "+g.Label, "Mend what its log says.", "It starts again and again: %d times so far, the last one %v ago%s.", *j.Runs, age.Round(time.Second), lastExit(j))
	}
	if g.Process.IsZero() {
		d.add(g, "no-gateway", "hermes-gw ps --tree", "", "Process %d and what is below it has no gateway in it, by its arguments.", j.PID)
	}
	if path, at := replaced(g); path != "" {
		d.add(g, "replaced-program", restart, "If launchd kills the new process (launch constraint), hermes-gw reload "+g.Target.String()+".",
			"Its program %s was replaced %v after it was started.", path, at.Round(time.Second))
	}
}

func throttle(j launchd.Job) string {
	if j.MinimumRuntime == nil {
		return "its throttle interval"
	}
	return j.MinimumRuntime.String()
}

func lastExit(j launchd.Job) string {
	if s := j.LastExit.String(); s != "" {
		return ", last exit " + s
	}
	return ""
}

// replaced tells whether the job's program is a newer file than its process.
func replaced(g *Gateway) (path string, after time.Duration) {
	path = g.Job.Program
	if path == "" && len(g.Job.Arguments) > 0 {
		path = g.Job.Arguments[0]
	}
	info, err := os.Stat(path)
	if err != nil || g.job.IsZero() || !filepath.IsAbs(path) {
		return "", 0
	}
	started := time.Now().Add(-(proc.Clock() - time.Duration(g.job.Start)*time.Microsecond))
	// Two seconds for file systems and clocks that are not that exact.
	if after = info.ModTime().Sub(started); after < 2*time.Second {
		return "", 0
	}
	return path, after
}

func (d *diagnosis) foreign(g *Gateway) {
	if g.Foreign == "" || !g.Loaded() {
		return
	}
	d.add(g, "foreign", "", "Leave it alone, or set HERMES_HOME to "+g.Foreign+" if it is the one you mean.", "It bears a gateway's label and belongs to another installation, %s.", g.Foreign)
}

// shared looks for homes with more than one job.
func (d *diagnosis) shared(gateways []Gateway) {
	first := map[string]*Gateway{}
	for i := range gateways {
		g := &gateways[i]
		if !g.Loaded() || g.Home == "" {
			continue
		}
		if other := first[g.Home]; other != nil {
			d.add(g, "duplicate", "hermes-gw stop "+g.Target.String(), "", "It is one of two jobs for %s: the other is %s.", g.Home, other.Target)
			continue
		}
		first[g.Home] = g
	}
}

// strays looks for gateways that run beside a job of the same home.
func (d *diagnosis) strays(plan sweep.Plan, gateways []Gateway) {
	for _, p := range plan.Signal {
		home, _ := d.h.homeOf(p)
		i := slices.IndexFunc(gateways, func(g Gateway) bool { return g.Home == home })
		if i < 0 {
			continue
		}
		d.add(&gateways[i], "duplicate", "hermes-gw restart --all", "", "Process %d is a second gateway for %s, which launchd does not manage.", p.PID, home)
	}
}
