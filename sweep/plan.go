package sweep

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sort"

	"github.com/hermes-gw/hermes-gw/internal/proc"
)

// Options say what a [Plan] is made for. The zero value takes every gateway of the user that
// launchd does not manage, as far as no jobs are named.
type Options struct {
	// Match decides by argv; nil is the Match of the zero [Matcher]. What is a [KindGateway]
	// is signalled if nothing spares it. A [KindRestart] can be somebody's restart under way as
	// well as the gateway that one became, and a [KindWrapper] ends by itself: both are
	// spared. A [KindOther] is not in the plan.
	Match func(argv []string) Match
	// Managed are the processes of launchd's jobs, of Hermes' at least: as they were listed
	// before the process table was read and after it, both lists together. See [Survey].
	Managed []Managed
	// Since, if not 0, spares what started then or later, on the clock of [Now]: it can
	// be a job's that was not listed yet.
	Since int64
	// Self is the pid of the process on whose behalf this is done; 0 is this one. Both are
	// spared, and so are the ancestors and process groups of both.
	Self int
	// Others reads the arguments of other users' processes too, as far as the system shows them,
	// so that their gateways are among those spared.
	Others bool
	// Spare, if not nil, is asked last about each process that would be signalled, when the
	// plan is made and again right before each signal: a reason spares it.
	Spare func(Planned) (reason string)
}

// Now is the present on the clock of [Identity].Start, rounded down as starts are: what starts
// from now on has this Start or a later one, unless macOS' clock is set back.
func Now() int64 {
	now := proc.Clock().Microseconds()
	return now - now%startUnit
}

// Planned is a process that a plan is about.
type Planned struct {
	Identity
	Argv   []string // nil if it could not be read
	Match  Match    // the zero value without Argv
	State  State
	Reason string // why it is signalled, or why it is spared
}

// Plan says what is to be signalled and what is not, before anything is. It is made of one
// snapshot. A caller may take processes out of it.
type Plan struct {
	Signal []Planned
	// Spared are the processes that look like those to be signalled and are left alone, with the
	// reason for each: the caller, its ancestors and its group, what launchd manages, other
	// users' (with Options.Others); and those that may be one, but have exited or
	// cannot be read.
	Spared []Planned

	rules *rules // nil in a plan that NewPlan did not make
}

// rules are what decides about a process: when a plan is made, and again before a signal.
type rules struct {
	uid uint32
	Options
}

// Survey makes a plan in the one order that loses no job: it lists the jobs, reads the process
// table, and lists the jobs again. What belongs to a job of either list is spared, and so is
// what started after the first one, or after o.Since if that is set. o.Managed can have jobs
// of a still earlier list. If anything fails, there is no plan.
func Survey(ctx context.Context, uid int, jobs func(context.Context) ([]Managed, error), o Options) (Plan, error) {
	if o.Since == 0 {
		o.Since = Now()
	}
	before, err := jobs(ctx)
	if err != nil {
		return Plan{}, fmt.Errorf("plan a sweep: list the jobs: %w", err)
	}
	var t Table
	if err := t.Read(ctx, -1); err != nil {
		return Plan{}, fmt.Errorf("plan a sweep: %w", err)
	}
	after, err := jobs(ctx)
	if err != nil {
		return Plan{}, fmt.Errorf("plan a sweep: list the jobs again: %w", err)
	}
	o.Managed = slices.Concat(o.Managed, before, after)
	return NewPlan(ctx, &t, uid, o)
}

// NewPlan makes a plan for the processes of one user, of a table that was read for all users:
// the parents of a user's processes can be others'. The arguments of a process are read only
// if it is a candidate by user, state and name. One that cannot be read is spared.
//
// It is an error if the ancestors of the caller are not all in the table: any process
// could be one then.
func NewPlan(ctx context.Context, t *Table, uid int, o Options) (Plan, error) {
	if uid < 0 || uint64(uid) > 1<<32-1 {
		return Plan{}, fmt.Errorf("plan a sweep: %d is no user", uid)
	}
	return newPlan(ctx, t, &rules{uint32(uid), o}, t.argsOfPID)
}

