package launchdsim

import (
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// startProcess forks and executes. macOS has no parent death signal: the child
// stays if the server is killed.
func startProcess(path string, argv []string, attr *syscall.ProcAttr) (*process, error) {
	pid, _, err := syscall.StartProcess(path, argv, attr)
	if err != nil {
		return nil, err
	}
	return &process{pid: pid}, nil
}

// wait returns when p has ended; it stays a zombie until reap. It holds a thread.
func (p *process) wait() { p.waitOr(nil) }

// processLetter is sh's letter for the number of processes.
const processLetter = "u"

// watchProcess holds a process that need not be a child.
func watchProcess(pid int) (*process, error) {
	if err := syscall.Kill(pid, 0); err != nil {
		return nil, err
	}
	return &process{pid: pid}, nil
}

// waitOr waits for the end of p, or for done, which it looks at twice a second.
func (p *process) waitOr(done <-chan struct{}) {
	kq, err := unix.Kqueue()
	if err != nil {
		return // reap waits, too
	}
	defer unix.Close(kq)
	change := []unix.Kevent_t{{Ident: uint64(p.pid), Filter: unix.EVFILT_PROC, Flags: unix.EV_ADD | unix.EV_ONESHOT, Fflags: unix.NOTE_EXIT}}
	events := make([]unix.Kevent_t, 1)
	for {
		timeout := unix.NsecToTimespec(500e6)
		n, err := unix.Kevent(kq, change, events, &timeout)
		switch {
		case n > 0, err != nil && err != unix.EINTR: // ESRCH: it has ended already
			return
		case err == nil:
			change = nil
		}
		select {
		case <-done:
			return
		default:
		}
	}
}

// GroupRuns says whether a process group has a member that has not ended. kill(2) alone
// would count zombies.
func GroupRuns(pgid int) bool {
	if syscall.Kill(-pgid, 0) != nil {
		return false
	}
	members, err := unix.SysctlKinfoProcSlice("kern.proc.pgrp", pgid)
	return err != nil || slices.ContainsFunc(members, func(k unix.KinfoProc) bool { return k.Proc.P_stat != zombie })
}

const zombie = 5 // SZOMB, sys/proc.h
