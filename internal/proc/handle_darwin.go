package proc

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/hermes-gw/hermes-gw/internal/cgoless"
)

// handle watches a process through a kqueue of its own, with one event for the
// exit and one that interrupts the wait.
type handle struct {
	id Identity
	kq int
}

func openHandle(pid int) (*handle, Identity, error) {
	kq, err := unix.Kqueue()
	if err != nil {
		return nil, Identity{}, fmt.Errorf("watch process %d: %w", pid, os.NewSyscallError("kqueue", err))
	}
	unix.CloseOnExec(kq)
	h := &handle{kq: kq}
	// The exit is watched for before the identity is read: if it has not come
	// after that, the pid was the watched process's own all the time.
	if err := h.register(pid); err == unix.ESRCH { // gone already, or a zombie
		h.release()
		return nil, Identity{}, goneError(pid)
	} else if err != nil {
		h.release()
		return nil, Identity{}, fmt.Errorf("watch process %d: %w", pid, os.NewSyscallError("kevent", err))
	}
	if h.id, err = Read(pid); err == nil {
		err = h.alive()
	}
	if err != nil {
		h.release()
		return nil, Identity{}, err
	}
	return h, h.id, nil
}

func (h *handle) register(pid int) error {
	var changes [2]unix.Kevent_t
	unix.SetKevent(&changes[0], pid, unix.EVFILT_PROC, unix.EV_ADD)
	changes[0].Fflags = unix.NOTE_EXIT
	unix.SetKevent(&changes[1], 0, unix.EVFILT_USER, unix.EV_ADD)
	_, err := kevent(h.kq, changes[:], nil, nil)
	return err
}

// alive returns an error that wraps ErrGone if the exit has been reported. It may
// not be called twice then: the report comes once.
func (h *handle) alive() error {
	var events [1]unix.Kevent_t
	n, err := kevent(h.kq, nil, events[:], new(unix.Timespec))
	if err == nil && n > 0 {
		return goneError(h.id.PID)
	}
	return os.NewSyscallError("kevent", err)
}

func kevent(kq int, changes, events []unix.Kevent_t, timeout *unix.Timespec) (int, error) {
	for {
		n, err := unix.Kevent(kq, changes, events, timeout)
		if err != unix.EINTR {
			return n, err
		}
	}
}

// wait blocks until the process has exited (nil) or interrupt was called
// (os.ErrClosed).
func (h *handle) wait() error {
	var events [2]unix.Kevent_t
	n, err := kevent(h.kq, nil, events[:], nil)
	if err != nil {
		return os.NewSyscallError("kevent", err)
	}
	for _, e := range events[:n] {
		if e.Filter == unix.EVFILT_PROC {
			return nil
		}
	}
	return os.ErrClosed
}

// interrupt ends wait, also one that has yet to begin.
func (h *handle) interrupt() error {
	var change [1]unix.Kevent_t
	unix.SetKevent(&change[0], 0, unix.EVFILT_USER, 0)
	change[0].Fflags = unix.NOTE_TRIGGER
	_, err := kevent(h.kq, change[:], nil, nil)
	return os.NewSyscallError("kevent", err)
}

func (h *handle) release() error { return unix.Close(h.kq) }

// loadLibproc is a variable so that tests can take the call away.
var loadLibproc = cgoless.LoadLibproc

// maxExecs bounds how often a process may exec between the look at its version
// and the signal. Each needs an exec in a gap of microseconds.
const maxExecs = 16

// signal binds the signal to the pid version, which is another one for each
// process that gets the pid. It is read before the start time is compared: the
// version of a process that is seen alive afterwards cannot be a successor's.
func (h *handle) signal(sig syscall.Signal) error {
	lib, err := loadLibproc()
	if err != nil || lib.Signal == nil {
		return checkedKill(h.id, sig)
	}
	for range maxExecs {
		version, ok := lib.Version(int32(h.id.PID))
		if !ok {
			break
		}
		if err := sameProcess(h.id); err != nil {
			return err
		}
		// ESRCH: it exited, or got another version by exec; the next round tells.
		if errno := lib.Signal(int32(h.id.PID), version, sig); errno == 0 {
			return nil
		} else if errno != unix.ESRCH {
			return errno
		}
	}
	return checkedKill(h.id, sig)
}
