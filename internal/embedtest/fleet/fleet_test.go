package fleet

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/standin"
	"github.com/hermes-gw/hermes-gw/internal/proc"
	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/launchd/launchdtest"
)

// lonely names how this test binary, instead of testing, sets a fleet up and waits to be
// killed.
const lonely = "FLEET_LONELY"

// judge is a test whose failures are the result.
type judge struct {
	testing.TB
	errors []string
}

func (j *judge) Helper()           {}
func (j *judge) Error(args ...any) { j.errors = append(j.errors, fmt.Sprintln(args...)) }
func (j *judge) Errorf(format string, args ...any) {
	j.errors = append(j.errors, fmt.Sprintf(format, args...))
}

// judged runs a check of the fleet's and returns what it finds.
func judged(f *Fleet, check func(*Fleet)) []string {
	j := &judge{TB: f.t}
	other := *f
	other.t = j
	check(&other)
	return j.errors
}

func restart(t *testing.T, f *Fleet, profile string) {
	t.Helper()
	ctx, cancel := f.soon()
	defer cancel()
	if r, err := f.Client.Restart(ctx, f.Gateway(profile).Target, launchd.RestartOptions{}); err != nil {
		t.Fatalf("%+v, %v", r, err)
	}
}

// Each generation is the tree that it is in the field, and comes back after a restart.
func TestGenerations(t *testing.T) {
	for _, process := range []bool{false, true} {
		for g, roles := range map[Generation][]string{
			Oldest: {standin.RoleGateway},
			Middle: {standin.RoleWrapper, standin.RoleGateway},
			Newest: {standin.RoleOsascript, standin.RoleWrapper, standin.RoleGateway},
		} {
			t.Run(fmt.Sprintf("%s, own process %t", g, process), func(t *testing.T) {
				t.Parallel()
				f := New(t, Options{Process: process, Profiles: []Profile{{Name: "work", Plist: g}, {Name: Default, Plist: g, User: true}}})
				if g := f.Gateway(Default); g.Label != "ai.hermes.gateway" || g.Target.Domain != launchd.User(f.UID) {
					t.Errorf("%+v", g)
				}
				var got []string
				for _, p := range f.Processes("work") {
					got = append(got, p.Role)
				}
				if !slices.Equal(got, roles) {
					t.Errorf("%q, want %q", got, roles)
				}
				old := f.GatewayPID("work")
				if (f.JobPID("work") == old) != (g == Oldest) || f.State("work").PID != old {
					t.Errorf("launchd's pid %d, the gateway's %d, the state file's %d", f.JobPID("work"), old, f.State("work").PID)
				}
				ancestors, err := proc.Ancestors(old)
				if err != nil || (g != Oldest && !slices.ContainsFunc(ancestors, func(id proc.Identity) bool { return id.PID == f.JobPID("work") })) {
					t.Errorf("the gateway's ancestors %v, %v", ancestors, err)
				}
				mark := f.Mark()
				restart(t, f, "work")
				f.Running("work", old)
				f.NeverUnloaded(mark)
				f.AllRunning()
				if n := f.Spawns("work", mark); n != 1 {
					t.Errorf("%d spawns:\n%s", n, f.TraceText(mark))
				}
				if !f.SawSignal("work", standin.RoleGateway, syscall.SIGTERM) {
					t.Errorf("%v", f.SignalsSeen("work"))
				}
			})
		}
	}
}

