package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/standin"
)

// maxSocketPath is the longest path that Hermes binds in its home.
// Source: _MAX_UNIX_PATH of gateway/control_socket.py of hermes-agent.
const maxSocketPath = 100

const protocol = 1

// control serves the control socket. One request a connection: a line of JSON each way.
func (g *gateway) control() error {
	if g.Behaviour.Control == standin.Off {
		return nil
	}
	path := filepath.Join(g.home, standin.FileSocket)
	short := len(path) <= maxSocketPath
	if !short {
		sum := sha256.Sum256([]byte(g.home))
		path = filepath.Join(os.TempDir(), "hermes-gw-"+hex.EncodeToString(sum[:])[:16]+".sock")
	}
	os.Remove(path) // a dead gateway's: the pid file is ours
	old := syscall.Umask(0o177)
	l, err := net.Listen("unix", path)
	syscall.Umask(old)
	if err != nil {
		fmt.Fprintln(os.Stderr, "Gateway control socket failed to start (non-fatal):", err)
		return nil
	}
	if !short {
		if err := g.write(standin.FilePointer, []byte(path), 0); err != nil {
			return err
		}
	}
	g.atEnd(func() {
		l.Close() // removes the socket
		if !short {
			g.remove(standin.FilePointer)
		}
	})
	go serve(l, g.answer)
	return nil
}

func serve(l net.Listener, answer func(net.Conn)) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			answer(c)
		}()
	}
}

func (g *gateway) answer(c net.Conn) {
	line, err := bufio.NewReader(c).ReadBytes('\n')
	if err != nil {
		return
	}
	switch g.Behaviour.Control {
	case standin.Hanging:
		io.Copy(io.Discard, c) // until the other side has had enough
		return
	case standin.Garbled:
		c.Write([]byte("{\"ok\": tru\n"))
		return
	}
	var request struct {
		Verb string `json:"verb"`
		ID   any    `json:"id"`
	}
	reply := map[string]any{"ok": false, "protocol": protocol}
	verbs := map[string]func() any{"identify": g.identify, "status": g.status}
	if err := json.Unmarshal(line, &request); err != nil {
		reply["error"] = err.Error()
	} else if verb, known := verbs[request.Verb]; known {
		reply["ok"], reply["result"] = true, verb()
	} else {
		reply["error"] = fmt.Sprintf("unknown verb: '%s'", request.Verb)
		reply["supported_verbs"] = slices.Sorted(maps.Keys(verbs))
	}
	if request.ID != nil {
		reply["id"] = request.ID
	}
	json.NewEncoder(c).Encode(reply)
}

func (g *gateway) identify() any {
	r := g.said()
	answer := map[string]any{
		"protocol": protocol, "kind": r.Kind, "pid": r.PID, "start_time": r.Start, "hermes_home": r.Home,
		"profile": profileOf(r.Home), "supervisor": supervisor(),
		"code_sha": g.Behaviour.CodeSHA, "code_version": g.Behaviour.CodeVersion,
	}
	if len(g.Behaviour.Served) > 0 {
		answer["served_profiles"] = g.Behaviour.Served
	}
	return answer
}

// said is what it says that it is.
func (g *gateway) said() standin.Record {
	r := g.record
	if g.Behaviour.Control == standin.Lying {
		r.PID, r.Start, r.Home = 1, r.Start-1000, filepath.Dir(g.home)
	}
	return r
}

func (g *gateway) status() any {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.state
	s.Record = g.said()
	return struct {
		state
		Protocol   int     `json:"protocol"`
		AnsweredAt float64 `json:"answered_at"`
		Answering  int     `json:"answering_pid"`
	}{s, protocol, epoch(time.Now()), s.PID}
}

// profileOf words a home as Hermes does.
func profileOf(home string) string {
	if filepath.Base(filepath.Dir(home)) == "profiles" {
		return filepath.Base(home)
	}
	return "default"
}

func supervisor() string {
	if slices.Contains(os.Args, "--external-supervisor") {
		return "external"
	}
	return "manual"
}

func epoch(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }

// beat writes the heartbeat, and serves the socket that proves that the loop runs.
func (g *gateway) beat() error {
	if err := os.MkdirAll(filepath.Join(g.home, "state"), 0o700); err != nil {
		return err
	}
	armed := g.tick()
	started := epoch(time.Now())
	write := func() error {
		then := time.Now().Add(-g.HeartbeatAge)
		data, err := json.Marshal(map[string]any{
			"pid": os.Getpid(), "updated_at": then.UTC().Format(isoTime), "monotonic": time.Since(booted).Seconds(),
			"start_time": started, "loop_tick_socket": armed, "loop_tick_tcp_port": nil,
		})
		if err != nil {
			return err
		}
		return g.write(standin.FileHeartbeat, data, g.HeartbeatAge)
	}
	if g.Heartbeat < 0 {
		return nil
	}
	if err := write(); err != nil || g.Heartbeat == 0 {
		return err
	}
	stop := make(chan struct{})
	g.atEnd(func() { close(stop) })
	go func() {
		beats := time.NewTicker(g.Heartbeat)
		defer beats.Stop()
		for {
			select {
			case <-beats.C:
				write()
			case <-stop:
				return
			}
		}
	}()
	return nil
}

// tick reports whether the socket is there.
func (g *gateway) tick() bool {
	if g.NoTick {
		return false
	}
	path := filepath.Join(g.home, "state", fmt.Sprintf("gateway.loop-tick.%d.sock", os.Getpid()))
	os.Remove(path)
	l, err := net.Listen("unix", path)
	if err != nil {
		fmt.Fprintln(os.Stderr, "Loop tick socket unavailable:", err)
		return false
	}
	g.atEnd(func() { l.Close() })
	go serve(l, func(c net.Conn) {
		if g.TickSilent {
			io.Copy(io.Discard, c)
			return
		}
		c.Write([]byte("1"))
	})
	return true
}

// listenAt serves the API server's port. What an orphan of the last gateway still holds is
// no reason to end: Hermes goes on and tries again later.
func (g *gateway) listenAt(path string) *standin.Platform {
	if c, err := net.Dial("unix", path); err == nil {
		c.Close()
		return &standin.Platform{State: "retrying", ErrorCode: "api_server_port_in_use", ErrorMessage: path + " is in use"}
	}
	os.Remove(path)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err == nil {
		l.SetUnlinkOnClose(false) // an orphan may have it
		g.listen, err = l.File()
	}
	if err != nil {
		return &standin.Platform{State: "error", ErrorCode: "api_server", ErrorMessage: err.Error()}
	}
	go serve(l, func(c net.Conn) { c.Write([]byte("1")) })
	return &standin.Platform{State: "connected"} // closed by the end of the process, not before
}
