package hermesgw_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/launchd/launchdtest"
	"github.com/hermes-gw/hermes-gw/sweep"
)

// withSudo runs the built command as sudo does: as root, in root's environment, with SUDO_UID of who
// called it ("" is no sudo).
func withSudo(t *testing.T, f *fleet.Fleet, uid string, args ...string) answer {
	t.Helper()
	cmd := f.Prepare(append(args, "--json")...)
	cmd.Env = slices.DeleteFunc(cmd.Env, func(v string) bool {
		return strings.HasPrefix(v, "HERMES_HOME=") || strings.HasPrefix(v, "HERMES_GW_STATE_DIR=") || strings.HasPrefix(v, "HOME=")
	})
	cmd.Env = append(cmd.Env, "HOME=/root")
	if uid != "" {
		cmd.Env = append(cmd.Env, "SUDO_UID="+uid, "SUDO_USER=tester")
	}
	return parsed(t, f.Run(cmd))
}

// theirs fails the test if anything in the account is not its user's.
func theirs(t *testing.T, f *fleet.Fleet) {
	t.Helper()
	err := filepath.WalkDir(f.AccountHome, func(path string, d fs.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil
		}
		if err != nil {
			return err
		}
		info, err := os.Lstat(path)
		if err == nil && int(info.Sys().(*syscall.Stat_t).Uid) != f.UID {
			t.Errorf("%s belongs to user %d", path, info.Sys().(*syscall.Stat_t).Uid)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(f.Dir, "root")); !os.IsNotExist(err) {
		t.Errorf("root's own home has something: %v", err)
	}
}

// Trap 55: root acts for the user who called sudo, or whom --uid names: in that user's domains, for
// that user's homes, and what it leaves there is that user's. Without either it means itself.
func TestTrap55Sudo(t *testing.T) {
	t.Parallel()
	f := fleet.New(t, fleet.Options{User: nobody, Profiles: []fleet.Profile{
		{Name: fleet.Default, Plist: fleet.Newest}, {Name: "work", Plist: fleet.Middle}, {Name: "user", Plist: fleet.Oldest, User: true},
	}})
	stray := func(uid uint32) int {
		p, err := bystander(t, f, actor{Goes: true}, syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}, "hermes", "-p", "work", "gateway", "run")
		if err != nil {
			t.Fatal(err)
		}
		return olderPID(p.Process.Pid)
	}
	rootsOwn := stray(0)
	for _, c := range []struct {
		sudo string
		args []string
	}{
		{"65534", []string{"restart", "--all", "--wait", "ready"}},
		{"", []string{"restart", "--all", "--graceful", "--uid", "65534"}},
	} {
		manual := stray(nobody)
		mark := f.Mark()
		old := map[string]int{}
		for _, g := range f.Gateways() {
			old[g.Profile] = f.GatewayPID(g.Profile)
		}
		a := withSudo(t, f, c.sudo, c.args...)
		if a.Code != 0 || len(a.Results) != 3 {
			t.Errorf("%q: %s%s", c.args, a.Stdout, a.Stderr)
		}
		for _, g := range f.Gateways() {
			if r := a.of(t, f, g.Profile); r.State != launchd.OutcomeRestarted || r.Target != g.Target.String() {
				t.Errorf("%+v", r)
			}
			f.Up(g.Profile, old[g.Profile])
		}
		for _, e := range f.Requests(mark) {
			if e.Label != "" && !strings.HasSuffix(e.Domain, "/65534") {
				t.Errorf("%s", e)
			}
		}
		if outcome, reason := a.swept(manual); outcome != string(sweep.Exited) {
			t.Errorf("%q, %q", outcome, reason)
		}
		if outcome, reason := a.swept(rootsOwn); outcome != string(sweep.Spared) || reason != "it is another user's (0)" {
			t.Errorf("%q, %q", outcome, reason)
		}
		f.NeverUnloaded(mark)
		theirs(t, f)
	}
	// The locks are there, and that user can take them.
	locks, err := filepath.Glob(filepath.Join(f.AccountHome, ".cache", "hermes-gw", "*.lock"))
	if err != nil || len(locks) != 3 {
		t.Errorf("%q, %v", locks, err)
	}

	// A reload leaves nothing of root's either, and its worker runs as that user.
	mark := f.Mark()
	if a := withSudo(t, f, "65534", "reload", f.Gateway("work").Label); a.Code != 0 {
		t.Errorf("%s%s", a.Stdout, a.Stderr)
	}
	f.Wait(mark, launchdtest.Is(launchdtest.Spawn, f.Gateway("work").Label))
	theirs(t, f)

	// Root itself has no gateways, and no domain here.
	mark = f.Mark()
	for _, args := range [][]string{{"restart", "--all"}, {"restart"}, {"restart", f.Gateway("work").Label}} {
		if a := withSudo(t, f, "", args...); a.Code != 5 {
			t.Errorf("%q: %s%s", args, a.Stdout, a.Stderr)
		}
	}
	if a := withSudo(t, f, "no number", "restart", "--all"); a.Code != 2 {
		t.Errorf("%s%s", a.Stdout, a.Stderr)
	}
	unmoved(t, f, mark)
}
