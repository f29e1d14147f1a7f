package launchdsim

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hermes-gw/hermes-gw/internal/xpcwire"
)

// siege is a server under attack, and a good client that wants to be served all the
// while.
type siege struct {
	*Server
	t      *testing.T
	socket string
	dir    string
	pid    int // of the job "good"

	log *lockedBuffer
}

// lockedBuffer keeps the end of what is written to it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.b.Len() > 1<<18 {
		l.b.Reset()
	}
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newSiege(t *testing.T, l limits) *siege {
	t.Helper()
	log := &lockedBuffer{}
	s, dir := serve(t, Options{Log: log}, func(s *Server) { s.limits = l })
	f := &fixture{t: t, dir: dir, socket: filepath.Join(dir, "s")}
	c, err := dialSocket(f.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.c.Close()
	c.t = t
	c.load(f.write("good", sleeper+atLoad))
	return &siege{Server: s, t: t, socket: f.socket, dir: dir, pid: c.kick("good", nil), log: log}
}

// during runs an attack while a good client asks without a pause, on a connection that
// it keeps and on new ones. In the end nothing of the attack is left in the server.
func (s *siege) during(name string, attack func(t *testing.T)) {
	s.t.Run(name, func(t *testing.T) {
		if err := s.ask(nil); err != nil {
			t.Fatal(err)
		}
		base := quiet()
		var answers atomic.Int64
		stop := make(chan struct{})
		end := sync.OnceFunc(func() { close(stop) })
		defer end() // an attack may end the test
		good := make(chan error, 1)
		go func() {
			good <- func() error {
				kept, err := dialPatiently(s.socket)
				if err != nil {
					return err
				}
				defer kept.c.Close()
				for {
					select {
					case <-stop:
						return nil
					default:
					}
					if err := s.ask(kept); err != nil {
						return fmt.Errorf("on a connection that was kept: %w", err)
					}
					err := s.ask(nil)
					for tries := 1; err != nil && tries < 5 && pushedOut(err); tries++ {
						err = s.ask(nil)
					}
					if err != nil {
						return fmt.Errorf("on a new connection: %w", err)
					}
					answers.Add(1)
				}
			}()
		}()
		attack(t)
		// One more round that began after the attack.
		for before := answers.Load(); answers.Load() < before+2 && len(good) == 0; {
			runtime.Gosched()
		}
		end()
		if err := <-good; err != nil {
			t.Errorf("the good client: %v", err)
		}
		t.Logf("the good client was served %d times", answers.Load())
		flat(t, name, base, settled(base), 4<<20)
	})
}

// pushedOut says whether err is that of a connection that had to make room for another.
// In a crowd that happens to one that has not been served yet.
func pushedOut(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// ask asks about the good job in three ways, on c or on a connection of its own.
func (s *siege) ask(c *client) error {
	if c == nil {
		var err error
		if c, err = dialPatiently(s.socket); err != nil {
			return err
		}
		defer c.c.Close()
	}
	d, err := c.ask(815, inDomain(domainRequestor, 0, dict{"name": "good"}))
	if service, _ := d["service"].(dict); err != nil || service["PID"] != int64(s.pid) {
		return fmt.Errorf("list: %v, %w", d, err)
	}
	if d, err = c.ask(811, gui(dict{"name": "good"})); err != nil || d["loaded"] != true {
		return fmt.Errorf("enabled?: %v, %w", d, err)
	}
	m, err := memory(1 << 16)
	if err != nil {
		return err
	}
	defer m.Close()
	d, err = c.ask(708, gui(dict{"name": "good", "shmem": xpcwire.Shmem{FD: int(m.Fd()), Size: 1 << 16}}))
	n, _ := d["bytes-written"].(uint64)
	text := make([]byte, n)
	if _, rerr := m.ReadAt(text, 0); err != nil || rerr != nil || !strings.Contains(string(text), "\n\tstate = running\n") {
		return fmt.Errorf("print: %v, %w, %v, %q", d, err, rerr, text)
	}
	return nil
}

// dialPatiently tries again while the queue of the listener is full: Linux says EAGAIN
// then, macOS ECONNREFUSED.
func dialPatiently(path string) (*client, error) {
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		c, err := dialSocket(path)
		if full := errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.ECONNREFUSED); !full || time.Now().After(end) {
			return c, err
		}
	}
}