func TestNeverUnloadedFinds(t *testing.T) {
	for _, process := range []bool{false, true} {
		f := New(t, Options{Process: process, Profiles: []Profile{{Name: "work", Plist: Oldest}}})
		mark := f.Mark()
		check := func(f *Fleet) { f.NeverUnloaded(mark) }
		if found := judged(f, check); len(found) > 0 {
			t.Errorf("%q", found)
		}
		ctx, cancel := f.soon()
		defer cancel()
		if _, err := f.Client.Stop(ctx, f.Gateway("work").Target); err != nil {
			t.Fatal(err)
		}
		// The request, the answer, and that it is not there.
		if found := judged(f, check); len(found) != 3 {
			t.Errorf("%q", found)
		}
		f.Load("work")
		// It is back, but it was away: 801, its answer, 800.
		if found := judged(f, check); len(found) != 3 {
			t.Errorf("%q", found)
		}
		if n := len(f.Unloads(mark)); n != 1 {
			t.Errorf("%d unloads", n)
		}
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	f := New(t, Options{
		Process: true, Deny: []uint64{702}, NoGUI: true, Outside: true,
		Profiles: []Profile{
			{Name: Default, Plist: Middle, Keys: map[string]any{"ExitTimeOut": 7, "ThrottleInterval": nil}},
			{Name: "a", Absent: true}, {Name: "b", Plist: Middle, Unloaded: true},
			{Name: "c", Plist: Oldest, Label: "com.hermes.gateway", Standin: Standin{NeverRuns: true}},
		},
	})
	g := f.Gateway(Default)
	// The first 8 hex digits of the SHA-256 of the home.
	if !strings.HasPrefix(g.Label, "ai.hermes.gateway-") || len(g.Label) != len("ai.hermes.gateway-")+8 {
		t.Errorf("%s", g.Label)
	}
	ctx, cancel := f.soon()
	defer cancel()
	job, err := f.Client.Job(ctx, g.Target)
	if err != nil || g.Target.Domain != launchd.User(f.UID) {
		t.Fatalf("%+v, %v", job, err)
	}
	if _, err := f.Client.Kickstart(ctx, g.Target, launchd.KickstartOptions{}); !errors.Is(err, launchd.ErrNotEntitled) {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(f.Gateway("a").Plist); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	plist, err := launchd.ReadPlist(g.Plist)
	if err != nil || plist.ExitTimeOut == nil || *plist.ExitTimeOut != 7 || plist.ThrottleInterval != nil {
		t.Errorf("%+v, %v", plist, err)
	}
	if _, err := f.Client.Job(ctx, f.Gateway("b").Target); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	if p := f.Reached("c", "starting", 0); p.entered("running") {
		t.Error("c runs")
	}
}

func TestManual(t *testing.T) {
	t.Parallel()
	f := New(t, Options{Profiles: []Profile{{Name: "work", Absent: true, Standin: Standin{NoLock: true, NoPID: true}}}})
	plain := f.Manual("work", Plain)
	if plain.Parent != os.Getpid() || f.State("work").PID != plain.PID || f.GatewayPID("work") != 0 {
		t.Errorf("%+v; %d runs in a job", plain, f.GatewayPID("work"))
	}
	orphan := f.Manual("work", Orphan)
	if ancestors, err := proc.Ancestors(orphan.PID); err != nil || slices.ContainsFunc(ancestors, func(id proc.Identity) bool { return id.PID == os.Getpid() }) {
		t.Errorf("the orphan's ancestors: %v, %v", ancestors, err)
	}
	python := f.Manual("work", Python("work"))
	if len(python.Argv) != 8 || filepath.Base(python.Argv[0]) != "python3" || !strings.Contains(python.Argv[3], "\n") || !python.entered("running") {
		t.Errorf("%q", python.Argv)
	}
	vim := f.Manual("work", Shape{Program: "vim", Args: []string{"gateway/run.py", "gateway", "run"}, Sit: true, Session: true})
	if vim.Role != standin.RoleOther || vim.entered("starting") {
		t.Errorf("%+v", vim)
	}
	if runtime.GOOS == "linux" {
		if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", vim.PID)); err != nil || filepath.Base(exe) != "vim" {
			t.Errorf("%s, %v", exe, err)
		}
	}
	named := f.Manual("work", Shape{Argv0: "-hermes", Args: []string{"gateway", "restart", "--all"}})
	if named.Argv[0] != "-hermes" || named.entered("starting") {
		t.Errorf("%+v", named)
	}
	// One that is stopped ends, too.
	orphan.Signal(syscall.SIGSTOP)
	for _, p := range []*Process{plain, orphan, python, vim, named} {
		if !p.Alive() {
			t.Errorf("%q has ended", p.Argv)
		}
		p.End()
		f.Gone(p)
	}
}

func TestManualOfShell(t *testing.T) {
	t.Parallel()
	NeedsShell(t)
	f := New(t, Options{Profiles: []Profile{{Name: "work", Absent: true}}})
	p := f.Manual("work", Shell)
	parent, err := proc.Ancestors(p.PID)
	if err != nil || p.Parent == os.Getpid() || parent[0].PID != p.Parent || parent[1].PID != os.Getpid() {
		t.Errorf("%+v, %v, %v", p, parent, err)
	}
}

func TestSnapshot(t *testing.T) {
	t.Parallel()
	f := New(t, Options{Profiles: []Profile{{Name: "work", Plist: Oldest}, {Name: Default, Plist: Middle, Standin: Standin{Heartbeat: time.Millisecond}}}})
	home, plist := f.Gateway("work").Home, f.Gateway("work").Plist
	s := f.Snapshot()
	old := f.GatewayPID("work")
	restart(t, f, "work")
	f.Running("work", old)
	if found := s.changes(); len(found) > 0 {
		t.Errorf("a restart: %q", found)
	}
	state, lock := filepath.Join(home, standin.FileState), filepath.Join(home, standin.FileLock)
	for name, change := range map[string]func() error{
		state:                          func() error { return os.Chtimes(state, time.Now(), time.Now().Add(-time.Hour)) },
		lock:                           func() error { return os.WriteFile(lock, []byte("mine"), 0o600) },
		filepath.Join(home, "new"):     func() error { return os.WriteFile(filepath.Join(home, "new"), nil, 0o600) },
		plist:                          func() error { return os.Remove(plist) },
		f.Gateway(Default).Plist:       func() error { return os.Chmod(f.Gateway(Default).Plist, 0o600) },
		filepath.Join(f.Root, "dream"): func() error { return os.Symlink("/nowhere", filepath.Join(f.Root, "dream")) },
	} {
		s := f.Snapshot()
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if found := s.changes(); len(found) != 1 || !strings.HasPrefix(found[0], name+": ") {
			t.Errorf("%s: %q", name, found)
		}
	}
	if found := judged(f, func(other *Fleet) { s.f = other; s.OnlyRead() }); len(found) == 0 {
		t.Error("nothing was found")
	}
}

func TestCommand(t *testing.T) {
	t.Parallel()
	f := New(t, Options{Process: true, Outside: true, Profiles: []Profile{{Name: "work", Plist: Middle}}})
	label := f.Gateway("work").Label
	old := f.GatewayPID("work")
	mark := f.Mark()
	if o := f.Command("restart", label); o.Code != 0 || !strings.Contains(o.Stdout, "restarted") || o.Took <= 0 {
		t.Fatalf("%+v", o)
	}
	f.Running("work", old)
	f.NeverUnloaded(mark)
	if o := f.Command("restart", "--no-such-flag"); o.Code != 2 || o.Stderr == "" {
		t.Errorf("%+v", o)
	}
}

// The command finds property lists in the home of the fleet's account.
func TestCommandOfTheAccount(t *testing.T) {
	t.Parallel()
	f := New(t, Options{Profiles: []Profile{{Name: Default, Plist: Middle, Unloaded: true}}})
	if o := f.Command("start", f.Gateway(Default).Target.String()); o.Code != 0 {
		t.Fatalf("%+v", o)
	}
	f.Running(Default, 0)
}

func TestTerminal(t *testing.T) {
	t.Parallel()
	f := New(t, Options{Process: true, Outside: true, Profiles: []Profile{{Name: "work", Plist: Oldest, Standin: Standin{IgnoreTERM: true}, Keys: map[string]any{"ExitTimeOut": 1}}}})
	g := f.Gateway("work")
	old, mark := f.GatewayPID("work"), f.Mark()
	asked := func(e launchdtest.Event) bool { return e.Kind == launchdtest.Request && e.Routine == 702 }
	term := f.Terminal(f.Prepare("restart", g.Label))
	e := f.Wait(mark, asked)
	term.Close()
	f.Running("work", old)
	if _, exit := term.End(); exit != 0 {
		t.Errorf("closed during the restart: exit %d", exit)
	}
	old = f.GatewayPID("work")
	term = f.Terminal(f.Prepare("restart", g.Label))
	f.Wait(e.Next, asked)
	term.Type("\x03")
	if output, exit := term.End(); exit != 130 || output == "" {
		t.Errorf("Ctrl-C: exit %d, %q", exit, output)
	}
	f.Running("work", old)
	f.NeverUnloaded(mark)
}

// Nothing is left when the test binary is killed: not a process, not a folder.
func TestKilled(t *testing.T) {
	if os.Getenv(lonely) != "" {
		f := New(t, Options{Process: runtime.GOOS == "linux", Profiles: []Profile{
			{Name: "work", Plist: Middle, Standin: Standin{IgnoreTERM: true, Orphan: &standin.Orphan{Session: true}}},
		}})
		f.Behave("work", Standin{NoLock: true})
		f.Manual("work", Orphan)
		fmt.Println("folder", filepath.Dir(f.Dir))
		fmt.Println("process", janitor.Process.Pid)
		for _, p := range f.Processes("work") {
			fmt.Println("process", p.PID)
		}
		if w, ok := f.world.(*process); ok {
			fmt.Println("process", w.cmd.Process.Pid)
		}
		fmt.Println("ready")
		select {}
	}
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^TestKilled$")
	cmd.Env = append(os.Environ(), lonely+"=1")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	var held []*proc.Process
	folder := ""
	lines := bufio.NewScanner(stdout)
	for lines.Scan() && lines.Text() != "ready" {
		word, rest, _ := strings.Cut(lines.Text(), " ")
		switch word {
		case "folder":
			folder = rest
		case "process":
			pid, err := strconv.Atoi(rest)
			if err != nil {
				t.Fatal(err)
			}
			p, err := proc.Open(pid)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			held = append(held, p)
		}
	}
	if len(held) < 5 || folder == "" {
		t.Fatalf("%d processes, folder %q", len(held), folder)
	}
	cmd.Process.Kill()
	cmd.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, p := range held {
		if err := p.Wait(ctx); err != nil {
			t.Errorf("process %d: %v", p.Identity().PID, err)
		}
	}
	if _, err := os.Stat(folder); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s: %v", folder, err)
	}
}

