package hermesgw_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	hermesgw "github.com/hermes-gw/hermes-gw"
	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
	"github.com/hermes-gw/hermes-gw/internal/embedtest/standin"
	"github.com/hermes-gw/hermes-gw/internal/proof/killpoint"
)

// watched runs the built command and returns its system calls that are about Hermes' files and
// property lists. Where processes cannot be traced there are none.
func watched(t *testing.T, f *fleet.Fleet, args ...string) (calls []killpoint.Call, traced bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	trace, err := killpoint.Count(ctx, f.Prepare(args...))
	if denied := (*killpoint.NotPermittedError)(nil); errors.As(err, &denied) {
		t.Log(err)
		f.Command(args...)
		return nil, false
	}
	if err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	for _, c := range trace.Calls {
		if c.Routine != 0 || slices.ContainsFunc(c.Files, func(path string) bool {
			return under(path, f.Root) || under(path, f.AccountHome)
		}) {
			calls = append(calls, c)
		}
	}
	return calls, true
}

func under(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

// Hermes' files and property lists are only read: whatever the command does, no call of its can
// change one, and the bytes, modes and times of all are what they were, but for what the gateways
// themselves wrote. Old, damaged and foreign files are among them.
//
// Of gateway.lock this is the more important: a gateway that finds it held while it boots exits. So
// it is only tried where no process decides whether a gateway is there, and never once a request is
// out.
func TestOnlyRead(t *testing.T) {
	t.Parallel()
	f := fleet.New(t, fleet.Options{TimeScale: 0.01, Profiles: []fleet.Profile{
		{Name: fleet.Default, Plist: fleet.Newest, Standin: fleet.Standin{Heartbeat: 50 * time.Millisecond}},
		{Name: "work", Plist: fleet.Middle}, {Name: "ops", Plist: fleet.Oldest},
		{Name: "idle", Plist: fleet.Oldest, Unloaded: true}, {Name: "none", Absent: true},
	}})
	for _, profile := range []string{"idle", "none"} {
		home := f.Gateway(profile).Home
		r := recordOf(t, os.Getpid(), home)
		r.Start -= 1000
		put(t, home, standin.FilePID, inJSONText(t, r))
		put(t, home, standin.FileLock, inJSONText(t, r))
		put(t, home, standin.FileState, []byte("{"))
		put(t, home, standin.FileHeartbeat, []byte("\ufeff{}"))
		put(t, home, standin.FilePlannedStop, []byte(`{"target_pid": 1}`))
		put(t, home, ".gateway-launchd-unsupported", []byte(`{"reason": "EIO"}`))
		for _, name := range []string{"logs/gateway.log", "logs/gateway.error.log"} { // launchd makes them otherwise
			put(t, home, name, []byte("old\n"))
		}
	}
	if err := os.Symlink("/nowhere", filepath.Join(f.Gateway("none").Home, standin.FileSocket)); err != nil {
		t.Fatal(err)
	}
	stray := strayOf(f, "work", fleet.Plain)
	work, idle := f.Gateway("work"), f.Gateway("idle")
	const traced = true
	for _, run := range []struct {
		trace bool // else only with HERMES_GW_LONG: it takes seconds
		args  []string
	}{
		{traced, []string{"status"}}, {false, []string{"status", "--json"}}, {false, []string{"status", work.Label}},
		{false, []string{"ps"}}, {false, []string{"ps", "--tree", "--json"}}, {false, []string{"doctor"}}, {false, []string{"logs", "-p", "work"}},
		{false, []string{"lint", filepath.Dir(work.Plist)}}, {false, []string{"lint", work.Plist}},
		{false, []string{"ctl", "print", work.Target.String()}}, {false, []string{"ctl", "list"}}, {false, []string{"ctl", "blame", work.Target.String()}},
		{false, []string{"restart", "--all", "--dry-run"}}, {false, []string{"restart", "-p", "work", "--graceful", "--dry-run", "--json"}},
		{false, []string{"restart", "-p", "none"}}, {false, []string{"restart", "-p", "idle", "--graceful"}}, {false, []string{"restart", "-p", "no-such"}},
		{false, []string{"restart"}}, {false, []string{"restart", "-p", "ops", "--wait", "platforms"}},
		{traced, []string{"restart", "-p", "work", "--graceful", "--force-after", "20s", "--wait", "ready"}},
		{traced, []string{"restart", "--all", "--wait", "ready", "--force"}},
		{false, []string{"restart", "-p", "idle", "--bootstrap"}},
		{traced, []string{"reload", work.Label}},
		{false, []string{"stop", idle.Label}}, {false, []string{"start", idle.Label}},
		{false, []string{"ctl", "kickstart", "-k", work.Target.String()}},
		{false, []string{"ctl", "disable", work.Target.String()}}, {false, []string{"ctl", "enable", work.Target.String()}},
	} {
		files := f.Snapshot()
		if run.trace || os.Getenv("HERMES_GW_LONG") != "" {
			onlyReads(t, f, run.args)
		} else {
			f.Command(run.args...)
		}
		upAgain(t, f)
		files.OnlyRead()
		if t.Failed() {
			t.Fatalf("%q", run.args)
		}
	}
	if os.Geteuid() == 0 { // the command has the fleet's account without a user namespace, and sees whose it is
		f.Gone(stray)
	}
	f.AllRunning()
}

// onlyReads runs the built command and looks at its system calls.
func onlyReads(t *testing.T, f *fleet.Fleet, args []string) {
	t.Helper()
	calls, traced := watched(t, f, args...)
	if !traced {
		return
	}
	// What decides about a lock, as things are before the command.
	decided := map[string]bool{}
	for _, g := range f.Gateways() {
		decided[filepath.Join(g.Home, standin.FileLock)] = g.Profile != "idle" && g.Profile != "none"
	}
	sent, opened := false, 0
	var tried []string
	for _, c := range calls {
		opened += len(c.Files)
		sent = sent || c.Routine != 0 && !asks(c.Routine)
		switch {
		case c.Changes:
			t.Errorf("%q: call %v can change %q", args, c, c.Files)
		case c.Name != "flock":
		case sent || decided[c.Files[0]]:
			t.Errorf("%q: call %v tries a lock, %q, after a request: %t", args, c, c.Files, sent)
		default:
			tried = append(tried, c.Files...)
		}
	}
	if args[0] == "status" && len(args) == 1 || slices.Contains(args, "--all") {
		// There and back, of the one whose job has no process.
		if lock := filepath.Join(f.Gateway("idle").Home, standin.FileLock); opened == 0 || !slices.Equal(tried, []string{lock, lock}) {
			t.Errorf("%q: these locks were tried: %q; %d files", args, tried, opened)
		}
	}
}

// upAgain waits until each job that has a process has its gateway up, so that none is at its files.
func upAgain(t *testing.T, f *fleet.Fleet) {
	t.Helper()
	found, err := hermesOf(t, f, hermesgw.Options{}).Discover(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range found.Gateways {
		if g.Job.PID > 0 {
			f.Up(g.Profile, 0)
		}
	}
}

// The lock of a home is tried where a property list is and no process, and tells of a gateway that
// was started by hand. It is not tried while a job has just got a process: that can be a gateway
// that has not come to its lock yet.
func TestLockProbe(t *testing.T) {
	t.Parallel()
	f := fleet.New(t, fleet.Options{Profiles: []fleet.Profile{
		{Name: "idle", Plist: fleet.Oldest, Unloaded: true}, {Name: "free", Plist: fleet.Oldest, Unloaded: true}, {Name: "none", Absent: true},
		{Name: "boots", Plist: fleet.Oldest, Keys: map[string]any{"ProgramArguments": []string{"/bin/sleep", "1000"}}, NoWait: true},
	}})
	for _, profile := range []string{"free", "none", "boots"} {
		put(t, f.Gateway(profile).Home, standin.FileLock, []byte("{}"))
	}
	manual := f.Manual("idle", fleet.Orphan)
	h := hermesOf(t, f, hermesgw.Options{})
	found, err := h.Discover(t.Context())
	if err != nil || len(found.Gateways) != 3 {
		t.Fatalf("%+v, %v", found, err)
	}
	for _, g := range found.Gateways {
		if g.Locked != (g.Profile == "idle") {
			t.Errorf("%+v", g)
		}
	}
	if o := f.Command("status"); !strings.Contains(o.Stderr, "another process holds the lock of "+f.Gateway("idle").Home) {
		t.Errorf("%+v", o)
	}
	alive(t, manual)
	calls, traced := watched(t, f, "status")
	if !traced {
		t.Skip("the system calls of another process cannot be seen here")
	}
	tried := map[string]int{}
	for _, c := range calls {
		if c.Name == "flock" {
			tried[filepath.Base(filepath.Dir(c.Files[0]))]++
		}
	}
	if len(tried) != 2 || tried["idle"] != 1 || tried["free"] != 2 { // held; there and back
		t.Errorf("these locks were tried: %v", tried)
	}
}
