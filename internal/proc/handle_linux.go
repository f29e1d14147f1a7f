package proc

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// handle holds a process by its pidfd, which stays the process's own when the pid
// is reused. Kernels before 5.3 and some sandboxes have none: then signals are
// checked against the identity right before they are sent, and exits cannot be
// waited for.
type handle struct {
	id    Identity
	pidfd *os.File // nil: none
	conn  syscall.RawConn
}

// pidfdOpen is a variable so that tests can take pidfds away.
var pidfdOpen = unix.PidfdOpen

func openHandle(pid int) (*handle, Identity, error) {
	h := &handle{}
	fd, err := pidfdOpen(pid, 0)
	switch err {
	case nil:
		// Nonblocking is what makes os.NewFile wait through the runtime's poller.
		if err := unix.SetNonblock(fd, true); err != nil {
			unix.Close(fd)
			return nil, Identity{}, fmt.Errorf("hold process %d: %w", pid, err)
		}
		h.pidfd = os.NewFile(uintptr(fd), "pidfd "+strconv.Itoa(pid))
		if h.conn, err = h.pidfd.SyscallConn(); err != nil {
			h.pidfd.Close()
			return nil, Identity{}, fmt.Errorf("hold process %d: %w", pid, err)
		}
	case unix.ENOSYS, unix.EPERM:
		// No pidfds here.
	case unix.ESRCH, unix.EINVAL, unix.ENOENT: // the last two: the id of a thread
		return nil, Identity{}, goneError(pid)
	default:
		return nil, Identity{}, fmt.Errorf("hold process %d: %w", pid, err)
	}
	// If the process has not exited after its identity was read, the pid was its
	// own all the time.
	if h.id, err = Read(pid); err == nil {
		err = h.alive()
	}
	if err != nil {
		h.release()
		return nil, Identity{}, err
	}
	return h, h.id, nil
}

// alive returns an error that wraps ErrGone if the process has exited.
func (h *handle) alive() error {
	return h.control(func(int) error { return nil })
}

// control calls f with the pidfd unless the process has exited. Without a pidfd
// it does nothing.
func (h *handle) control(f func(pidfd int) error) error {
	if h.pidfd == nil {
		return nil
	}
	var err error
	cerr := h.conn.Control(func(fd uintptr) {
		var gone bool
		if gone, err = exited(fd); gone {
			err = goneError(h.id.PID)
		}
		if err == nil {
			err = f(int(fd))
		}
	})
	return errors.Join(cerr, err)
}

// exited reports whether the pidfd's process has: then it is readable, from the
// moment the process is a zombie on.
func exited(pidfd uintptr) (bool, error) {
	fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, 0)
		if err == unix.EINTR {
			continue
		}
		return n > 0, os.NewSyscallError("poll", err)
	}
}

// wait blocks until the process has exited (nil) or interrupt was called
// (os.ErrClosed).
func (h *handle) wait() error {
	if h.pidfd == nil {
		return fmt.Errorf("this system has no pidfd_open(2), which reports exits: %w", errors.ErrUnsupported)
	}
	var perr error
	err := h.conn.Read(func(fd uintptr) (done bool) {
		done, perr = exited(fd)
		return done || perr != nil
	})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return os.ErrClosed
	}
	return errors.Join(err, perr)
}

// interrupt ends wait, also one that has yet to begin.
func (h *handle) interrupt() error {
	if h.pidfd != nil {
		// Its one error is that the poller does not take the descriptor; then wait
		// has failed, too.
		_ = h.pidfd.SetReadDeadline(time.Unix(1, 0))
	}
	return nil
}

func (h *handle) release() error {
	if h.pidfd == nil {
		return nil
	}
	return h.pidfd.Close()
}

func (h *handle) signal(sig syscall.Signal) error {
	if h.pidfd == nil {
		return checkedKill(h.id, sig)
	}
	err := h.control(func(pidfd int) error { return unix.PidfdSendSignal(pidfd, sig, nil, 0) })
	if errors.Is(err, unix.ESRCH) {
		return ErrGone
	}
	return err
}
