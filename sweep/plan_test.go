package sweep

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/proc"
)

// forest is a random process table with what a sweep must know of it.
type forest struct {
	table   Table
	argv    map[int][]string // absent: unreadable
	managed []Managed
	self    int
	uid     uint32
	since   int64
}

var gatewayArgv = []string{"python3", "-m", "hermes_cli.main", "gateway", "run"}

// grow makes a table of up to 40 processes: any parents, cycles and missing ones included, groups
// that nobody leads, pids that are used again, gateways everywhere.
func grow(r *rand.Rand) *forest {
	f := &forest{argv: map[int][]string{}, uid: 501}
	n := 2 + r.IntN(39)
	pids := r.Perm(60)[:n]
	pick := func() int { return pids[r.IntN(n)] }
	for _, pid := range pids {
		p := Process{Identity: Identity{PID: pid, Start: int64(1 + r.IntN(100))}, Parent: pick(), Group: pick(), UID: 501, RealUID: 501}
		switch r.IntN(10) {
		case 0:
			p.Parent = 0
		case 1:
			p.Parent = 1
		case 2:
			p.Parent = 1000 // gone
		case 3:
			p.UID = 502
		case 4:
			p.UID = 0
		case 5:
			p.State = StateZombie
		case 6:
			p.State = StateStopped
		}
		p.setComm([]byte([]string{"Python", "zsh", "python3.12", "hermes", "launchd"}[r.IntN(5)]))
		switch r.IntN(4) {
		case 0:
			f.argv[pid] = []string{"sleep", "5"}
		case 1: // unreadable
		default:
			f.argv[pid] = gatewayArgv
		}
		f.table.rows = append(f.table.rows, p)
	}
	for f.self == 0 { // no pid of a caller
		f.self = pick()
	}
	for range r.IntN(4) {
		f.managed = append(f.managed, Managed{pick(), "job"})
	}
	if r.IntN(3) == 0 {
		f.managed = append(f.managed, Managed{0, "idle"}, Managed{-1, "crashed"})
	}
	if r.IntN(2) == 0 {
		f.since = int64(1 + r.IntN(100))
	}
	return f
}

func (f *forest) args(p *Process) ([]string, error) {
	if argv, ok := f.argv[p.PID]; ok {
		return argv, nil
	}
	return nil, ErrUnreadable
}

// row finds a process by going through all of them.
func (f *forest) row(pid int) *Process {
	for i := range f.table.rows {
		if f.table.rows[i].PID == pid {
			return &f.table.rows[i]
		}
	}
	return nil
}

// below reports whether pid is top or below it, step by step and slowly. A parent that began
// later is another process.
func (f *forest) below(pid, top int) bool {
	p := f.row(pid)
	for range 100 {
		if p == nil {
			return false
		}
		if p.PID == top {
			return true
		}
		parent := f.row(p.Parent)
		if parent == nil || parent == p || p.Parent <= 0 || parent.Start > p.Start && parent.PID != 1 || p.PID == 1 {
			return false
		}
		p = parent
	}
	return false
}

// Over random forests: the caller, its ancestors and its group, pids 0 and 1, other users,
// zombies, what cannot be read, and everything of launchd's jobs is never signalled; every
// other gateway is.
func TestPlanForests(t *testing.T) {
	forests := 100_000
	if testing.Short() {
		forests = 1000
	}
	signalled := 0
	for seed := range forests {
		f := grow(rand.New(rand.NewPCG(uint64(seed), 5)))
		plan, err := newPlan(context.Background(), &f.table, Options{UID: 501, Managed: f.managed, Self: f.self, Since: f.since}, f.args)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		self := f.row(f.self)
		want := map[int]bool{}
		for _, p := range f.table.rows {
			managed := slices.ContainsFunc(f.managed, func(m Managed) bool { return m.PID > 1 && (f.below(p.PID, m.PID) || p.Group == m.PID) })
			near := f.below(f.self, p.PID) || self.Group > 1 && p.Group == self.Group
			argv, readable := f.argv[p.PID]
			name := p.Comm()
			if p.PID > 1 && p.UID == 501 && p.State != StateZombie && name != "zsh" && name != "launchd" && readable && len(argv) == 5 &&
				!managed && !near && (f.since == 0 || p.Start < f.since) {
				want[p.PID] = true
			}
		}
		got := map[int]bool{}
		for _, p := range plan.Signal {
			got[p.PID] = true
			if p.Identity != f.row(p.PID).Identity {
				t.Errorf("seed %d: %+v", seed, p)
			}
		}
		if !equal(got, want) {
			t.Fatalf("seed %d: caller %d, jobs %v\n%+v\ngot  %v\nwant %v", seed, f.self, f.managed, f.table.rows, got, want)
		}
		for _, p := range plan.Spared {
			if p.Reason == "" || got[p.PID] {
				t.Errorf("seed %d: %+v", seed, p)
			}
		}
		signalled += len(got)
	}
	if signalled < forests/2 {
		t.Errorf("only %d of %d forests have a gateway to signal", signalled, forests)
	}
}

