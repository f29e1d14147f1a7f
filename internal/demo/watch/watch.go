package watch

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Watch is the demo's side: it knows every gateway that ever reported.
type Watch struct {
	listener net.Listener

	mu       sync.Mutex
	changed  chan struct{} // closed and replaced when a gateway reports
	gateways []*Gateway
	closed   bool
}

// Gateway is one gateway process that reported. PID, Home and Since never change.
type Gateway struct {
	PID   int
	Home  string
	Since time.Time // when it reported that it is running

	conn     net.Conn
	holding  chan struct{}
	stopping chan struct{}
	gone     chan struct{}
	ended    time.Time // set before gone is closed
}

// Listen serves gateways on a new Unix socket at path until Close.
func Listen(path string) (*Watch, error) {
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	w := &Watch{listener: listener, changed: make(chan struct{})}
	go w.accept()
	return w, nil
}

// Close lets go of all gateways; they end themselves.
func (w *Watch) Close() error {
	err := w.listener.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for _, g := range w.gateways {
		g.conn.Close()
	}
	return err
}

// Release sends "go" to every gateway, so that no stop waits any longer.
func (w *Watch) Release() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, g := range w.gateways {
		g.Release()
	}
}

// Running waits for a gateway of home that reported after old did (nil: any) and
// returns the last one.
func (w *Watch) Running(ctx context.Context, home string, old *Gateway) (*Gateway, error) {
	for {
		w.mu.Lock()
		changed := w.changed
		for i := len(w.gateways) - 1; i >= 0 && w.gateways[i] != old; i-- {
			if g := w.gateways[i]; g.Home == home {
				w.mu.Unlock()
				return g, nil
			}
		}
		w.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("no gateway of %s has reported that it runs: %w", home, context.Cause(ctx))
		}
	}
}

func (w *Watch) accept() {
	for {
		conn, err := w.listener.Accept()
		if err != nil {
			return
		}
		go w.serve(conn)
	}
}

// serve reads one gateway's lines. Its first line must be its report.
func (w *Watch) serve(conn net.Conn) {
	defer conn.Close()
	lines := bufio.NewScanner(conn)
	if !lines.Scan() {
		return
	}
	g := &Gateway{
		Since: time.Now(), conn: conn,
		holding: make(chan struct{}), stopping: make(chan struct{}), gone: make(chan struct{}),
	}
	word, rest, _ := strings.Cut(lines.Text(), " ")
	pid, home, _ := strings.Cut(rest, " ")
	var err error
	if g.PID, err = strconv.Atoi(pid); err != nil || word != wordRunning || home == "" {
		return
	}
	g.Home = home
	if !w.add(g) {
		return
	}
	defer func() {
		g.ended = time.Now()
		close(g.gone)
	}()
	once := func(c chan struct{}) {
		select {
		case <-c:
		default:
			close(c)
		}
	}
	for lines.Scan() {
		switch lines.Text() {
		case wordHolding:
			once(g.holding)
		case wordStopping:
			once(g.stopping)
		}
	}
}

// add reports false when the watch is over.
func (w *Watch) add(g *Gateway) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return false
	}
	w.gateways = append(w.gateways, g)
	close(w.changed)
	w.changed = make(chan struct{})
	return true
}

// Hold makes the gateway's next stop last until Release. It returns once the
// gateway has agreed.
func (g *Gateway) Hold(ctx context.Context) error {
	if _, err := fmt.Fprintln(g.conn, wordHold); err != nil {
		return err
	}
	return g.wait(ctx, g.holding, "agreed to hold")
}

// Release lets a stop that is held go on.
func (g *Gateway) Release() { fmt.Fprintln(g.conn, wordGo) }

// Stopping waits until the gateway, held before, was asked to stop.
func (g *Gateway) Stopping(ctx context.Context) error {
	return g.wait(ctx, g.stopping, "been asked to stop")
}

// Gone waits for the end of the process and returns when that was.
func (g *Gateway) Gone(ctx context.Context) (time.Time, error) {
	select {
	case <-g.gone:
		return g.ended, nil
	case <-ctx.Done():
		return time.Time{}, fmt.Errorf("gateway %d has not ended: %w", g.PID, context.Cause(ctx))
	}
}

// Alive reports whether the process has not ended yet.
func (g *Gateway) Alive() bool {
	select {
	case <-g.gone:
		return false
	default:
		return true
	}
}

func (g *Gateway) wait(ctx context.Context, c <-chan struct{}, what string) error {
	select {
	case <-c:
		return nil
	case <-g.gone:
		return fmt.Errorf("gateway %d ended before it had %s", g.PID, what)
	case <-ctx.Done():
		return fmt.Errorf("gateway %d has not %s: %w", g.PID, what, context.Cause(ctx))
	}
}
