package cgoless

import (
	"sync"
	"syscall"
	"unsafe"
)

// Libproc is what binds a signal to one execution of one process.
type Libproc struct {
	// Version returns the version of a pid: the kernel gives each process another
	// and changes it on exec. It is false when the process cannot be asked: it is
	// gone, or another user's and this system refuses.
	Version func(pid int32) (version int32, ok bool)

	// Signal sends sig to pid if it still has that version; otherwise it returns
	// ESRCH. It is nil on a system that lacks the call.
	Signal func(pid, version int32, sig syscall.Signal) syscall.Errno
}

// LoadLibproc returns the table of libproc, bound on the first call. The error
// names the missing symbol and wraps errors.ErrUnsupported.
var LoadLibproc = sync.OnceValues(loadLibproc)

// xnu, bsd/sys/proc_info_private.h: the flavor of proc_pidinfo and its answer. An
// arg of 1 asks for zombies too.
const (
	procPIDUniqIdentifierInfo = 17
	includeZombies            = 1
)

type procUniqIdentifierInfo struct {
	UUID                [16]byte // of the executable
	UniqueID            uint64
	ParentUniqueID      uint64 // of the parent that spawned it
	IDVersion           int32
	OrigParentIDVersion int32
	_                   [2]uint64
}

// auditToken is audit_token_t. proc_signal_with_audittoken reads two of its
// words (xnu, osfmk/mach/message.h and bsd/kern/kern_proc.c).
type auditToken [8]uint32

const (
	tokenPID     = 5
	tokenVersion = 7
)

func loadLibproc() (*Libproc, error) {
	var b binder
	l := new(Libproc)

	var pidinfo func(pid, flavor int32, arg uint64, buffer *procUniqIdentifierInfo, size int32) int32
	b.fn(&pidinfo, procPidinfo)
	l.Version = func(pid int32) (int32, bool) {
		var info procUniqIdentifierInfo
		const size = int32(unsafe.Sizeof(info))
		n := pidinfo(pid, procPIDUniqIdentifierInfo, includeZombies, &info, size)
		return info.IDVersion, n == size
	}

	// Returns 0 or the error number itself, not through errno.
	var signal func(token *auditToken, sig int32) int32
	b.fn(&signal, procSignalWithAudittoken)
	if signal != nil {
		l.Signal = func(pid, version int32, sig syscall.Signal) syscall.Errno {
			token := auditToken{tokenPID: uint32(pid), tokenVersion: uint32(version)}
			return syscall.Errno(signal(&token, int32(sig)))
		}
	}
	if b.err != nil {
		return nil, b.err
	}
	return l, nil
}