func (s *siege) dial(t *testing.T) *client {
	t.Helper()
	c, err := dialPatiently(s.socket)
	if err != nil {
		t.Fatal(err)
	}
	c.t = t
	return c
}

// over waits until the server has ended c, which must not answer before.
func over(t *testing.T, c *client, what string) {
	t.Helper()
	c.c.SetReadDeadline(time.Now().Add(patience))
	if n, err := c.c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("%s: %d bytes, %v; want the end of the connection", what, n, err)
	}
	c.c.Close()
}

// rude writes bytes with descriptors and does not care what becomes of it.
func (c *client) rude(b []byte, fds ...int) {
	c.c.SetWriteDeadline(time.Now().Add(patience))
	if len(b) == 0 {
		return
	}
	var rights []byte
	if len(fds) > 0 {
		rights = syscall.UnixRights(fds...)
	}
	if n, _, err := c.c.WriteMsgUnix(b, rights, nil); err == nil && n < len(b) {
		c.c.Write(b[n:])
	}
}

// readers are the routines that change nothing, whatever a frame says.
var readers = []uint64{707, 708, 712, 811, 815, 820, 828}

func frameOf(t testing.TB, number uint64, d dict) []byte {
	t.Helper()
	frame, _, err := xpcwire.AppendRequest(nil, xpcwire.Request{Routine: number, Magic: xpcwire.Magic}, d)
	if err != nil {
		t.Fatal(err)
	}
	return frame
}

