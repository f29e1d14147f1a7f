package hermesgw_test

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
)

// Trap 68: a watchdog that restarts a gateway every 10 s is stopped after three restarts in a
// minute, unless it forces them. Nothing is sent then, and no other target suffers.
func TestTrap68RateGuard(t *testing.T) {
	t.Parallel()
	f := fleet.New(t, fleet.Options{Outside: true, Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Oldest}, {Name: "other", Plist: fleet.Oldest}}})
	for range 3 {
		inJSON(t, f, "restart", "-p", "work").shows(t, 0, "restarted")
	}
	eventually(t, "the last gateway runs", func() bool { return f.GatewayPID("work") == f.JobPID("work") })
	signals, m := len(f.SignalsSeen("work")), f.Mark()
	p := inJSON(t, f, "restart", "-p", "work").shows(t, 6, "refused")
	problem := p.results()[0]["error"].(map[string]any)
	if remedy := fmt.Sprint(problem["remedy"]); problem["code"] != "refused" || !strings.Contains(remedy, "--force") || !strings.Contains(fmt.Sprint(problem["message"]), "3 times") {
		t.Errorf("%v", problem)
	}
	inJSON(t, f, "restart", "-p", "work", "--dry-run").shows(t, 6, "refused")
	// A graceful one has not asked the gateway to finish either.
	inJSON(t, f, "restart", "-p", "work", "--graceful").shows(t, 6, "refused")
	if n := count(f, m, kickstart, "work"); n != 0 || len(f.SignalsSeen("work")) != signals {
		t.Errorf("%d requests, signals %v", n, f.SignalsSeen("work"))
	}
	inJSON(t, f, "restart", "--all").shows(t, 3, "restarted", "refused")
	inJSON(t, f, "restart", "--all", "--force").shows(t, 0, "restarted", "restarted")
	inJSON(t, f, "restart", "-p", "work").shows(t, 6, "refused")
	inJSON(t, f, "restart", "--all").shows(t, 3, "restarted", "refused")
	// The guard is for one launchd: a job of the same name in another is another job.
	another := fleet.New(t, fleet.Options{Outside: true, Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Oldest}}})
	another.StateDir = f.StateDir
	inJSON(t, another, "restart", "-p", "work").shows(t, 0, "restarted")
	f.NeverUnloaded(f.Loaded())
}

// The minute is one of the machine's life, its sleep included (trap 75), and no matter of what the
// clock on the wall says (trap 74): the command runs in a time namespace whose clock since boot is
// ahead, as after a sleep of so long.
func TestRateGuardAfterSleep(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has time namespaces")
	}
	path, err := exec.LookPath("unshare")
	if err != nil {
		t.Skip("no unshare(1) here: ", err)
	}
	ahead := func(cmd *exec.Cmd, seconds int) *exec.Cmd {
		args := []string{"unshare", "--time", "--boottime", fmt.Sprint(seconds), "--", cmd.Path}
		if os.Geteuid() != 0 {
			args = slices.Insert(args, 1, "--user", "--map-current-user")
		}
		cmd.Path, cmd.Args = path, append(args, cmd.Args[1:]...)
		return cmd
	}
	if text, err := ahead(exec.Command("/bin/true"), 1).CombinedOutput(); err != nil {
		t.Skipf("no time namespace here: %v: %s", err, text)
	}
	f := fleet.New(t, fleet.Options{Outside: true, Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Oldest}}})
	for range 3 {
		inJSON(t, f, "restart", "-p", "work").shows(t, 0, "restarted")
	}
	readJSON(t, f.Run(ahead(f.Prepare("restart", "-p", "work", "--json"), 1)), nil).shows(t, 6, "refused")
	readJSON(t, f.Run(ahead(f.Prepare("restart", "-p", "work", "--json"), 61)), nil).shows(t, 0, "restarted")
}

// Trap 75: a command that is stopped for longer than its deadline, as by Ctrl-Z, tells what became of
// the job meanwhile, and not that the time is up. A machine's own sleep it does not count at all.
func TestTrap75Stopped(t *testing.T) {
	t.Parallel()
	f := fleet.New(t, fleet.Options{Outside: true, Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Oldest, Standin: fleet.Standin{Teardown: 100 * time.Millisecond}}}})
	const limit = 1500 * time.Millisecond
	m, old := f.Mark(), f.JobPID("work")
	u := start(t, f.Prepare("restart", "-p", "work", "--timeout", limit.String(), "--json"))
	f.Wait(m, about(kickstart, f.Gateway("work").Label))
	u.signal(syscall.SIGSTOP)
	began := time.Now()
	f.Running("work", old)
	time.Sleep(time.Until(began.Add(limit + 10*time.Millisecond))) // the deadline itself is no event
	u.signal(syscall.SIGCONT)
	readJSON(t, u.end(), nil).shows(t, 0, "restarted")
	once(t, f, m, "work")
}
