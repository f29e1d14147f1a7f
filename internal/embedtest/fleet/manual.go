package fleet

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"syscall"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/standin"
)

// Parent is whose child a process is that the test starts.
type Parent int

// The parents.
const (
	OfTest  Parent = iota // the test binary's
	OfInit                // nobody's: the process that started it has ended
	OfShell               // a shell's that waits for it, with the whole command line in its arguments
)

// Shape is how a process is started that launchd knows nothing of.
type Shape struct {
	// Program is the name of its file; "" is hermes.
	Program string
	// Args are its arguments; nil is the gateway of the profile.
	Args []string
	// Argv0 replaces the path of the program as the first argument.
	Argv0  string
	Parent Parent
	// Session gives it a session of its own. OfInit has one anyway.
	Session bool
	// Sit has it do nothing but be there, whatever its program and arguments.
	Sit bool
	// PID is the pid that it is to have, which no process has; 0 is any. It is a shell's child
	// then ([OfShell]). That takes a pid namespace of the test's own, on Linux, and another
	// process can be faster.
	PID int
	// Env is added to what it gets: PATH, HOME, HERMES_HOME.
	Env []string
}

// Shapes of gateways, as people start them. Each is for the profile given to Manual.
var (
	Plain  = Shape{}
	Orphan = Shape{Parent: OfInit}
	Shell  = Shape{Parent: OfShell}
)

// Python is the shape of a gateway that Hermes' own launcher starts: a program of several
// lines in the arguments.
func Python(profile string) Shape {
	return Shape{Program: "python3", Args: join(bootstrapOf("hermes_cli.main"), flag("-p", profile), []string{"gateway", "run"})}
}

func flag(name, profile string) []string {
	if profile == Default {
		return nil
	}
	return []string{name, profile}
}

// Manual starts a process in a profile's home, and waits until its gateway runs, or until
// it is there if it is none or does not come so far. It behaves as [Fleet.Behave] said. It
// ends with the test, or by [Process.End].
func (f *Fleet) Manual(profile string, s Shape) *Process {
	f.t.Helper()
	p := f.Start(profile, s)
	ctx, cancel := f.soon()
	defer cancel()
	if p.Role == standin.RoleGateway {
		if err := f.leash.wait(ctx, func() bool { return p.entered("running") || !p.Alive() }); err != nil {
			f.t.Fatalf("the gateway %d that was started by hand does not run: %v", p.PID, err)
		}
	}
	return p
}

// Start is [Fleet.Manual] that only waits until the process is there.
func (f *Fleet) Start(profile string, s Shape) *Process {
	f.t.Helper()
	g := f.Gateway(profile)
	name, args := s.Program, s.Args
	if name == "" {
		name = "hermes"
	}
	if args == nil {
		args = join(flag("--profile", profile), []string{"gateway", "run"})
	}
	path := f.Program(name)
	argv := append([]string{path}, args...)
	if s.Argv0 != "" {
		argv[0] = s.Argv0
	}
	cmd := &exec.Cmd{Path: path, Args: argv, Dir: g.Home, SysProcAttr: &syscall.SysProcAttr{Setsid: s.Session}}
	if s.PID != 0 {
		s.Parent = OfShell
	}
	switch s.Parent {
	case OfInit:
		cmd = exec.Command(f.Program("hermes"), append([]string{"standin-start", path}, argv...)...)
		cmd.Dir = g.Home
	case OfShell:
		NeedsShell(f.t)
		line := quoted(append([]string{path}, args...)) + "; exit $?"
		if s.PID != 0 {
			line = fmt.Sprintf("echo %d > /proc/sys/kernel/ns_last_pid; %s", s.PID-1, line)
		}
		cmd = exec.Command("/bin/sh", "-c", line)
		cmd.Dir = g.Home
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: s.Session}
	}
	f.tags++
	tag := fmt.Sprint(f.tags)
	cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + f.AccountHome, "TMPDIR=" + f.tmp(), "HERMES_HOME=" + g.Home,
		standin.EnvLeash + "=" + f.leash.path, standin.EnvTag + "=" + tag}
	if s.Sit {
		cmd.Env = append(cmd.Env, standin.EnvSit+"=1")
	}
	cmd.Env = append(cmd.Env, s.Env...)
	f.must(cmd.Start())
	status := make(chan syscall.WaitStatus, 1)
	go func() {
		cmd.Wait()
		status <- cmd.ProcessState.Sys().(syscall.WaitStatus)
	}()
	if s.Parent == OfInit {
		status <- <-status // it is an orphan only now
	}
	ctx, cancel := f.soon()
	defer cancel()
	var p *Process
	err := f.leash.wait(ctx, func() bool {
		p = f.leash.last(func(p *Process) bool { return p.Tag == tag })
		return p != nil
	})
	if err != nil {
		f.t.Fatalf("%s did not start: %v", strings.Join(cmd.Args, " "), err)
	}
	if s.Parent == OfTest {
		p.status = status
	}
	return p
}

// ChildOf waits until a stand-in has a child that is one, too, and returns it.
func (f *Fleet) ChildOf(parent *Process) (child *Process) {
	f.t.Helper()
	ctx, cancel := f.soon()
	defer cancel()
	err := f.leash.wait(ctx, func() bool {
		child = f.leash.last(func(p *Process) bool { return p.Parent == parent.PID })
		return child != nil
	})
	if err != nil {
		f.t.Fatalf("process %d %q has no child: %v", parent.PID, parent.Argv, err)
	}
	return child
}

// Ended waits for the end of a process and returns how it ended. Only of its own children
// ([OfTest]) the test learns that.
func (f *Fleet) Ended(p *Process) syscall.WaitStatus {
	f.t.Helper()
	ctx, cancel := f.soon()
	defer cancel()
	select {
	case status := <-p.status:
		p.status <- status
		<-p.gone // seen separately, a moment later
		return status
	case <-ctx.Done():
		f.t.Fatalf("process %d %q has not ended", p.PID, p.Argv)
		return 0
	}
}

// Gone waits for the end of any process.
func (f *Fleet) Gone(p *Process) {
	f.t.Helper()
	ctx, cancel := f.soon()
	defer cancel()
	select {
	case <-p.gone:
	case <-ctx.Done():
		f.t.Fatalf("process %d %q has not ended", p.PID, p.Argv)
	}
}

// Says waits until a process has done something that fits, and returns it.
func (f *Fleet) Says(p *Process, want func(standin.Event) bool) (found standin.Event) {
	f.t.Helper()
	ctx, cancel := f.soon()
	defer cancel()
	err := f.leash.wait(ctx, func() bool {
		events := p.Events()
		i := slices.IndexFunc(events, want)
		if i >= 0 {
			found = events[i]
		}
		return i >= 0
	})
	if err != nil {
		f.t.Fatalf("process %d %q did not do what was waited for, but %+v", p.PID, p.Argv, p.Events())
	}
	return found
}
