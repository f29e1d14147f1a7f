package xpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/xpcwire"
)

// echo answers with the request.
func echo(r testRequest) bool { r.reply(r.msg); return true }

func wantUnknown(t *testing.T, err error, routine uint64, targets ...error) {
	t.Helper()
	var unknown *UnknownOutcome
	if !errors.As(err, &unknown) || unknown.Routine != routine {
		t.Errorf("want an unknown outcome of routine %d, got %v", routine, err)
	}
	for _, target := range targets {
		if !errors.Is(err, target) {
			t.Errorf("%v is not %v", err, target)
		}
	}
}

// wantNotDone checks that err promises that nothing was carried out.
func wantNotDone(t *testing.T, err error) {
	t.Helper()
	var unknown *UnknownOutcome
	if err == nil || errors.As(err, &unknown) {
		t.Errorf("want an error of a request that was not carried out, got %v", err)
	}
}

func TestSocketRoundTrip(t *testing.T) {
	s := serve(t, func(r testRequest) bool {
		r.msg["routine"] = r.Routine
		return echo(r)
	}).dial(t)
	for range 3 {
		got, err := s.Call(t.Context(), 12345, allValues())
		want := allValues()
		want["routine"] = uint64(12345)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("got %#v, %v", got, err)
		}
	}
	if got, err := s.Call(t.Context(), 0, nil); err != nil || !reflect.DeepEqual(got, Dict{"routine": uint64(0)}) {
		t.Errorf("an empty request gave %v, %v", got, err)
	}
}

func TestSocketKeepsOneConnection(t *testing.T) {
	server := serve(t, echo)
	s := server.dial(t)
	for range 10 {
		if _, err := s.Call(t.Context(), 702, Dict{}); err != nil {
			t.Fatal(err)
		}
	}
	if n := server.accepted.Load(); n != 1 {
		t.Errorf("%d connections for requests one after the other", n)
	}
}

func TestSocketLendsDescriptors(t *testing.T) {
	server := serve(t, func(r testRequest) bool {
		if len(r.fds) != 2 {
			t.Errorf("%d descriptors came", len(r.fds))
			return false
		}
		f := os.NewFile(uintptr(r.fds[0]), "lent")
		defer f.Close()
		r.fds[0] = -1
		f.WriteString("written by the server")
		shmem, _ := r.msg["shmem"].(xpcwire.Shmem)
		n := copy(mapDescriptor(t, shmem.FD, int(shmem.Size)), "shared by the server")
		r.reply(Dict{"bytes-written": uint64(n)})
		return true
	})
	s := server.dial(t)
	pr, pw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer pr.Close()
	shared, err := NewShmem(100)
	if err != nil {
		t.Fatal(err)
	}
	defer shared.Close()
	reply, err := s.Call(t.Context(), 708, Dict{"fd": FD(pw.Fd()), "shmem": shared})
	if err != nil {
		t.Fatal(err)
	}
	pw.Close()
	if got, err := io.ReadAll(pr); string(got) != "written by the server" || err != nil {
		t.Errorf("through the descriptor came %q, %v", got, err)
	}
	n, _ := reply.Uint64("bytes-written")
	if got := string(shared.Bytes()[:n]); got != "shared by the server" {
		t.Errorf("in the memory stands %q", got)
	}
}

func TestSocketClosesDescriptorsOfReplies(t *testing.T) {
	pr, pw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer pr.Close()
	region, err := NewShmem(1)
	if err != nil {
		t.Fatal(err)
	}
	defer region.Close()
	writing := FD(pw.Fd())
	server := serve(t, func(r testRequest) bool {
		r.reply(Dict{
			"fd": writing, "shmem": region, "a": []any{writing, xpcwire.MachSend(1), xpcwire.MachRecv(2), xpcwire.MachOnce(3)},
			"o": []any{xpcwire.Connection, xpcwire.Endpoint, xpcwire.Pipe}, "e": xpcwire.Error{"XPCErrorDescription": "gone", "fd": writing},
		})
		return true
	})
	got, err := server.dial(t).Call(t.Context(), 815, Dict{})
	want := Dict{
		"fd": FD(-1), "shmem": (*Shmem)(nil), "a": []any{FD(-1), rightMachSend, rightMachRecv, rightMachSendOnce},
		"o": []any{rightConnection, rightEndpoint, rightPipe}, "e": Dict{"XPCErrorDescription": "gone", "fd": FD(-1)},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %#v, %v", got, err)
	}
	pw.Close()
	// The pipe ends only if no copy of its writing end is left.
	pr.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := pr.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("a descriptor of the reply is still open: %v", err)
	}
}

