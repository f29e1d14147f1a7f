package xpcwire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// pair is two ends of a stream socket.
func pair(t testing.TB) (a, b *Conn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]*Conn
	for i, fd := range fds {
		syscall.CloseOnExec(fd)
		f := os.NewFile(uintptr(fd), "socketpair")
		c, err := net.FileConn(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		ends[i] = NewConn(c.(*net.UnixConn))
		t.Cleanup(func() { c.Close() })
	}
	return ends[0], ends[1]
}

// openFDs counts this process's descriptors, by asking for each: that works where
// there is no /proc, too. No test here reaches the upper bound, and darwinhost's
// own descriptors lie above it.
func openFDs(t testing.TB) int {
	t.Helper()
	n := 0
	for fd := range uintptr(700) {
		if _, err := unix.FcntlInt(fd, unix.F_GETFD, 0); err == nil {
			n++
		}
	}
	return n
}

// noFDLeak fails the test if more descriptors are open at its end than now.
// Connections must be closed by then, so it comes before pair.
func noFDLeak(t testing.TB) {
	t.Helper()
	runtime.GC() // no finalizer may close a descriptor of another test in between
	before := openFDs(t)
	t.Cleanup(func() {
		if after := openFDs(t); after != before {
			t.Errorf("%d descriptors open, %d before the test", after, before)
		}
	})
}

