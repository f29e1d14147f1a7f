package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const module = "github.com/hermes-gw/hermes-gw"

// environment is what the demo's children get: nothing that would make them look
// at another Hermes, user or launchd. The folder's name in it lets a reader of the
// process table see whose they are.
func environment(top string) []string {
	var env []string
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if !strings.HasPrefix(name, "HERMES_") && !strings.HasPrefix(name, "SUDO_") {
			env = append(env, v)
		}
	}
	// The locks of these restarts are no business of the user's own.
	return append(env, "HERMES_DEMO="+top, "HERMES_GW_STATE_DIR="+filepath.Join(top, "state"))
}

// child prepares a program in a process group of its own, so that a terminal's
// Ctrl-C reaches the demo alone and the demo ends its children in order. If ctx
// ends, the group gets SIGINT, and the program SIGKILL two seconds later.
func child(ctx context.Context, top, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = environment(top)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = 2 * time.Second
	return cmd
}

// build makes the command, the embedded launchd and the stand-in for Hermes. The
// import paths are found from any folder inside the module.
func build(ctx context.Context, p paths) error {
	work := filepath.Join(p.top, "build")
	if err := os.Mkdir(work, 0o700); err != nil {
		return err
	}
	cmd := child(ctx, p.top, "go", "build", "-o", p.bin+string(filepath.Separator),
		module+"/cmd/hermes-gw", module+"/internal/launchdsim/cmd/launchdsim", module+"/internal/embedtest/standin/hermes")
	cmd.Env = append(cmd.Env, "GOTMPDIR="+work)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build (it needs a folder inside the module %s): %w\n%s", module, err, bytes.TrimSpace(out))
	}
	return nil
}

// embedded is the embedded launchd in a process of its own.
type embedded struct {
	cmd     *exec.Cmd
	trace   *trace
	stderr  bytes.Buffer // to be read after its end
	stopped atomic.Bool  // stop was called
	ended   chan struct{}
	err     error // how it ended; set before ended is closed
}

// startLaunchd starts the embedded launchd and waits until it serves. If it ends
// before stop is called, cancel is.
func startLaunchd(ctx context.Context, cancel context.CancelCauseFunc, p paths) (*embedded, error) {
	if err := syscall.Mkfifo(p.trace, 0o600); err != nil {
		return nil, fmt.Errorf("make a FIFO for the trace: %w", err)
	}
	l := &embedded{ended: make(chan struct{})}
	l.cmd = exec.Command(filepath.Join(p.bin, "launchdsim"),
		"--socket", p.socket, "--trace", p.trace, "--log", filepath.Join(p.top, "launchd.log"))
	l.cmd.Env = environment(p.top)
	l.cmd.Stderr = &l.stderr
	l.cmd.WaitDelay = time.Second // of a job that inherited stderr
	l.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	tie(l.cmd.SysProcAttr)
	stdout, err := l.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := l.cmd.Start(); err != nil {
		return nil, err
	}
	l.trace = follow(p.trace)
	ready := make(chan string, 1)
	go func() {
		lines := bufio.NewReader(stdout)
		first, _ := lines.ReadString('\n')
		ready <- strings.TrimSpace(first)
		io.Copy(io.Discard, lines)
		l.err = l.cmd.Wait()
		close(l.ended)
		if !l.stopped.Load() {
			cancel(errors.New("the embedded launchd ended: " + l.why()))
		}
	}()
	select {
	case first := <-ready:
		if first != "ready "+p.socket {
			l.stop()
			return nil, fmt.Errorf("the embedded launchd said %q, not that it is ready: %s", first, l.why())
		}
		return l, nil
	case <-ctx.Done():
		l.stop()
		return nil, context.Cause(ctx)
	}
}

func (l *embedded) pid() int { return l.cmd.Process.Pid }

// stop asks it to stop its jobs and itself, and kills it when that takes too long.
// It may be called again.
func (l *embedded) stop() error {
	l.stopped.Store(true)
	l.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-l.ended:
	case <-time.After(stopTimeout):
		l.cmd.Process.Kill()
		<-l.ended
		return fmt.Errorf("the embedded launchd did not stop within %v", stopTimeout)
	}
	if l.err != nil {
		return errors.New(l.why())
	}
	return nil
}

// why words its end, once it has ended.
func (l *embedded) why() string {
	<-l.ended
	words := "exit status 0"
	if l.err != nil {
		words = l.err.Error()
	}
	if text := strings.TrimSpace(l.stderr.String()); text != "" {
		words += "\n" + text
	}
	return words
}
