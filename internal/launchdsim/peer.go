package launchdsim

import "net"

// peerUID returns the effective uid that c's peer had when it connected.
func peerUID(c *net.UnixConn) (uid int, err error) { return credential(c, credentialUID) }

// peerPID returns the pid of the process that connected, 0 where that is not known.
func peerPID(c *net.UnixConn) int {
	pid, err := credential(c, credentialPID)
	if err != nil {
		return 0
	}
	return pid
}

func credential(c *net.UnixConn, read func(fd int) (int, error)) (n int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, err
	}
	var cerr error
	if err := raw.Control(func(fd uintptr) { n, cerr = read(int(fd)) }); err != nil {
		return -1, err
	}
	if cerr != nil {
		return -1, cerr
	}
	return n, nil
}
