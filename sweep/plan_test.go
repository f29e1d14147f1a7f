//go:build darwin || linux

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
	since   int64
}

const forestUID = 501

var gatewayArgv = []string{"python3", "-m", "hermes_cli.main", "gateway", "run"}

// forestArgv are what the processes of a forest run; the first alone is ever signalled.
var forestArgv = [][]string{gatewayArgv, {"sleep", "5"}, {"hermes", "gateway", "restart"}, {"sudo", "hermes", "gateway", "run"}}

// grow makes a table of up to 40 processes, most of them in a tree as real ones are, the rest
// with any parents: cycles and missing ones; with groups that nobody leads, and gateways
// everywhere. Starts are random, as a clock that was set back makes them: a parent's says
// nothing about its child's.
func grow(r *rand.Rand) *forest {
	f := &forest{argv: map[int][]string{}}
	n := 2 + r.IntN(39)
	pids := r.Perm(60)[:n]
	pick := func() int { return pids[r.IntN(n)] }
	for i, pid := range pids {
		p := Process{Identity: Identity{PID: pid, Start: int64(1 + r.IntN(100))}, Parent: 1, Group: pick(), UID: forestUID, RealUID: forestUID}
		if i > 0 {
			p.Parent = pids[r.IntN(i)]
		}
		switch r.IntN(40) {
		case 0:
			p.Parent = pick()
		case 1:
			p.Parent = 1000 // not to be seen
		case 2, 3:
			p.Parent = 0
		case 4, 5:
			p.Parent = 1
		}
		switch r.IntN(12) {
		case 0:
			p.UID, p.RealUID = 502, 502
		case 1:
			p.UID, p.RealUID = 0, 0
		case 2:
			p.RealUID = 502
		case 3:
			p.UID = 0
		case 4:
			p.State = StateZombie
		case 5:
			p.State = StateStopped
		}
		p.setComm([]byte([]string{"Python", "zsh", "python3.12", "hermes", "launchd"}[r.IntN(5)]))
		switch r.IntN(8) {
		case 0: // unreadable
		case 1, 2, 3:
			f.argv[pid] = forestArgv[r.IntN(len(forestArgv))]
		default:
			f.argv[pid] = gatewayArgv
		}
		f.table.rows = append(f.table.rows, p)
	}
	f.table.all = true
	for f.self == 0 { // no pid of a caller
		f.self = pick()
	}
	for range r.IntN(4) {
		f.managed = append(f.managed, Managed{pick(), []string{"ai.hermes.gateway", "com.example.job", "application.com.apple.Terminal.1.2"}[r.IntN(3)]})
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
	if p.State == StateZombie {
		return nil, ErrZombie
	}
	if argv, ok := f.argv[p.PID]; ok {
		return argv, nil
	}
	return nil, ErrUnreadable
}

func (f *forest) plan(ctx context.Context, o Options) (Plan, error) {
	o.Managed, o.Self, o.Since = f.managed, f.self, f.since
	return newPlan(ctx, &f.table, &rules{forestUID, o}, f.args)
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

// chain is a pid and those of all its ancestors, as the rows name them and nothing else; known
// is whether it leads to the root of all.
func (f *forest) chain(pid int) (chain []int, known bool) {
	for range len(f.table.rows) + 1 {
		if pid == 0 || pid == 1 {
			return append(chain, pid), true
		}
		p := f.row(pid)
		if p == nil {
			return chain, false
		}
		chain = append(chain, pid)
		pid = p.Parent
	}
	return chain, false
}

// Over random forests: the caller, its ancestors and its group, pids 0 and 1, other users,
// zombies, what cannot be read, and everything of launchd's jobs is never signalled; every
// other gateway is. What is not known to lead to pid 1 is not signalled, and if the caller is
// not, nothing is. Traps 10, 18, 19, 22 and 27 of hermes.md.
func TestPlanForests(t *testing.T) {
	forests := 100_000
	if testing.Short() {
		forests = 1000
	}
	signalled, refused, late := 0, 0, 0
	for seed := range forests {
		f := grow(rand.New(rand.NewPCG(uint64(seed), 5)))
		above, known := f.chain(f.self)
		plan, err := f.plan(t.Context(), Options{})
		if (err == nil) != known {
			t.Fatalf("seed %d: caller %d below %v, known %v: %v", seed, f.self, above, known, err)
		}
		if err != nil {
			refused++
			continue
		}
		want := map[int]bool{}
		for _, p := range f.table.rows {
			chain, known := f.chain(p.PID)
			managed := slices.ContainsFunc(f.managed, func(m Managed) bool {
				return m.PID > 1 && (p.PID == m.PID || m.Label[:3] != "app" && (slices.Contains(chain, m.PID) || p.Group == m.PID))
			})
			group := f.row(f.self).Group
			near := slices.Contains(above, p.PID) || group > 1 && p.Group == group
			argv := f.argv[p.PID]
			name := p.Comm()
			if p.PID > 1 && p.UID == forestUID && p.RealUID == forestUID && p.State != StateZombie && name != "zsh" && name != "launchd" &&
				len(argv) == len(gatewayArgv) && !managed && !near && known && (f.since == 0 || p.Start < f.since) {
				want[p.PID] = true
			}
			if parent := f.row(p.Parent); parent != nil && parent.Start > p.Start && (managed || near) {
				late++
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
		spared := map[int]bool{}
		for _, p := range plan.Spared {
			spared[p.PID] = true
			if p.Reason == "" || got[p.PID] {
				t.Errorf("seed %d: %+v", seed, p)
			}
		}
		// What can be a gateway of the user's is in one of the lists.
		for _, p := range f.table.rows {
			argv, readable := f.argv[p.PID]
			if p.PID > 1 && p.UID == forestUID && p.RealUID == forestUID && Candidate(p.Comm()) && (!readable || p.State == StateZombie || argv[0] != "sleep") && !got[p.PID] && !spared[p.PID] {
				t.Errorf("seed %d: nothing is said of %+v", seed, p)
			}
		}
		signalled += len(got)
	}
	if signalled < forests/2 || refused > forests/2 || late < forests {
		t.Errorf("of %d forests: %d gateways to signal, %d without a plan, %d spared below a parent with a later start", forests, signalled, refused, late)
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

// A table that knows nothing, not even the caller, or not all of its ancestors, is no ground for
// a plan.
func TestPlanRefuses(t *testing.T) {
	var empty Table
	if _, err := NewPlan(t.Context(), &empty, os.Geteuid(), Options{}); err == nil || !strings.Contains(err.Error(), "empty") {
		t.Error("a plan of an empty table:", err)
	}
	var table Table
	if err := table.Read(t.Context(), os.Geteuid()); err != nil {
		t.Fatal(err)
	}
	if _, err := NewPlan(t.Context(), &table, os.Geteuid(), Options{}); err == nil || !strings.Contains(err.Error(), "one user's") {
		t.Error("a plan of a table of one user:", err)
	}
	if err := table.Read(t.Context(), -1); err != nil {
		t.Fatal(err)
	}
	for _, uid := range []int{-1, -2, 1 << 32} {
		if _, err := NewPlan(t.Context(), &table, uid, Options{}); err == nil || !strings.Contains(err.Error(), "is no user") {
			t.Errorf("a plan for user %d: %v", uid, err)
		}
	}
	if _, err := NewPlan(t.Context(), &table, os.Geteuid(), Options{Self: 1 << 30}); err == nil || !strings.Contains(err.Error(), "the caller") {
		t.Error("a plan without the caller:", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := NewPlan(ctx, &table, os.Geteuid(), Options{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	// The parent of sudo is not to be seen: it could be the gateway.
	var hidden Table
	hidden.all = true
	hidden.rows = []Process{
		{Identity: Identity{PID: 5}, Parent: 1, UID: forestUID, RealUID: forestUID},
		{Identity: Identity{PID: 7}, Parent: 6, UID: forestUID, RealUID: forestUID},
	}
	if _, err := newPlan(t.Context(), &hidden, &rules{forestUID, Options{Self: 7}}, nil); err == nil || !strings.Contains(err.Error(), "process 7, an ancestor of the caller") && !strings.Contains(err.Error(), "process 7") {
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
	plan, err := NewPlan(t.Context(), &table, os.Geteuid(), o)
	if err != nil {
		t.Fatal(err)
	}
	return plan, &table
}

// only keeps what the test started: others may run gateways on this machine.
func only(plan Plan, pids ...int) Plan {
	plan.Signal = slices.DeleteFunc(slices.Clone(plan.Signal), func(p Planned) bool { return !slices.Contains(pids, p.PID) })
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
	match := func(argv []string) Match {
		if slices.Equal(argv, gatewayArgv) || len(argv) > 0 && argv[0] == os.Args[0] {
			return Match{Kind: KindGateway, Reason: "the test says so"}
		}
		return Match{Kind: KindOther}
	}
	for name, c := range map[string]struct {
		o    Options
		want string
	}{
		"caller":       {Options{Self: pid}, "it is the caller"},
		"managed":      {Options{Managed: []Managed{{os.Getpid(), "x"}}}, "it belongs to x"},
		"late":         {Options{Since: 1}, "it started after the jobs were listed"},
		"a job":        {Options{Managed: []Managed{{pid, "y"}}}, "launchd manages it as y"},
		"a custom one": {Options{Spare: func(p Planned) string { return "not " + p.Match.Reason }}, "not the test says so"},
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
		o    Options
		want Outcome
	}{
		"other arguments": {Planned{Identity: id, Argv: []string{"hermes", "gateway", "run"}}, Options{}, Spared},
		"another start":   {Planned{Identity: Identity{PID: id.PID, Start: id.Start + 10_000}, Argv: gatewayArgv}, Options{}, Gone},
		"the caller":      {Planned{Identity: proc.Self(), Argv: os.Args}, Options{}, Spared},
		"pid 1":           {Planned{Identity: Identity{PID: 1}}, Options{}, Spared},
		"pid 0":           {Planned{}, Options{}, Spared},
		"pid -1":          {Planned{Identity: Identity{PID: -1}}, Options{}, Spared},
		// What has changed since the plan was made, or was put into it by hand.
		"asked again": {Planned{Identity: id, Argv: gatewayArgv}, Options{Spare: func(p Planned) string {
			if p.Identity != id {
				return ""
			}
			return "not now"
		}}, Spared},
		"a job by now":        {Planned{Identity: id, Argv: gatewayArgv}, Options{Managed: []Managed{{id.PID, "x"}}}, Spared},
		"below a job":         {Planned{Identity: id, Argv: gatewayArgv}, Options{Managed: []Managed{{os.Getpid(), "x"}}}, Spared},
		"on another's behalf": {Planned{Identity: id, Argv: gatewayArgv}, Options{Self: id.PID}, Spared},
		"started later":       {Planned{Identity: id, Argv: gatewayArgv}, Options{Since: id.Start}, Spared},
		"nobody's behalf":     {Planned{Identity: id, Argv: gatewayArgv}, Options{Self: 1 << 30}, Refused},
	} {
		plan := Plan{Signal: []Planned{c.p}, rules: &rules{uint32(os.Geteuid()), c.o}}
		report, err := Run(t.Context(), plan, RunOptions{})
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
		for _, r := range []*rules{nil, {uint32(os.Geteuid()), Options{Spare: func(Planned) string { return "" }}}} {
			report, err := Run(t.Context(), Plan{Signal: []Planned{{Identity: parent, Argv: argv}}, rules: r}, RunOptions{})
			if err != nil || report.Results[0].Outcome != Spared || report.Results[0].Reason != "it is an ancestor of the caller" {
				t.Errorf("%+v, %v", report.Results, err)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	report, err := Run(ctx, Plan{Signal: []Planned{{Identity: id, Argv: gatewayArgv}}}, RunOptions{})
	if !errors.Is(err, context.Canceled) || report.Left() != 1 {
		t.Errorf("%+v, %v", report, err)
	}
	// Done on another's behalf, this process is a caller as well.
	if argv, err := table.Args(table.Find(parent.PID)); err == nil && parent.PID > 1 {
		r := &rules{uint32(os.Geteuid()), Options{Self: 1}}
		report, err := Run(t.Context(), Plan{Signal: []Planned{{Identity: parent, Argv: argv}}, rules: r}, RunOptions{})
		if err != nil || report.Results[0].Outcome != Spared || report.Results[0].Reason != "it is an ancestor of the caller" {
			t.Errorf("%+v, %v", report.Results, err)
		}
	}
	if now, err := proc.Read(stray.Process.Pid); err != nil || now != id {
		t.Errorf("%v, %v", now, err)
	}
	if err := syscall.Kill(stray.Process.Pid, 0); err != nil {
		t.Error(err)
	}
}

// What is not to be killed any more after SIGTERM is left, and said to be.
func TestRunSparesAfterSIGTERM(t *testing.T) {
	stubborn := standIn(t, "stubborn", gatewayArgv...)
	asked := 0
	plan, _ := planOf(t, Options{Spare: func(p Planned) string {
		if p.PID == stubborn.Process.Pid {
			asked++ // for the plan, SIGTERM and SIGKILL
		}
		if asked == 3 {
			return "a person said so"
		}
		return ""
	}})
	report, err := Run(t.Context(), only(plan, stubborn.Process.Pid), RunOptions{Grace: 50 * time.Millisecond})
	if err != nil || len(report.Results) != 1 || asked != 3 {
		t.Fatalf("asked %d times: %+v, %v", asked, report, err)
	}
	if r := report.Results[0]; r.Outcome != Left || r.Reason != "a person said so" || r.Err == nil || report.Left() != 1 {
		t.Errorf("%+v", r)
	}
	alive(t, stubborn.Process.Pid)
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
		plan, err := f.plan(t.Context(), Options{Others: true})
		if err != nil {
			continue
		}
		for _, p := range plan.Spared {
			if strings.HasSuffix(p.Reason, ".") || !strings.Contains(p.Reason, " ") {
				t.Errorf("%q", p.Reason)
			}
		}
	}
}
