package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// roleInit makes this program the first process of a namespace of its own.
const roleInit = "first-process"

// envAlone says in the environment that the program is in such a namespace.
const envAlone = "HERMES_GW_PROOF_ALONE"

// alone runs this program again where it sees no other processes than its own: the command
// looks through all processes, so how many calls it makes depends on what else runs. The
// kernel also ends everything in there with it. ran is false where the system does not allow
// that: everything can be proved without.
func alone() (code int, ran bool) {
	if os.Getenv(envAlone) != "" {
		return 0, false
	}
	self, err := os.Executable()
	if err != nil {
		return 0, false
	}
	one := func(id int) []syscall.SysProcIDMap {
		return []syscall.SysProcIDMap{{ContainerID: id, HostID: id, Size: 1}}
	}
	const flags = syscall.CLONE_NEWPID | syscall.CLONE_NEWNS
	for _, attr := range []*syscall.SysProcAttr{
		{Cloneflags: flags},
		{
			Cloneflags: flags | syscall.CLONE_NEWUSER, UidMappings: one(os.Geteuid()), GidMappings: one(os.Getegid()),
			AmbientCaps: []uintptr{unix.CAP_SYS_ADMIN}, // to keep it over the exec
		},
	} {
		attr.Pdeathsig = syscall.SIGKILL
		probe := exec.Command(self, roleInit)
		probe.SysProcAttr = attr
		if probe.Run() != nil {
			continue
		}
		cmd := exec.Command(self, append([]string{roleInit}, os.Args[1:]...)...)
		cmd.SysProcAttr, cmd.Env = attr, append(os.Environ(), envAlone+"=1")
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		return passOn(cmd), true
	}
	return 0, false
}

// first is the first process of the namespace: it starts the program and reaps whoever has
// lost its parent. Without arguments it only tries whether that can be done.
func first(args []string) int {
	flags := uintptr(unix.MS_REC | unix.MS_PRIVATE)
	if err := unix.Mount("", "/", "", flags, ""); err != nil {
		return 1
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return 1
	}
	if os.Getenv(envAlone) == "" {
		return 0
	}
	self, err := os.Executable()
	if err != nil {
		return 1
	}
	cmd := exec.Command(self, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "proof:", err)
		return 1
	}
	go func() {
		for s := range signals {
			cmd.Process.Signal(s)
		}
	}()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return 1
		case pid == cmd.Process.Pid && status.Exited():
			return status.ExitStatus()
		case pid == cmd.Process.Pid:
			return 128 + int(status.Signal())
		}
	}
}

// passOn runs a command, hands signals on to it and returns its exit code.
func passOn(cmd *exec.Cmd) int {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "proof:", err)
		return 1
	}
	go func() {
		for s := range signals {
			cmd.Process.Signal(s)
		}
	}()
	cmd.Wait()
	if status := cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signaled() {
		return 128 + int(status.Signal())
	}
	return cmd.ProcessState.ExitCode()
}
