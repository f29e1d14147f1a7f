package launchdsim

import "net"

// peerUID returns the effective uid that c's peer had when it connected.
func peerUID(c *net.UnixConn) (uid int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, err
	}
	var cerr error
	if err := raw.Control(func(fd uintptr) { uid, cerr = credentialUID(int(fd)) }); err != nil {
		return -1, err
	}
	if cerr != nil {
		return -1, cerr
	}
	return uid, nil
}
