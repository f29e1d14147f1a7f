//go:build amd64 || arm64

package killpoint

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// nameOf names a call for people: the usual ones of programs that work with files,
// sockets and processes; a number for all others.
func nameOf(call uint64) string {
	if name, ok := names[call]; ok {
		return name
	}
	if name, ok := archNames[call]; ok {
		return name
	}
	return fmt.Sprintf("call %d", call)
}

var names = map[uint64]string{
	// Files.
	unix.SYS_OPENAT: "openat", unix.SYS_OPENAT2: "openat2", unix.SYS_CLOSE: "close", unix.SYS_CLOSE_RANGE: "close_range",
	unix.SYS_READ: "read", unix.SYS_PREAD64: "pread64", unix.SYS_READV: "readv", unix.SYS_PREADV: "preadv",
	unix.SYS_WRITE: "write", unix.SYS_PWRITE64: "pwrite64", unix.SYS_WRITEV: "writev", unix.SYS_PWRITEV: "pwritev",
	unix.SYS_LSEEK: "lseek", unix.SYS_FSTAT: "fstat", unix.SYS_STATX: "statx", unix.SYS_FACCESSAT: "faccessat", unix.SYS_FACCESSAT2: "faccessat2",
	unix.SYS_FSYNC: "fsync", unix.SYS_FDATASYNC: "fdatasync", unix.SYS_SYNC: "sync", unix.SYS_FTRUNCATE: "ftruncate", unix.SYS_TRUNCATE: "truncate",
	unix.SYS_FALLOCATE: "fallocate", unix.SYS_FLOCK: "flock", unix.SYS_FCNTL: "fcntl", unix.SYS_IOCTL: "ioctl", unix.SYS_FADVISE64: "fadvise64",
	unix.SYS_COPY_FILE_RANGE: "copy_file_range", unix.SYS_SENDFILE: "sendfile", unix.SYS_SPLICE: "splice",
	unix.SYS_FCHMOD: "fchmod", unix.SYS_FCHMODAT: "fchmodat", unix.SYS_FCHOWN: "fchown", unix.SYS_FCHOWNAT: "fchownat", unix.SYS_UTIMENSAT: "utimensat", unix.SYS_UMASK: "umask",
	unix.SYS_DUP: "dup", unix.SYS_DUP3: "dup3", unix.SYS_PIPE2: "pipe2",
	unix.SYS_STATFS: "statfs", unix.SYS_FSTATFS: "fstatfs",
	// Names.
	unix.SYS_RENAMEAT: "renameat", unix.SYS_RENAMEAT2: "renameat2", unix.SYS_LINKAT: "linkat", unix.SYS_UNLINKAT: "unlinkat", unix.SYS_SYMLINKAT: "symlinkat",
	unix.SYS_READLINKAT: "readlinkat", unix.SYS_MKDIRAT: "mkdirat", unix.SYS_MKNODAT: "mknodat", unix.SYS_GETDENTS64: "getdents64",
	unix.SYS_GETCWD: "getcwd", unix.SYS_CHDIR: "chdir", unix.SYS_FCHDIR: "fchdir",
	// Sockets.
	unix.SYS_SOCKET: "socket", unix.SYS_SOCKETPAIR: "socketpair", unix.SYS_BIND: "bind", unix.SYS_LISTEN: "listen", unix.SYS_ACCEPT: "accept", unix.SYS_ACCEPT4: "accept4",
	unix.SYS_CONNECT: "connect", unix.SYS_SHUTDOWN: "shutdown", unix.SYS_GETSOCKNAME: "getsockname", unix.SYS_GETPEERNAME: "getpeername",
	unix.SYS_SENDTO: "sendto", unix.SYS_SENDMSG: "sendmsg", unix.SYS_SENDMMSG: "sendmmsg", unix.SYS_RECVFROM: "recvfrom", unix.SYS_RECVMSG: "recvmsg", unix.SYS_RECVMMSG: "recvmmsg",
	unix.SYS_GETSOCKOPT: "getsockopt", unix.SYS_SETSOCKOPT: "setsockopt",
	// Readiness.
	unix.SYS_EPOLL_CREATE1: "epoll_create1", unix.SYS_EPOLL_CTL: "epoll_ctl", unix.SYS_EVENTFD2: "eventfd2", unix.SYS_PPOLL: "ppoll", unix.SYS_PSELECT6: "pselect6",
	unix.SYS_INOTIFY_INIT1: "inotify_init1", unix.SYS_INOTIFY_ADD_WATCH: "inotify_add_watch", unix.SYS_SIGNALFD4: "signalfd4", unix.SYS_TIMERFD_CREATE: "timerfd_create", unix.SYS_TIMERFD_SETTIME: "timerfd_settime",
	// Processes.
	unix.SYS_CLONE: "clone", unix.SYS_CLONE3: "clone3", unix.SYS_EXECVE: "execve", unix.SYS_EXECVEAT: "execveat", unix.SYS_EXIT_GROUP: "exit_group",
	unix.SYS_WAIT4: "wait4", unix.SYS_WAITID: "waitid", unix.SYS_KILL: "kill", unix.SYS_TKILL: "tkill", unix.SYS_TGKILL: "tgkill",
	unix.SYS_PIDFD_OPEN: "pidfd_open", unix.SYS_PIDFD_SEND_SIGNAL: "pidfd_send_signal", unix.SYS_PIDFD_GETFD: "pidfd_getfd",
	unix.SYS_SETPGID: "setpgid", unix.SYS_GETPGID: "getpgid", unix.SYS_SETSID: "setsid", unix.SYS_GETSID: "getsid", unix.SYS_GETPPID: "getppid",
	unix.SYS_GETUID: "getuid", unix.SYS_GETEUID: "geteuid", unix.SYS_GETGID: "getgid", unix.SYS_GETEGID: "getegid", unix.SYS_GETGROUPS: "getgroups",
	unix.SYS_SETUID: "setuid", unix.SYS_SETGID: "setgid", unix.SYS_PRLIMIT64: "prlimit64", unix.SYS_GETRLIMIT: "getrlimit", unix.SYS_SETRLIMIT: "setrlimit",
	unix.SYS_PTRACE: "ptrace", unix.SYS_RT_SIGSUSPEND: "rt_sigsuspend", unix.SYS_RT_SIGTIMEDWAIT: "rt_sigtimedwait", unix.SYS_RT_SIGQUEUEINFO: "rt_sigqueueinfo",
	// The system.
	unix.SYS_GETRANDOM: "getrandom", unix.SYS_UNAME: "uname", unix.SYS_SYSINFO: "sysinfo", unix.SYS_GETRUSAGE: "getrusage",
}