func openFile(t *testing.T) *os.File {
	t.Helper()
	m, err := memory(1 << 16)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestHostilePeers(t *testing.T) {
	l := defaultLimits()
	l.frame, l.reply = 100*time.Millisecond, 100*time.Millisecond
	s := newSiege(t, l)
	n := 300
	if long() {
		n = 30_000
	}
	s.during("random frames", func(t *testing.T) { randomFrames(t, s, n) })
	s.during("truncated frames", func(t *testing.T) { truncatedFrames(t, s) })
	s.during("half-open connections", func(t *testing.T) { halfOpen(t, s) })
	s.during("replies that nobody reads", func(t *testing.T) { unread(t, s) })
	s.during("descriptors", func(t *testing.T) { descriptors(t, s) })
	s.during("memory that lies", func(t *testing.T) { lies(t, s) })
	s.during("full pipes", func(t *testing.T) { fullPipes(t, s) })
	s.during("nesting and counts", func(t *testing.T) { bombs(t, s) })
	s.during("10,000 connections", func(t *testing.T) { crowd(t, s, 10_000) })
	if !runs(s.pid) {
		t.Error("the good job did not survive")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if left := children(); left != "" {
		t.Errorf("a child of the server is left: %s", left)
	}
}

func randomFrames(t *testing.T, s *siege, n int) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	shared := openFile(t)
	defer shared.Close()
	file := int(shared.Fd())
	noise := func(n int) []byte {
		b := make([]byte, r.IntN(n))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	for range n {
		routine := readers[r.IntN(len(readers))]
		var b []byte
		switch r.IntN(4) {
		case 0: // noise from the first byte on
			b = noise(300)
		case 1: // a length that is right
			b = noise(5000)
			b = append(binary.LittleEndian.AppendUint32(nil, uint32(len(b))), b...)
		case 2: // the fixed part of a request and of a message, too
			b = frameOf(t, routine, dict{})[:4+12+8+4]
			b = append(b, noise(300)...)
			binary.LittleEndian.PutUint32(b, uint32(len(b)-4))
		case 3: // a few bits wrong in a good message; its routine stays
			b = frameOf(t, routine, gui(dict{"name": "good", "envvar": "PATH", "fd": xpcwire.FD(file), "more": []any{true, "text", dict{"a": 1.5}}}))
			for range 1 + r.IntN(3) {
				b[16+r.IntN(len(b)-16)] ^= 1 << r.IntN(8)
			}
		}
		var fds []int
		for range r.IntN(3) {
			fds = append(fds, file)
		}
		c := s.dial(t)
		c.rude(b, fds...)
		if r.IntN(2) == 0 {
			// Let it come to an end, whatever that is.
			c.c.CloseWrite()
			c.c.SetReadDeadline(time.Now().Add(patience))
			if _, err := io.Copy(io.Discard, c.c.UnixConn); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the server neither answers nor ends the connection after %x", b)
			}
		}
		c.c.Close()
	}
}

func truncatedFrames(t *testing.T, s *siege) {
	shared := openFile(t)
	defer shared.Close()
	file := int(shared.Fd())
	frame, fds, err := xpcwire.AppendRequest(nil, xpcwire.Request{Routine: 708, Magic: xpcwire.Magic}, gui(dict{"name": "good", "shmem": xpcwire.Shmem{FD: file, Size: 1 << 16}}))
	if err != nil {
		t.Fatal(err)
	}
	for n := range frame {
		c := s.dial(t)
		c.rude(frame[:n], fds...)
		c.c.CloseWrite()
		over(t, c, fmt.Sprintf("%d of %d bytes", n, len(frame)))
		if n == len(frame)-4 {
			continue
		}
		// A length that is not the message's, and the next frame at once.
		short := binary.LittleEndian.AppendUint32(nil, uint32(n))
		c = s.dial(t)
		c.rude(slices.Concat(short, frame[4:], frame), fds...)
		over(t, c, fmt.Sprintf("a length of %d in place of %d", n, len(frame)-4))
	}
}

// Who begins a request and does not go on is cut off; who has not begun one is not.
func halfOpen(t *testing.T, s *siege) {
	shared := openFile(t)
	defer shared.Close()
	file := int(shared.Fd())
	idle := s.dial(t)
	defer idle.c.Close()
	whole := frameOf(t, 815, inDomain(domainRequestor, 0, dict{"name": "good"}))
	var half []*client
	for i := range 100 {
		c := s.dial(t)
		c.rude(whole[:1+i%(len(whole)-1)], file, file)
		half = append(half, c)
	}
	// Drop by drop is no better: the whole request has to come in time.
	drip := s.dial(t)
	go func() {
		for i := range whole[:len(whole)-1] {
			if _, err := drip.c.Write(whole[i : i+1]); err != nil {
				return
			}
			time.Sleep(s.limits.frame / 10)
		}
	}()
	for _, c := range append(half, drip) {
		over(t, c, "half a request")
	}
	if err := s.ask(idle); err != nil {
		t.Errorf("a connection on which nothing was sent: %v", err)
	}
}

// A peer that asks and asks and does not read what it gets is cut off.
func unread(t *testing.T, s *siege) {
	request := frameOf(t, 815, inDomain(domainRequestor, 0, dict{"name": "good"}))
	many := bytes.Repeat(request, 1000)
	for range 5 {
		c := s.dial(t)
		c.c.SetWriteDeadline(time.Now().Add(patience))
		for {
			if _, err := c.c.Write(many); err != nil {
				if errors.Is(err, os.ErrDeadlineExceeded) {
					t.Error("the server goes on waiting")
				}
				break
			}
		}
		c.c.Close()
	}
}

func descriptors(t *testing.T, s *siege) {
	shared := openFile(t)
	defer shared.Close()
	file := int(shared.Fd())
	request := inDomain(domainRequestor, 0, dict{"name": "good"})
	frame := frameOf(t, 815, request)
	for n := range 7 {
		c := s.dial(t)
		c.rude(frame, slices.Repeat([]int{file}, n)...)
		if n > s.limits.files {
			over(t, c, fmt.Sprintf("%d descriptors", n))
			continue
		}
		if d := c.receive(); d["service"] == nil {
			t.Errorf("%d descriptors that nobody asked for: %v", n, d)
		}
		c.c.Close()
	}
	const scmMaxFD = 253 // Linux' limit for one control message
	c := s.dial(t)
	c.rude(frame, slices.Repeat([]int{file}, scmMaxFD)...)
	over(t, c, "a great many descriptors")

	// A few with each byte.
	c = s.dial(t)
	for i := range frame {
		c.rude(frame[i:i+1], file)
	}
	over(t, c, "descriptors on every byte")
	c = s.dial(t)
	for i := range frame {
		if i%20 == 0 && i/20 < s.limits.files {
			c.rude(frame[i:i+1], file)
		} else {
			c.rude(frame[i : i+1])
		}
	}
	if d := c.receive(); d["service"] == nil {
		t.Errorf("descriptors on some bytes: %v", d)
	}
	// Behind the request, before the next one.
	c.rude(frame, file)
	c.receive()
	c.c.Close()

	// A message that names more descriptors than came.
	c = s.dial(t)
	c.rude(frameOf(t, 708, gui(dict{"name": "good", "fd": xpcwire.FD(file), "x": []any{xpcwire.FD(file)}})), file)
	over(t, c, "a descriptor that did not come")

	// Its own connection, and sockets with more sockets under way in them.
	c = s.dial(t)
	own, err := c.c.File()
	if err != nil {
		t.Fatal(err)
	}
	c.rude(frame, int(own.Fd()))
	own.Close()
	c.receive()
	c.c.Close()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := unix.Sendmsg(pair[0], []byte{0}, unix.UnixRights(pair[0], pair[1]), nil, 0); err != nil {
			t.Fatal(err)
		}
	}
	c = s.dial(t)
	c.rude(frame, pair[0], pair[1])
	unix.Close(pair[0])
	unix.Close(pair[1])
	c.receive()
	c.c.Close()
}

