package xpcwire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"
)

// MaxFrame bounds what follows a frame's length field, in bytes.
const MaxFrame = 16 << 20

// maxFDs is the most descriptors one message can bring on Linux (SCM_MAX_FD);
// macOS allows more, and a frame that brings more is refused there too.
const maxFDs = 253

// ErrFrameTooLarge is returned for a frame above MaxFrame, read or written.
var ErrFrameTooLarge = fmt.Errorf("frame larger than %d MiB", MaxFrame>>20)

// Request is the fixed part of a request frame:
//
//	u32 length of what follows | u64 routine | u32 flags | message
type Request struct {
	Routine uint64 // 0: the dictionary carries "routine"
	Flags   uint32 // libxpc's pipe flags; nothing here depends on them
	Magic   uint32 // of the message; decides the magic of the reply
}

// Reply is the fixed part of a reply frame:
//
//	u32 length of what follows | i32 transport error | message
type Reply struct {
	Code  int32 // 0, or a transport error; then the message may be absent
	Magic uint32
}

// AppendRequest appends a whole request frame to b and returns the descriptors
// that must travel with its first byte.
func AppendRequest[D ~map[string]any](b []byte, r Request, d D) ([]byte, []int, error) {
	start := len(b)
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.LittleEndian.AppendUint64(b, r.Routine)
	b = binary.LittleEndian.AppendUint32(b, r.Flags)
	return finish(b, start, r.Magic, d)
}

// AppendReply appends a whole reply frame to b. A nil d leaves the message out.
func AppendReply[D ~map[string]any](b []byte, r Reply, d D) ([]byte, []int, error) {
	start := len(b)
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(r.Code))
	return finish(b, start, r.Magic, d)
}

func finish[D ~map[string]any](b []byte, start int, magic uint32, d D) ([]byte, []int, error) {
	var fds []int
	if d != nil {
		var err error
		if b, fds, err = Append(b, magic, d); err != nil {
			return b[:start], nil, err
		}
	}
	n := len(b) - start - 4
	if n > MaxFrame {
		return b[:start], nil, fmt.Errorf("%w: %d bytes", ErrFrameTooLarge, n)
	}
	if len(fds) > maxFDs {
		return b[:start], nil, fmt.Errorf("%d descriptors in one frame, at most %d", len(fds), maxFDs)
	}
	binary.LittleEndian.PutUint32(b[start:], uint32(n))
	return b, fds, nil
}

// DecodeRequest reads the body of a request frame.
func DecodeRequest[D ~map[string]any](body []byte, fds []int) (r Request, d D, used int, err error) {
	if len(body) < 12 {
		return r, nil, 0, malformed("a request of %d bytes", len(body))
	}
	r.Routine = binary.LittleEndian.Uint64(body)
	r.Flags = binary.LittleEndian.Uint32(body[8:])
	d, r.Magic, used, err = Decode[D](body[12:], fds)
	return r, d, used, err
}

// DecodeReply reads the body of a reply frame. With a transport error the
// message is not looked at.
func DecodeReply[D ~map[string]any](body []byte, fds []int) (r Reply, d D, used int, err error) {
	if len(body) < 4 {
		return r, nil, 0, malformed("a reply of %d bytes", len(body))
	}
	r.Code = int32(binary.LittleEndian.Uint32(body))
	if r.Code != 0 {
		return r, nil, 0, nil
	}
	d, r.Magic, used, err = Decode[D](body[4:], fds)
	return r, d, used, err
}

// Conn carries frames over a stream socket. Reads and writes may run at the same
// time, but only one of each.
type Conn struct {
	*net.UnixConn
	buf   []byte // what was read and not yet returned, the last frame first
	last  int    // the length of that frame, which the next read drops
	oob   []byte
	timed bool // FrameTimeout runs

	// ReadAhead lets a read take more than the frame that is asked for, so that most
	// frames need only one system call. It is for the side that waits for answers:
	// of frames that a peer sends without waiting, descriptors could be counted to an
	// earlier one.
	ReadAhead bool

	// FrameTimeout bounds the time from the first bytes of a frame to its last one,
	// by the read deadline; 0 does not.
	FrameTimeout time.Duration

	// MaxFDs is how many descriptors a frame may bring; 0 is as many as can be sent.
	MaxFDs int
}

// NewConn returns a Conn over c, which it owns from then on.
func NewConn(c *net.UnixConn) *Conn {
	return &Conn{UnixConn: c, oob: make([]byte, syscall.CmsgSpace(4*maxFDs))}
}

const (
	readAhead  = 4 << 10  // room for most frames
	keepBuffer = 64 << 10 // the largest read buffer that a Conn keeps between frames
)

