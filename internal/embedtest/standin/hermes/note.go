package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/standin"
)

// notes tells the test what this process does, and ends the process when the test is gone.
type notes struct {
	role string
	home string

	mu    sync.Mutex
	log   *os.File // nil: there is no such home
	leash net.Conn // nil: there is no test
	lost  func()   // called when the test is gone
}

// exitLost is the code of a stand-in whose test is gone. Nobody sees it but init.
const exitLost = 99

func newNotes(role, home string) (*notes, standin.Behaviour) {
	n := &notes{role: role, home: home}
	b, err := standin.ReadBehaviour(home)
	if err != nil {
		fmt.Fprintln(os.Stderr, "hermes (a stand-in):", err)
		os.Exit(exitLost)
	}
	if b.Leash == "" {
		b.Leash = os.Getenv(standin.EnvLeash)
	}
	// Only for a test: the demo's gateways have neither.
	if b.Leash != "" {
		n.log, _ = os.OpenFile(filepath.Join(home, standin.FileLog), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
		n.leash, err = net.Dial("unix", b.Leash)
		if err != nil {
			os.Exit(exitLost)
		}
		go n.obey()
	}
	tag := os.Getenv(standin.EnvTag)
	if tag != "" {
		os.Setenv(standin.EnvTag, tag+"+") // for its children: the test's, too, but not this one
	}
	n.note(standin.Event{Kind: standin.Hello, Parent: os.Getppid(), Argv: os.Args, Tag: tag})
	return n, b
}

// obey does what the test says, until it is gone.
func (n *notes) obey() {
	orders := json.NewDecoder(n.leash)
	for {
		var o standin.Order
		if orders.Decode(&o) != nil {
			break
		}
		if o.Call != nil {
			if err := startCall(*o.Call); err != nil {
				fmt.Fprintln(os.Stderr, "hermes (a stand-in): call:", err)
			}
		}
	}
	n.mu.Lock()
	if n.lost != nil {
		n.lost()
	}
	os.Exit(exitLost)
}

// atLost has f called before this process ends because the test is gone.
func (n *notes) atLost(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lost = f
}

// note is written in one piece, so that lines of several processes do not mix.
func (n *notes) note(e standin.Event) {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	e.Role, e.PID, e.Home = n.role, os.Getpid(), n.home
	line, err := json.Marshal(e)
	if err != nil {
		panic(err) // only strings and numbers
	}
	line = append(line, '\n')
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.log != nil {
		n.log.Write(line)
	}
	if n.leash != nil {
		n.leash.Write(line)
	}
}

// exit is noted and gives the code.
func (n *notes) exit(code int) int {
	n.note(standin.Event{Kind: standin.Exiting, Code: code})
	return code
}

// write replaces a file below the home as a whole, so that no reader sees half.
func (n *notes) write(name string, data []byte, age time.Duration) error {
	path := filepath.Join(n.home, name)
	temp := fmt.Sprintf("%s.%d", path, os.Getpid())
	if err := os.WriteFile(temp, data, 0o600); err != nil {
		return err
	}
	if age != 0 {
		then := time.Now().Add(-age)
		if err := os.Chtimes(temp, then, then); err != nil {
			return err
		}
	}
	if err := n.wrote(name, temp, data); err != nil {
		return err
	}
	return os.Rename(temp, path)
}

// wrote notes that name has the content and the time of the file at path.
func (n *notes) wrote(name, path string, data []byte) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(data)
	n.note(standin.Event{Kind: standin.Write, Path: name, SHA256: hex.EncodeToString(sum[:]), ModTime: info.ModTime().UnixNano()})
	return nil
}

func (n *notes) remove(name string) {
	n.note(standin.Event{Kind: standin.Remove, Path: name})
	os.Remove(filepath.Join(n.home, name))
}