// Memory for the text that is smaller than its size says, changes meanwhile, cannot be
// written to or is no memory at all.
func lies(t *testing.T, s *siege) {
	c := s.dial(t)
	defer c.c.Close()
	print := func(what string, fd int, size uint64) dict {
		d := gui(dict{"name": "good", "shmem": xpcwire.Shmem{FD: fd, Size: size}})
		frame, fds, err := xpcwire.AppendRequest(nil, xpcwire.Request{Routine: 708, Magic: xpcwire.Magic}, d)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.c.WriteFrame(frame, fds); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		return c.receive()
	}
	file := openFile(t)
	defer file.Close()
	for _, size := range []struct{ file, claimed, want uint64 }{
		{100, math.MaxUint64, 100},
		{100, 1 << 63, 100},
		{100, 50, 50},
		{0, 1 << 16, 0},
		{1 << 16, 0, 0},
		{1 << 40, 10, 10},
	} {
		file.Truncate(int64(size.file))
		if d := print("size", int(file.Fd()), size.claimed); d["bytes-written"] != size.want {
			t.Errorf("a file of %d bytes, said to have %d: %v, want %d", size.file, size.claimed, d, size.want)
		}
		if info, err := file.Stat(); err != nil || info.Size() != int64(size.file) {
			t.Errorf("the file has %d bytes now, %d before: %v", info.Size(), size.file, err)
		}
	}

	// Cut off and extended all the while.
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := int64(0); ; i++ {
			select {
			case <-stop:
				return
			default:
				file.Truncate(i % 2 << 16)
			}
		}
	}()
	for range 200 {
		if d := print("concurrent", int(file.Fd()), 1<<16); d["bytes-written"] == nil {
			t.Errorf("memory that changes: %v", d)
		}
	}
	close(stop)
	<-stopped

	readOnly, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer readOnly.Close()
	path := filepath.Join(s.dir, "read-only")
	if err := os.WriteFile(path, make([]byte, 100), 0o400); err != nil {
		t.Fatal(err)
	}
	unwritable, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer unwritable.Close()
	folder, err := os.Open(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	for what, f := range map[string]*os.File{"a device": readOnly, "a read-only file": unwritable, "a folder": folder, "a pipe": w, "a pipe's other end": r} {
		if d := print(what, int(f.Fd()), 100); code(d) != int64(einval) {
			t.Errorf("%s as memory: %v", what, d)
		}
	}
}

