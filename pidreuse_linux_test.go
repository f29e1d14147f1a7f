package hermesgw_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	hermesgw "github.com/hermes-gw/hermes-gw"
	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/sweep"
)

// reusing says that the test runs where a pid can be had again: in a pid namespace of its own.
const reusing = "HERMESGW_TEST_REUSE"

const noNamespace = "no namespace: "

// beInit runs a program in a new pid namespace with its own /proc, and is the parent of whatever
// stays behind, until all have ended.
func (a actor) beInit() error {
	err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	if err == nil {
		err = unix.Mount("proc", "/proc", "proc", 0, "")
	}
	if err == nil {
		err = os.WriteFile(lastPID, []byte("100"), 0o644)
	}
	if err != nil {
		return fmt.Errorf("%s%w", noNamespace, err)
	}
	os.Unsetenv(actorVar)
	p, err := os.StartProcess(a.Init[0], a.Init[1:], &os.ProcAttr{Files: []*os.File{nil, os.Stdout, os.Stderr}})
	if err != nil {
		return err
	}
	state, err := p.Wait()
	if err == nil && !state.Success() {
		err = errors.New(state.String())
	}
	for {
		if _, gone := unix.Wait4(-1, nil, 0, nil); gone == unix.ECHILD {
			return err
		}
	}
}

const lastPID = "/proc/sys/kernel/ns_last_pid"

// Trap 26: a manual gateway exits when it was found and before it is signalled, and its pid is
// that of another process by then: of no gateway, of a sibling profile's, of one with the very
// same arguments. None gets the signal.
func TestTrap26PIDReuse(t *testing.T) {
	if os.Getenv(reusing) == "" {
		t.Parallel()
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		a := actor{Init: []string{self, self, "-test.run=^TestTrap26PIDReuse$", "-test.v"}}
		cmd := &exec.Cmd{Path: self, Args: []string{"init"}, Env: append(os.Environ(), reusing+"=1", a.env()),
			SysProcAttr: &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS}}
		if os.Geteuid() != 0 {
			cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
			cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
			cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
		}
		out, err := cmd.CombinedOutput()
		if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) || strings.Contains(string(out), noNamespace) {
			t.Skipf("no pid namespace can be made here: %v %s", err, out)
		}
		if err != nil || !strings.Contains(string(out), "--- PASS: TestTrap26PIDReuse") {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	f := fleet.New(t, fleet.Options{Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Oldest}, {Name: "ops", Plist: fleet.Oldest}}})
	h := hermesOf(t, f, hermesgw.Options{})
	for _, heir := range []struct {
		profile string
		shape   fleet.Shape
	}{
		{"work", fleet.Shape{Program: "sleep", Args: []string{"1000"}, Sit: true}},
		{"ops", fleet.Shape{}},
		{"work", fleet.Shape{}},
	} {
		for try := 0; !inherits(t, f, h, heir.profile, heir.shape); try++ {
			if try == 20 {
				t.Fatal("the pid is not used again")
			}
		}
	}
}

// inherits sweeps a manual gateway whose pid another process gets at the last moment, and checks
// that this one is spared. It reports false if the pid went to somebody else, a thread for
// instance.
func inherits(t *testing.T, f *fleet.Fleet, h *hermesgw.Hermes, profile string, s fleet.Shape) bool {
	t.Helper()
	stray := strayOf(f, "work", fleet.Plain)
	var next *fleet.Process
	report, err := h.Restart(t.Context(), hermesgw.RestartOptions{Select: hermesgw.Selection{All: true}, Grace: 5 * time.Second,
		OnEvent: func(e launchd.Event) {
			if e.Kind != launchd.EventSignaled || e.PID != stray.PID || next != nil {
				return
			}
			stray.Signal(syscall.SIGKILL) // the sweep has decided, and signals next
			f.Ended(stray)
			f.Behave(profile, bare)
			s.PID, s.Session = stray.PID, true
			next = f.Manual(profile, s)
			f.Behave(profile, fleet.Standin{})
		}})
	if err != nil || report.Sweep.Err != nil || next == nil {
		t.Fatalf("%+v, %v", report, err)
	}
	alive(t, next)
	if got(next, syscall.SIGTERM) {
		t.Errorf("%q got the signal of %q", next.Argv, stray.Argv)
	}
	if i := slices.IndexFunc(report.Sweep.Results, func(r sweep.Result) bool { return r.PID == stray.PID }); i < 0 || report.Sweep.Results[i].Outcome != sweep.Gone {
		t.Errorf("%+v", report.Sweep.Results)
	}
	next.End()
	f.Gone(next)
	return next.PID == stray.PID
}