func newPlan(ctx context.Context, t *Table, r *rules, args func(*Process) ([]string, error)) (Plan, error) {
	x, err := r.sparing(t)
	if err != nil {
		return Plan{}, fmt.Errorf("plan a sweep: %w", err)
	}
	match := r.Match
	if match == nil {
		match = Matcher{}.Match
	}
	plan := Plan{rules: r}
	for p := range t.All() {
		if err := ctx.Err(); err != nil {
			return Plan{}, fmt.Errorf("plan a sweep: %w", err)
		}
		mine := p.UID == r.uid && p.RealUID == r.uid
		if !mine && !r.Others || p.PID <= 1 || p.kernel || !candidate(p.comm[:p.commLen]) {
			continue
		}
		planned := Planned{Identity: p.Identity, State: p.State}
		argv, err := args(p)
		switch {
		case errors.Is(err, ErrGone), err != nil && !mine:
			continue
		case err != nil:
			planned.Reason = "its arguments cannot be read"
			if p.State == StateZombie || errors.Is(err, ErrZombie) {
				planned.Reason = "it has exited, and its parent has not noticed"
			}
			if reason := x.reason(p); reason != "" {
				planned.Reason = reason
			}
			plan.Spared = append(plan.Spared, planned)
			continue
		}
		planned.Argv, planned.Match = argv, match(argv)
		if planned.Match.Kind == KindOther {
			continue
		}
		planned.Reason = planned.Match.Reason
		reason := x.reason(p)
		if reason == "" {
			reason = r.kept(planned)
		}
		if reason != "" {
			planned.Reason = reason
			plan.Spared = append(plan.Spared, planned)
			continue
		}
		plan.Signal = append(plan.Signal, planned)
	}
	for _, list := range [][]Planned{plan.Signal, plan.Spared} {
		// Not slices.SortFunc, which would be 20 KB of code of its own for these large values.
		sort.Slice(list, func(i, j int) bool { return list[i].PID < list[j].PID })
	}
	return plan, nil
}

// kept tells why a process is spared that belongs to nobody, "" if it is not.
func (r *rules) kept(p Planned) string {
	switch p.Match.Kind {
	case KindGateway:
	case KindRestart:
		return "it is a restart, or the gateway that one became"
	case KindWrapper:
		return "it only runs the gateway: " + p.Match.Reason
	default:
		return "it is no gateway"
	}
	if r.Spare != nil {
		return r.Spare(p)
	}
	return ""
}

// sparing knows what a sweep never signals, as one snapshot has it.
type sparing struct {
	*rules
	table *Table
	near  map[int]string // pids of the caller, its ancestors and its group
	jobs  map[int]Managed
}

func (r *rules) sparing(t *Table) (*sparing, error) {
	switch {
	case len(t.rows) == 0:
		return nil, errors.New("the process table is empty")
	case !t.all:
		return nil, errors.New("the process table has one user's processes only: read it for all of them")
	}
	x := &sparing{rules: r, table: t, near: map[int]string{}, jobs: jobsByPID(r.Managed)}
	self := r.Self
	if self == 0 {
		self = os.Getpid()
	}
	return x, x.addCaller(self)
}

// addCaller spares a process, what is above it, and its group.
func (x *sparing) addCaller(pid int) error {
	p := x.table.Find(pid)
	if p == nil {
		return fmt.Errorf("the caller, process %d, is not in the process table", pid)
	}
	ancestors, whole := x.table.lineage(pid)
	if !whole {
		last := p
		if len(ancestors) > 0 {
			last = ancestors[len(ancestors)-1]
		}
		return fmt.Errorf("process %d, an ancestor of the caller, has no parent that can be seen, so nobody knows what else is one: try again, or as root", last.PID)
	}
	x.near[pid] = "it is the caller"
	for _, a := range ancestors {
		x.near[a.PID] = "it is an ancestor of the caller"
	}
	for _, member := range x.table.Group(p.Group) {
		if x.near[member.PID] == "" {
			x.near[member.PID] = "it is in the caller's process group"
		}
	}
	return nil
}

// reason tells why a process is spared whatever it is, "" if it is not.
func (x *sparing) reason(p *Process) string {
	_, managed := x.table.managedBy(p, x.jobs)
	_, rooted := x.table.lineage(p.PID)
	switch {
	case p.PID <= 1 || p.kernel:
		return "it is a process of the system"
	case x.near[p.PID] != "":
		return x.near[p.PID]
	case managed != "":
		return managed
	case p.UID != x.uid:
		return fmt.Sprintf("it is another user's (%d)", p.UID)
	case p.RealUID != x.uid:
		return fmt.Sprintf("another user (%d) started it", p.RealUID)
	case p.State == StateZombie:
		return "it has exited, and its parent has not noticed"
	case x.Since != 0 && p.Start >= x.Since:
		return "it started after the jobs were listed"
	case !rooted:
		return "its ancestors cannot be seen, so a job can be one"
	}
	return ""
}