// ReadFrame reads one frame and returns what follows its length field, valid
// until the next call, and the descriptors that came with it, which the caller
// must close. A connection that ends between frames gives io.EOF, within one
// io.ErrUnexpectedEOF.
func (c *Conn) ReadFrame() (body []byte, fds []int, err error) {
	defer func() {
		if err != nil {
			CloseAll(fds)
			fds = nil
		}
	}()
	c.drop()
	if fds, err = c.fill(4, fds); err != nil {
		return nil, fds, err
	}
	n := binary.LittleEndian.Uint32(c.buf)
	if n > MaxFrame {
		return nil, fds, fmt.Errorf("%w: %d bytes", ErrFrameTooLarge, n)
	}
	c.last = 4 + int(n)
	if fds, err = c.fill(c.last, fds); err != nil {
		return nil, fds, err
	}
	if c.timed {
		if err = c.SetReadDeadline(time.Time{}); err != nil {
			return nil, fds, err
		}
		c.timed = false
	}
	return c.buf[4:c.last:c.last], fds, nil
}

// Ahead reports whether the peer sent more than the frame that was read, as far as
// is known.
func (c *Conn) Ahead() bool { return len(c.buf) > c.last }

// drop forgets the last frame. An idle connection must not hold on to the room of
// its largest one.
func (c *Conn) drop() {
	rest := c.buf[c.last:]
	if cap(c.buf) > keepBuffer {
		c.buf = append([]byte(nil), rest...)
	} else {
		c.buf = c.buf[:copy(c.buf, rest)]
	}
	c.last = 0
}

// fill reads until there are n bytes. The buffer grows with what has arrived, not
// with what was promised.
func (c *Conn) fill(n int, fds []int) ([]int, error) {
	limit := maxFDs
	if c.MaxFDs > 0 {
		limit = min(limit, c.MaxFDs)
	}
	for len(c.buf) < n {
		if len(c.buf) > 0 && c.FrameTimeout > 0 && !c.timed {
			if err := c.SetReadDeadline(time.Now().Add(c.FrameTimeout)); err != nil {
				return fds, err
			}
			c.timed = true
		}
		if room := min(n, max(2*len(c.buf), readAhead)); room > cap(c.buf) {
			c.buf = append(make([]byte, 0, max(room, readAhead)), c.buf...)
		}
		most := min(n, cap(c.buf))
		if c.ReadAhead {
			most = cap(c.buf)
		}
		k, oobn, flags, _, err := c.ReadMsgUnix(c.buf[len(c.buf):most], c.oob)
		c.buf = c.buf[:len(c.buf)+max(k, 0)]
		if oobn > 0 {
			more, perr := parseRights(c.oob[:oobn])
			fds = append(fds, more...)
			if perr != nil {
				return fds, perr
			}
		}
		if flags&syscall.MSG_CTRUNC != 0 || len(fds) > limit {
			return fds, malformed("more than %d descriptors, or more than this process may open", limit)
		}
		switch {
		case errors.Is(err, io.EOF), err == nil && k == 0: // net wraps it
			if len(c.buf) == 0 {
				return fds, io.EOF
			}
			return fds, io.ErrUnexpectedEOF
		case err != nil:
			return fds, err
		}
	}
	return fds, nil
}

func parseRights(oob []byte) (fds []int, err error) {
	messages, err := syscall.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, malformed("control message: %v", err)
	}
	for i := range messages {
		if messages[i].Header.Level != syscall.SOL_SOCKET || messages[i].Header.Type != syscall.SCM_RIGHTS {
			continue
		}
		more, err := syscall.ParseUnixRights(&messages[i])
		if err != nil {
			return fds, malformed("descriptors: %v", err)
		}
		fds = append(fds, more...)
	}
	return fds, nil
}

// WriteFrame writes a frame made by AppendRequest or AppendReply, with its
// descriptors on the first byte. After an error the peer did not get the whole
// frame, and so will not act on it.
func (c *Conn) WriteFrame(frame []byte, fds []int) error {
	sent := 0
	if len(fds) > 0 {
		n, _, err := c.WriteMsgUnix(frame, syscall.UnixRights(fds...), nil)
		if err != nil {
			return err
		}
		sent = n
	}
	// A write of nothing would still fail when the peer, having read it all, is gone.
	if sent == len(frame) {
		return nil
	}
	_, err := c.Write(frame[sent:])
	return err
}

// CloseAll closes descriptors that a frame brought.
func CloseAll(fds []int) {
	for _, fd := range fds {
		syscall.Close(fd)
	}
}
