//go:build darwin || linux

package sweep

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/proc"
)

// The traps of hermes.md, section 5 C and D, that are a sweep's, with real processes. Others of
// them are the corpus of TestMatchCorpus (14 to 17, 22), TestManagedBy (18 to 20) and
// TestPIDReuse (26); homes and pid files (25, 28 to 32) are not a sweep's.

// link is one process of a line in which each is the parent of the next.
type link struct {
	Argv []string
	How  string // what the process does when it has started the next: see becomes
}

const (
	lineVar  = "HERMES_GW_TEST_LINE"  // the links that are still to be started
	sweepVar = "HERMES_GW_TEST_SWEEP" // the pids that a sweeper may signal, and jobs
)

func init() {
	becomes["link"] = func() { // waits, as everything below it does
		cmd := startNext()
		io.Copy(io.Discard, os.Stdin)
		if cmd != nil {
			cmd.Wait()
		}
	}
	becomes["leaver"] = func() { // exits at once, and leaves an orphan
		startNext()
	}
	becomes["stubborn link"] = func() {
		signal.Ignore(syscall.SIGTERM)
		becomes["link"]()
	}
	becomes["sweeper"] = sweepFromInside
}

// startNext says which pid this process has and starts the next of its line, in a process
// group of its own: nothing is spared for its group here.
func startNext() *exec.Cmd {
	fmt.Println(os.Getpid())
	var line []link
	if err := json.Unmarshal([]byte(os.Getenv(lineVar)), &line); err != nil {
		panic(err)
	}
	if len(line) == 0 {
		return nil
	}
	cmd := command(line)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		panic(err)
	}
	return cmd
}

func command(line []link) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	rest, err := json.Marshal(line[1:])
	if err != nil {
		panic(err)
	}
	how := line[0].How
	if how == "" {
		how = "link"
	}
	return &exec.Cmd{Path: self, Args: line[0].Argv, Env: append(os.Environ(), standInVar+"="+how, lineVar+"="+string(rest)), SysProcAttr: &syscall.SysProcAttr{Setpgid: true}}
}

// startLine starts a line of processes and returns their pids, and what they print after them.
func startLine(t *testing.T, env string, line ...link) (pids []int, out *bufio.Reader) {
	t.Helper()
	cmd := command(line)
	cmd.Env = append(cmd.Env, sweepVar+"="+env)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	t.Cleanup(func() {
		in.Close()
		for _, pid := range pids { // the same ones: they are held by their parents, or gone
			if id, err := proc.Read(pid); err == nil && id.Start >= proc.Self().Start {
				syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		cmd.Wait()
		stdout.Close()
	})
	out = bufio.NewReader(stdout)
	for range line {
		text, err := out.ReadString('\n')
		pid, nerr := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || nerr != nil {
			t.Fatalf("%q, %v", text, err)
		}
		pids = append(pids, pid)
	}
	return pids, out
}

// inside is what a sweeper is told, and what it answers.
type inside struct {
	May  []int // may be signalled: others may run gateways on this machine
	Jobs []Managed

	Signal, Spared []Planned
	Results        []Result
	Error          string
}

// sweepFromInside is a caller of a sweep somewhere in a line.
func sweepFromInside() {
	fmt.Println(os.Getpid())
	var told inside
	if err := json.Unmarshal([]byte(os.Getenv(sweepVar)), &told); err != nil {
		panic(err)
	}
	// The ancestors may be signalled, as far as this goes: the sweep has to spare them.
	ancestors, err := proc.Ancestors(os.Getpid())
	if err != nil {
		panic(err)
	}
	plan, err := Survey(context.Background(), os.Geteuid(), func(context.Context) ([]Managed, error) { return told.Jobs, nil }, Options{Spare: func(p Planned) string {
		if slices.Contains(told.May, p.PID) || slices.Contains(ancestors, p.Identity) {
			return ""
		}
		return "not this test's"
	}})
	if err != nil {
		told.Error = err.Error()
	}
	report, err := Run(context.Background(), plan, RunOptions{Grace: 10 * time.Second})
	if err != nil {
		told.Error += err.Error()
	}
	told.Signal, told.Spared, told.Results = plan.Signal, plan.Spared, report.Results
	if err := json.NewEncoder(os.Stdout).Encode(told); err != nil {
		panic(err)
	}
	io.Copy(io.Discard, os.Stdin)
}

func alive(t *testing.T, pids ...int) {
	t.Helper()
	for _, pid := range pids {
		if _, err := proc.Read(pid); err != nil {
			t.Errorf("process %d: %v", pid, err)
		}
	}
}

func gone(t *testing.T, pid int) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; runtime.Gosched() {
		_, err := proc.Read(pid)
		if errors.Is(err, proc.ErrGone) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("process %d is there: %v", pid, err)
		}
	}
}

