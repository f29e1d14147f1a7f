package xpc

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hermes-gw/hermes-gw/internal/xpcwire"
	"golang.org/x/sys/unix"
)

// testRequest is one request as a test server reads it.
type testRequest struct {
	xpcwire.Request
	msg  Dict
	fds  []int // closed after the answer
	conn *xpcwire.Conn
}

// reply answers with a dictionary, and with the descriptors in it.
func (r testRequest) reply(d Dict) {
	frame, fds, err := xpcwire.AppendReply(nil, xpcwire.Reply{Magic: r.Magic}, d)
	if err == nil {
		err = r.conn.WriteFrame(frame, fds)
	}
	if err != nil && !errors.Is(err, unix.EPIPE) {
		panic(err)
	}
}

// testServer is a frame server for one test.
type testServer struct {
	path     string
	accepted atomic.Int64
	ended    chan struct{} // one for each connection that ended
	listener *net.UnixListener
	under    sync.WaitGroup
}

// serve answers requests with answer, which returns whether to go on with the
// connection. It is called concurrently.
func serve(t testing.TB, answer func(r testRequest) bool) *testServer {
	t.Helper()
	return serveRaw(t, func(c *xpcwire.Conn) {
		for {
			body, fds, err := c.ReadFrame()
			if err != nil {
				return
			}
			r, msg, _, err := xpcwire.DecodeRequest[Dict](body, fds)
			goOn := err == nil && answer(testRequest{r, msg, fds, c})
			xpcwire.CloseAll(fds)
			if !goOn {
				return
			}
		}
	})
}

// serveRaw gives each connection to handle and closes it afterwards.
func serveRaw(t testing.TB, handle func(c *xpcwire.Conn)) *testServer {
	t.Helper()
	s := &testServer{path: socketPath(t), ended: make(chan struct{}, 1<<16)}
	l, err := net.Listen("unix", s.path)
	if err != nil {
		t.Fatal(err)
	}
	s.listener = l.(*net.UnixListener)
	s.under.Go(func() {
		for {
			c, err := s.listener.AcceptUnix()
			if err != nil {
				return
			}
			s.accepted.Add(1)
			s.under.Go(func() {
				handle(xpcwire.NewConn(c))
				c.Close()
				s.ended <- struct{}{}
			})
		}
	})
	t.Cleanup(s.stop)
	return s
}

// stop waits until every client is gone.
func (s *testServer) stop() {
	s.listener.Close()
	s.under.Wait()
}

// socketPath returns a path that is short enough for every system.
func socketPath(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "x")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

// dial connects and closes at the end, before the server waits for its clients.
func (s *testServer) dial(t testing.TB) *Socket {
	t.Helper()
	c, err := Dial(t.Context(), s.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// mapDescriptor maps what a peer would map.
func mapDescriptor(t testing.TB, fd, size int) []byte {
	t.Helper()
	b, err := unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Error("map the region: ", err)
		return nil
	}
	t.Cleanup(func() { unix.Munmap(b) })
	return b
}
