package hermesgw

import (
	"io/fs"
	"math"
	"path/filepath"
	"time"

	"github.com/hermes-gw/hermes-gw/sweep"
)

// Work is a piece of work that a gateway waits for before it exits. Whose it is, and what it is
// about, is left out.
type Work struct {
	Kind    string        // "chat", "cron", "api", "deferred"
	Elapsed time.Duration // since it began; 0 if it is not known
	PID     int           // of a process of its own; 0 for none
}

// Platform is the connection of a gateway to one messaging service.
type Platform struct {
	State          string // "connected", "connecting", "retrying", "fatal", ...
	ErrorCode      string
	NeedsAttention bool // it has been failing for long
}

// runtimeState is gateway_state.json of a home, or what the verb status of its control socket
// answers. The file outlives the gateway: killed, it says "running" for ever.
type runtimeState struct {
	record
	State            string // starting, running, draining, degraded, stopped, startup_failed
	ExitReason       string // fit to be shown
	RestartRequested bool
	ActiveWork       []Work
	Platforms        map[string]Platform
	Served           []string // the profiles that a multiplexer serves
	CodeSHA          string
	CodeVersion      string
	UpdatedAt        time.Time // zero if it is not known
}

// readState reads gateway_state.json of a home. What is missing, damaged, another user's or
// about another home is no state, and the error says why.
func readState(in Install, home string) (runtimeState, error) {
	path := filepath.Join(home, "gateway_state.json")
	b, _, err := readFile(in, path, maxState)
	if err != nil {
		return runtimeState{}, err
	}
	s, err := parseState(b)
	if err == nil {
		err = s.of(in, home)
	}
	if err != nil {
		return runtimeState{}, &fs.PathError{Op: "read", Path: path, Err: err}
	}
	return s, nil
}

func parseState(b []byte) (runtimeState, error) {
	f, err := parseFields(b)
	if err != nil {
		return runtimeState{}, err
	}
	return f.state()
}

func (f fields) state() (runtimeState, error) {
	r, err := f.record()
	if err != nil {
		return runtimeState{}, err
	}
	s := runtimeState{
		record:           r,
		State:            f.word("gateway_state"),
		ExitReason:       shown(sweep.RedactText(f.text("exit_reason")), maxShownText),
		RestartRequested: f.yes("restart_requested"),
		Served:           f.profiles("served_profiles"),
		CodeSHA:          f.word("code_sha"),
		CodeVersion:      f.word("code_version"),
		UpdatedAt:        f.when("updated_at"),
	}
	for _, work := range f.list("active_work") {
		w := Work{Kind: work.word("kind")}
		w.PID, _ = work.pid("pid")
		if n, ok := work.number("elapsed_s"); ok && n > 0 {
			w.Elapsed = time.Duration(min(n, math.MaxInt32) * float64(time.Second))
		}
		s.ActiveWork = append(s.ActiveWork, w)
	}
	for name, platform := range f.objects("platforms") {
		if s.Platforms == nil {
			s.Platforms = map[string]Platform{}
		}
		s.Platforms[shown(name, 2*maxShownWord)] = Platform{ // profile:platform from a multiplexer
			State:          platform.word("state"),
			ErrorCode:      platform.word("error_code"),
			NeedsAttention: platform.yes("needs_attention"),
		}
	}
	return s, nil
}
