package hermesgw_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
	"github.com/hermes-gw/hermes-gw/launchd"
)

// underWay is the built command while it runs.
type underWay struct {
	*exec.Cmd
	t              *testing.T
	stdout, stderr bytes.Buffer
	began          time.Time
	ended          chan error
}

// start starts what Prepare gave. Output that has a place already goes there.
func start(t *testing.T, cmd *exec.Cmd) *underWay {
	t.Helper()
	u := &underWay{Cmd: cmd, t: t, began: time.Now(), ended: make(chan error, 1)}
	if cmd.Stdout == nil {
		cmd.Stdout = &u.stdout
	}
	if cmd.Stderr == nil {
		cmd.Stderr = &u.stderr
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { u.ended <- cmd.Wait() }()
	t.Cleanup(func() { cmd.Process.Kill() })
	return u
}

// end waits until the command has ended.
func (u *underWay) end() fleet.Output {
	u.t.Helper()
	select {
	case err := <-u.ended:
		if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
			u.t.Fatalf("%q: %v", u.Args, err)
		}
	case <-time.After(time.Minute):
		u.Process.Signal(syscall.SIGQUIT) // it says where it is
		<-u.ended
		u.t.Fatalf("%q did not end: %s%s", u.Args, &u.stdout, &u.stderr)
	}
	o := fleet.Output{Stdout: u.stdout.String(), Stderr: u.stderr.String(), Code: u.ProcessState.ExitCode(), Took: time.Since(u.began)}
	if status := u.ProcessState.Sys().(syscall.WaitStatus); status.Signaled() {
		o.Code = -int(status.Signal())
	}
	return o
}

func (u *underWay) signal(s syscall.Signal) {
	u.t.Helper()
	if err := u.Process.Signal(s); err != nil {
		u.t.Error(err)
	}
}

// flightPath is the lock of a target, by its contract: the state folder's file that is named
// after the first 8 hex digits of the SHA-256 of the target.
func flightPath(f *fleet.Fleet, t launchd.Target) string {
	sum := sha256.Sum256([]byte(t.String()))
	return filepath.Join(f.StateDir, hex.EncodeToString(sum[:4])+".lock")
}

// holdFlight takes the lock of a profile's gateway, as another restart does, until it is let go.
func holdFlight(t *testing.T, f *fleet.Fleet, profile, note string) (release func()) {
	t.Helper()
	if err := os.MkdirAll(f.StateDir, 0o700); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(flightPath(f, f.Gateway(profile).Target), os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		// One that was let go is held on by a process that another test is about to start.
		eventually(t, "the lock is free", func() bool {
			err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
			return err != unix.EWOULDBLOCK
		})
	}
	if err == nil {
		err = file.Truncate(0)
	}
	if err == nil {
		_, err = file.WriteAt([]byte(note), 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return func() { file.Close() }
}
