//go:build darwin || linux

package proc

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// sameProcess returns an error that wraps ErrGone unless the process of that
// identity is alive.
func sameProcess(id Identity) error {
	now, err := Read(id.PID)
	if err != nil {
		return err
	}
	if now != id {
		return goneError(id.PID)
	}
	return nil
}

// checkedKill is kill(2) right after a look at the identity.
func checkedKill(id Identity, sig syscall.Signal) error {
	if err := sameProcess(id); err != nil {
		return err
	}
	if err := syscall.Kill(id.PID, sig); err == syscall.ESRCH {
		return ErrGone
	} else if err != nil {
		return err
	}
	return nil
}

func signalName(sig syscall.Signal) string { return unix.SignalName(sig) }