// A pipe that takes nothing holds up nobody, and is the client's own afterwards.
func fullPipes(t *testing.T, s *siege) {
	var pipe [2]int
	if err := unix.Pipe(pipe[:]); err != nil {
		t.Fatal(err)
	}
	reader, writer := os.NewFile(uintptr(pipe[0]), "reader"), pipe[1]
	defer reader.Close()
	defer unix.Close(writer)
	unix.SetNonblock(writer, true)
	full := 0
	for block := make([]byte, 4096); ; {
		n, err := unix.Write(writer, block)
		if err != nil {
			if len(block) == 1 {
				break
			}
			block = block[:len(block)/2]
			continue
		}
		full += n
	}
	unix.SetNonblock(writer, false)
	print := func(c *client) (dict, error) {
		d := gui(dict{"name": "good", "fd": xpcwire.FD(writer)})
		return c.ask(708, d)
	}
	var all sync.WaitGroup
	for range 20 {
		c := s.dial(t)
		all.Go(func() {
			defer c.c.Close()
			for range 10 {
				if d, err := print(c); err != nil || code(d) != int64(einval) {
					t.Errorf("a full pipe: %v, %v", d, err)
				}
			}
		})
	}
	all.Wait()
	if flags, err := unix.FcntlInt(uintptr(writer), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK != 0 {
		t.Errorf("the client's descriptor does not block any more: flags %#x, %v", flags, err)
	}
	if _, err := io.ReadFull(reader, make([]byte, full)); err != nil {
		t.Fatal(err)
	}
	c := s.dial(t)
	defer c.c.Close()
	d, err := print(c)
	n, _ := d["bytes-written"].(uint64)
	text := make([]byte, n)
	if _, rerr := io.ReadFull(reader, text); err != nil || rerr != nil || !strings.HasSuffix(string(text), "\n}\n") {
		t.Errorf("the pipe with room: %v, %v, %v, %q", d, err, rerr, text)
	}
}

// bombs are messages that are much more than they look like.
func bombs(t *testing.T, s *siege) {
	const array, dictionary, str, null = 0xe000, 0xf000, 0x9000, 0x1000
	word := func(b []byte, words ...uint32) []byte {
		for _, w := range words {
			b = binary.LittleEndian.AppendUint32(b, w)
		}
		return b
	}
	frame := func(object []byte) []byte {
		message := word(nil, xpcwire.Magic, 5, dictionary, uint32(4+4+len(object)), 1, 'k')
		message = append(message, object...)
		b := word(nil, uint32(12+len(message)), 708, 0, 0)
		return append(b, message...)
	}
	// Containers in containers, from the inside out.
	nest := func(depth int, kind uint32) []byte {
		var b []byte
		inner := uint32(4)
		heads := make([][]byte, depth)
		for i := range depth {
			count := uint32(1)
			if i == 0 {
				count = 0
			}
			heads[i] = word(nil, kind, inner, count)
			if kind == dictionary && i > 0 {
				heads[i] = word(heads[i], 'k')
			}
			inner = 4 + uint32(len(heads[i])) - 12 + 8 + inner
			if i == 0 {
				inner = 4 + 8 + 4
				if kind == dictionary {
					inner += 4
				}
			}
		}
		for _, h := range slices.Backward(heads) {
			b = append(b, h...)
		}
		return b
	}
	wide := func(count, kind uint32, item ...uint32) []byte {
		b := word(nil, kind, 0, count)
		for i := range count {
			if kind == dictionary {
				b = fmt.Appendf(b, "%07d\x00", i)
			}
			b = word(b, item...)
		}
		binary.LittleEndian.PutUint32(b[4:], uint32(len(b)-8))
		return b
	}
	request := frame(word(nil, null))
	c := s.dial(t)
	c.rude(request)
	if d := c.receive(); code(d) != int64(einval) {
		t.Fatalf("a harmless message made in the same way: %v", d)
	}
	c.rude(frame(nest(3, array)))
	c.receive()
	c.rude(frame(nest(3, dictionary)))
	c.receive()
	c.rude(frame(wide(100_000, array, null)))
	c.receive()
	c.rude(frame(wide(100_000, dictionary, null)))
	c.receive()
	c.c.Close()
	for what, object := range map[string][]byte{
		"100,000 arrays in each other":       nest(100_000, array),
		"100,000 dictionaries in each other": nest(100_000, dictionary),
		"an array of 4 billion":              word(nil, array, 4, math.MaxUint32),
		"an array of 4 billion bytes":        word(nil, array, math.MaxUint32, math.MaxUint32),
		"a dictionary of 4 billion":          word(nil, dictionary, 4, math.MaxUint32),
		"a string of 4 billion bytes":        word(nil, str, math.MaxUint32),
		"a string without an end":            append(word(nil, str, 4), "abcd"...),
	} {
		c := s.dial(t)
		c.rude(frame(object))
		over(t, c, what)
	}
	for _, size := range []uint32{xpcwire.MaxFrame + 1, math.MaxInt32, math.MaxUint32} {
		c := s.dial(t)
		c.rude(word(nil, size))
		over(t, c, fmt.Sprintf("a frame of %d bytes", size))
	}
}

// crowd connects n times and leaves all connections open, as many as this process may
// have; every other one has begun a request. Those beyond the server's limit go first.
func crowd(t *testing.T, s *siege, n int) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	room := int(min(limit.Cur, math.MaxInt32)) - openDescriptors() - s.limits.conns - 100
	if room < 100 {
		t.Skipf("only %d descriptors", limit.Cur)
	}
	atOnce := min(n, room)
	open := make([]*client, 0, atOnce)
	defer func() {
		for _, c := range open {
			c.c.Close()
		}
	}()
	for i := range n {
		c := s.dial(t)
		if i%2 == 0 {
			c.rude([]byte{200, 0}) // not a whole length
		}
		if len(open) < atOnce {
			open = append(open, c)
		} else {
			open[i%atOnce].c.Close()
			open[i%atOnce] = c
		}
	}
	t.Logf("%d connections, %d of them at once", n, atOnce)
	s.mu.Lock()
	served := len(s.conns)
	s.mu.Unlock()
	if served > s.limits.conns {
		t.Errorf("the server holds %d connections, more than %d", served, s.limits.conns)
	}
	if atOnce > s.limits.conns {
		over(t, open[n%atOnce], "the oldest connection")
	}
}

