package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/launchdsim"
)

// trace is what the embedded launchd writes down. It is read between runs, so that reading
// it costs nothing while something is measured.
type trace struct {
	f    *os.File
	rest []byte // of a line that is not whole yet
}

func openTrace(path string) (*trace, error) {
	f, err := os.Open(path)
	return &trace{f: f}, err
}

// read returns the events since the last read.
func (t *trace) read() (events []launchdsim.Event, err error) {
	more, err := io.ReadAll(t.f)
	if err != nil {
		return nil, err
	}
	t.rest = append(t.rest, more...)
	for {
		line, after, whole := bytes.Cut(t.rest, []byte("\n"))
		if !whole {
			return events, nil
		}
		var e launchdsim.Event
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, err
		}
		events, t.rest = append(events, e), after
	}
}

// untilAnswered reads until every request of what was read has its reply, which is written
// down a little after its peer has it.
func (t *trace) untilAnswered(ctx context.Context) (events []launchdsim.Event, err error) {
	deadline := time.Now().Add(time.Second)
	for {
		more, err := t.read()
		if err != nil {
			return nil, err
		}
		events = append(events, more...)
		open := 0
		for _, e := range events {
			switch e.Kind {
			case "request":
				open++
			case "reply":
				open--
			}
		}
		if open <= 0 || ctx.Err() != nil || time.Now().After(deadline) {
			return events, nil
		}
		time.Sleep(200 * time.Microsecond)
	}
}

const routineKickstart = 702 // launchd-protocol.md section 1

// split is what a restart was made of, as launchd saw it.
type split struct {
	kickstart float64 // from the request to its answer
	absent    float64 // from the reaping of the old process to the spawn of the new one
	launchd   float64 // from the signal to the reaping, and from the decision to spawn to the spawn
}

// splitOf reads the events of one restart of label from the process old to new. ok is false if
// one of the moments is not among them.
func splitOf(events []launchdsim.Event, label string, old, new int) (s split, hasKickstart, ok bool) {
	var signal, exit, spawning, spawn int64
	begun := map[uint64]int64{}
	for _, e := range events {
		if e.Label != label {
			continue
		}
		switch {
		case e.Kind == "request" && e.Routine == routineKickstart:
			begun[e.ID] = e.Time
		case e.Kind == "reply" && e.Routine == routineKickstart && begun[e.ID] != 0:
			s.kickstart, hasKickstart = float64(e.Time-begun[e.ID]), true
		case e.Kind == "signal" && e.PID == old && signal == 0:
			signal = e.Time
		case e.Kind == "exit" && e.PID == old:
			exit = e.Time
		case e.Kind == "state" && e.To == "spawning":
			spawning = e.Time
		case e.Kind == "spawn" && e.PID == new:
			spawn = e.Time
		}
	}
	if signal == 0 || exit < signal || spawning < exit || spawn < spawning {
		return s, hasKickstart, false
	}
	s.absent = float64(spawn - exit)
	s.launchd = float64(exit - signal + spawn - spawning)
	return s, hasKickstart, true
}
