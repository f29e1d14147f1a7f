package xpc

import (
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/xpcwire"
	"golang.org/x/sys/unix"
)

// socketConn is one connection of a Socket, used by one request at a time.
type socketConn struct {
	*xpcwire.Conn
	frame []byte // room for the next request

	raw   syscall.RawConn
	poll  func(fd uintptr) // fills event; made once, so that a look costs no memory
	event [1]unix.PollFd
}

func newSocketConn(u *net.UnixConn) (*socketConn, error) {
	raw, err := u.SyscallConn()
	if err != nil {
		return nil, err
	}
	if err := checkPeer(raw); err != nil {
		return nil, err
	}
	c := &socketConn{Conn: xpcwire.NewConn(u), raw: raw}
	c.ReadAhead = true
	c.poll = func(fd uintptr) {
		c.event[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
		if _, err := unix.Poll(c.event[:], 0); err != nil {
			c.event[0].Revents = unix.POLLERR
		}
	}
	return c, nil
}

// usable tells whether a request may be sent on an idle connection: one that has
// something to read was closed by the server, or carries bytes nobody asked for.
func (c *socketConn) usable() bool {
	return c.raw.Control(c.poll) == nil && c.event[0].Revents == 0
}

// interrupt ends a read or write that is under way.
func (c *socketConn) interrupt() { c.SetDeadline(time.Unix(1, 0)) }

// keep remembers a request's buffer for the next one, unless it is large.
func (c *socketConn) keep(frame []byte) {
	if cap(frame) <= 64<<10 {
		c.frame = frame
	}
}

// checkPeer refuses a server that is neither this process's effective user nor
// root: it would learn what is sent, and could answer anything.
func checkPeer(raw syscall.RawConn) error {
	var uid int
	var err error
	if cerr := raw.Control(func(fd uintptr) { uid, err = peerUID(int(fd)) }); cerr != nil {
		return cerr
	}
	if err != nil {
		return fmt.Errorf("cannot tell whose the server is: %w", err)
	}
	return acceptPeer(uid, os.Geteuid())
}

func acceptPeer(server, self int) error {
	if server != self && server != 0 {
		return fmt.Errorf("the server runs as uid %d; only one of uid %d or of root is trusted", server, self)
	}
	return nil
}