// pastStart returns when what starts now starts later than that process: starts are counted in
// ticks.
func pastStart(t *testing.T, pid int) {
	t.Helper()
	id, err := proc.Read(pid)
	if err != nil {
		t.Fatal(err)
	}
	for Now() <= id.Start {
		runtime.Gosched()
	}
}

// Trap 12: the caller hermes gateway restart --all, the shell around it, and the terminal around
// that; and ancestors that are gateways themselves, up to a chain of 70 (trap 10). A stray
// goes in the same sweep.
func TestTrap12Ancestors(t *testing.T) {
	deep := []link{{Argv: gatewayArgv}}
	for range 69 {
		deep = append(deep, link{Argv: []string{"hermes", "gateway", "run"}})
	}
	for name, line := range map[string][]link{
		"terminal": {{Argv: []string{"zellij"}}, {Argv: []string{"zsh", "-c", "hermes gateway restart --all"}}},
		"gateways": {{Argv: gatewayArgv}, {Argv: []string{"hermes", "-p", "ops", "gateway", "run"}}, {Argv: []string{"sh", "-c", "x"}}},
		"deep":     deep,
	} {
		t.Run(name, func(t *testing.T) {
			stray := standIn(t, "willing", gatewayArgv...)
			pastStart(t, stray.Process.Pid)
			env, err := json.Marshal(inside{May: []int{stray.Process.Pid}})
			if err != nil {
				t.Fatal(err)
			}
			line := append(line, link{[]string{"hermes", "gateway", "restart", "--all"}, "sweeper"})
			pids, out := startLine(t, string(env), line...)
			var said inside
			if err := json.NewDecoder(out).Decode(&said); err != nil || said.Error != "" {
				t.Fatal(err, said.Error)
			}
			if len(said.Results) != 1 || said.Results[0].PID != stray.Process.Pid || said.Results[0].Outcome != Exited {
				t.Errorf("%+v", said.Results)
			}
			alive(t, pids...)
			for i, l := range line {
				want := ""
				switch kind := (Matcher{}).Match(l.Argv).Kind; {
				case l.How == "sweeper":
					want = "it is the caller"
				case kind == KindGateway:
					want = "it is an ancestor of the caller"
				}
				if got := spared(Plan{Spared: said.Spared}, pids[i]); got != want {
					t.Errorf("%q is spared because %q, want %q", l.Argv, got, want)
				}
			}
		})
	}
}

// Trap 13: hermes gateway restart in a second terminal. Trap 14: what runs, edits, reads, greps
// or watches a gateway, as processes.
func TestTrap13And14Bystanders(t *testing.T) {
	var started []int
	may := map[int]bool{}
	for _, argv := range [][]string{
		{"hermes", "gateway", "restart"}, {"python3", "-m", "hermes_cli.main", "gateway", "restart", "--all"},
		{"grep", "hermes gateway run"}, {"vim", "hermes_cli/gateway.py"}, {"vim", "gateway/run.py"}, {"tail", "-f", "gateway.log"}, {"less", "gateway/run.py"},
		{"pytest", "tests/gateway/run.py"}, {"watch", "hermes", "gateway", "status"}, {"ssh", "host", "hermes", "gateway", "run"}, {"tmux", "new", "-s", "hermes", "hermes gateway run"},
		{"nohup", "hermes", "gateway", "run"}, {"sudo", "hermes", "gateway", "run"}, {"caffeinate", "-i", "hermes", "gateway", "run"}, {"hermes", "-s", "gateway"}, {"hermes", "dashboard"},
	} {
		cmd := standIn(t, "willing", argv...)
		started = append(started, cmd.Process.Pid)
		may[cmd.Process.Pid] = true
	}
	plan, _ := planOf(t, Options{Spare: func(p Planned) string {
		if may[p.PID] {
			return ""
		}
		return "not this test's"
	}})
	if len(plan.Signal) != 0 {
		t.Errorf("%+v", plan.Signal)
	}
	if _, err := Run(t.Context(), plan, RunOptions{}); err != nil {
		t.Error(err)
	}
	alive(t, started...)
	if got := spared(plan, started[0]); got != "it is a restart, or the gateway that one became" {
		t.Errorf("the restart is spared because %q", got)
	}
	if got := spared(plan, started[12]); got != "it only runs the gateway: runs another program" {
		t.Errorf("sudo is spared because %q", got)
	}
}

