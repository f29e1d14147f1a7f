package fleet

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/standin"
	"github.com/hermes-gw/hermes-gw/internal/proc"
)

// leash is the socket to which every stand-in is connected for as long as it lives, and
// tells what it does. A stand-in whose connection ends, ends.
type leash struct {
	path     string
	listener *net.UnixListener

	mu      sync.Mutex
	changed chan struct{} // closed and replaced at every event
	procs   []*Process
	closed  bool
}

// Process is a stand-in that reported.
type Process struct {
	PID    int
	Parent int // when it began
	Role   string
	Home   string
	Argv   []string
	Tag    string // not empty: started by the test, not by launchd

	conn net.Conn
	held *proc.Process // nil: it had ended before its hello was read
	gone chan struct{}

	// status gets how it ended, where it is the test's own child.
	status chan syscall.WaitStatus

	mu     sync.Mutex
	events []standin.Event
}

func listen(path string) (*leash, error) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	h := &leash{path: path, listener: l, changed: make(chan struct{})}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			// One hello after the other: a parent is known before its child, which connects
			// later.
			if p, lines := h.meet(c); p != nil {
				go h.follow(p, lines)
			} else {
				c.Close()
			}
		}
	}()
	return h, nil
}

// meet reads a stand-in's hello, which comes with the connection. nil: it has ended already,
// or the test has.
func (h *leash) meet(c net.Conn) (*Process, *bufio.Reader) {
	c.SetReadDeadline(time.Now().Add(patience))
	lines := bufio.NewReader(c)
	e, err := next(lines)
	if err != nil {
		return nil, nil
	}
	c.SetReadDeadline(time.Time{})
	if home, err := filepath.EvalSymlinks(e.Home); err == nil { // HERMES_HOME may be a link
		e.Home = home
	}
	p := &Process{
		PID: e.PID, Parent: e.Parent, Role: e.Role, Home: e.Home, Argv: e.Argv, Tag: e.Tag,
		conn: c, gone: make(chan struct{}), events: []standin.Event{e},
	}
	p.held, _ = proc.Open(e.PID)
	h.mu.Lock()
	closed := h.closed
	if !closed {
		h.procs = append(h.procs, p)
	}
	h.mu.Unlock()
	if closed {
		return nil, nil
	}
	h.tell()
	return p, lines
}

// follow reads what a stand-in does, until it ends.
func (h *leash) follow(p *Process, lines *bufio.Reader) {
	for {
		e, err := next(lines)
		if err != nil {
			break
		}
		p.mu.Lock()
		p.events = append(p.events, e)
		p.mu.Unlock()
		h.tell()
	}
	p.conn.Close()
	if p.held != nil {
		// Files are closed a moment before the process has ended.
		p.held.Wait(context.Background())
	}
	close(p.gone)
	h.tell()
	if p.held != nil {
		p.held.Close()
	}
}

func next(lines *bufio.Reader) (e standin.Event, err error) {
	line, err := lines.ReadBytes('\n')
	if err != nil {
		return e, err
	}
	return e, json.Unmarshal(line, &e)
}

func (h *leash) tell() {
	h.mu.Lock()
	defer h.mu.Unlock()
	close(h.changed)
	h.changed = make(chan struct{})
}

// wait waits until the condition holds.
func (h *leash) wait(ctx context.Context, holds func() bool) error {
	for {
		h.mu.Lock()
		changed := h.changed
		h.mu.Unlock()
		if holds() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (h *leash) all(want func(*Process) bool) (list []*Process) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range h.procs {
		if want(p) {
			list = append(list, p)
		}
	}
	return list
}

func (h *leash) last(want func(*Process) bool) *Process {
	list := h.all(want)
	if len(list) == 0 {
		return nil
	}
	return list[len(list)-1]
}

func (h *leash) alive() int { return len(h.all((*Process).Alive)) }

func (h *leash) list() string {
	var b strings.Builder
	for _, p := range h.all(func(*Process) bool { return true }) {
		fmt.Fprintf(&b, "\t%s %d of %s, %q, alive: %t\n", p.Role, p.PID, p.Home, p.Argv, p.Alive())
	}
	return b.String()
}

// drop ends the stand-ins that fit.
func (h *leash) drop(which func(*Process) bool) {
	for _, p := range h.all(which) {
		p.End()
	}
}

// close ends every stand-in, those that come now included.
func (h *leash) close() {
	h.listener.Close()
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.drop(func(*Process) bool { return true })
}

// Gone is closed at the end of the process.
func (p *Process) Gone() <-chan struct{} { return p.gone }

// Alive reports whether the process has not ended yet. It looks: Gone is closed a little later
// than that.
func (p *Process) Alive() bool {
	select {
	case <-p.gone:
		return false
	default:
	}
	if p.held == nil {
		return true
	}
	now, err := proc.Read(p.PID)
	return err != nil && !errors.Is(err, proc.ErrGone) || now == p.held.Identity()
}

// End ends the process, whatever it does about signals. One that is stopped is let go on
// to notice.
func (p *Process) End() {
	// The read side stays: its end says that the process has ended.
	p.conn.(*net.UnixConn).CloseWrite()
	p.Signal(syscall.SIGCONT)
}

// Signal sends a signal to this process and no other.
func (p *Process) Signal(s syscall.Signal) error {
	if p.held == nil {
		return proc.ErrGone
	}
	return p.held.Signal(s)
}

// Events are what it did so far.
func (p *Process) Events() []standin.Event {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.events)
}

// isGatewayOf reports whether it is a gateway that launchd started for a profile.
func (p *Process) isGatewayOf(g Gateway) bool {
	return p.Home == g.Home && p.Role == standin.RoleGateway && p.Tag == ""
}

func (p *Process) entered(state string) bool {
	return slices.ContainsFunc(p.Events(), func(e standin.Event) bool { return e.Kind == standin.State && e.State == state })
}
