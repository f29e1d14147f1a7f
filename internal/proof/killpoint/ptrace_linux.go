//go:build amd64 || arm64

package killpoint

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// options of every tracee: system call stops are told from signals, all threads and
// children are traced from their first instruction on, and all die with the tracer.
const options = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEVFORK |
	unix.PTRACE_O_TRACEEXEC | unix.PTRACE_O_EXITKILL

// sysgood is added to SIGTRAP in stops at a system call.
const sysgood = 0x80

func ptrace(request, tid int, address, data uintptr) error {
	_, _, code := unix.Syscall6(unix.SYS_PTRACE, uintptr(request), uintptr(tid), address, data, 0, 0)
	if code != 0 {
		return code
	}
	return nil
}

// seize traces a thread without stopping it. Unlike TRACEME and ATTACH it lets stops by
// job control be what they are (PTRACE_LISTEN).
func seize(tid int) error { return ptrace(unix.PTRACE_SEIZE, tid, 0, options) }

// syscallInfo is struct ptrace_syscall_info (linux/ptrace.h), which is the same on every
// architecture.
type syscallInfo struct {
	op   uint8
	_    [3]uint8
	arch uint32
	_    [2]uint64 // instruction and stack pointer
	// Entry: the number and six arguments. Exit: the value, and whether it is an error.
	data [8]uint64
}

func readSyscall(tid int) (info syscallInfo, err error) {
	err = ptrace(unix.PTRACE_GET_SYSCALL_INFO, tid, unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)))
	return info, err
}

// stopEvent is the PTRACE_EVENT of a stop, 0 for none.
func stopEvent(s syscall.WaitStatus) int { return int(uint32(s) >> 16) }

// awaitChange waits for the next report about a thread.
func awaitChange(tid int) (status syscall.WaitStatus, err error) {
	for {
		_, err = syscall.Wait4(tid, &status, unix.WALL, nil)
		if err != syscall.EINTR {
			return status, err
		}
	}
}

// awaitChild is awaitChange for a child of this process: it stays there to be waited for
// when it has ended.
func awaitChild(pid int) (status syscall.WaitStatus, err error) {
	for {
		info, err := waitid(pid, unix.WEXITED|unix.WSTOPPED|unix.WNOWAIT)
		if err != nil {
			return 0, err
		}
		switch info.code {
		case cldExited:
			return syscall.WaitStatus(info.status << 8), nil
		case cldKilled:
			return syscall.WaitStatus(info.status), nil
		case cldDumped:
			return syscall.WaitStatus(info.status | 0x80), nil
		}
		// A stop. If it was killed meanwhile, there is none to be had (ECHILD).
		if info, err = waitid(pid, unix.WSTOPPED|unix.WNOHANG); err == nil && info.pid != 0 {
			return syscall.WaitStatus(info.status<<8 | 0x7f), nil
		}
	}
}

func waitid(pid, which int) (info childInfo, err error) {
	for {
		err = unix.Waitid(unix.P_PID, pid, (*unix.Siginfo)(unsafe.Pointer(&info)), which|unix.WALL, nil)
		if err != syscall.EINTR {
			return info, err
		}
	}
}

// childInfo is siginfo_t as waitid(2) fills it in, on 64-bit systems.
type childInfo struct {
	signo, errno, code, _ int32
	pid, uid, status      int32
	_                     [100]byte
}

// How a child has ended (bits/siginfo-consts.h).
const (
	cldExited = 1
	cldKilled = 2
	cldDumped = 3
)
