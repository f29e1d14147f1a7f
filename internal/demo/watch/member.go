// Package watch lets the demo see its stand-in gateways as they come and go, by
// events: every gateway keeps one connection to the demo's Unix socket open for
// as long as it lives.
//
// A gateway sends the line "running PID HOME" once its state file says so, and
// "stopping" when it was asked to stop and holds for the demo. The demo may send
// "hold" (answered by "holding"): the gateway's next stop then waits for "go".
// The end of the connection is the end of the process at the other side, and a
// gateway whose demo is gone ends itself: nothing is left behind even when the
// demo is killed.
package watch

import (
	"bufio"
	"fmt"
	"net"
	"sync"
)

const (
	wordRunning  = "running"
	wordStopping = "stopping"
	wordHolding  = "holding"
	wordHold     = "hold"
	wordGo       = "go"
)

// Member is a gateway's connection to the demo.
type Member struct {
	conn net.Conn
	lost chan struct{} // closed when the demo is gone

	mu      sync.Mutex
	release chan struct{} // nil: not held; closed by "go"
}

// Join tells the demo at path that the gateway pid of home is running.
func Join(path string, pid int, home string) (*Member, error) {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return nil, err
	}
	m := &Member{conn: conn, lost: make(chan struct{})}
	if err := m.send(fmt.Sprintf("%s %d %s", wordRunning, pid, home)); err != nil {
		conn.Close()
		return nil, err
	}
	go m.listen()
	return m, nil
}

// Lost is closed when the demo is gone.
func (m *Member) Lost() <-chan struct{} { return m.lost }

// Stopping waits as long as the demo wants this stop to take. Without a "hold"
// that is not at all.
func (m *Member) Stopping() {
	m.mu.Lock()
	release := m.release
	m.mu.Unlock()
	if release == nil || m.send(wordStopping) != nil {
		return
	}
	select {
	case <-release:
	case <-m.lost:
	}
}

func (m *Member) send(line string) error {
	_, err := fmt.Fprintln(m.conn, line)
	return err
}

func (m *Member) listen() {
	defer close(m.lost)
	lines := bufio.NewScanner(m.conn)
	for lines.Scan() {
		m.mu.Lock()
		switch lines.Text() {
		case wordHold:
			if m.release == nil {
				m.release = make(chan struct{})
			}
			m.send(wordHolding)
		case wordGo:
			if m.release != nil {
				close(m.release)
				m.release = nil
			}
		}
		m.mu.Unlock()
	}
}