func TestSocketCallsDoNotWaitForEachOther(t *testing.T) {
	const n = 2 * maxIdle
	var all sync.WaitGroup
	all.Add(n)
	server := serve(t, func(r testRequest) bool {
		all.Done()
		all.Wait() // answers come only when all requests are there
		return echo(r)
	})
	s := server.dial(t)
	var calls sync.WaitGroup
	for i := range int64(n) {
		calls.Go(func() {
			got, err := s.Call(t.Context(), 702, Dict{"i": i})
			if j, _ := got.Int64("i"); err != nil || j != i {
				t.Errorf("request %d got %v, %v", i, got, err)
			}
		})
	}
	calls.Wait()
	if n := len(s.idle); n > maxIdle {
		t.Errorf("%d idle connections", n)
	}
}

func TestSocketErrors(t *testing.T) {
	answers := map[uint64]func(r testRequest){
		1: func(r testRequest) { r.reply(Dict{"error": int64(113), "more": "x"}) },
		2: func(r testRequest) {
			frame, _, _ := xpcwire.AppendReply[Dict](nil, xpcwire.Reply{Code: 144, Magic: r.Magic}, nil)
			r.conn.WriteFrame(frame, nil)
		},
		3: func(r testRequest) { r.reply(Dict{"error": int64(0)}) },
	}
	transport := map[uint64]Errno{4: EPIPE, 5: BadResponse}
	for routine, code := range transport {
		answers[routine] = func(r testRequest) {
			frame, _, _ := xpcwire.AppendReply[Dict](nil, xpcwire.Reply{Code: int32(code), Magic: r.Magic}, nil)
			r.conn.WriteFrame(frame, nil)
		}
	}
	server := serve(t, func(r testRequest) bool { answers[r.Routine](r); return true })
	s := server.dial(t)
	for routine, code := range transport {
		_, err := s.Call(t.Context(), routine, Dict{})
		if unknown, is := errors.AsType[*UnknownOutcome](err); !is || unknown.Err != code {
			t.Errorf("transport error %d gave %v: whether it was carried out is not known", code, err)
		}
	}
	for routine, want := range map[uint64]error{1: NoSuchService, 2: NotEntitled, 3: nil} {
		reply, err := s.Call(t.Context(), routine, Dict{})
		if err != want || (reply == nil) != (want != nil) {
			t.Errorf("routine %d gave %v, %v", routine, reply, err)
		}
	}
	if n := server.accepted.Load(); n != 1 {
		t.Errorf("an error cost a connection: %d in all", n)
	}
}

func TestSocketReplacesAClosedConnection(t *testing.T) {
	server := serve(t, func(r testRequest) bool { echo(r); return false })
	s := server.dial(t)
	for range 5 {
		if _, err := s.Call(t.Context(), 702, Dict{}); err != nil {
			t.Fatal(err)
		}
		<-server.ended
	}
	if n := server.accepted.Load(); n != 5 {
		t.Errorf("%d connections", n)
	}
}

// The server closes between the look at the connection and the write.
func TestSocketSendsAgainWhatWasNotSent(t *testing.T) {
	server := serve(t, func(r testRequest) bool { echo(r); return false })
	s := server.dial(t)
	if _, err := s.Call(t.Context(), 702, Dict{}); err != nil {
		t.Fatal(err)
	}
	<-server.ended
	s.idle[0].poll = func(uintptr) {} // sees nothing
	if _, err := s.Call(t.Context(), 702, Dict{}); err != nil {
		t.Error(err)
	}
}

