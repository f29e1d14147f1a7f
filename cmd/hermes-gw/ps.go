package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/sweep"
)

// psRow is one row of ps: a gateway, or a process that has one below it.
type psRow struct {
	pid, parent int
	match       sweep.Match
	age         time.Duration
	state       sweep.State
	argv        []string       // redacted
	job         launchd.Target // the job that it belongs to, if launchd manages it
	known       bool           // launchd was asked
	under       int            // the pid of the row that it is below in the tree, or 0
	depth       int
}

// managed says who starts the process again.
func (r psRow) managed() string {
	switch {
	case r.job.Label != "":
		return r.job.String()
	case !r.known:
		return "?"
	}
	return "manual"
}

func (r psRow) profile() string {
	if r.match.Profile == "" {
		return "default"
	}
	return r.match.Profile
}

func (r psRow) exitCode() int      { return exitOK }
func (r psRow) line() string       { return "" } // all rows are printed as one table
func (r psRow) warnings() []string { return nil }
func (r psRow) trouble() *problem  { return nil }
func (r psRow) subject() string    { return fmt.Sprint(r.pid) }

func (r psRow) MarshalJSON() ([]byte, error) {
	row := struct {
		PID        int        `json:"pid"`
		Parent     int        `json:"parent"`
		Kind       sweep.Kind `json:"kind"`
		Profile    string     `json:"profile"`
		Managed    *bool      `json:"managed"` // null when launchd could not be asked
		Target     string     `json:"target,omitempty"`
		Label      string     `json:"label,omitempty"`
		State      string     `json:"state"`
		AgeSeconds float64    `json:"age_s"`
		Argv       []string   `json:"argv"`
	}{r.pid, r.parent, r.match.Kind, r.match.Profile, nil, "", r.job.Label, r.state.String(), float64(r.age.Milliseconds()) / 1000, r.argv}
	if r.known {
		managed := r.job.Label != ""
		row.Managed = &managed
	}
	if r.job.Label != "" {
		row.Target = r.job.String()
	}
	return json.Marshal(row)
}

func runPS(c *command) report {
	uid, err := c.user()
	if err != nil {
		return report{err: err}
	}
	ctx, cancel := c.within(askTimeout)
	defer cancel()
	// Who launchd manages is told if there is a launchd; the processes are there anyway.
	jobs, unasked := c.jobs(ctx, uid)
	if unasked != nil && isUsage(unasked) {
		return report{err: unasked}
	}
	var table sweep.Table
	if err := table.Read(ctx, -1); err != nil {
		return report{err: err}
	}
	if unasked == nil { // a job that started between the two lists is in one of them
		var more map[int]launchd.Target
		if more, unasked = c.jobs(ctx, uid); unasked == nil {
			maps.Copy(jobs, more)
		}
	}
	rows := psRows(&table, uint32(uid), jobs, unasked == nil)
	var r report
	for _, row := range rows {
		r.results = append(r.results, row)
	}
	if unasked != nil {
		r.warning = "launchd was not asked, so who started them is not known: " + message(unasked)
	}
	if len(rows) == 0 {
		note := fmt.Sprintf("user %d has no process of a Hermes gateway", uid)
		return report{text: note + "\n", fields: fields{Note: note}, warning: r.warning, exit: exitNotThere}
	}
	r.text = psTable(rows, c.opts.tree)
	return r
}

// jobs returns the processes of the user's jobs and the system's, by pid. A domain that does
// not exist has none; one that cannot be listed is an error, since a gateway of its would
// look like nobody's.
func (c *command) jobs(ctx context.Context, uid int) (map[int]launchd.Target, error) {
	if err := c.connect(); err != nil {
		return nil, err
	}
	jobs := map[int]launchd.Target{}
	var missing error
	listed := 0
	for _, d := range []launchd.Domain{launchd.GUI(uid), launchd.User(uid), launchd.System()} {
		entries, err := c.launchd.List(ctx, d)
		if errors.Is(err, launchd.ErrNoDomain) {
			missing = err
			continue
		}
		if err != nil {
			return nil, err
		}
		listed++
		for _, e := range entries {
			if e.PID > 1 {
				jobs[e.PID] = launchd.Target{Domain: d, Label: e.Label}
			}
		}
	}
	if listed == 0 {
		return nil, missing
	}
	return jobs, nil
}