// Established clients stay when strangers crowd in; when every connection is at work, a
// new one is turned away.
func TestConnectionsGiveWay(t *testing.T) {
	l := defaultLimits()
	l.conns = 3
	s := newSiege(t, l)
	s.awaits(t, 0, 0) // the connection that loaded the job is gone
	kept := s.dial(t)
	defer kept.c.Close()
	if err := s.ask(kept); err != nil {
		t.Fatal(err)
	}
	s.awaits(t, 1, 1)
	first, second := s.dial(t), s.dial(t)
	third := s.dial(t)
	over(t, first, "the stranger that came first")
	if err := s.ask(kept); err != nil {
		t.Errorf("the established client: %v", err)
	}
	s.awaits(t, 3, 3)
	for _, c := range []*client{second, third} {
		if err := s.ask(c); err != nil {
			t.Error(err)
		}
		s.awaits(t, 3, 3)
	}
	// All are established now: the one that was silent for the longest goes.
	fourth := s.dial(t)
	over(t, kept, "the established client that was silent for the longest")
	if err := s.ask(fourth); err != nil {
		t.Error(err)
	}

	// All are at work: they wait for a job's end.
	f := &fixture{t: t, dir: s.dir, socket: s.socket, fifos: nil}
	if err := s.Load(f.write("never", sleeper+`<key>ThrottleInterval</key><integer>10000</integer>`)); err != nil {
		t.Fatal(err)
	}
	second.kick("never", nil)
	if d := second.call(812, gui(dict{"name": "never", "signal": int64(9)})); len(d) != 0 {
		t.Fatal(d)
	}
	for {
		d := second.call(815, inDomain(domainRequestor, 0, dict{"name": "never"}))
		if d["service"].(dict)["PID"] == nil {
			break
		}
	}
	s.awaits(t, 3, 3)
	for _, c := range []*client{second, third, fourth} {
		c.send(702, gui(dict{"name": "never"}))
	}
	s.awaits(t, 3, 0)
	over(t, s.dial(t), "one too many")
	if !strings.Contains(s.log.String(), "connection refused: all 3 are busy") {
		t.Errorf("the log does not say so:\n%s", s.log)
	}
	s.Close()
	for _, c := range []*client{second, third, fourth} {
		c.receive()
		c.c.Close()
	}
}

