package main

import (
	"context"
	"encoding/json"
	"net"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hermes-gw/hermes-gw/internal/launchdsim"
)

// recorder keeps what the embedded launchd does in memory, and gives it out when it is asked:
// between runs, so that nothing is written or read while something is measured.
type recorder struct {
	mu     sync.Mutex
	events []launchdsim.Event
}

// mostEvents bounds what is kept of what nobody asks for.
const mostEvents = 10_000

func (r *recorder) note(e launchdsim.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.events) >= mostEvents {
		r.events = slices.Delete(r.events, 0, mostEvents/2)
	}
	r.events = append(r.events, e)
}

func (r *recorder) take() []launchdsim.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	events := r.events
	r.events = nil
	return events
}

// serve answers each byte with the events since the last one, as one JSON array.
func (r *recorder) serve(path string) error {
	l, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				var ask [1]byte
				for out := json.NewEncoder(c); ; {
					if _, err := c.Read(ask[:]); err != nil || out.Encode(r.take()) != nil {
						return
					}
				}
			}()
		}
	}()
	return nil
}

// trace is the other end of a recorder.
type trace struct {
	c  net.Conn
	in *json.Decoder
}

func openTrace(path string) (*trace, error) {
	c, err := net.Dial("unix", path)
	if err != nil {
		return nil, err
	}
	return &trace{c, json.NewDecoder(c)}, nil
}

// read returns the events since the last read.
func (t *trace) read() (events []launchdsim.Event, err error) {
	if _, err := t.c.Write([]byte{'\n'}); err != nil {
		return nil, err
	}
	err = t.in.Decode(&events)
	return events, err
}

// untilAnswered reads until every request of what was read has its reply, which is noted a
// little after its peer has it.
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

// monotonic reads the clock that events are on.
func monotonic() int64 {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) != nil {
		return 0
	}
	return t.Nano()
}

const routineKickstart = 702 // launchd-protocol.md section 1

// split is what a restart was made of, as launchd saw it.
type split struct {
	kickstart float64 // from the request to its answer
	absent    float64 // from the reaping of the old process to the spawn of the new one
	launchd   float64 // from the signal to the reaping, and from the decision to spawn to the spawn
	spawned   int64   // when the new process was, on the clock of monotonic
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
	s.spawned = spawn
	s.absent = float64(spawn - exit)
	s.launchd = float64(exit - signal + spawn - spawning)
	return s, hasKickstart, true
}
