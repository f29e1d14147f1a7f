package hermesgw

import (
	"errors"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// lockHeld reports whether a process holds gateway.lock of a home, which a gateway does for as
// long as it lives. A file that is missing is not held.
//
// It tries a shared lock and lets it go at once, so that two who probe do not take each other
// for a gateway. A gateway that tries to take its lock in that instant finds it held, and exits:
// this is for finding out what is there, and only when nothing else decides it, never between a
// request and the moment when the new gateway is ready.
func lockHeld(in Install, home string) (held bool, err error) {
	f, _, err := openFile(in, filepath.Join(home, "gateway.lock"))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close() // lets go of the lock, too
	conn, err := f.SyscallConn()
	if err != nil {
		return false, err
	}
	var locked error
	if err := conn.Control(func(fd uintptr) {
		if locked = unix.Flock(int(fd), unix.LOCK_SH|unix.LOCK_NB); locked == nil {
			locked = unix.Flock(int(fd), unix.LOCK_UN)
		}
	}); err != nil {
		return false, err
	}
	if errors.Is(locked, unix.EWOULDBLOCK) {
		return true, nil
	}
	if locked != nil {
		return false, &fs.PathError{Op: "flock", Path: f.Name(), Err: locked}
	}
	return false, nil
}
