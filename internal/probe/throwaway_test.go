package probe

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/launchd/launchdtest"
)

func throwawayOptions(t *testing.T, l *launchdtest.Launchd) Options {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Options{Transport: dial(t, l), UID: os.Geteuid(), Program: []string{self, jobArg}, StateDir: t.TempDir()}
}

func TestThrowaways(t *testing.T) {
	t.Parallel()
	l := launchdtest.Start(t)
	own := l.Job("org.example.own", "/bin/sleep", "1000")
	o := throwawayOptions(t, l)
	if err := os.Chmod(o.StateDir, 0o700); err != nil {
		t.Fatal(err)
	}
	all, err := OpenThrowaways(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenThrowaways(t.Context(), o); !errors.Is(err, ErrBusy) {
		t.Errorf("a second one: %v", err)
	}
	job, err := all.Load(t.Context(), func(p *launchd.Plist) { p.WorkingDirectory = o.StateDir })
	if err != nil {
		t.Fatal(err)
	}
	r, err := all.Client().Restart(t.Context(), job.Target, launchd.RestartOptions{})
	if err != nil || r.Outcome != launchd.OutcomeRestarted {
		t.Error(r, err)
	}
	if r, err := all.Client().Restart(t.Context(), own, launchd.RestartOptions{}); err == nil {
		t.Errorf("the fence let a restart of another job through: %+v", r)
	}
	list, err := launchd.ReadPlist(job.Plist)
	if err != nil || list.WorkingDirectory != o.StateDir {
		t.Error(list, err)
	}

	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := all.Close(gone); err != nil {
		t.Error(err)
	}
	if j, err := l.Client.Job(t.Context(), job.Target); !errors.Is(err, launchd.ErrNotLoaded) {
		t.Error("after Close:", j, err)
	}
	if _, err := os.Stat(job.Plist); !errors.Is(err, fs.ErrNotExist) {
		t.Error("after Close:", err)
	}
	if j, err := l.Client.Job(t.Context(), own); err != nil || !j.Running() {
		t.Error("the other job:", j, err)
	}
}

// What a killed one left is removed by the next.
func TestThrowawaysLeft(t *testing.T) {
	t.Parallel()
	l := launchdtest.Start(t)
	o := throwawayOptions(t, l)
	if err := os.Chmod(o.StateDir, 0o700); err != nil {
		t.Fatal(err)
	}
	killed, err := OpenThrowaways(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	job, err := killed.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// As its process' end does; a process that is being forked at that moment has the file, too.
	forked, err := unix.Dup(int(killed.p.folder.lock.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(forked)
	killed.p.folder.unlock()
	next, err := OpenThrowaways(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if j, err := l.Client.Job(t.Context(), job.Target); !errors.Is(err, launchd.ErrNotLoaded) {
		t.Error(j, err)
	}
	if err := next.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
