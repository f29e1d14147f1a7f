package proc

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// handle holds a process by its pidfd, which stays the process's own when the pid
// is reused. Kernels before 5.3 and some sandboxes have none: then signals are
// checked against the identity right before they are sent, and exits cannot be
// waited for.
type handle struct {
	id Identity

	mu    sync.RWMutex // held while pidfd is used, so that nobody closes it then
	pidfd int          // -1: none

	// The poller gets to know the descriptor at the first wait only: most processes
	// are held but never waited for, and one that exits would wake the poller.
	once sync.Once
	file *os.File
	err  error
}

// pidfdOpen is a variable so that tests can take pidfds away.
var pidfdOpen = unix.PidfdOpen

func openHandle(pid int) (*handle, Identity, error) {
	h := &handle{pidfd: -1}
	fd, err := pidfdOpen(pid, 0)
	switch err {
	case nil:
		h.pidfd = fd
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
	h.mu.RLock()
	defer h.mu.RUnlock()
	if h.pidfd < 0 {
		return nil
	}
	gone, err := exited(h.pidfd)
	switch {
	case err != nil:
		return err
	case gone:
		return goneError(h.id.PID)
	}
	return f(h.pidfd)
}

// exited reports whether the pidfd's process has: then it is readable, from the
// moment the process is a zombie on.
func exited(pidfd int) (bool, error) {
	fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, 0)
		if err == unix.EINTR {
			continue
		}
		return n > 0, os.NewSyscallError("poll", err)
	}
}

// poll hands the pidfd to the runtime's poller.
func (h *handle) poll() (*os.File, error) {
	h.once.Do(func() {
		// Nonblocking is what makes os.NewFile use the poller.
		if err := unix.SetNonblock(h.pidfd, true); err != nil {
			h.err = os.NewSyscallError("fcntl", err)
			return
		}
		h.file = os.NewFile(uintptr(h.pidfd), "pidfd "+strconv.Itoa(h.id.PID))
	})
	return h.file, h.err
}

// wait blocks until the process has exited (nil) or interrupt was called
// (os.ErrClosed).
func (h *handle) wait() error {
	if h.pidfd < 0 {
		return fmt.Errorf("this system has no pidfd_open(2), which reports exits: %w", errors.ErrUnsupported)
	}
	file, err := h.poll()
	if err != nil {
		return err
	}
	conn, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var perr error
	err = conn.Read(func(fd uintptr) (done bool) {
		done, perr = exited(int(fd))
		return done || perr != nil
	})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return os.ErrClosed
	}
	return errors.Join(err, perr)
}

// interrupt ends wait, also one that has yet to begin.
func (h *handle) interrupt() error {
	if h.pidfd < 0 {
		return nil
	}
	if file, err := h.poll(); err == nil {
		// Its one error is that the poller does not take the descriptor; then wait
		// has failed, too.
		_ = file.SetReadDeadline(time.Unix(1, 0))
	}
	return nil
}

// release closes the pidfd. No wait may be under way, and none may follow.
func (h *handle) release() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	fd := h.pidfd
	h.pidfd = -1
	switch {
	case fd < 0:
		return nil
	case h.file != nil:
		return h.file.Close()
	}
	return os.NewSyscallError("close", unix.Close(fd))
}

// bound reports whether there is a pidfd to bind a signal to.
func (h *handle) bound() bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.pidfd >= 0
}

func (h *handle) signal(sig syscall.Signal) error {
	if !h.bound() {
		return checkedKill(h.id, sig)
	}
	err := h.control(func(pidfd int) error { return unix.PidfdSendSignal(pidfd, sig, nil, 0) })
	if errors.Is(err, unix.ESRCH) {
		return ErrGone
	}
	return err
}
