package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/standin"
)

// osascript runs the shell command of Hermes' script, $.system("..."), and ends as the
// script does: with the command's code, or 128+n. As system(3) it ignores SIGINT and
// SIGQUIT meanwhile; SIGTERM ends it, and nothing is passed on.
func osascript(args []string) int {
	n, _ := newNotes(standin.RoleOsascript, homeOf(""))
	command, err := systemCommand(args)
	if err != nil {
		fmt.Fprintln(os.Stderr, "osascript (a stand-in):", err)
		return n.exit(1)
	}
	cmd := exec.Command("/bin/sh", "-c", command)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "osascript (a stand-in):", err)
		return n.exit(1)
	}
	signal.Ignore(syscall.SIGINT, syscall.SIGQUIT) // not before: the child would inherit it
	cmd.Wait()
	return n.exit(shellCode(cmd.ProcessState.Sys().(syscall.WaitStatus)))
}

// systemCommand finds the argument of $.system in the script.
func systemCommand(args []string) (command string, err error) {
	i := slices.Index(args, "-e")
	if i < 0 || i+1 == len(args) {
		return "", errors.New("no -e with a script")
	}
	_, rest, found := strings.Cut(args[i+1], "$.system(")
	if !found {
		return "", errors.New("the script calls no $.system")
	}
	return command, json.NewDecoder(strings.NewReader(rest)).Decode(&command)
}

// sit is there until a signal ends it, or the test. An orphan holds on: no SIGTERM ends it.
func sit(role string) int {
	if role == standin.RoleOrphan {
		signal.Ignore(syscall.SIGTERM, syscall.SIGHUP)
	}
	newNotes(role, homeOf(""))
	fmt.Println("sitting")
	select {}
}

// start starts a program with an argv in a session of its own and ends: its parent is init
// then.
func start(program string, argv []string) int {
	cmd := &exec.Cmd{Path: program, Args: argv, Stdout: os.Stdout, Stderr: os.Stderr, SysProcAttr: &syscall.SysProcAttr{Setsid: true}}
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "hermes (a stand-in):", err)
		return 1
	}
	return 0
}