func TestSocketDropsAConnectionWithUnaskedBytes(t *testing.T) {
	wrote := make(chan struct{}, 1)
	server := serve(t, func(r testRequest) bool {
		echo(r)
		echo(r)
		wrote <- struct{}{}
		return true
	})
	s := server.dial(t)
	for i := range int64(3) {
		got, err := s.Call(t.Context(), 702, Dict{"i": i})
		if j, _ := got.Int64("i"); err != nil || j != i {
			t.Fatalf("request %d got %v, %v", i, got, err)
		}
		<-wrote
	}
}

func TestSocketContextEndsDuringTheWait(t *testing.T) {
	asked, goOn := make(chan struct{}), make(chan struct{})
	server := serve(t, func(r testRequest) bool {
		if r.Routine == 1 {
			asked <- struct{}{}
			<-goOn
		}
		return echo(r)
	})
	s := server.dial(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	reply, err := s.Call(ctx, 1, Dict{"which": "late"})
	wantUnknown(t, err, 1, context.Canceled)
	if reply != nil {
		t.Errorf("a reply came too: %v", reply)
	}
	// The late reply must not become the answer to something else.
	got, err := s.Call(t.Context(), 2, Dict{"which": "next"})
	if which, _ := got.String("which"); err != nil || which != "next" {
		t.Errorf("the next request got %v, %v", got, err)
	}
	close(goOn)
	<-server.ended // our end of that connection is closed
}

// A context that ends while the answer comes must not spoil the connection for
// the next request.
func TestSocketContextEndsWithTheAnswer(t *testing.T) {
	cancels := make(chan context.CancelFunc, 1)
	s := serve(t, func(r testRequest) bool {
		echo(r)
		if r.Routine == 1 {
			(<-cancels)()
		}
		return true
	}).dial(t)
	for range 300 {
		ctx, cancel := context.WithCancel(t.Context())
		cancels <- cancel
		if _, err := s.Call(ctx, 1, Dict{}); err != nil {
			wantUnknown(t, err, 1, context.Canceled)
		}
		if _, err := s.Call(t.Context(), 2, Dict{}); err != nil {
			t.Fatalf("the next request: %v", err)
		}
	}
}

func TestSocketDeadline(t *testing.T) {
	hold := make(chan struct{})
	defer close(hold)
	s := serve(t, func(r testRequest) bool { <-hold; return false }).dial(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err := s.Call(ctx, 702, Dict{})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestSocketContextEndedBefore(t *testing.T) {
	server := serve(t, func(r testRequest) bool { t.Error("something was sent"); return false })
	s := server.dial(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Call(ctx, 702, Dict{}); err != context.Canceled {
		t.Errorf("got %v", err)
	}
	if _, err := Dial(ctx, server.path); err != context.Canceled {
		t.Errorf("Dial gave %v", err)
	}
}

// large is more than any socket buffer holds.
func large() Dict { return Dict{"data": make([]byte, 12<<20)} }

func TestSocketContextEndsDuringTheWrite(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan struct{})
	server := serveRaw(t, func(c *xpcwire.Conn) {
		c.Read(make([]byte, 1)) // the write has begun
		cancel()
		<-done
	})
	s := server.dial(t)
	_, err := s.Call(ctx, 800, large())
	wantNotDone(t, err)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	close(done)
}

func TestSocketServerGoesDuringTheWrite(t *testing.T) {
	server := serveRaw(t, func(c *xpcwire.Conn) { c.Read(make([]byte, 1)) })
	s := server.dial(t)
	_, err := s.Call(t.Context(), 800, large())
	wantNotDone(t, err)
	if err == nil || !strings.Contains(err.Error(), server.path) {
		t.Errorf("which socket? %v", err)
	}
}

func TestSocketServerGoesAfterTheRequest(t *testing.T) {
	frame, _, err := xpcwire.AppendReply(nil, xpcwire.Reply{Magic: xpcwire.Magic}, Dict{"pid": int64(1)})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 1, 4, 7, len(frame) - 1} {
		server := serve(t, func(r testRequest) bool { r.conn.Write(frame[:n]); return false })
		_, err := server.dial(t).Call(t.Context(), 702, Dict{"name": "a"})
		wantUnknown(t, err, 702, io.ErrUnexpectedEOF)
	}
}

// A server that leaves bytes unread resets the connection instead of ending it.
func TestSocketServerResets(t *testing.T) {
	server := serveRaw(t, func(c *xpcwire.Conn) { c.Read(make([]byte, 1)) })
	_, err := server.dial(t).Call(t.Context(), 702, Dict{"name": "a"})
	wantUnknown(t, err, 702, io.ErrUnexpectedEOF)
}

func TestSocketUnreadableReplies(t *testing.T) {
	good, _, err := xpcwire.AppendReply(nil, xpcwire.Reply{Magic: xpcwire.Magic}, Dict{"pid": int64(1)})
	if err != nil {
		t.Fatal(err)
	}
	change := func(at int, b ...byte) []byte {
		f := append([]byte{}, good...)
		copy(f[at:], b)
		return f
	}
	for name, frame := range map[string][]byte{
		"too large":       {0xff, 0xff, 0xff, 0x7f, 0, 0, 0, 0},
		"empty":           {0, 0, 0, 0},
		"no message":      {4, 0, 0, 0, 0, 0, 0, 0},
		"magic":           change(8, 'H', 'T', 'T', 'P'),
		"version":         change(12, 6),
		"no dictionary":   change(16, 0, 0xe0),
		"object type":     change(32, 0xff, 0xff),
		"descriptor":      change(32, 0, 0xb0),
		"another length":  change(0, byte(len(good)-8)),
		"container count": change(24, 200),
	} {
		t.Run(name, func(t *testing.T) {
			server := serve(t, func(r testRequest) bool {
				if r.Routine == 2 {
					return echo(r)
				}
				r.conn.Write(frame)
				return true
			})
			s := server.dial(t)
			_, err := s.Call(t.Context(), 1, Dict{})
			wantUnknown(t, err, 1, BadResponse)
			if _, err := s.Call(t.Context(), 2, Dict{}); err != nil {
				t.Errorf("the next request: %v", err)
			}
			if n := server.accepted.Load(); n != 2 {
				t.Errorf("%d connections: one in an unknown state was used again", n)
			}
		})
	}
}

func TestSocketRefusesBeforeSending(t *testing.T) {
	server := serve(t, func(r testRequest) bool { t.Error("something was sent"); return false })
	s := server.dial(t)
	closed, err := NewShmem(1)
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	fds := make([]any, 300)
	for i := range fds {
		fds[i] = FD(0)
	}
	for name, msg := range map[string]Dict{
		"too large":    {"data": make([]byte, xpcwire.MaxFrame)},
		"type":         {"a": 1},
		"NUL":          {"a": "x\x00"},
		"closed shmem": {"shmem": closed},
		"descriptors":  {"fds": fds},
		"closed fd":    {"fd": FD(1 << 20)},
	} {
		_, err := s.Call(t.Context(), 800, msg)
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
		wantNotDone(t, err)
	}
}

func TestSocketLargestRequest(t *testing.T) {
	server := serve(t, func(r testRequest) bool {
		data, _ := r.msg.Bytes("d")
		r.reply(Dict{"n": int64(len(data))})
		return true
	})
	s := server.dial(t)
	n := maxRequest - 12 - 4 - 8 // the dictionary, its key, the data's head
	got, err := s.Call(t.Context(), 800, Dict{"d": make([]byte, n)})
	if m, _ := got.Int64("n"); err != nil || m != int64(n) {
		t.Errorf("got %v, %v", got, err)
	}
	var verr *ValueError
	if _, err := s.Call(t.Context(), 800, Dict{"d": make([]byte, n+1)}); !errors.As(err, &verr) {
		t.Errorf("one byte more gave %v", err)
	}
	if n := server.accepted.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestSocketClose(t *testing.T) {
	asked, goOn := make(chan struct{}), make(chan struct{})
	server := serve(t, func(r testRequest) bool { asked <- struct{}{}; <-goOn; return echo(r) })
	s := server.dial(t)
	result := make(chan error)
	go func() { _, err := s.Call(t.Context(), 702, Dict{}); result <- err }()
	<-asked
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	_, err := s.Call(t.Context(), 702, Dict{})
	wantNotDone(t, err)
	if !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
	close(goOn)
	if err := <-result; err != nil {
		t.Errorf("the request under way: %v", err)
	}
	<-server.ended // its connection is not kept
}

func TestDialErrors(t *testing.T) {
	dir := filepath.Dir(socketPath(t))
	dead := filepath.Join(dir, "dead")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	for name, c := range map[string]struct {
		path, says string
		is         error
	}{
		"missing":       {filepath.Join(dir, "no"), "no such socket", fs.ErrNotExist},
		"missing dir":   {filepath.Join(dir, "no", "s"), "no such socket", fs.ErrNotExist},
		"at sign":       {"@no-such-abstract-name", "no such socket", fs.ErrNotExist},
		"dead":          {dead, "nothing serves", syscall.ECONNREFUSED},
		"empty":         {"", "empty", nil},
		"NUL":           {"a\x00b", "NUL", nil},
		"long":          {strings.Repeat("x", len(syscall.RawSockaddrUnix{}.Path)), "bytes long", nil},
		"below a file":  {filepath.Join(dead, "s"), "launchd socket", syscall.ENOTDIR},
		"longest, gone": {strings.Repeat("x", len(syscall.RawSockaddrUnix{}.Path)-1), "no such socket", fs.ErrNotExist},
	} {
		s, err := Dial(t.Context(), c.path)
		if err == nil {
			s.Close()
			t.Errorf("%s: connected", name)
			continue
		}
		if !strings.Contains(err.Error(), c.says) || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestServerThatIsGoneLater(t *testing.T) {
	server := serve(t, func(r testRequest) bool { echo(r); return false })
	s := server.dial(t)
	if _, err := s.Call(t.Context(), 702, Dict{}); err != nil {
		t.Fatal(err)
	}
	server.stop()
	_, err := s.Call(t.Context(), 702, Dict{})
	wantNotDone(t, err)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestPeers(t *testing.T) {
	for _, c := range []struct {
		server, self int
		ok           bool
	}{{501, 501, true}, {0, 501, true}, {0, 0, true}, {502, 501, false}, {501, 0, false}, {-1, 501, false}} {
		err := acceptPeer(c.server, c.self)
		if (err == nil) != c.ok {
			t.Errorf("server %d, self %d: %v", c.server, c.self, err)
		}
		if err != nil && !strings.Contains(err.Error(), fmt.Sprint("uid ", c.server)) {
			t.Errorf("which uid? %v", err)
		}
	}
	server := serve(t, echo)
	c, err := net.Dial("unix", server.path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	raw, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) {
		if uid, err := peerUID(int(fd)); err != nil || uid != os.Geteuid() {
			t.Errorf("the server runs as uid %d, %v", uid, err)
		}
	})
}

// openDescriptors counts this process's descriptors.
func openDescriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/dev/fd")
	if err != nil {
		t.Skip(err)
	}
	return len(entries)
}

func TestSocketLeaksNoDescriptor(t *testing.T) {
	run := func() {
		server := serve(t, func(r testRequest) bool {
			switch r.Routine {
			case 1:
				r.reply(Dict{"fds": []any{FD(0), FD(1), FD(2)}})
			case 2:
				frame, fds, _ := xpcwire.AppendReply(nil, xpcwire.Reply{Magic: r.Magic}, Dict{"fd": FD(0)})
				frame[8] = 'x' // malformed, with a descriptor
				r.conn.WriteFrame(frame, fds)
			case 3:
				frame, fds, _ := xpcwire.AppendReply(nil, xpcwire.Reply{Code: 5, Magic: r.Magic}, Dict{"fd": FD(0)})
				r.conn.WriteFrame(frame, fds)
			case 4:
				return false
			}
			return true
		})
		s := server.dial(t)
		for routine := range uint64(5) {
			shared, err := NewShmem(1)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			if routine == 0 {
				cancel()
			}
			s.Call(ctx, routine, Dict{"fd": FD(0), "shmem": shared})
			cancel()
			shared.Close()
		}
		s.Close()
		server.stop()
	}
	run()
	before := openDescriptors(t)
	run()
	if after := openDescriptors(t); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}
