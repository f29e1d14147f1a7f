package hermesgw_test

import (
	"testing"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
	"github.com/hermes-gw/hermes-gw/internal/embedtest/standin"
	"github.com/hermes-gw/hermes-gw/internal/proc"
	"github.com/hermes-gw/hermes-gw/sweep"
)

// Trap 12: the caller is hermes gateway restart --all, its parent a shell with the same words,
// its grandparent zellij. None is signalled. Nor is a gateway that was started by hand and has the
// caller below it, though a job of its home takes over: the caller would die with it. That
// very gateway without a caller goes.
func TestTrap12Caller(t *testing.T) {
	t.Parallel()
	f := fleet.New(t, fleet.Options{Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Middle}, {Name: fleet.Default, Plist: fleet.Oldest}}})
	hermes := []string{"hermes", "gateway", "restart", "--all"}
	stray := strayOf(f, "work", fleet.Python("work"))
	a := callers(t, f, nil,
		[]string{"zellij"},
		[]string{"zsh", "-c", "hermes gateway restart --all"},
		hermes)
	if outcome, reason := a.swept(stray.PID); outcome != string(sweep.Exited) {
		t.Fatalf("the stray: %q, %s", outcome, reason)
	}
	spared := map[string]int{}
	for _, p := range a.Sweep.Processes {
		spared[p.Outcome+": "+p.Reason]++
	}
	if spared["spared: it is the caller"] != 1 {
		t.Errorf("%v", spared)
	}

	old := f.GatewayPID("work")
	a = callers(t, f, []string{"HERMES_HOME=" + f.Gateway("work").Home},
		[]string{"zellij"},
		[]string{"hermes", "-p", "work", "gateway", "run"}, // in its terminal tool:
		[]string{"zsh", "-c", "hermes gateway restart --all"},
		hermes)
	found := false
	for _, p := range a.Sweep.Processes {
		found = found || p.Outcome == string(sweep.Spared) && p.Reason == "it is an ancestor of the caller" && p.Profile == "work"
	}
	if !found {
		t.Errorf("the gateway above the caller is not among the spared: %+v", a.Sweep)
	}
	f.Running("work", old)
	f.NeverUnloaded(0)
	f.AllRunning()
}

// bare leaves no file, lock or socket in its home.
var bare = fleet.Standin{NoLock: true, NoPID: true, NoState: true, Control: standin.Off, NoTick: true, Heartbeat: -1}

// strayOf starts a gateway by hand beside the job of the same profile, as one does that found the
// lock free, in a terminal of its own.
func strayOf(f *fleet.Fleet, profile string, s fleet.Shape) *fleet.Process {
	s.Session = true
	f.Behave(profile, bare)
	p := f.Manual(profile, s)
	f.Behave(profile, fleet.Standin{})
	return older(p)
}

// older waits until a process is older than any list that is made from now on, by a clock that
// may only tick every 10 ms.
func older(p *fleet.Process) *fleet.Process {
	olderPID(p.PID)
	return p
}

func olderPID(pid int) int {
	for id, err := proc.Read(pid); err == nil && sweep.Now() <= id.Start; {
		time.Sleep(time.Millisecond)
	}
	return pid
}
