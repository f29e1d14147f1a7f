package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	hermesgw "github.com/hermes-gw/hermes-gw"
	"github.com/hermes-gw/hermes-gw/internal/shellwords"
	"github.com/hermes-gw/hermes-gw/launchd"
)

// gatewayPrefix is how the labels of Hermes gateways begin (hermes_cli/gateway_launchd.py of NousResearch/hermes-agent).
const gatewayPrefix = "ai.hermes.gateway"

// gatewayResult is one gateway as status shows it.
type gatewayResult struct {
	hermesgw.Gateway
	rival string // the job that runs for the same home, of one that is not loaded
}

func (r *gatewayResult) exitCode() int     { return exitOK } // it was shown
func (r *gatewayResult) subject() string   { return r.Target.String() }
func (r *gatewayResult) line() string      { return "" } // all rows are printed as one table
func (r *gatewayResult) trouble() *problem { return explain(r.Problem) }

// state is one word for what the job is.
func (r *gatewayResult) state() string {
	switch {
	case r.Foreign != "":
		return "foreign"
	case r.ServedBy != "":
		return "served"
	case r.Unknown:
		return "unknown"
	case !r.Loaded() && r.Job.Disabled != nil && *r.Job.Disabled:
		return "disabled"
	case !r.Loaded():
		return "not-loaded"
	case r.Job.State != "":
		return string(r.Job.State)
	case r.Job.Running():
		return "running"
	}
	return "not running"
}

func (r *gatewayResult) warnings() (list []string) {
	warn := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	switch {
	case r.Foreign != "":
		return nil // not ours to worry about
	case r.ServedBy != "", r.Unknown:
	case !r.Loaded() && r.Job.Disabled != nil && *r.Job.Disabled:
		warn("it is disabled, so launchd does not load it: %s && %s", gw("ctl", "enable", r.subject()), gw("start", r.Label))
	case r.rival != "":
		warn("it is not loaded, and %s runs for the same home: take %s away", r.rival, r.Plist)
	case !r.Loaded() && r.Plist != "":
		warn("its property list is there, but launchd does not have the job: %s", gw("start", r.Label))
	}
	if r.Loaded() && r.Job.Disabled != nil && *r.Job.Disabled {
		warn("it is disabled, so the next login does not load it: %s", gw("ctl", "enable", r.subject()))
	}
	if len(r.Domains) > 1 {
		names := make([]string, len(r.Domains))
		for i, d := range r.Domains {
			names[i] = d.String()
		}
		warn("it is loaded in %s, each time with a process of its own: %s", strings.Join(names, " and "), gw("stop", names[len(names)-1]+"/"+r.Label))
	}
	if len(r.Stale) > 0 {
		warn("its property list says otherwise than what is loaded (%s): %s", strings.Join(r.Stale, ", "), gw("reload", r.subject()))
	}
	if r.Stopped {
		warn("its gateway's process %d is stopped (SIGSTOP) and does nothing: kill -CONT %[1]d", r.Process.PID)
	}
	if r.Locked && r.Job.PID == 0 {
		warn("another process holds the lock of %s: hermes-gw ps", r.Home)
	}
	return list
}

// gw is a call of this program as it is typed.
func gw(words ...string) string {
	return shellwords.Join(append([]string{"hermes-gw"}, words...)...)
}

