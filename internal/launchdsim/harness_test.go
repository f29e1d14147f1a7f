package launchdsim

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/proc"
	"github.com/hermes-gw/hermes-gw/internal/xpcwire"
)

// patience bounds every wait for something that must happen.
const patience = 20 * time.Second

// fixture is a server on a socket of its own, its events, and a place for plists.
type fixture struct {
	*Server
	t      testing.TB
	dir    string
	socket string

	fifos map[string]*bufio.Reader
	tells map[string]*os.File

	mu     sync.Mutex
	events []Event
	more   chan struct{} // closed and replaced at every event
}

func newFixture(t testing.TB, o Options) *fixture {
	t.Helper()
	dir, err := os.MkdirTemp("", "lsim")
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, dir: dir, socket: filepath.Join(dir, "s"), more: make(chan struct{}), fifos: map[string]*bufio.Reader{}, tells: map[string]*os.File{}}
	o.OnEvent = func(e Event) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.events = append(f.events, e)
		close(f.more)
		f.more = make(chan struct{})
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: f.socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	f.Server = New(o)
	served := make(chan error, 1)
	go func() { served <- f.Serve(l) }()
	t.Cleanup(func() {
		f.Close()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
		os.RemoveAll(dir)
	})
	return f
}

// wait returns the first event from number from on that want likes, and the
// number after it.
func (f *fixture) wait(from int, what string, want func(Event) bool) (Event, int) {
	f.t.Helper()
	deadline := time.After(patience)
	for {
		f.mu.Lock()
		for ; from < len(f.events); from++ {
			if want(f.events[from]) {
				defer f.mu.Unlock()
				return f.events[from], from + 1
			}
		}
		more := f.more
		f.mu.Unlock()
		select {
		case <-more:
		case <-deadline:
			f.t.Fatalf("no event: %s\n%s", what, f.history())
		}
	}
}

func (f *fixture) waitState(from int, label string, to state) (Event, int) {
	f.t.Helper()
	return f.wait(from, label+" "+to.String(), func(e Event) bool { return e.Kind == "state" && e.Label == label && e.To == to.String() })
}

func (f *fixture) history() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var b strings.Builder
	for _, e := range f.events {
		fmt.Fprintf(&b, "%+v\n", e)
	}
	return b.String()
}

// count returns how many events so far want likes.
func (f *fixture) count(want func(Event) bool) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.events {
		if want(e) {
			n++
		}
	}
	return n
}

func (f *fixture) seen() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.events)
}

// write stores a property list with the given body and returns its path.
func (f *fixture) write(label, body string) string {
	f.t.Helper()
	path := filepath.Join(f.dir, label+".plist")
	text := `<?xml version="1.0" encoding="UTF-8"?>
<plist version="1.0"><dict><key>Label</key><string>` + label + `</string>` + body + `</dict></plist>`
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		f.t.Fatal(err)
	}
	return path
}

// fifo makes a FIFO by which a job's script reports to the test, or waits for it.
// The test holds both ends, so neither side ever blocks in open.
func (f *fixture) fifo(name string) (path string) {
	f.t.Helper()
	path = filepath.Join(f.dir, name)
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		f.t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { file.Close() })
	f.fifos[path], f.tells[path] = bufio.NewReader(file), file
	return path
}

// read returns the next line that a script wrote into a FIFO.
func (f *fixture) read(fifo string) string {
	f.t.Helper()
	f.tells[fifo].SetReadDeadline(time.Now().Add(patience))
	line, err := f.fifos[fifo].ReadString('\n')
	if err != nil {
		f.t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// tell lets a script that reads a FIFO go on.
func (f *fixture) tell(fifo string) {
	f.t.Helper()
	if _, err := f.tells[fifo].WriteString("now\n"); err != nil {
		f.t.Fatal(err)
	}
}

// sh is a ProgramArguments key that runs a shell script.
func sh(script string) string {
	script = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(script)
	return `<key>ProgramArguments</key><array><string>/bin/sh</string><string>-c</string><string>` + script + `</string></array>`
}

const (
	sleeper      = `<key>ProgramArguments</key><array><string>/bin/sleep</string><string>1000</string></array>`
	atLoad       = `<key>RunAtLoad</key><true/>`
	keepAliveKey = `<key>KeepAlive</key><true/>`
)

// client is one connection that speaks the frame.
type client struct {
	t testing.TB
	c *xpcwire.Conn
}

func (f *fixture) dial() *client {
	f.t.Helper()
	raw, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: f.socket, Net: "unix"})
	if err != nil {
		f.t.Fatal(err)
	}
	c := &client{t: f.t, c: xpcwire.NewConn(raw)}
	f.t.Cleanup(func() { raw.Close() })
	return c
}

func (c *client) send(number uint64, d dict) {
	c.t.Helper()
	frame, fds, err := xpcwire.AppendRequest(nil, xpcwire.Request{Routine: number, Magic: xpcwire.Magic}, d)
	if err == nil {
		err = c.c.WriteFrame(frame, fds)
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) receive() dict {
	c.t.Helper()
	c.c.SetReadDeadline(time.Now().Add(patience))
	body, fds, err := c.c.ReadFrame()
	xpcwire.CloseAll(fds)
	if err != nil {
		c.t.Fatal(err)
	}
	_, d, _, err := xpcwire.DecodeReply[dict](body, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	return d
}

func (c *client) call(number uint64, d dict) dict {
	c.t.Helper()
	c.send(number, d)
	return c.receive()
}

// gui addresses the fixture's gui domain, with more keys.
func gui(more dict) dict { return inDomain(domainGUI, uint64(os.Geteuid()), more) }

func inDomain(kind, handle uint64, more dict) dict {
	d := dict{"type": kind, "handle": handle}
	for k, v := range more {
		d[k] = v
	}
	return d
}

func code(d dict) int64 {
	n, _ := d["error"].(int64)
	return n
}

// load bootstraps a plist into gui and requires success.
func (c *client) load(path string) {
	c.t.Helper()
	if d := c.call(800, gui(dict{"paths": []any{path}})); len(d) != 0 {
		c.t.Fatalf("bootstrap %s: %v", path, d)
	}
}

// kick sends 702 and requires a pid.
func (c *client) kick(label string, more dict) int {
	c.t.Helper()
	d := gui(more)
	d["name"] = label
	reply := c.call(702, d)
	pid, isInt := reply["pid"].(int64)
	if !isInt {
		c.t.Fatalf("kickstart %s %v: %v", label, more, reply)
	}
	return int(pid)
}

// print sends 708 with memory for the text and returns it.
func (c *client) print(number uint64, d dict) string {
	c.t.Helper()
	file, err := os.CreateTemp("", "shmem")
	if err != nil {
		c.t.Fatal(err)
	}
	defer file.Close()
	os.Remove(file.Name())
	file.Truncate(1 << 20)
	d["shmem"] = xpcwire.Shmem{FD: int(file.Fd()), Size: 1 << 20}
	reply := c.call(number, d)
	n, isUint := reply["bytes-written"].(uint64)
	if !isUint {
		c.t.Fatalf("print: %v", reply)
	}
	text := make([]byte, n)
	if _, err := file.ReadAt(text, 0); err != nil {
		c.t.Fatal(err)
	}
	return string(text)
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

// runs says whether pid is a process that has not ended; a zombie that nobody
// reaps has.
func runs(pid int) bool {
	_, err := proc.Read(pid)
	return err == nil
}
