package launchdsim

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// startProcess forks and executes. The child dies with the server.
func startProcess(path string, argv []string, attr *syscall.ProcAttr) (*process, error) {
	fd := -1
	attr.Sys.Pdeathsig = syscall.SIGKILL
	attr.Sys.PidFD = &fd
	pid, _, err := syscall.StartProcess(path, argv, attr)
	if err != nil {
		return nil, err
	}
	p := &process{pid: pid}
	if fd >= 0 {
		// Not blocking, so that the file joins the poller and a thousand waiting
		// goroutines need no thousand threads.
		unix.SetNonblock(fd, true)
		p.fd = os.NewFile(uintptr(fd), "pidfd")
	}
	return p, nil
}

// wait returns when p has ended; it stays a zombie until reap.
func (p *process) wait() {
	if p.fd != nil && p.ended() {
		return
	}
	var info unix.Siginfo
	for unix.Waitid(unix.P_PID, p.pid, &info, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
}

// ended waits on the pidfd; false says that it was given up.
func (p *process) ended() bool {
	raw, err := p.fd.SyscallConn()
	return err == nil && raw.Read(func(fd uintptr) bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		return n > 0 && err == nil
	}) == nil
}

// processLetter is sh's letter for the number of processes (dash; bash takes -u).
const processLetter = "p"

// watchProcess holds a process that need not be a child.
func watchProcess(pid int) (*process, error) {
	if err := syscall.Kill(pid, 0); err != nil {
		return nil, err
	}
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, err
	}
	return &process{pid: pid, fd: os.NewFile(uintptr(fd), "pidfd")}, nil
}

// waitOr waits for the end of a watched process, or for done.
func (p *process) waitOr(done <-chan struct{}) {
	ended := make(chan struct{})
	go func() {
		select {
		case <-done:
			p.fd.SetReadDeadline(time.Now())
		case <-ended:
		}
	}()
	p.ended() // not wait: it may be a child of this process, and outlive done
	close(ended)
	p.fd.Close()
}

// GroupRuns says whether a process group has a member that has not ended. kill(2)
// alone would count zombies, which stay for as long as pid 1 likes.
func GroupRuns(pgid int) bool {
	if syscall.Kill(-pgid, 0) != nil {
		return false
	}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		// pid (comm) state ppid pgrp ...; comm may hold anything, parentheses too.
		var status rune
		var parent, group int
		after := text[strings.LastIndexByte(string(text), ')')+1:]
		if n, _ := fmt.Sscanf(string(after), " %c %d %d", &status, &parent, &group); n == 3 && group == pgid && status != 'Z' && status != 'X' {
			return true
		}
	}
	return false
}
