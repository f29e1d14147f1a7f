package hermesgw

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/proc"
	"github.com/hermes-gw/hermes-gw/internal/shellwords"
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
	Command string // what mends it, or the first step of that, as it is typed into a shell; "" if no command does
	Advice  string // what else is to be done; "" for nothing
}

// startsFor is how long a job may take from its own program to the gateway's.
const startsFor = 5 * time.Second

// Diagnose looks for what is wrong with the gateways of the installation. It changes nothing. The
// error is that of Discover.
func (h *Hermes) Diagnose(ctx context.Context) ([]Finding, Fleet, error) {
	fleet, err := h.Discover(ctx)
	if err != nil {
		return nil, fleet, err
	}
	d := &diagnosis{ctx: ctx, h: h, fleet: &fleet}
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
	ctx   context.Context
	h     *Hermes
	fleet *Fleet
	found []Finding
}

func (d *diagnosis) add(g *Gateway, id, command, advice, format string, args ...any) {
	d.found = append(d.found, Finding{ID: id, Target: g.Target, Profile: g.Profile, Problem: fmt.Sprintf(format, args...), Command: command, Advice: advice})
}

// gateway looks at one.
func (d *diagnosis) gateway(g *Gateway) {
	switch {
	case g.unreadable:
		then := command("start", g.Label)
		if g.Loaded() {
			then = command("reload", g.Target.String())
		}
		advice := "Mend what that finds, or write it again with hermes gateway install, then " + then + "."
		d.add(g, "plist-unreadable", command("lint", g.Plist), strings.TrimSpace(remedyOf(g.Problem)+" "+advice), "Its property list cannot be read: %v.", g.Problem)
	case g.Problem != nil:
		d.add(g, "plist-unreadable", command("status", g.Target.String()), remedyOf(g.Problem), "It cannot be looked at as a whole: %v.", g.Problem)
	}
	if g.Unknown {
		return
	}
	if !g.Loaded() {
		d.unloaded(g)
		return
	}
	if len(g.Domains) > 1 {
		d.add(g, "both-domains", command("stop", target(g, g.Domains[1])), "", "It is loaded in %s and in %s, each time with a process of its own.", g.Domains[0], g.Domains[1])
	}
	if g.Job.Disabled != nil && *g.Job.Disabled {
		d.add(g, "disabled", command("ctl", "enable", g.Target.String()), "", "It is disabled: it runs now, but launchd does not load it at the next login.")
	}
	d.plist(g)
	d.process(g)
}

func (d *diagnosis) unloaded(g *Gateway) {
	other := d.fleet.RunsFor(g.Home)
	disabled := g.Job.Disabled != nil && *g.Job.Disabled
	switch {
	case g.ServedBy != "" || g.Plist == "":
	case g.unreadable: // nor can launchd load it: that comes first
	case other != nil && disabled: // the next login does not load it
	case other != nil:
		d.add(g, "duplicate", command("ctl", "disable", g.Target.String()), "Or take "+g.Plist+" away; if it is the one that you want, stop "+other.Label+" instead.", "Its property list is there, and the next login loads it, although %s runs for the same home.", other.Target)
	case disabled:
		d.add(g, "disabled", command("ctl", "enable", g.Target.String())+" && "+command("start", g.Label), "", "It is disabled, so launchd does not load it, although its property list is there.")
	default:
		d.add(g, "not-loaded", command("start", g.Label), "", "launchd does not have it, although its property list is there: it does not run.")
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
		d.add(g, "stale", command("reload", g.Target.String()), "", "Its property list says otherwise than what is loaded: %s.", joined(g.Stale))
	}
	var folders []string
	findings, err := launchd.Lint(g.Plist, launchd.LintOptions{Domain: g.Target.Domain})
	if err != nil {
		return // Problem says so
	}
	for _, f := range findings {
		switch {
		case f.Rule == "session-domain":
			d.wrongDomain(g, f)
		case f.Rule == "output-folder-missing":
			folders = append(folders, f.Problem)
		case strings.HasPrefix(f.Rule, "output-"):
			d.add(g, "log-path", command("lint", g.Plist), f.Fix+".", "launchd may not be able to write its log: %s.", f.Problem)
		case f.Fatal, f.Rule == "keepalive-replace":
			d.add(g, f.Rule, command("lint", g.Plist), f.Fix+".", "Its property list: %s.", f.Problem)
		}
	}
	if g.plist == nil {
		return
	}
	if folders != nil {
		var missing []string
		for _, path := range outputs(g.plist) {
			if dir := filepath.Dir(path); !isFolder(dir) && !slices.Contains(missing, dir) {
				missing = append(missing, dir)
			}
		}
		d.add(g, "log-path", shellwords.Join(append([]string{"mkdir", "-p", "--"}, missing...)...)+" && "+command("restart", g.Target.String()), "",
			"launchd cannot write its log: %s.", folders[0])
	}
	for _, path := range outputs(g.plist) {
		d.log(g, path)
	}
}

// wrongDomain names the domain where the property list wants it.
func (d *diagnosis) wrongDomain(g *Gateway, f launchd.Finding) {
	mend, advice := command("lint", g.Plist), f.Fix+"."
	for i, session := range []string{"Aqua", "Background"} {
		to := d.h.domains()[i]
		if !slices.Contains(g.plist.LimitLoadToSessionType, session) {
			continue
		}
		start := []string{"start", target(g, to)}
		if g.Plist != d.h.in.PlistPath(g.Label) {
			start = append(start, "--plist", g.Plist)
		}
		mend, advice = command("stop", g.Target.String())+" && "+command(start...), ""
	}
	d.add(g, "wrong-domain", mend, advice, "It is loaded in a domain that its property list does not admit: %s.", f.Problem)
}