// MarshalJSON leaves out what is not known, and the arguments: they can hold secrets.
func (r *gatewayResult) MarshalJSON() ([]byte, error) {
	type runtime struct {
		State    string                  `json:"state"`
		Answered bool                    `json:"answered"`
		Work     []hermesgw.WorkDocument `json:"active_work,omitempty"`
		CodeSHA  string                  `json:"code_sha,omitempty"`
		Version  string                  `json:"code_version,omitempty"`
		Served   []string                `json:"served_profiles,omitempty"`
	}
	j := r.Job
	row := struct {
		Target   string   `json:"target"`
		Label    string   `json:"label"`
		Profile  string   `json:"profile,omitempty"`
		Home     string   `json:"home,omitempty"`
		State    string   `json:"state"`
		PID      *int     `json:"pid"`
		Gateway  *int     `json:"gateway_pid"`
		Tree     []int    `json:"tree,omitempty"`
		Age      float64  `json:"age_s,omitempty"`
		Type     string   `json:"type,omitempty"`
		Path     string   `json:"path,omitempty"`
		Program  string   `json:"program,omitempty"`
		Runs     *int     `json:"runs,omitempty"`
		LastExit string   `json:"last_exit,omitempty"`
		Disabled *bool    `json:"disabled,omitempty"`
		Stale    []string `json:"stale,omitempty"`
		Foreign  string   `json:"foreign,omitempty"`
		ServedBy string   `json:"served_by,omitempty"`
		Locked   bool     `json:"locked,omitempty"`
		Runtime  *runtime `json:"runtime,omitempty"`
		Warnings []string `json:"warnings"`
		Error    *problem `json:"error,omitempty"`
	}{
		Target: r.subject(), Label: r.Label, Profile: r.Profile, Home: r.Home, State: r.state(), PID: pid(j.PID), Gateway: pid(r.Process.PID),
		Tree: pidsOf(r.Tree), Age: r.Age().Round(time.Millisecond).Seconds(), Type: j.Type, Path: r.Plist, Program: j.Program, Runs: j.Runs, LastExit: j.LastExit.String(),
		Disabled: j.Disabled, Stale: r.Stale, Foreign: r.Foreign, ServedBy: r.ServedBy, Locked: r.Locked, Warnings: list(r.warnings()), Error: r.trouble(),
	}
	if t := r.Runtime; t != nil {
		row.Runtime = &runtime{t.State, t.Answered, hermesgw.WorkDocuments(t.Work), t.CodeSHA, t.Version, t.Served}
	}
	return json.Marshal(row)
}

func pidsOf(tree []hermesgw.Identity) (pids []int) {
	for _, id := range tree {
		pids = append(pids, id.PID)
	}
	return pids
}

// showFleet shows every gateway of the installation, and whatever else bears a gateway's label.
func (c *command) showFleet(ctx context.Context, uid int) report {
	h, err := c.hermes(uid)
	if err != nil {
		return report{err: err}
	}
	fleet, err := h.Discover(ctx)
	if err != nil {
		return report{err: err}
	}
	var r report
	for _, g := range slices.Concat(fleet.Gateways, fleet.Others) {
		one := &gatewayResult{Gateway: g}
		if other := fleet.RunsFor(g.Home); !g.Loaded() && g.Foreign == "" && other != nil {
			one.rival = other.Target.String()
		}
		r.results = append(r.results, one)
	}
	r.fields.Warnings = fleet.Warnings
	if len(r.results) == 0 {
		r.text, r.fields.Note, r.exit = noGateways()
		return r
	}
	r.text = fleetTable(r.results)
	return r
}

// fleetTable is what people see.
func fleetTable(rows []result) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "PROFILE\tSTATE\tPIDS\tUPTIME\tRUNS\tLAST EXIT\tPLIST\tGATEWAY")
	or := func(s string) string {
		if s == "" {
			return "-"
		}
		return shown(s)
	}
	for _, one := range rows {
		r := one.(*gatewayResult)
		state, up, runs, last := r.state(), "", "", r.Job.LastExit.String()
		if t := r.Runtime; t != nil && t.State != "" && t.State != state {
			state += " (" + t.State + ")"
		}
		if r.ServedBy != "" {
			state = "served by " + r.ServedBy
		}
		if d := r.Age(); d > 0 {
			up = age(d)
		}
		if r.Job.Runs != nil {
			runs = strconv.Itoa(*r.Job.Runs)
		}
		if r.Job.LastExit.Kind == launchd.ExitNever {
			last = ""
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", or(r.Profile), or(state), or(r.tree()), or(up), or(runs), or(last), or(r.file()), shown(r.subject()))
	}
	w.Flush()
	return b.String()
}

// tree is the job's process and, behind arrows, those down to the gateway's.
func (r *gatewayResult) tree() string {
	switch {
	case r.Job.PID == 0:
		return ""
	case r.Age() == 0: // the process table has not shown it, nor what it is
		return strconv.Itoa(r.Job.PID)
	case len(r.Tree) == 0:
		return strconv.Itoa(r.Job.PID) + " (no gateway)"
	}
	words := make([]string, len(r.Tree))
	for i, id := range r.Tree {
		words[i] = strconv.Itoa(id.PID)
	}
	return strings.Join(words, " > ")
}

// file says whether what is loaded is what the property list says.
func (r *gatewayResult) file() string {
	switch {
	case r.Plist == "" && r.Loaded():
		return "gone"
	case r.Plist == "":
		return ""
	case !r.Loaded():
		return "there"
	case len(r.Stale) > 0:
		return "stale"
	}
	return "current"
}
