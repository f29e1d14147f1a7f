package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/standin"
)

// state is gateway_state.json.
type state struct {
	standin.Record
	State            string                      `json:"gateway_state"`
	ExitReason       string                      `json:"exit_reason,omitempty"`
	RestartRequested bool                        `json:"restart_requested"`
	ActiveAgents     int                         `json:"active_agents"`
	ActiveWork       []standin.Work              `json:"active_work"`
	Platforms        map[string]standin.Platform `json:"platforms"`
	Served           []string                    `json:"served_profiles,omitempty"`
	UpdatedAt        string                      `json:"updated_at"`
	CodeSHA          string                      `json:"code_sha,omitempty"`
	CodeVersion      string                      `json:"code_version,omitempty"`
}

// isoTime is how Python's datetime.isoformat writes a time in UTC.
const isoTime = "2006-01-02T15:04:05.000000+00:00"

// enter writes the state file and then says so. The time of that is before anybody can read it.
func (g *gateway) enter(word string) {
	at := time.Now()
	g.mu.Lock()
	g.state = state{
		Record: g.record, State: word, ExitReason: g.state.ExitReason, RestartRequested: g.state.RestartRequested,
		ActiveAgents: len(g.Behaviour.ActiveWork), ActiveWork: g.Behaviour.ActiveWork, Platforms: g.platforms(word),
		Served: g.Behaviour.Served, UpdatedAt: time.Now().UTC().Format(isoTime),
		CodeSHA: g.Behaviour.CodeSHA, CodeVersion: g.Behaviour.CodeVersion,
	}
	if g.state.ActiveWork == nil {
		g.state.ActiveWork = []standin.Work{}
	}
	data, err := json.MarshalIndent(g.state, "", "  ")
	g.mu.Unlock()
	if err == nil && !g.NoState {
		err = g.write(standin.FileState, data, 0)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "hermes gateway:", err)
	}
	g.note(standin.Event{Time: at, Kind: standin.State, State: word})
}

// platforms are connected only while the gateway runs, unless the test has others.
func (g *gateway) platforms(word string) map[string]standin.Platform {
	if g.Behaviour.Platforms != nil {
		return g.Behaviour.Platforms
	}
	telegram := standin.Platform{State: "disconnected"}
	switch word {
	case "running", "draining":
		telegram.State = "connected"
	case "starting":
		telegram.State = "connecting"
	}
	list := map[string]standin.Platform{"telegram": telegram}
	if g.apiServer != nil {
		list["api_server"] = *g.apiServer
	}
	return list
}

// The respawn-storm breaker: more than stormStarts starts within stormWindow.
const (
	stormStarts = 5
	stormWindow = 120 * time.Second
)

// recordStart notes this start, and gives how long the breaker holds it up.
func (g *gateway) recordStart() time.Duration {
	path := filepath.Join(g.home, standin.FileStarts)
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0
	}
	now := time.Now()
	recent := 1
	for line := range strings.Lines(string(old)) {
		at, err := strconv.ParseFloat(strings.TrimSpace(line), 64)
		if err == nil && at > float64(now.Add(-stormWindow).UnixMicro())/1e6 {
			recent++
		}
	}
	text := fmt.Appendf(old, "%.6f\n", float64(now.UnixMicro())/1e6)
	if err := g.write(standin.FileStarts, text, 0); err != nil || recent <= stormStarts || g.StormNap == 0 {
		return 0
	}
	fmt.Fprintf(os.Stderr, "respawn storm: %d starts within %v, backing off for %v\n", recent, stormWindow, g.StormNap)
	return g.StormNap
}

// pythonBoot is the least that a gateway of Hermes takes from its start to the lock.
const pythonBoot = 2 * time.Second

// takeLock takes gateway.lock. It waits as long as a real boot would take.
func (g *gateway) takeLock() (c cause, err error) {
	if g.lock, err = os.OpenFile(filepath.Join(g.home, standin.FileLock), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return c, err
	}
	err = syscall.Flock(int(g.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == syscall.EWOULDBLOCK && !g.Hasty {
		taken := make(chan error, 1)
		go func() { taken <- syscall.Flock(int(g.lock.Fd()), syscall.LOCK_EX) }()
		c, err = g.waitOr(time.Until(booted.Add(g.BootDelay+pythonBoot)), taken, err)
	}
	if err != nil {
		err = fmt.Errorf("already running: another gateway holds %s: %w", standin.FileLock, err)
	}
	return c, err
}

// claim writes the lock's text and the pid file. With the lock, a pid file that is there is
// a dead gateway's.
func (g *gateway) claim() error {
	data, err := json.Marshal(g.record)
	if err != nil {
		return err
	}
	if g.lock != nil {
		if err := g.fill(standin.FileLock, g.lock, data); err != nil {
			return err
		}
	}
	if g.NoPID {
		return nil
	}
	path := filepath.Join(g.home, standin.FilePID)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		g.remove(standin.FilePID)
		f, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	}
	if err != nil {
		return fmt.Errorf("already running: %w", err)
	}
	defer f.Close()
	return g.fill(standin.FilePID, f, data)
}

// fill writes an open file in place, which is how Hermes writes these two.
func (g *gateway) fill(name string, f *os.File, data []byte) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	if _, err := f.WriteAt(data, 0); err != nil {
		return err
	}
	return g.wrote(name, f.Name(), data)
}

// readRecord reads what claim wrote.
func readRecord(path string) (r standin.Record, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(data, &r)
}

// markerLife is how long a marker counts.
const markerLife = 60 * time.Second

// announced reports whether a marker says that this gateway is to be stopped, and takes
// the marker away, as Hermes does.
func (g *gateway) announced() bool {
	for _, name := range []string{standin.FileTakeover, standin.FilePlannedStop} {
		data, err := os.ReadFile(filepath.Join(g.home, name))
		if err != nil {
			continue
		}
		var marker struct {
			PID       int       `json:"target_pid"`
			Start     *int64    `json:"target_start_time"`
			Home      string    `json:"target_hermes_home"`
			WrittenAt time.Time `json:"written_at"`
		}
		if json.Unmarshal(bytes.TrimSpace(data), &marker) != nil {
			continue
		}
		age := time.Since(marker.WrittenAt)
		if marker.PID != os.Getpid() || marker.Start == nil || *marker.Start != g.record.Start ||
			(marker.Home != "" && marker.Home != g.home) || age > markerLife || age < -markerLife {
			continue
		}
		g.remove(name)
		return true
	}
	return false
}