// log looks whether a log that is there can be read.
func (d *diagnosis) log(g *Gateway, path string) {
	err := readableLog(d.h.in, path)
	if err == nil {
		return
	}
	mend, advice := "", "Name another one in the property list, and load that with hermes-gw reload."
	info, gone := os.Lstat(path)
	if gone == nil && info.Mode().IsRegular() {
		mend, advice = shellwords.Join("sudo", "chown", "--", strconv.Itoa(d.h.in.UID), path), ""
		if errors.Is(err, fs.ErrPermission) && ownedBy(info, d.h.in.UID) {
			mend = shellwords.Join("chmod", "u+rw", "--", path)
		}
	}
	d.add(g, "log-path", mend, advice, "Its log %s cannot be read: %v.", path, pathless(err))
}

// target is the job in another domain.
func target(g *Gateway, d launchd.Domain) string {
	return launchd.Target{Domain: d, Label: g.Label}.String()
}

// outputs are the files that a job writes to, each once.
func outputs(p *launchd.Plist) (paths []string) {
	for _, path := range []string{p.StandardOutPath, p.StandardErrorPath} {
		if filepath.IsAbs(path) && !slices.Contains(paths, path) {
			paths = append(paths, path)
		}
	}
	return paths
}

// command is a call of hermes-gw as it is typed.
func command(words ...string) string {
	return shellwords.Join(append([]string{"hermes-gw"}, words...)...)
}

// readableLog says why a log that is there cannot be read by its user. A device is none.
func readableLog(in Install, path string) error {
	if info, err := os.Stat(path); path == "" || err == nil && info.Mode()&fs.ModeDevice != 0 {
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
	restart := command("restart", g.Target.String())
	j := g.Job
	if n, mended := d.h.settled(d.ctx, g, d.h.flightNote(g.Target).last(d.h.o.Address)); n >= flapStarts {
		did := "It starts again and again"
		if mended {
			did = "It started again and again until it was restarted a moment ago, which may have mended it or not"
		}
		d.add(g, "flapping", command("stop", g.Target.String()), "See with "+command("logs", g.Label)+" why it ends, mend that, then "+command("start", g.Label)+".",
			"%s: %d times without being asked to, as far as hermes-gw knows%s.", did, n, lastExit(j))
		if j.PID == 0 {
			return
		}
	}
	switch {
	case j.State == launchd.StateSpawnScheduled:
		d.add(g, "throttled", restart, "", "launchd holds its next start back: it exited sooner than %s after its last one%s.", throttle(j), lastExit(j))
		return
	case j.Pended != "":
		d.add(g, "throttled", restart, "", "launchd holds its start back (%s).", j.Pended)
		return
	case j.PID == 0 && (j.LastExit.Kind == launchd.ExitCode && (j.LastExit.Code == 78 || j.LastExit.Code == 0)):
		d.add(g, "parked", restart, "First see with "+command("logs", g.Label)+" why it ended.",
			"It is parked: it ended by itself with %s, as it does when its configuration is refused or it is stopped, and launchd leaves it alone.", j.LastExit)
		return
	case j.PID == 0:
		d.add(g, "not-running", restart, "", "It is loaded, but has no process%s.", lastExit(j))
		return
	}
	if g.Process.IsZero() && g.Age() > startsFor {
		d.add(g, "no-gateway", command("ps", "--tree"), "", "Process %d and what is below it has no gateway in it, by its arguments.", j.PID)
	}
	if path, at := replaced(g); path != "" {
		d.add(g, "replaced-program", restart, "If launchd kills the new process (launch constraint), "+command("reload", g.Target.String())+".",
			"Its program %s was replaced %v after it was started.", path, at.Round(time.Second))
	}
}

func throttle(j launchd.Job) string {
	if j.MinimumRuntime == nil {
		return "its throttle interval"
	}
	return j.MinimumRuntime.String()
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func ownedBy(info fs.FileInfo, uid int) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == uid
}

// pathless is what is wrong with a file, without its name.
func pathless(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
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
	there := shellwords.Join("env", "HERMES_HOME="+g.Foreign, "hermes-gw", "doctor")
	d.add(g, "foreign", there, "That looks after it. Leave it alone here, or set HERMES_HOME to "+g.Foreign+" if it is the one you mean.", "It bears a gateway's label and belongs to another installation, %s.", g.Foreign)
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
			d.add(g, "duplicate", command("stop", g.Target.String()), "Then take its property list away, or the next login loads it again.", "It is one of two jobs for %s: the other is %s.", g.Home, other.Target)
			continue
		}
		first[g.Home] = g
	}
}

// strays looks for gateways that run beside a job of the same home.
func (d *diagnosis) strays(plan sweep.Plan, gateways []Gateway) {
	for _, p := range plan.Signal {
		home, proven := d.h.homeOf(p)
		if !proven && !stillThere(p) { // what is about to exit shows no environment
			continue
		}
		i := slices.IndexFunc(gateways, func(g Gateway) bool { return g.Home == home })
		if i < 0 {
			continue
		}
		d.add(&gateways[i], "duplicate", command("restart", "--all"), "", "Process %d is a second gateway for %s, which launchd does not manage.", p.PID, home)
	}
}

// stillThere reports whether a process that was found goes on running the same program.
func stillThere(p sweep.Planned) bool {
	var table sweep.Table
	if table.Read(context.Background(), -1) != nil {
		return false
	}
	now := table.Find(p.PID)
	if now == nil || now.Identity != p.Identity || now.State == sweep.StateZombie {
		return false
	}
	argv, err := table.Args(now)
	return err == nil && slices.Equal(argv, p.Argv)
}
