package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/standin"
)

// startCall starts the process that runs the command of c, or the first of those above it.
func startCall(c standin.Call) error {
	cmd, err := caller(c)
	if err != nil {
		return err
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: c.Session}
	if err := cmd.Start(); err != nil {
		return err
	}
	go cmd.Wait()
	return nil
}

// caller is this program, about to carry c out.
func caller(c standin.Call) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, callCommand, string(text))
	cmd.Env = append(os.Environ(), standin.EnvTag+"="+c.Tag)
	return cmd, nil
}

// call carries a call out: its command is run here, or by a process further below.
func call(text string) int {
	fail := func(err error) int {
		fmt.Fprintln(os.Stderr, "hermes (a stand-in): call:", err)
		return 1
	}
	var c standin.Call
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return fail(err)
	}
	// launchd asks the job's whole process group to end. The command gets that signal, too, and
	// somebody has to be left to tell what came of it.
	swallow(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	switch {
	case c.Reparented:
		c.Reparented, c.Leaves = false, os.Getpid()
		cmd, err := caller(c)
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			return fail(err)
		}
		return 0
	case c.Depth > 0:
		c.Depth--
		cmd, err := caller(c)
		if err == nil {
			err = cmd.Run()
		}
		if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
			return fail(err)
		}
		return 0
	}
	for c.Leaves != 0 && os.Getppid() == c.Leaves {
		time.Sleep(time.Millisecond)
	}
	n, _ := newNotes(standin.RoleCaller, homeOf(""))
	code, err := n.runCommand(c)
	if err != nil {
		return fail(err)
	}
	n.note(standin.Event{Kind: standin.Exiting, Code: code})
	return 0
}

// swallow takes signals without an effect, which what this process starts does not inherit.
func swallow(signals ...os.Signal) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, signals...)
	go func() {
		for range c {
		}
	}()
}

// runCommand runs the command to its end.
func (n *notes) runCommand(c standin.Call) (code int, err error) {
	cmd := &exec.Cmd{Path: c.Argv[0], Args: c.Argv, Env: c.Env, Dir: c.Dir}
	for path, stream := range map[string]*io.Writer{c.Stdout: &cmd.Stdout, c.Stderr: &cmd.Stderr} {
		file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return 0, err
		}
		defer file.Close()
		*stream = file
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	n.atLost(func() { cmd.Process.Kill() })
	n.note(standin.Event{Kind: standin.Called, Child: cmd.Process.Pid})
	cmd.Wait()
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return -int(status.Signal()), nil
	}
	return status.ExitStatus(), nil
}