func equal(a, b map[int]bool) bool {
	if len(a) != len(b) {
		return false
	}
	for k := range a {
		if !b[k] {
			return false
		}
	}
	return true
}

// A table that knows nothing, or not even the caller, is no ground for a plan.
func TestPlanRefuses(t *testing.T) {
	var empty Table
	if _, err := NewPlan(t.Context(), &empty, Options{}); err == nil {
		t.Error("a plan of an empty table")
	}
	f := grow(rand.New(rand.NewPCG(1, 1)))
	if _, err := newPlan(t.Context(), &f.table, Options{UID: 501, Self: 5000}, f.args); err == nil {
		t.Error("a plan without the caller")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := newPlan(ctx, &f.table, Options{UID: 501, Self: f.self}, f.args); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// planOf makes a plan of real processes.
func planOf(t *testing.T, o Options) (Plan, *Table) {
	t.Helper()
	var table Table
	if err := table.Read(t.Context(), -1); err != nil {
		t.Fatal(err)
	}
	if o.UID == 0 {
		o.UID = -1
	}
	plan, err := NewPlan(t.Context(), &table, o)
	if err != nil {
		t.Fatal(err)
	}
	return plan, &table
}

// only keeps what the test started: others may run gateways on this machine.
func only(plan Plan, pids ...int) Plan {
	plan.Signal = slices.DeleteFunc(plan.Signal, func(p Planned) bool { return !slices.Contains(pids, p.PID) })
	return plan
}

func spared(plan Plan, pid int) string {
	for _, p := range plan.Spared {
		if p.PID == pid {
			return p.Reason
		}
	}
	return ""
}

// Real processes: the strays go, one of them the hard way; the rest is as it was.
func TestSweep(t *testing.T) {
	stray := standIn(t, "willing", gatewayArgv...)
	stubborn := standIn(t, "stubborn", "hermes", "-p", "work", "gateway", "run")
	job := standIn(t, "willing", "hermes", "gateway", "run", "--external-supervisor")
	editor := standIn(t, "willing", "vim", "gateway/run.py")
	plan, _ := planOf(t, Options{Managed: []Managed{{job.Process.Pid, "ai.hermes.gateway"}}})
	mine := only(plan, stray.Process.Pid, stubborn.Process.Pid, job.Process.Pid, editor.Process.Pid)
	if len(mine.Signal) != 2 || spared(plan, job.Process.Pid) != "launchd manages it as ai.hermes.gateway" || spared(plan, editor.Process.Pid) != "" {
		t.Fatalf("%+v", plan)
	}
	report, err := Run(t.Context(), mine, RunOptions{Grace: 100 * time.Millisecond})
	if err != nil || report.Left() != 0 || len(report.Results) != 2 {
		t.Fatalf("%+v, %v", report, err)
	}
	for _, r := range report.Results {
		want := Exited
		if r.PID == stubborn.Process.Pid {
			want = Killed
		}
		if r.Outcome != want {
			t.Errorf("%+v", r)
		}
		if _, err := proc.Read(r.PID); !errors.Is(err, proc.ErrGone) {
			t.Errorf("process %d: %v", r.PID, err)
		}
	}
	for _, cmd := range []int{job.Process.Pid, editor.Process.Pid} {
		if _, err := proc.Read(cmd); err != nil {
			t.Errorf("process %d: %v", cmd, err)
		}
	}
	// Once more: they are gone, and that is no error.
	report, err = Run(t.Context(), mine, RunOptions{})
	if err != nil || report.Results[0].Outcome != Gone || report.Results[1].Outcome != Gone {
		t.Errorf("%+v, %v", report, err)
	}
}

// The caller's own kin is spared, whatever it looks like.
func TestSweepSparesKin(t *testing.T) {
	stray := standIn(t, "willing", gatewayArgv...)
	pid := stray.Process.Pid
	match := func(argv []string) (bool, string) {
		return slices.Equal(argv, gatewayArgv) || len(argv) > 0 && argv[0] == os.Args[0], ""
	}
	for name, c := range map[string]struct {
		o    Options
		want string
	}{
		"caller":       {Options{Self: pid}, "it is the caller"},
		"managed":      {Options{Managed: []Managed{{os.Getpid(), "x"}}}, "it belongs to x"},
		"late":         {Options{Since: 1}, "it started after the jobs were listed"},
		"in the group": {Options{Managed: []Managed{{pid, "y"}}}, "launchd manages it as y"},
	} {
		c.o.Match = match
		plan, _ := planOf(t, c.o)
		if got := spared(plan, pid); got != c.want || len(only(plan, pid).Signal) != 0 {
			t.Errorf("%s: spared because %q, want %q", name, got, c.want)
		}
	}
	plan, _ := planOf(t, Options{Match: match})
	if got := spared(plan, os.Getpid()); got != "it is the caller" {
		t.Errorf("this process is spared because %q", got)
	}
	if len(only(plan, pid).Signal) != 1 {
		t.Errorf("%+v", plan)
	}
}

// What is not what the plan says any more is not signalled.
func TestRunChecksAgain(t *testing.T) {
	stray := standIn(t, "willing", gatewayArgv...)
	id, err := proc.Read(stray.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		p    Planned
		o    RunOptions
		want Outcome
	}{
		"other arguments": {Planned{Identity: id, Argv: []string{"hermes", "gateway", "run"}}, RunOptions{}, Spared},
		"another start":   {Planned{Identity: Identity{PID: id.PID, Start: id.Start + 10_000}, Argv: gatewayArgv}, RunOptions{}, Gone},
		"the caller":      {Planned{Identity: proc.Self(), Argv: os.Args}, RunOptions{}, Spared},
		"pid 1":           {Planned{Identity: Identity{PID: 1}}, RunOptions{}, Spared},
		"pid 0":           {Planned{}, RunOptions{}, Spared},
		"pid -1":          {Planned{Identity: Identity{PID: -1}}, RunOptions{}, Spared},
		"asked again": {Planned{Identity: id, Argv: gatewayArgv}, RunOptions{Again: func(p Planned, argv []string) (bool, string) {
			return !slices.Equal(argv, gatewayArgv) || p.Identity != id, "not now"
		}}, Spared},
	} {
		report, err := Run(t.Context(), Plan{Signal: []Planned{c.p}}, c.o)
		if err != nil || report.Results[0].Outcome != c.want || c.want == Spared && report.Results[0].Reason == "" {
			t.Errorf("%s: %+v, %v", name, report.Results, err)
		}
	}
	parent, err := proc.Read(os.Getppid())
	if err != nil {
		t.Fatal(err)
	}
	var table Table
	if err := table.Read(t.Context(), -1); err != nil {
		t.Fatal(err)
	}
	if argv, err := table.Args(table.Find(parent.PID)); err == nil && parent.PID > 1 {
		report, err := Run(t.Context(), Plan{Signal: []Planned{{Identity: parent, Argv: argv}}}, RunOptions{})
		if err != nil || report.Results[0].Outcome != Spared || report.Results[0].Reason != "it is an ancestor of the caller" {
			t.Errorf("%+v, %v", report.Results, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	report, err := Run(ctx, Plan{Signal: []Planned{{Identity: id, Argv: gatewayArgv}}}, RunOptions{})
	if !errors.Is(err, context.Canceled) || report.Left() != 1 {
		t.Errorf("%+v, %v", report, err)
	}
	if now, err := proc.Read(stray.Process.Pid); err != nil || now != id {
		t.Errorf("%v, %v", now, err)
	}
	if err := syscall.Kill(stray.Process.Pid, 0); err != nil {
		t.Error(err)
	}
}

// A hard end is asked for, or it does not happen.
func TestRunLeaves(t *testing.T) {
	stubborn := standIn(t, "stubborn", gatewayArgv...)
	plan, _ := planOf(t, Options{})
	report, err := Run(t.Context(), only(plan, stubborn.Process.Pid), RunOptions{Grace: 50 * time.Millisecond, Leave: true})
	if err != nil || len(report.Results) != 1 || report.Results[0].Outcome != Left || report.Results[0].Err == nil || report.Left() != 1 {
		t.Errorf("%+v, %v", report, err)
	}
	if _, err := proc.Read(stubborn.Process.Pid); err != nil {
		t.Error(err)
	}
}

// Example forms of a spared process, for people.
func TestReasonsAreSentences(t *testing.T) {
	for seed := range uint64(200) {
		f := grow(rand.New(rand.NewPCG(seed, 5)))
		plan, err := newPlan(t.Context(), &f.table, Options{UID: 501, Managed: f.managed, Self: f.self, Since: f.since}, f.args)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range plan.Spared {
			if strings.HasSuffix(p.Reason, ".") || !strings.Contains(p.Reason, " ") {
				t.Errorf("%q", p.Reason)
			}
		}
	}
}
