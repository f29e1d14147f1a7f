package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/standin"
)

// wrap runs command, appends its standard error to the file, passes SIGTERM,
// SIGINT and SIGHUP on and ends with the command's code. SIGUSR1 ends the wrapper, not
// the command, as it does in Hermes.
func wrap(errorLog string, command []string) int {
	n, _ := newNotes(standin.RoleWrapper, homeOf(""))
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1)

	stderr, err := os.OpenFile(errorLog, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		fmt.Fprintln(os.Stderr, "hermes stderr-timestamp:", err)
		return n.exit(standin.ExitSignalled)
	}
	defer stderr.Close()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, stderr
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "hermes stderr-timestamp:", err)
		return n.exit(standin.ExitSignalled)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case s := <-signals:
			n.note(standin.Event{Kind: standin.Signal, Signal: int(s.(syscall.Signal))})
			if s == syscall.SIGUSR1 {
				return dieBy(syscall.SIGUSR1)
			}
			// It may have ended a moment ago; then there is nothing to pass on.
			if err := cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
				fmt.Fprintln(stderr, "hermes stderr-timestamp:", err)
			}
		case <-ended:
			return n.exit(wrapperCode(cmd.ProcessState.Sys().(syscall.WaitStatus)))
		}
	}
}

// wrapperCode is what launchd gets to see of the gateway's end: 78 becomes 0, so
// that KeepAlive does not revive what cannot work, and signal n becomes 128+n.
func wrapperCode(status syscall.WaitStatus) int {
	if code := shellCode(status); code != standin.ExitConfig {
		return code
	}
	return 0
}

// shellCode is how a shell words a wait status.
func shellCode(status syscall.WaitStatus) int {
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}
