package sweep

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
)

// Managed is a process that launchd manages: the process of one of its jobs. What is below it,
// and what its process group holds, is managed too.
type Managed struct {
	PID   int
	Label string
}

// Options say what a [Plan] is made for. The zero value takes every gateway of the caller's
// own user that launchd does not manage.
type Options struct {
	// UID is whose processes are looked for; -1 is the caller's effective user.
	// Those of other users are never signalled.
	UID int
	// Match decides by argv; nil takes what the zero [Matcher] calls a gateway or a restart.
	Match func(argv []string) (match bool, reason string)
	// Managed are the processes of launchd's jobs, as they were listed before the
	// process table and after it: both lists together.
	Managed []Managed
	// Since, if not zero, spares what started at that time or later, on the clock of
	// [Identity].Start: it can be a job's that was not listed yet.
	Since int64
	// Self is the calling process; 0 is this one.
	Self int
}

// Planned is a process that a plan is about.
type Planned struct {
	Identity
	Argv   []string
	Reason string // why it is signalled, or why it is spared
}

// Plan says what is to be signalled and what is not, before anything is. It is made of one
// snapshot.
type Plan struct {
	Signal []Planned
	// Spared are the processes that look like those to be signalled and are left alone, with the
	// reason for each: the caller, its ancestors and its group, what launchd manages,
	// what cannot be read.
	Spared []Planned
}

// NewPlan makes a plan of a table that was read for o.UID or for all users. The arguments of
// a process are read only if it is a candidate by user, state and name. One that cannot be
// read is spared, never signalled.
func NewPlan(ctx context.Context, t *Table, o Options) (Plan, error) {
	return newPlan(ctx, t, o, t.argsOfPID)
}

func newPlan(ctx context.Context, t *Table, o Options, args func(*Process) ([]string, error)) (Plan, error) {
	if len(t.rows) == 0 {
		return Plan{}, errors.New("plan a sweep: the process table is empty")
	}
	x := newSparing(t, o)
	if t.Find(x.self) == nil {
		return Plan{}, fmt.Errorf("plan a sweep: the caller, process %d, is not in the process table", x.self)
	}
	match := o.Match
	if match == nil {
		match = gateways
	}
	var plan Plan
	for p := range t.All() {
		if err := ctx.Err(); err != nil {
			return Plan{}, fmt.Errorf("plan a sweep: %w", err)
		}
		if p.UID != x.uid || p.State == StateZombie || p.PID <= 1 || !candidate(p.comm[:p.commLen]) {
			continue
		}
		argv, err := args(p)
		if err != nil {
			continue // gone, a zombie, or unreadable: never a match
		}
		ok, why := match(argv)
		if !ok {
			continue
		}
		planned := Planned{Identity: p.Identity, Argv: argv, Reason: why}
		if reason := x.reason(p); reason != "" {
			planned.Reason = reason
			plan.Spared = append(plan.Spared, planned)
			continue
		}
		plan.Signal = append(plan.Signal, planned)
	}
	byPID := func(a, b Planned) int { return a.PID - b.PID }
	slices.SortFunc(plan.Signal, byPID)
	slices.SortFunc(plan.Spared, byPID)
	return plan, nil
}

func gateways(argv []string) (bool, string) {
	m := Matcher{}.Match(argv)
	return m.Kind == KindGateway || m.Kind == KindRestart, m.Reason
}

// sparing knows what a sweep never signals.
type sparing struct {
	self    int
	uid     uint32
	since   int64
	near    map[int]string // pids of the caller, its ancestors and its group
	managed map[int]string // pids of jobs and of what is below them
	groups  map[int]string // process groups that a job's process leads
}

func newSparing(t *Table, o Options) *sparing {
	x := &sparing{self: o.Self, uid: uint32(o.UID), since: o.Since, near: map[int]string{}, managed: map[int]string{}, groups: map[int]string{}}
	if x.self == 0 {
		x.self = os.Getpid()
	}
	if o.UID < 0 {
		x.uid = uint32(os.Geteuid())
	}
	x.near[x.self] = "it is the caller"
	for _, p := range t.Ancestors(x.self) {
		x.near[p.PID] = "it is an ancestor of the caller"
	}
	if self := t.Find(x.self); self != nil && self.Group > 1 {
		for _, p := range t.Group(self.Group) {
			if x.near[p.PID] == "" {
				x.near[p.PID] = "it is in the caller's process group"
			}
		}
	}
	for _, m := range o.Managed {
		if m.PID <= 1 {
			continue
		}
		x.managed[m.PID] = "launchd manages it as " + m.Label
		x.groups[m.PID] = "its process group is that of " + m.Label
		for _, p := range t.Descendants(m.PID) {
			if x.managed[p.PID] == "" {
				x.managed[p.PID] = "it belongs to " + m.Label
			}
		}
	}
	return x
}

// reason tells why a process is spared, "" if it is not.
func (x *sparing) reason(p *Process) string {
	switch {
	case p.PID <= 1:
		return "it is a process of the system"
	case x.near[p.PID] != "":
		return x.near[p.PID]
	case x.managed[p.PID] != "":
		return x.managed[p.PID]
	case x.groups[p.Group] != "":
		return x.groups[p.Group]
	case p.UID != x.uid:
		return fmt.Sprintf("it is another user's (%d)", p.UID)
	case p.State == StateZombie:
		return "it has exited"
	case x.since != 0 && p.Start >= x.since:
		return "it started after the jobs were listed"
	}
	return ""
}
