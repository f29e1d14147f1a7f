package killpoint

import "golang.org/x/sys/unix"

const nativeArch = unix.AUDIT_ARCH_X86_64

// archNoise: older forms of what noise has, and the register that points to a thread's
// own data.
var archNoise = []uint64{unix.SYS_EPOLL_WAIT, unix.SYS_ARCH_PRCTL, unix.SYS_TIME}

// archNames are calls that newer architectures do not have.
var archNames = map[uint64]string{
	unix.SYS_OPEN: "open", unix.SYS_CREAT: "creat", unix.SYS_STAT: "stat", unix.SYS_LSTAT: "lstat", unix.SYS_ACCESS: "access",
	unix.SYS_NEWFSTATAT: "newfstatat", unix.SYS_RENAME: "rename", unix.SYS_MKDIR: "mkdir", unix.SYS_RMDIR: "rmdir",
	unix.SYS_LINK: "link", unix.SYS_UNLINK: "unlink", unix.SYS_SYMLINK: "symlink", unix.SYS_READLINK: "readlink",
	unix.SYS_CHMOD: "chmod", unix.SYS_CHOWN: "chown", unix.SYS_LCHOWN: "lchown", unix.SYS_PIPE: "pipe", unix.SYS_DUP2: "dup2",
	unix.SYS_FORK: "fork", unix.SYS_VFORK: "vfork", unix.SYS_POLL: "poll", unix.SYS_SELECT: "select", unix.SYS_PAUSE: "pause",
	unix.SYS_EVENTFD: "eventfd", unix.SYS_EPOLL_CREATE: "epoll_create", unix.SYS_GETDENTS: "getdents", unix.SYS_GETPGRP: "getpgrp",
	unix.SYS_ALARM: "alarm", unix.SYS_UTIME: "utime", unix.SYS_UTIMES: "utimes",
}

// archFileCalls are forms of fileCalls that newer architectures do not have.
var archFileCalls = map[uint64]fileCall{
	unix.SYS_CREAT:   {names: [][2]int{{-1, 0}}, changes: true},
	unix.SYS_OPEN:    {names: [][2]int{{-1, 0}}, changes: true}, // nobody calls it any more
	unix.SYS_UNLINK:  {names: [][2]int{{-1, 0}}, changes: true},
	unix.SYS_RMDIR:   {names: [][2]int{{-1, 0}}, changes: true},
	unix.SYS_MKDIR:   {names: [][2]int{{-1, 0}}, changes: true},
	unix.SYS_MKNOD:   {names: [][2]int{{-1, 0}}, changes: true},
	unix.SYS_CHMOD:   {names: [][2]int{{-1, 0}}, changes: true},
	unix.SYS_CHOWN:   {names: [][2]int{{-1, 0}}, changes: true},
	unix.SYS_LCHOWN:  {names: [][2]int{{-1, 0}}, changes: true},
	unix.SYS_UTIME:   {names: [][2]int{{-1, 0}}, changes: true},
	unix.SYS_UTIMES:  {names: [][2]int{{-1, 0}}, changes: true},
	unix.SYS_RENAME:  {names: [][2]int{{-1, 0}, {-1, 1}}, changes: true},
	unix.SYS_LINK:    {names: [][2]int{{-1, 0}, {-1, 1}}, changes: true},
	unix.SYS_SYMLINK: {names: [][2]int{{-1, 1}}, changes: true},
}