// psRows finds the gateways and what they run in, parents before their children.
func psRows(t *sweep.Table, uid uint32, jobs map[int]launchd.Target, known bool) (rows []psRow) {
	var managed []sweep.Managed
	for pid, target := range jobs {
		managed = append(managed, sweep.Managed{PID: pid, Label: target.Label})
	}
	for p := range t.All() {
		if p.UID != uid || p.State == sweep.StateZombie || !sweep.Candidate(p.Comm()) {
			continue
		}
		argv, err := t.Args(p)
		if err != nil {
			continue
		}
		m := sweep.Matcher{}.Match(argv)
		if m.Kind == sweep.KindOther {
			continue
		}
		row := psRow{pid: p.PID, parent: p.Parent, match: m, age: p.Age(), state: p.State, argv: sweep.Redact(argv), known: known}
		if job, ok := t.ManagedBy(p.PID, managed); ok {
			row.job = jobs[job.PID]
		}
		rows = append(rows, row)
	}
	there := map[int]bool{}
	for _, r := range rows {
		there[r.pid] = true
	}
	for i := range rows {
		for _, above := range t.Ancestors(rows[i].pid) { // a shell can stand in between
			if there[above.PID] {
				rows[i].under = above.PID
				break
			}
		}
	}
	return inTree(rows)
}

// inTree orders rows by pid, each below the one that it is under.
func inTree(rows []psRow) (ordered []psRow) {
	sort.Slice(rows, func(i, j int) bool { return rows[i].pid < rows[j].pid }) // as in sweep.NewPlan
	var add func(under, depth int)
	add = func(under, depth int) {
		for _, r := range rows {
			if r.under == under {
				r.depth = depth
				ordered = append(ordered, r)
				if depth < len(rows) {
					add(r.pid, depth+1)
				}
			}
		}
	}
	add(0, 0)
	for _, r := range rows { // in a cycle, which only pids that are used again can make
		if !slices.ContainsFunc(ordered, func(o psRow) bool { return o.pid == r.pid }) {
			ordered = append(ordered, r)
		}
	}
	return ordered
}

// psTable is what people see: the gateways, and in a tree what they run in as well. A wrapper
// without a gateway is always there: that is all there is to see of it.
func psTable(rows []psRow, tree bool) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "PID\tPROFILE\tKIND\tAGE\tMANAGED BY\tCOMMAND")
	for i, r := range rows {
		wraps := r.match.Kind == sweep.KindWrapper && i+1 < len(rows) && rows[i+1].depth > r.depth
		if wraps && !tree {
			continue
		}
		indent := ""
		if tree && r.depth > 0 {
			indent = strings.Repeat("  ", r.depth-1) + "└ "
		}
		kind := string(r.match.Kind)
		if r.state == sweep.StateStopped {
			kind += " (stopped)"
		}
		fmt.Fprintf(w, "%s%d\t%s\t%s\t%s\t%s\t%s\n", indent, r.pid, shown(r.profile()), kind, age(r.age), shown(r.managed()), strings.Join(r.argv, " "))
	}
	w.Flush()
	return b.String()
}

// age is a duration as ps(1) has it in mind: its two largest units.
func age(d time.Duration) string {
	switch s := int(d / time.Second); {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	case s < 86400:
		return fmt.Sprintf("%dh%02dm", s/3600, s/60%60)
	default:
		return fmt.Sprintf("%dd%02dh", s/86400, s/3600%24)
	}
}
