//go:build amd64 || arm64

package killpoint

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// noise are the calls that are not counted, by the reason why.
var noise = []struct {
	why   string
	calls []uint64
}{
	{"locks: a thread waits for another one of its own process, or wakes it",
		[]uint64{unix.SYS_FUTEX, unix.SYS_FUTEX_WAITV, unix.SYS_SET_ROBUST_LIST, unix.SYS_GET_ROBUST_LIST}},
	{"sleeps and clocks: idle threads and the runtime's monitor, as often as it likes",
		[]uint64{unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_CLOCK_GETTIME, unix.SYS_CLOCK_GETRES, unix.SYS_GETTIMEOFDAY}},
	{"waits for readiness: whether and how often depends on who is faster; what is ready is read by a call that counts",
		[]uint64{unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_PWAIT2}},
	{"a call that a signal or a stop has interrupted goes on: it was counted when it was entered",
		[]uint64{unix.SYS_RESTART_SYSCALL, unix.SYS_RT_SIGRETURN}},
	{"signal handlers, masks and stacks: set for each thread, seen by nobody else",
		[]uint64{unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGPENDING, unix.SYS_SIGALTSTACK}},
	{"memory: the heap, stacks, the loader and the collector",
		[]uint64{unix.SYS_MMAP, unix.SYS_MUNMAP, unix.SYS_MREMAP, unix.SYS_MPROTECT, unix.SYS_MADVISE, unix.SYS_MINCORE, unix.SYS_BRK, unix.SYS_MLOCK, unix.SYS_PKEY_MPROTECT}},
	{"scheduling: yields, and how many processors there are",
		[]uint64{unix.SYS_SCHED_YIELD, unix.SYS_SCHED_GETAFFINITY, unix.SYS_SCHED_SETAFFINITY, unix.SYS_GETCPU}},
	{"own numbers: asked by preemption (with tgkill, see below), and constant",
		[]uint64{unix.SYS_GETTID, unix.SYS_GETPID}},
	{"threads begin and end: how many there are depends on the load (clone: see below)",
		[]uint64{unix.SYS_EXIT, unix.SYS_SET_TID_ADDRESS, unix.SYS_RSEQ}},
	{"profiling timers of the process itself",
		[]uint64{unix.SYS_SETITIMER, unix.SYS_GETITIMER, unix.SYS_TIMER_CREATE, unix.SYS_TIMER_SETTIME, unix.SYS_TIMER_DELETE}},
	{"names of memory areas and thread attributes", []uint64{unix.SYS_PRCTL}},
	{"of this architecture", archNoise},
}

// isNoise reports whether an entry of tid's is not counted.
func isNoise(tid int, call uint64, args [6]uint64) bool {
	switch call {
	case unix.SYS_CLONE: // a thread of its own, or a process
		return args[0]&unix.CLONE_THREAD != 0
	case unix.SYS_CLONE3:
		flags, ok := peekWord(tid, args[0])
		return ok && flags&unix.CLONE_THREAD != 0
	case unix.SYS_TGKILL: // the runtime preempts a goroutine, or somebody gets a signal
		return args[2] == uint64(syscall.SIGURG)
	case unix.SYS_READ, unix.SYS_WRITE: // the runtime wakes its own poller: a counter in memory
		return fileOf(tid, args[0]) == "anon_inode:[eventfd]"
	case unix.SYS_PREAD64: // the runtime looks every now and then how many processors it may use
		return strings.HasPrefix(fileOf(tid, args[0]), "/sys/fs/cgroup/")
	}
	for _, group := range noise {
		if slices.Contains(group.calls, call) {
			return true
		}
	}
	return false
}

// fileOf is what a descriptor of tid's is open on.
func fileOf(tid int, fd uint64) string {
	link, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", tid, int32(fd)))
	return link
}
