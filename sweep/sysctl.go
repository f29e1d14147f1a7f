package sweep

import (
	"fmt"
	"syscall"

	"github.com/hermes-gw/hermes-gw/internal/cgoless"
)

// The variables of sysctl(3): xnu, bsd/sys/sysctl.h.
const (
	ctlKern       = 1
	kernProc      = 14
	kernProcAll   = 0
	kernProcUID   = 5 // by effective uid
	kernProcargs2 = 49
)

const (
	firstRows   = 1024     // entries that the first buffer has room for
	maxTable    = 64 << 20 // bytes; far more than the kernel's limit of processes needs
	maxProcargs = 1 << 20  // ARG_MAX of xnu, bsd/sys/syslimits.h
)

// readKinfo reads the table with one sysctl. The buffer has room for more than there was the last
// time; when that is not enough the call is made again with twice the room.
func (t *Table) readKinfo(sys *cgoless.Sysctl, uid int) error {
	mib := []int32{ctlKern, kernProc, kernProcAll, 0}
	if uid >= 0 {
		mib[2], mib[3] = kernProcUID, int32(uint32(uid))
	}
	if t.buf == nil {
		t.buf = make([]byte, firstRows*kinfoSize)
	}
	for {
		n, errno := sys.Get(mib, t.buf)
		switch {
		case errno == syscall.ENOMEM && len(t.buf) < maxTable:
			t.buf = make([]byte, 2*len(t.buf))
			continue
		case errno == syscall.EINTR:
			continue
		case errno != 0:
			return fmt.Errorf("sysctl: %w", errno)
		case n > len(t.buf):
			return fmt.Errorf("sysctl answers with %d bytes", n)
		}
		rows, err := appendKinfo(t.rows, t.buf[:n])
		if err != nil {
			t.rows = t.rows[:0]
			return err
		}
		t.rows = rows
		if len(t.buf)-n < 64*kinfoSize { // for those that come until the next time
			t.buf = make([]byte, 2*len(t.buf))
		}
		return nil
	}
}

// readProcargs reads the arguments of a process with one sysctl.
func (t *Table) readProcargs(sys *cgoless.Sysctl, pid int) ([]string, error) {
	argv, _, err := t.procargs(sys, pid)
	return argv, err
}

// procargs reads the arguments, and what follows them: the environment, where the system
// shows it. rest is overwritten by the next call.
func (t *Table) procargs(sys *cgoless.Sysctl, pid int) (argv []string, rest []byte, err error) {
	if t.args == nil {
		t.args = make([]byte, maxProcargs)
	}
	n, errno := sys.Get([]int32{ctlKern, kernProcargs2, int32(pid)}, t.args)
	for errno == syscall.EINTR {
		n, errno = sys.Get([]int32{ctlKern, kernProcargs2, int32(pid)}, t.args)
	}
	switch errno {
	case 0:
	case syscall.ESRCH:
		return nil, nil, ErrGone
	default: // EINVAL, EIO, EPERM: another user's, a zombie's, or in the middle of an exec
		return nil, nil, fmt.Errorf("%w: %w", ErrUnreadable, errno)
	}
	argv, rest, err = splitProcargs(t.args[:min(n, len(t.args))])
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	return argv, rest, nil
}