// files returns n open files, each different from the others.
func files(t testing.TB, n int) (fds []int) {
	t.Helper()
	dir := t.TempDir()
	for i := range n {
		f, err := os.Create(filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		fds = append(fds, int(f.Fd()))
	}
	return fds
}

// isFile reports whether two descriptors are of one file.
func isFile(t testing.TB, a, b int) bool {
	t.Helper()
	var sa, sb unix.Stat_t
	if err := errors.Join(unix.Fstat(a, &sa), unix.Fstat(b, &sb)); err != nil {
		t.Errorf("fstat %d, %d: %v", a, b, err)
		return false
	}
	return sa.Dev == sb.Dev && sa.Ino == sb.Ino
}

func request(t testing.TB, r Request, d dict) (frame []byte, fds []int) {
	t.Helper()
	frame, fds, err := AppendRequest(nil, r, d)
	if err != nil {
		t.Fatal(err)
	}
	return frame, fds
}

// The bytes of frames, by hand.
func TestFrameBytes(t *testing.T) {
	empty := head + "00f00000 04000000 00000000"
	for _, v := range []struct {
		name, words string
		make        func() ([]byte, []int, error)
	}{
		{"request", "20000000 be020000 00000000 06000000" + empty, func() ([]byte, []int, error) {
			return AppendRequest(nil, Request{Routine: 702, Flags: 6, Magic: Magic}, dict{})
		}},
		{"request without a routine", "20000000 00000000 00000000 00000000" + empty, func() ([]byte, []int, error) {
			return AppendRequest(nil, Request{Magic: Magic}, dict{})
		}},
		{"reply", "18000000 00000000" + empty, func() ([]byte, []int, error) {
			return AppendReply(nil, Reply{Magic: Magic}, dict{})
		}},
		{"reply of an error", "04000000 8d000000", func() ([]byte, []int, error) {
			return AppendReply[dict](nil, Reply{Code: 141}, nil)
		}},
	} {
		if b, fds, err := v.make(); err != nil || fds != nil || !bytes.Equal(b, unhex(t, v.words)) {
			t.Errorf("%s: %x, %v, %v; want %s", v.name, b, fds, err, v.words)
		}
	}
}

func TestDecodeFrameBodies(t *testing.T) {
	body := unhex(t, "be020000 00000000 06000000"+one("0c000000", "00b00000"))
	r, d, used, err := DecodeRequest[dict](body, []int{7, 8})
	if err != nil || r != (Request{Routine: 702, Flags: 6, Magic: Magic}) || used != 1 || !same(d, dict{"k": FD(7)}) {
		t.Errorf("request: %+v, %#v, %d, %v", r, d, used, err)
	}
	for n := range body {
		if _, _, _, err := DecodeRequest[dict](body[:n], []int{7}); !errors.Is(err, ErrMalformed) {
			t.Errorf("request of %d bytes: %v", n, err)
		}
	}

	body = unhex(t, "00000000"+one("0c000000", "00b00000"))
	reply, d, used, err := DecodeReply[dict](body, []int{7, 8})
	if err != nil || reply != (Reply{Magic: Magic}) || used != 1 || !same(d, dict{"k": FD(7)}) {
		t.Errorf("reply: %+v, %#v, %d, %v", reply, d, used, err)
	}
	for n := range body {
		if _, _, _, err := DecodeReply[dict](body[:n], []int{7}); !errors.Is(err, ErrMalformed) {
			t.Errorf("reply of %d bytes: %v", n, err)
		}
	}
	// What follows a transport error is not looked at.
	for _, words := range []string{"8d000000", "8d000000 ff", "8d000000 ffffffff"} {
		reply, d, used, err := DecodeReply[dict](unhex(t, words), []int{7})
		if err != nil || reply.Code != 141 || d != nil || used != 0 {
			t.Errorf("reply %s: %+v, %v, %d, %v", words, reply, d, used, err)
		}
	}
}

func TestFramesByteByByte(t *testing.T) {
	noFDLeak(t)
	a, b := pair(t)
	want := dict{"data": bytes.Repeat([]byte("0123456789abcdef"), 700)} // more than one step of the buffer
	frame, _ := request(t, Request{Routine: 1, Magic: Magic}, want)
	sent := make(chan error, 1)
	go func() {
		for range 2 {
			for i := range frame {
				if _, err := a.Write(frame[i : i+1]); err != nil {
					sent <- err
					return
				}
			}
		}
		sent <- a.Close()
	}()
	for range 2 {
		body, fds, err := b.ReadFrame()
		if err != nil || len(fds) != 0 {
			t.Fatal(fds, err)
		}
		if r, d, _, err := DecodeRequest[dict](body, nil); err != nil || r.Routine != 1 || !same(d, want) {
			t.Fatalf("%+v, %d keys, %v", r, len(d), err)
		}
	}
	if _, _, err := b.ReadFrame(); err != io.EOF {
		t.Errorf("after the last frame: %v, want io.EOF itself", err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

// A frame much larger than the socket's buffer, descriptors included, goes over in
// many partial writes and reads; then small ones follow in the same connection.
func TestLargeFrame(t *testing.T) {
	noFDLeak(t)
	held := files(t, 3)
	a, b := pair(t)
	if err := errors.Join(a.SetWriteBuffer(4096), b.SetReadBuffer(4096)); err != nil {
		t.Fatal(err)
	}
	data := make([]byte, 3<<20)
	for i := range data {
		data[i] = byte(i * i >> 8)
	}
	sizes := []int{len(data), 10, 100_000, 0}
	sent := make(chan error, 1)
	go func() {
		var errs error
		for _, n := range sizes {
			frame, fds, err := AppendReply(nil, Reply{Magic: Magic}, dict{"d": data[:n], "f": []any{FD(held[2]), FD(held[0]), FD(held[1])}})
			errs = errors.Join(errs, err, a.WriteFrame(frame, fds))
		}
		sent <- errs
	}()
	for _, n := range sizes {
		body, fds, err := b.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		_, d, used, err := DecodeReply[dict](body, fds)
		if err != nil || used != 3 {
			t.Fatal(used, err)
		}
		if !bytes.Equal(d["d"].([]byte), data[:n]) {
			t.Errorf("the data of %d bytes arrived otherwise", n)
		}
		for i, want := range []int{held[2], held[0], held[1]} {
			if !isFile(t, int(d["f"].([]any)[i].(FD)), want) {
				t.Errorf("descriptor %d is another file", i)
			}
		}
		CloseAll(fds)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

func TestDescriptors(t *testing.T) {
	noFDLeak(t)
	held := files(t, 4)
	a, b := pair(t)
	frame, fds := request(t, Request{Routine: 800, Magic: Magic}, dict{"b": FD(held[1]), "a": Shmem{FD: held[3], Size: 1}, "c": FD(held[0])})
	if !slices.Equal(fds, []int{held[3], held[1], held[0]}) {
		t.Fatalf("descriptors to send %v", fds)
	}
	// One more than the message names.
	if err := a.WriteFrame(frame, append(fds, held[2])); err != nil {
		t.Fatal(err)
	}
	body, got, err := b.ReadFrame()
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 4 {
		t.Fatalf("%d descriptors arrived, want 4", len(got))
	}
	for i, want := range []int{held[3], held[1], held[0], held[2]} {
		if got[i] == want || !isFile(t, got[i], want) {
			t.Errorf("descriptor %d is %d, no duplicate of %d", i, got[i], want)
		}
		flags, err := unix.FcntlInt(uintptr(got[i]), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("descriptor %d would be inherited: flags %#x, %v", i, flags, err)
		}
	}
	_, d, used, err := DecodeRequest[dict](body, got)
	if err != nil || used != 3 {
		t.Fatalf("%d used, %v", used, err)
	}
	if want := (dict{"a": Shmem{FD: got[0], Size: 1}, "b": FD(got[1]), "c": FD(got[2])}); !same(d, want) {
		t.Errorf("decoded %#v, want %#v", d, want)
	}
	CloseAll(got)
}

func TestDescriptorsTravelWithTheFirstByte(t *testing.T) {
	noFDLeak(t)
	held := files(t, 1)
	a, b := pair(t)
	frame, fds := request(t, Request{Magic: Magic}, dict{"f": FD(held[0])})
	if err := a.WriteFrame(frame, fds); err != nil {
		t.Fatal(err)
	}
	oob := make([]byte, syscall.CmsgSpace(4*4))
	var first [1]byte
	n, oobn, _, _, err := b.ReadMsgUnix(first[:], oob)
	if err != nil || n != 1 {
		t.Fatal(n, err)
	}
	got, err := parseRights(oob[:oobn])
	if err != nil || len(got) != 1 || !isFile(t, got[0], held[0]) {
		t.Errorf("with the first byte came %v, %v", got, err)
	}
	CloseAll(got)
}

// Frames that follow each other do not exchange their descriptors.
func TestDescriptorsOfPipelinedFrames(t *testing.T) {
	noFDLeak(t)
	held := files(t, 3)
	a, b := pair(t)
	want := [][]int{{held[0]}, nil, {held[1], held[2]}, {held[0]}, nil}
	for _, fds := range want {
		list := []any{}
		for _, fd := range fds {
			list = append(list, FD(fd))
		}
		frame, fds := request(t, Request{Magic: Magic}, dict{"f": list})
		if err := a.WriteFrame(frame, fds); err != nil {
			t.Fatal(err)
		}
	}
	for i, fds := range want {
		_, got, err := b.ReadFrame()
		if err != nil || len(got) != len(fds) {
			t.Fatalf("frame %d: %v, %v", i, got, err)
		}
		for j := range fds {
			if !isFile(t, got[j], fds[j]) {
				t.Errorf("frame %d: descriptor %d is another file", i, j)
			}
		}
		CloseAll(got)
	}
}

// rawSend writes bytes and descriptors as they are.
func rawSend(t testing.TB, c *Conn, b []byte, fds ...int) {
	t.Helper()
	if n, _, err := c.WriteMsgUnix(b, syscall.UnixRights(fds...), nil); err != nil || n != len(b) {
		t.Fatal(n, err)
	}
}

func TestReadFrameErrorsKeepNoDescriptor(t *testing.T) {
	whole := unhex(t, "20000000 be020000 00000000 00000000"+head+"00f00000 04000000 00000000")
	held := files(t, 1)
	for _, v := range []struct {
		name string
		send []byte
		want error
	}{
		{"end in the length", whole[:3], io.ErrUnexpectedEOF},
		{"end after the length", whole[:4], io.ErrUnexpectedEOF},
		{"end in the body", whole[:20], io.ErrUnexpectedEOF},
		{"end before the last byte", whole[:len(whole)-1], io.ErrUnexpectedEOF},
		{"too large", binary.LittleEndian.AppendUint32(nil, MaxFrame+1), ErrFrameTooLarge},
		{"larger than int32", binary.LittleEndian.AppendUint32(nil, 0xffffffff), ErrFrameTooLarge},
	} {
		t.Run(v.name, func(t *testing.T) {
			noFDLeak(t)
			a, b := pair(t)
			rawSend(t, a, v.send, held[0], held[0])
			a.Close()
			body, fds, err := b.ReadFrame()
			if !errors.Is(err, v.want) || body != nil || fds != nil {
				t.Errorf("%x, %v, %v; want %v", body, fds, err, v.want)
			}
		})
	}
}

func TestFrameWithoutBody(t *testing.T) {
	noFDLeak(t)
	a, b := pair(t)
	rawSend(t, a, make([]byte, 4))
	if body, fds, err := b.ReadFrame(); len(body) != 0 || len(fds) != 0 || err != nil {
		t.Errorf("%x, %v, %v", body, fds, err)
	}
}

func TestTooManyDescriptors(t *testing.T) {
	t.Run("sent", func(t *testing.T) {
		list := []any{}
		for range maxFDs + 1 {
			list = append(list, FD(0))
		}
		if frame, _, err := AppendReply([]byte("before"), Reply{Magic: Magic}, dict{"f": list}); err == nil || string(frame) != "before" {
			t.Errorf("%.20q, %v", frame, err)
		}
		if _, fds, err := AppendReply(nil, Reply{Magic: Magic}, dict{"f": list[1:]}); err != nil || len(fds) != maxFDs {
			t.Errorf("%d descriptors: %d, %v", maxFDs, len(fds), err)
		}
	})
	t.Run("received", func(t *testing.T) {
		noFDLeak(t)
		held := files(t, 1)
		a, b := pair(t)
		many := slices.Repeat(held, 100)
		rawSend(t, a, []byte{100, 0, 0, 0, 1}, many...)
		rawSend(t, a, []byte{2}, many...)
		rawSend(t, a, []byte{3}, many...)
		if _, fds, err := b.ReadFrame(); !errors.Is(err, ErrMalformed) || fds != nil {
			t.Errorf("%v, %v; want ErrMalformed", fds, err)
		}
	})
	t.Run("as many as allowed", func(t *testing.T) {
		noFDLeak(t)
		held := files(t, 1)
		a, b := pair(t)
		rawSend(t, a, []byte{1, 0, 0, 0, 7}, slices.Repeat(held, maxFDs)...)
		body, fds, err := b.ReadFrame()
		if err != nil || len(fds) != maxFDs || !bytes.Equal(body, []byte{7}) {
			t.Errorf("%x, %d descriptors, %v", body, len(fds), err)
		}
		CloseAll(fds)
	})
}

// A process that is out of descriptors gets an error, not fewer descriptors.
func TestOutOfDescriptors(t *testing.T) {
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	noFDLeak(t)
	held := files(t, 1)
	a, b := pair(t)
	rawSend(t, a, []byte{1, 0, 0, 0, 7}, slices.Repeat(held, 30)...)
	low := old
	low.Cur = 0
	for free := 0; free < 8; low.Cur++ { // leave 8 numbers
		if _, err := unix.FcntlInt(uintptr(low.Cur), unix.F_GETFD, 0); err != nil {
			free++
		}
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	_, fds, err := b.ReadFrame()
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	if err == nil || fds != nil {
		t.Errorf("%v, %v; want an error", fds, err)
	}
}

func TestPromiseIsNotAllocated(t *testing.T) {
	a, b := pair(t)
	rawSend(t, a, append(binary.LittleEndian.AppendUint32(nil, MaxFrame), "0123456789"...))
	a.Close()
	var err error
	if got := allocated(func() { _, _, err = b.ReadFrame() }); err != io.ErrUnexpectedEOF || got > allocSlack {
		t.Errorf("10 bytes of 16 MiB: %d bytes allocated, %v", got, err)
	}
}

func TestTooLargeFrameIsNotBuilt(t *testing.T) {
	data := make([]byte, MaxFrame)
	for name, f := range map[string]func() ([]byte, []int, error){
		"request": func() ([]byte, []int, error) { return AppendRequest(nil, Request{Magic: Magic}, dict{"d": data}) },
		"reply":   func() ([]byte, []int, error) { return AppendReply(nil, Reply{Magic: Magic}, dict{"d": data}) },
	} {
		var err error
		if got := allocated(func() { _, _, err = f() }); !errors.Is(err, ErrFrameTooLarge) || got > allocSlack {
			t.Errorf("%s: %d bytes allocated, %v", name, got, err)
		}
	}
}

// The largest frame, to the byte: 12 bytes before the message, 20 up to the first
// key, 4 for the key, 8 before the data.
func TestLargestFrame(t *testing.T) {
	data := make([]byte, MaxFrame-12-20-4-8)
	frame, fds := request(t, Request{Magic: Magic}, dict{"d": data})
	if len(frame) != 4+MaxFrame || len(fds) != 0 {
		t.Fatalf("a frame of %d bytes", len(frame))
	}
	if _, _, err := AppendRequest(nil, Request{Magic: Magic}, dict{"d": append(data, 0)}); !errors.Is(err, ErrFrameTooLarge) {
		t.Errorf("one byte more: %v", err)
	}
	a, b := pair(t)
	sent := make(chan error, 1)
	go func() { sent <- a.WriteFrame(frame, nil) }()
	body, _, err := b.ReadFrame()
	if err != nil || len(body) != MaxFrame {
		t.Fatalf("%d bytes, %v", len(body), err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
	// The buffer is gone as soon as the next frame is waited for.
	rawSend(t, a, []byte{0, 0, 0, 0})
	if _, _, err := b.ReadFrame(); err != nil || cap(b.buf) > keepBuffer {
		t.Errorf("the buffer still holds %d bytes, %v", cap(b.buf), err)
	}
}

func TestReadFrameReusesItsBuffer(t *testing.T) {
	a, b := pair(t)
	frame, _ := request(t, Request{Magic: Magic}, dict{"text": strings.Repeat("x", 20_000)})
	exchange := func() {
		sent := make(chan error, 1)
		go func() { sent <- a.WriteFrame(frame, nil) }()
		if _, _, err := b.ReadFrame(); err != nil {
			t.Fatal(err)
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
	}
	exchange()
	if got := allocated(func() { exchange() }); got > 20_000 {
		t.Errorf("the second frame of %d bytes allocated %d", len(frame), got)
	}
}

func TestWriteFrameToAClosedPeer(t *testing.T) {
	noFDLeak(t)
	held := files(t, 1)
	a, b := pair(t)
	b.Close()
	frame, fds := request(t, Request{Magic: Magic}, dict{"f": FD(held[0])})
	if err := a.WriteFrame(frame, fds); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("with descriptors: %v, want EPIPE", err)
	}
	if err := a.WriteFrame(frame, nil); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("without: %v, want EPIPE", err)
	}
}

// A peer that has read the whole frame may be gone before WriteFrame returns; the
// frame is delivered all the same. Which of them is faster differs by the round.
func TestWriteFrameToAPeerThatLeavesAfterIt(t *testing.T) {
	held := files(t, 1)
	frame, fds := request(t, Request{Magic: Magic}, dict{"f": FD(held[0])})
	for range 300 {
		a, b := pair(t)
		read := make(chan error, 1)
		go func() {
			_, fds, err := b.ReadFrame()
			CloseAll(fds)
			b.Close()
			read <- err
		}()
		werr, rerr := a.WriteFrame(frame, fds), <-read
		a.Close()
		if werr != nil || rerr != nil {
			t.Fatalf("written: %v; read: %v", werr, rerr)
		}
	}
}