// Traps 18 to 20: the wrapper and the gateway of a sibling's job, under any label, before its
// restart and after it. The list of jobs is asked for on both sides of the table.
func TestTrap18SiblingJob(t *testing.T) {
	wrapper := link{Argv: []string{"python3", "-m", "hermes_cli.stderr_timestamp", "--", "hermes", "gateway", "run"}}
	gateway := link{Argv: []string{"hermes", "-p", "sibling", "gateway", "run"}}
	for _, label := range []string{"ai.hermes.gateway-sibling", "ai.hermes.gateway.sibling", "com.example.foreign", "ai.hermes.gateway.reload.4711.1764000000"} {
		old, _ := startLine(t, "", wrapper, gateway)
		after, _ := startLine(t, "", wrapper, gateway)
		earlier, _ := startLine(t, "", wrapper, gateway) // of a list before the restarts
		lists := 0
		plan, err := Survey(t.Context(), os.Geteuid(), func(context.Context) ([]Managed, error) {
			lists++
			return []Managed{{[]int{old[0], after[0]}[lists-1], label}}, nil
		}, Options{Since: 1 << 62, Managed: []Managed{{earlier[0], label}}})
		if err != nil || lists != 2 {
			t.Fatalf("%d lists, %v", lists, err)
		}
		if mine := only(plan, slices.Concat(old, after, earlier)...); len(mine.Signal) != 0 {
			t.Errorf("%s: %+v", label, mine.Signal)
		}
		for _, pids := range [][]int{old, after, earlier} {
			if a, b := spared(plan, pids[0]), spared(plan, pids[1]); a != "launchd manages it as "+label || b != "it belongs to "+label {
				t.Errorf("%q, %q", a, b)
			}
		}
		// What a person starts from Terminal is nobody's.
		plan, err = Survey(t.Context(), os.Geteuid(), func(context.Context) ([]Managed, error) {
			return []Managed{{old[0], "application.com.apple.Terminal.1.2"}}, nil
		}, Options{Since: 1 << 62})
		if mine := only(plan, old...); err != nil || len(mine.Signal) != 1 || mine.Signal[0].PID != old[1] {
			t.Errorf("%+v, %v", mine.Signal, err)
		}
	}
}

