package launchdsim

import (
	"errors"
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/xpcwire"
)

// dict is an XPC dictionary on this side of the socket.
type dict map[string]any

// errHangup ends a connection for a fault's sake.
var errHangup = errors.New("closed by a fault")

// conn is one client connection. It carries any number of requests, one at a
// time, so the next frame is read only after the reply was written.
type conn struct {
	s    *Server
	id   uint64
	c    *xpcwire.Conn
	root bool // the peer is root
	peer int  // its pid when it connected, 0 if that is not known

	// waiting says since when the server waits for a request, in nanoseconds; 0 while
	// it works on one.
	waiting atomic.Int64
	spoke   atomic.Bool // a whole request came
	ending  atomic.Bool // no further request is read
}

// serve answers c in goroutines of its own.
func (s *Server) serve(raw *net.UnixConn) {
	uid, err := peerUID(raw)
	if err != nil || (uid != 0 && uid != s.uid) {
		s.journal.logf("launchdsim", "Error", "connection refused: uid %d, %v", uid, err)
		raw.Close()
		return
	}
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		raw.Close()
		return
	}
	full := len(s.conns) >= s.limits.conns
	if full && !s.makeRoom() {
		s.mu.Unlock()
		s.journal.logf("launchdsim", "Error", "connection refused: all %d are busy", s.limits.conns)
		raw.Close()
		return
	}
	s.nconn++
	c := &conn{s: s, id: s.nconn, c: xpcwire.NewConn(raw), root: uid == 0, peer: peerPID(raw)}
	c.c.FrameTimeout, c.c.MaxFDs = s.limits.frame, s.limits.files
	c.waiting.Store(time.Now().UnixNano())
	s.conns[c] = struct{}{}
	s.serving.Add(1)
	s.mu.Unlock()
	go c.loop()
	if full {
		// Those that were let in read what they were sent before the next one can take
		// their place.
		runtime.Gosched()
	}
}

// keepFrame is the largest reply whose room an idle connection holds on to, in bytes.
const keepFrame = 64 << 10

func (c *conn) loop() {
	defer func() {
		c.c.Close()
		c.s.mu.Lock()
		delete(c.s.conns, c)
		close(c.s.left)
		c.s.left = make(chan struct{})
		c.s.mu.Unlock()
		c.s.serving.Done()
	}()
	var frame []byte
	for !c.ending.Load() {
		body, fds, err := c.c.ReadFrame()
		c.waiting.Store(0)
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
				c.s.journal.logf("launchdsim", "Error", "connection %d: %v", c.id, err)
			}
			return
		}
		c.spoke.Store(true)
		frame, err = c.exchange(frame[:0], body, fds)
		// Whatever the message did not use, and what it did: nothing is kept.
		xpcwire.CloseAll(fds)
		if err != nil {
			c.s.journal.logf("launchdsim", "Error", "connection %d: %v", c.id, err)
			return
		}
		if cap(frame) > keepFrame {
			frame = nil
		}
		c.waiting.Store(time.Now().UnixNano())
	}
}

// exchange answers one request frame. A request that decodes is carried out even
// if its peer is gone by the time of the reply.
func (c *conn) exchange(frame, body []byte, fds []int) ([]byte, error) {
	head, args, _, err := xpcwire.DecodeRequest[dict](body, fds)
	if err != nil {
		return frame, err
	}
	r := c.s.newRequest(c, head.Routine, args)
	if f := r.fault(); f.Kind != 0 {
		wrong, hangup, err := c.misbehave(f, r, head.Magic)
		switch {
		case err != nil:
			return frame, err
		case hangup:
			return frame, errHangup
		}
		return frame, c.write(wrong)
	}
	reply := r.answer()
	frame, _, err = xpcwire.AppendReply(frame, xpcwire.Reply{Magic: head.Magic}, reply)
	if err != nil {
		return frame, err
	}
	err = c.write(frame)
	r.traceReply(reply)
	return frame, err
}

// write sends a reply, if its peer takes it in time.
func (c *conn) write(frame []byte) error {
	if err := c.c.SetWriteDeadline(time.Now().Add(c.s.limits.reply)); err != nil {
		return err
	}
	return c.c.WriteFrame(frame, nil)
}

// shut ends c at once.
func (c *conn) shut() { c.c.Close() }

// finish ends c, after the reply if it works on one: that is to be written soon.
func (c *conn) finish() {
	if c.waiting.Load() != 0 {
		c.shut()
		return
	}
	const soon = time.Second
	c.ending.Store(true)
	c.c.SetReadDeadline(time.Now())
	c.c.SetWriteDeadline(time.Now().Add(soon))
}