// Nothing is left after a test, whatever its gateways do.
func TestEnd(t *testing.T) {
	var held []*proc.Process
	var dir string
	began := time.Now()
	t.Run("fleet", func(t *testing.T) {
		f := New(t, Options{Profiles: []Profile{
			{Name: "deaf", Plist: Oldest, Standin: Standin{IgnoreTERM: true}},
			{Name: "slow", Plist: Middle, Standin: Standin{Teardown: time.Hour}},
			{Name: "orphans", Plist: Newest, Standin: Standin{Orphan: &standin.Orphan{}}},
			{Name: "stopped", Plist: Oldest},
		}})
		for _, g := range f.Gateways() {
			for _, p := range f.Processes(g.Profile) {
				h, err := proc.Open(p.PID)
				if err != nil {
					t.Fatal(err)
				}
				held = append(held, h)
				if g.Profile == "stopped" {
					p.Signal(syscall.SIGSTOP)
				}
			}
		}
		dir = f.Dir
	})
	if t.Skipped() || len(held) == 0 {
		t.Skip("no fleet")
	}
	if took := time.Since(began); took > 20*time.Second { // the least exit timeout; the end waits for none
		t.Errorf("it took %v", took)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, p := range held {
		if err := p.Wait(ctx); err != nil {
			t.Errorf("process %d: %v", p.Identity().PID, err)
		}
		p.Close()
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s: %v", dir, err)
	}
}

// Quiet waits for the answers to those who have been killed meanwhile.
func TestQuiet(t *testing.T) {
	t.Parallel()
	f := New(t, Options{Outside: true, Profiles: []Profile{{Name: "work", Plist: Oldest, Standin: Standin{Teardown: 200 * time.Millisecond}}}})
	old, mark := f.Up("work", 0), f.Mark()
	cmd := f.Prepare("restart", f.Gateway("work").Label)
	f.must(cmd.Start())
	asked := f.Wait(mark, func(e launchdtest.Event) bool { return e.Kind == launchdtest.Request && e.Routine == 702 })
	cmd.Process.Kill()
	cmd.Wait()
	f.Quiet()
	if !slices.ContainsFunc(f.Trace(mark), func(e launchdtest.Event) bool { return e.Kind == launchdtest.Reply && e.ID == asked.ID }) {
		t.Errorf("the answer is still to come:\n%s", f.TraceText(mark))
	}
	if old.Alive() {
		t.Error("the old gateway is still there")
	}
	list := []*Process{old}
	for range 3 {
		next := f.Successor("work", list[len(list)-1])
		if slices.Contains(list, next) || f.Up("work", 0) != next {
			t.Errorf("%d follows %v", next.PID, list)
		}
		list = append(list, next)
		restart(t, f, "work")
	}
}
