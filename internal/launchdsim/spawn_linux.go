package launchdsim

import (
	"os"
	"syscall"

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
	if p.fd != nil {
		if raw, err := p.fd.SyscallConn(); err == nil {
			if raw.Read(func(fd uintptr) bool {
				n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
				return n > 0 && err == nil
			}) == nil {
				return
			}
		}
	}
	var info unix.Siginfo
	for unix.Waitid(unix.P_PID, p.pid, &info, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
}