// awaits returns when the server has so many connections and waits for requests on so
// many of them, or has not come to that for a long time.
func (s *siege) awaits(t *testing.T, conns, waiting int) {
	t.Helper()
	state := func() (n, idle int) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for c := range s.conns {
			if c.waiting.Load() != 0 {
				idle++
			}
		}
		return len(s.conns), idle
	}
	end := time.Now().Add(patience)
	for n, idle := state(); n != conns || idle != waiting; n, idle = state() {
		if time.Now().After(end) {
			t.Fatalf("the server has %d connections and waits on %d of them; want %d, %d", n, idle, conns, waiting)
		}
		runtime.Gosched()
	}
}

// A server that is out of descriptors goes on with the connections it has, and takes
// new ones in exchange for those that do nothing.
func TestOutOfDescriptors(t *testing.T) {
	l := defaultLimits()
	l.conns = math.MaxInt
	s := newSiege(t, l)
	s.awaits(t, 0, 0) // the connection that loaded the job is gone
	before := quiet()
	good := s.dial(t)
	defer good.c.Close()
	if err := s.ask(good); err != nil {
		t.Fatal(err)
	}
	idle := s.dial(t)
	if d := idle.call(811, gui(dict{"name": "good"})); d["loaded"] != true {
		t.Fatal(d)
	}
	if d := good.call(811, gui(dict{"name": "good"})); d["loaded"] != true {
		t.Fatal(d)
	}
	sockets := make([]int, 20)
	for i := range sockets {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		if err != nil {
			t.Fatal(err)
		}
		unix.CloseOnExec(fd)
		sockets[i] = fd
	}
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	low := old
	low.Cur = 0
	for free := 0; free < 3; low.Cur++ { // leaves three numbers
		if _, err := unix.FcntlInt(uintptr(low.Cur), unix.F_GETFD, 0); err != nil {
			free++
		}
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &old)
	for i, fd := range sockets {
		if err := unix.Connect(fd, &unix.SockaddrUnix{Name: s.socket}); err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		if d := good.call(811, gui(dict{"name": "good"})); d["loaded"] != true {
			t.Fatal(d)
		}
	}
	// The last of them is served, the others made room for it.
	waits := unix.NsecToTimeval(int64(patience))
	if err := unix.SetsockoptTimeval(sockets[len(sockets)-1], unix.SOL_SOCKET, unix.SO_RCVTIMEO, &waits); err != nil {
		t.Fatal(err)
	}
	last := os.NewFile(uintptr(sockets[len(sockets)-1]), "socket")
	if _, err := last.Write(frameOf(t, 811, gui(dict{"name": "good"}))); err != nil {
		t.Fatal(err)
	}
	reply := make([]byte, 4)
	if _, err := io.ReadFull(last, reply); err != nil {
		t.Fatalf("the last connection: %v", err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	last.Close()
	for _, fd := range sockets[:len(sockets)-1] {
		unix.Close(fd)
	}
	if !strings.Contains(s.log.String(), "accept: ") || !strings.Contains(s.log.String(), "is closed to make room for another") {
		t.Errorf("it was not out of descriptors:\n%s", s.log)
	}
	if err := s.ask(good); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	good.c.Close()
	idle.c.Close()
	flat(t, "out of descriptors", before, settled(before), 4<<20)
}

// otherUser names the socket in the environment of the process that another user runs.
const otherUser = "LAUNCHDSIM_TEST_OTHER_USER"

// Another user's connection is not served, even where the folder's mode would let it in.
func TestOtherUserIsRefused(t *testing.T) {
	if socket := os.Getenv(otherUser); socket != "" {
		otherUsersClient(socket)
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root: only root can start a process of another user")
	}
	s := newSiege(t, defaultLimits())
	// go test keeps the binary where others cannot go.
	dir, err := os.MkdirTemp("", "lsim")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	binary, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "client")
	if err := errors.Join(os.WriteFile(program, binary, 0o755), os.Chmod(program, 0o755), os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	run := func(uid uint32) string {
		cmd := exec.Command(program, "-test.run=^TestOtherUserIsRefused$")
		cmd.Env = append(os.Environ(), otherUser+"="+s.socket, "GORACE=atexit_sleep_ms=0")
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		out, err := cmd.CombinedOutput()
		return fmt.Sprintf("%s%v", out, err)
	}
	const nobody = 65534
	if out := run(nobody); strings.Count(out, "permission denied") != 4 {
		t.Errorf("another user's client at a folder of mode 0700: %s", out)
	}
	if err := errors.Join(os.Chmod(s.dir, 0o755), os.Chmod(s.socket, 0o666)); err != nil {
		t.Fatal(err)
	}
	if out := run(nobody); !strings.Contains(out, "708: no reply\n815: no reply\n702: no reply\n801: no reply\n") {
		t.Errorf("another user's client: %s", out)
	}
	if n := strings.Count(s.log.String(), fmt.Sprintf("connection refused: uid %d", nobody)); n != 4 {
		t.Errorf("the log tells of %d refusals, not 4:\n%s", n, s.log)
	}
	if err := s.ask(nil); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	// The same client as the same user does get what it asks for.
	if out := run(0); !strings.Contains(out, "708: a reply\n815: a reply\n702: a reply\n801: a reply\n") {
		t.Errorf("the same user's client: %s", out)
	}
	if err := s.ask(nil); err == nil {
		t.Error("the same user's client has removed the job, and it is still there")
	}
}

// otherUsersClient sends requests, each on a connection of its own, and prints what
// became of them.
func otherUsersClient(socket string) {
	for _, number := range []uint64{708, 815, 702, 801} {
		d := dict{"type": uint64(domainGUI), "handle": uint64(0), "name": "good", "kill": true, "unthrottle": true}
		if number == 815 {
			d["type"] = uint64(domainRequestor)
		}
		c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: socket, Net: "unix"})
		if err != nil {
			fmt.Println(err)
			continue
		}
		client := &client{c: xpcwire.NewConn(c)}
		answer := "no reply"
		if _, err := client.ask(number, d); err == nil {
			answer = "a reply"
		}
		fmt.Printf("%d: %s\n", number, answer)
		c.Close()
	}
}