// What starts after the first list can be a job's that neither list has: it is spared.
func TestSurveySparesTheLate(t *testing.T) {
	before := standIn(t, "willing", gatewayArgv...).Process.Pid
	pastStart(t, before)
	late, since := 0, Now()
	plan, err := Survey(t.Context(), os.Geteuid(), func(context.Context) ([]Managed, error) {
		if late == 0 {
			late = standIn(t, "willing", gatewayArgv...).Process.Pid
		}
		return nil, nil
	}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if id, err := proc.Read(late); err != nil || id.Start < since {
		t.Skipf("starts lie before the clock here: %v at %d, %v", id, since, err) // darwinhost's boot time is in whole seconds
	}
	if got := spared(plan, late); got != "it started after the jobs were listed" {
		t.Errorf("spared because %q", got)
	}
	if len(only(plan, before).Signal) != 1 {
		t.Errorf("the one before is spared because %q", spared(plan, before))
	}
}

// Trap 21: the jobs cannot be listed, before or after. There is no plan, and nothing to run.
func TestTrap21NoList(t *testing.T) {
	stray := standIn(t, "willing", gatewayArgv...)
	broken := errors.New("launchd does not answer")
	for fails := 1; fails <= 2; fails++ {
		lists := 0
		plan, err := Survey(t.Context(), os.Geteuid(), func(context.Context) ([]Managed, error) {
			if lists++; lists == fails {
				return nil, broken
			}
			return nil, nil
		}, Options{})
		if !errors.Is(err, broken) || len(plan.Signal) != 0 || len(plan.Spared) != 0 {
			t.Errorf("%+v, %v", plan, err)
		}
		if report, err := Run(t.Context(), plan, RunOptions{}); err != nil || len(report.Results) != 0 {
			t.Errorf("%+v, %v", report, err)
		}
	}
	alive(t, stray.Process.Pid)
}

// Trap 22: what cannot be read is no candidate, and is listed.
func TestTrap22Unreadable(t *testing.T) {
	stray := standIn(t, "willing", gatewayArgv...)
	var table Table
	if err := table.Read(t.Context(), -1); err != nil {
		t.Fatal(err)
	}
	for _, unreadable := range []error{ErrUnreadable, fmt.Errorf("%w: %w", ErrUnreadable, syscall.EPERM), ErrZombie, ErrGone} {
		plan, err := newPlan(t.Context(), &table, &rules{uid: uint32(os.Geteuid())}, func(p *Process) ([]string, error) {
			if p.PID == stray.Process.Pid {
				return nil, unreadable
			}
			return table.argsOfPID(p)
		})
		want := "its arguments cannot be read"
		switch unreadable {
		case ErrZombie:
			want = "it has exited, and its parent has not noticed"
		case ErrGone:
			want = ""
		}
		if got := spared(plan, stray.Process.Pid); err != nil || got != want || len(only(plan, stray.Process.Pid).Signal) != 0 {
			t.Errorf("%v: %v, spared because %q, want %q", unreadable, err, got, want)
		}
	}
}

// Trap 24: an orphan that runs the gateway is swept: by SIGTERM, or by SIGKILL if it does not
// listen.
func TestTrap24Orphan(t *testing.T) {
	for how, want := range map[string]Outcome{"link": Exited, "stubborn link": Killed} {
		pids, _ := startLine(t, "", link{[]string{"sh"}, "leaver"}, link{gatewayArgv, how})
		orphan := pids[1]
		gone(t, pids[0])
		plan, table := planOf(t, Options{})
		if p := table.Find(orphan); p == nil || p.Parent == pids[0] {
			t.Fatalf("%+v is no orphan", p)
		}
		mine := only(plan, orphan)
		if len(mine.Signal) != 1 {
			t.Fatalf("spared because %q", spared(plan, orphan))
		}
		report, err := Run(t.Context(), mine, RunOptions{Grace: map[Outcome]time.Duration{Exited: 30 * time.Second, Killed: 50 * time.Millisecond}[want]})
		if err != nil || report.Results[0].Outcome != want {
			t.Errorf("%+v, %v", report.Results, err)
		}
		gone(t, orphan)
	}
}

// Trap 27: the old gateway has exited, and its parent does not take notice. It counts as gone,
// and nothing is sent.
func TestTrap27Zombie(t *testing.T) {
	old := standIn(t, "willing", gatewayArgv...)
	pid := old.Process.Pid
	before, _ := planOf(t, Options{})
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	gone(t, pid) // for all but its parent
	plan, _ := planOf(t, Options{})
	if len(only(plan, pid).Signal) != 0 || spared(plan, pid) != "it has exited, and its parent has not noticed" {
		t.Errorf("spared because %q", spared(plan, pid))
	}
	report, err := Run(t.Context(), only(before, pid), RunOptions{})
	if err != nil || len(report.Results) != 1 || report.Results[0].Outcome != Gone || report.Took > time.Minute {
		t.Errorf("%+v, %v", report, err)
	}
}

// Trap 33: a stopped gateway is reported as such, and its end is bounded: SIGTERM stays
// pending, SIGKILL does not.
func TestTrap33Stopped(t *testing.T) {
	stray := standIn(t, "willing", gatewayArgv...)
	pid := stray.Process.Pid
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var plan Plan
	for deadline := time.Now().Add(30 * time.Second); ; runtime.Gosched() {
		all, _ := planOf(t, Options{})
		plan = only(all, pid)
		if len(plan.Signal) == 1 && plan.Signal[0].State == StateStopped {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v", plan)
		}
	}
	report, err := Run(t.Context(), plan, RunOptions{Grace: 50 * time.Millisecond})
	if err != nil || report.Results[0].Outcome != Killed {
		t.Errorf("%+v, %v", report.Results, err)
	}
}

// A process that has become another program by the time of the signal keeps its identity, not
// its arguments: it is spared.
func TestRunArgumentsChanged(t *testing.T) {
	changing, become := changes(t)
	plan, _ := planOf(t, Options{})
	mine := only(plan, changing.Process.Pid)
	if len(mine.Signal) != 1 {
		t.Fatalf("%+v", plan)
	}
	become()
	report, err := Run(t.Context(), mine, RunOptions{})
	if err != nil || report.Results[0].Outcome != Spared || report.Results[0].Reason != "it has other arguments now" {
		t.Errorf("%+v, %v", report.Results, err)
	}
	alive(t, changing.Process.Pid)
}

// changes starts a gateway that becomes another program when become is called.
func changes(t testing.TB) (cmd *exec.Cmd, become func()) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd = &exec.Cmd{Path: self, Args: gatewayArgv, Env: append(os.Environ(), standInVar+"=changing"), SysProcAttr: &syscall.SysProcAttr{Setpgid: true}}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Process.Kill()
		cmd.Wait()
	})
	ready := func() {
		if _, err := io.ReadFull(out, make([]byte, 6)); err != nil {
			t.Fatal(err)
		}
	}
	ready()
	return cmd, func() {
		if _, err := in.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		ready()
	}
}

func init() {
	becomes["changing"] = func() {
		os.Stdout.WriteString("ready\n")
		if n, _ := os.Stdin.Read(make([]byte, 1)); n == 0 {
			return
		}
		self, err := os.Executable()
		if err != nil {
			panic(err)
		}
		os.Setenv(standInVar, "willing")
		panic(syscall.Exec(self, []string{"hermes", "gateway", "run", "--replace"}, os.Environ()))
	}
}
