package hermesgw

import "golang.org/x/sys/unix"

// peerUID returns the effective uid that the other end had when it began to listen.
func peerUID(fd int) (int, error) {
	const solLocal = 0 // SOL_LOCAL in sys/un.h
	cred, err := unix.GetsockoptXucred(fd, solLocal, unix.LOCAL_PEERCRED)
	if err != nil {
		return -1, err
	}
	return int(cred.Uid), nil
}
