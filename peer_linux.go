package hermesgw

import "golang.org/x/sys/unix"

// peerUID returns the effective uid that the other end had when it began to listen.
func peerUID(fd int) (int, error) {
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return -1, err
	}
	return int(cred.Uid), nil
}
