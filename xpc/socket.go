package xpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"
	"sync"
	"syscall"

	"github.com/hermes-gw/hermes-gw/internal/xpcwire"
)

// maxIdle is how many connections a Socket keeps for the next requests.
const maxIdle = 16

// Socket carries requests to a launchd model over a Unix socket, in the frames of
// package xpcwire. Requests that run at the same time have a connection each, so
// none waits for another.
type Socket struct {
	path string

	mu     sync.Mutex
	idle   []*socketConn // the last one is the one used last
	closed bool
}

// Dial connects to the Unix socket at path. It makes one connection, which proves
// that a server is there, and that it runs as this process's effective user or as
// root: no other server is ever sent anything.
//
// Without a socket at path the error wraps fs.ErrNotExist.
func Dial(ctx context.Context, path string) (*Socket, error) {
	if err := checkSocketPath(path); err != nil {
		return nil, err
	}
	if strings.HasPrefix(path, "@") {
		path = "./" + path // a file, where Linux would take an abstract name
	}
	s := &Socket{path: path}
	c, err := s.dial(ctx)
	if err != nil {
		return nil, err
	}
	s.put(c)
	return s, nil
}

func checkSocketPath(path string) error {
	const room = len(syscall.RawSockaddrUnix{}.Path) - 1 // the NUL
	switch {
	case path == "":
		return errors.New("xpc: the path of the launchd socket is empty")
	case strings.IndexByte(path, 0) >= 0:
		return fmt.Errorf("xpc: the path of the launchd socket %q contains a NUL", path)
	case len(path) > room:
		return fmt.Errorf("xpc: the path of the launchd socket is %d bytes long, this system allows %d: %s", len(path), room, path)
	}
	return nil
}

func (s *Socket) dial(ctx context.Context) (*socketConn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", s.path)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("xpc: no launchd at %s: there is no such socket: %w", s.path, fs.ErrNotExist)
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("xpc: no launchd at %s: nothing serves this socket any more: %w", s.path, syscall.ECONNREFUSED)
	default:
		return nil, fmt.Errorf("xpc: connect to the launchd socket: %w", err)
	}
	conn, err := newSocketConn(c.(*net.UnixConn))
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("xpc: the launchd socket %s: %w", s.path, err)
	}
	return conn, nil
}

// get returns a connection for one request; reused tells that it served before.
func (s *Socket) get(ctx context.Context) (c *socketConn, reused bool, err error) {
	for {
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			return nil, false, fmt.Errorf("xpc: the connection to %s: %w", s.path, net.ErrClosed)
		}
		n := len(s.idle)
		if n == 0 {
			s.mu.Unlock()
			c, err = s.dial(ctx)
			return c, false, err
		}
		c = s.idle[n-1]
		s.idle[n-1] = nil
		s.idle = s.idle[:n-1]
		s.mu.Unlock()
		if c.usable() {
			return c, true, nil
		}
		c.Close()
	}
}

// put takes a connection back on which nothing is under way.
func (s *Socket) put(c *socketConn) {
	s.mu.Lock()
	keep := !s.closed && len(s.idle) < maxIdle
	if keep {
		s.idle = append(s.idle, c)
	}
	s.mu.Unlock()
	if !keep {
		c.Close()
	}
}

// Close closes the idle connections. Requests under way are answered first;
// later ones fail with net.ErrClosed. Closing again does nothing.
func (s *Socket) Close() error {
	s.mu.Lock()
	idle := s.idle
	s.idle, s.closed = nil, true
	s.mu.Unlock()
	for _, c := range idle {
		c.Close()
	}
	return nil
}

// Call implements [Transport]. When ctx ends before the answer, the connection is
// closed and the server goes on with the request.
func (s *Socket) Call(ctx context.Context, routine uint64, msg Dict) (Dict, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	shared, err := check(msg)
	if err != nil {
		return nil, err
	}
	if err := holdAll(shared); err != nil {
		return nil, err
	}
	defer doneAll(shared)
	if msg == nil {
		msg = Dict{} // a frame without a message is no request
	}
	for {
		c, reused, err := s.get(ctx)
		if err != nil {
			return nil, err
		}
		reply, err := s.exchange(ctx, c, routine, msg)
		// The server may close an idle connection between the look at it and the
		// write. A request that was not sent completely may be sent again.
		var unsent *unsentError
		if errors.As(err, &unsent) && reused && ctx.Err() == nil && unsent.peerGone() {
			continue
		}
		return reply, err
	}
}

// exchange does one request on c and gives c back, or closes it.
func (s *Socket) exchange(ctx context.Context, c *socketConn, routine uint64, msg Dict) (reply Dict, err error) {
	reusable := false
	stop := context.AfterFunc(ctx, c.interrupt)
	defer func() {
		if stop() && reusable {
			s.put(c)
		} else {
			c.Close()
		}
	}()

	frame, fds, err := xpcwire.AppendRequest(c.frame[:0], xpcwire.Request{Routine: routine, Magic: xpcwire.Magic}, msg)
	if err != nil {
		reusable = true
		return nil, fmt.Errorf("xpc: the request cannot be sent: %w", err)
	}
	c.keep(frame)
	if err := c.WriteFrame(frame, fds); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, &unsentError{s.path, err}
	}

	body, fds, err := c.ReadFrame()
	if err != nil {
		return nil, &UnknownOutcome{Routine: routine, Err: whyNoAnswer(ctx, err)}
	}
	r, reply, _, err := xpcwire.DecodeReply[Dict](body, fds)
	xpcwire.CloseAll(fds)
	if err != nil {
		return nil, &UnknownOutcome{Routine: routine, Err: unreadable(err)}
	}
	reusable = !c.Ahead() // who answers more than was asked for is not to be trusted
	if r.Code != 0 {
		return nil, numbered(routine, Errno(r.Code))
	}
	if err := replyError(routine, reply); err != nil {
		return nil, err
	}
	return dictFromWire(reply), nil
}

// whyNoAnswer says why a read ended: by ctx, by a frame that cannot be a reply,
// or because the connection did.
func whyNoAnswer(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, xpcwire.ErrFrameTooLarge), errors.Is(err, xpcwire.ErrMalformed):
		return unreadable(err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("the server closed the connection: %w", io.ErrUnexpectedEOF)
	default:
		return fmt.Errorf("%w: %w", io.ErrUnexpectedEOF, err)
	}
}

func unreadable(err error) error { return fmt.Errorf("%w: %w", BadResponse, err) }

// unsentError says that a request did not get to the server completely, so that
// it was not carried out.
type unsentError struct {
	path string
	err  error
}

func (e *unsentError) Error() string {
	return fmt.Sprintf("xpc: the request was not sent to %s: %v", e.path, e.err)
}
func (e *unsentError) Unwrap() error { return e.err }

// peerGone tells whether another connection may fare better.
func (e *unsentError) peerGone() bool {
	return errors.Is(e.err, syscall.EPIPE) || errors.Is(e.err, syscall.ECONNRESET)
}
