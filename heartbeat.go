package hermesgw

import (
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// heartbeat is state/gateway.heartbeat, which a thread of the gateway writes every 30 s.
type heartbeat struct {
	PID int
	// UpdatedAt is what the file says; if it says nothing, when it was written.
	UpdatedAt  time.Time
	TickSocket bool    // the event loop answers at a socket of its own
	Start      float64 // when the gateway began, a while after its process, in seconds since the epoch; 0: not known
}

// readHeartbeat reads the heartbeat of a home.
func readHeartbeat(in Install, home string) (heartbeat, error) {
	path := filepath.Join(home, "state", "gateway.heartbeat")
	b, info, err := readFile(in, path, maxHeartbeat)
	if err != nil {
		return heartbeat{}, err
	}
	h, err := parseHeartbeat(b)
	if err != nil {
		return heartbeat{}, &fs.PathError{Op: "read", Path: path, Err: err}
	}
	if h.UpdatedAt.IsZero() {
		h.UpdatedAt = info.ModTime()
	}
	return h, nil
}

func parseHeartbeat(b []byte) (heartbeat, error) {
	f, err := parseFields(b)
	if err != nil {
		return heartbeat{}, err
	}
	pid, err := f.pid("pid")
	if err != nil {
		return heartbeat{}, err
	}
	return heartbeat{PID: pid, UpdatedAt: f.when("updated_at"), TickSocket: f.yes("loop_tick_socket"), Start: f.epoch("start_time")}, nil
}

// recentStarts counts the starts of a home's gateway that gateway-starts.log has within a time
// before now. After more than 5 in 120 s a gateway sleeps 10 to 300 s before it begins.
// Source: record_start_and_check_storm in gateway/status.py; starts in the future count there.
func recentStarts(in Install, home string, within time.Duration, now time.Time) int {
	b, _, err := readFile(in, filepath.Join(home, "gateway-starts.log"), maxStarts)
	if err != nil {
		return 0
	}
	return countStarts(string(b), within, now)
}

func countStarts(log string, within time.Duration, now time.Time) (n int) {
	since := float64(now.UnixMicro())/1e6 - within.Seconds()
	for line := range strings.Lines(strings.TrimPrefix(log, "\ufeff")) {
		start, err := strconv.ParseFloat(strings.TrimSpace(line), 64)
		if err == nil && start >= since && start < 1e11 {
			n++
		}
	}
	return n
}
