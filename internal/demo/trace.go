package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/hermes-gw/hermes-gw/internal/launchdsim"
)

// trace follows what the embedded launchd writes to its trace, event by event.
type trace struct {
	mu      sync.Mutex
	changed chan struct{} // closed and replaced with each event, and at the end
	events  []launchdsim.Event
	ended   error // why there will be no more
}

// errEnded is the regular end of a trace.
var errEnded = errors.New("the embedded launchd has ended")

// follow reads the FIFO at path until its writer ends.
func follow(path string) *trace {
	t := &trace{changed: make(chan struct{})}
	go func() {
		err := t.read(path)
		if err == nil {
			err = errEnded
		}
		t.note(func() { t.ended = err })
	}()
	return t
}

func (t *trace) read(path string) error {
	f, err := os.Open(path) // waits for the writer
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var e launchdsim.Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("trace: %w", err)
		}
		t.note(func() { t.events = append(t.events, e) })
	}
	return lines.Err()
}

func (t *trace) note(change func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	change()
	close(t.changed)
	t.changed = make(chan struct{})
}

// monotonic is the trace's clock.
func monotonic() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(err) // the one call that cannot fail on a system that Go runs on
	}
	return ts.Nano()
}

// since returns the events from time from on that were read so far.
func (t *trace) since(from int64) []launchdsim.Event {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, e := range t.events {
		if e.Time >= from {
			return t.events[i:len(t.events):len(t.events)]
		}
	}
	return nil
}

// wait returns the first event from time from on that matches.
func (t *trace) wait(ctx context.Context, from int64, what string, match func(launchdsim.Event) bool) (launchdsim.Event, error) {
	for {
		t.mu.Lock()
		changed, ended := t.changed, t.ended
		t.mu.Unlock()
		for _, e := range t.since(from) {
			if match(e) {
				return e, nil
			}
		}
		if ended != nil {
			return launchdsim.Event{}, fmt.Errorf("no %s in the trace: %w", what, ended)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return launchdsim.Event{}, fmt.Errorf("no %s in the trace: %w", what, context.Cause(ctx))
		}
	}
}

// complete waits until the embedded launchd has ended and everything was read.
func (t *trace) complete(ctx context.Context) error {
	_, err := t.wait(ctx, 0, "end", func(launchdsim.Event) bool { return false })
	if errors.Is(err, errEnded) {
		return nil
	}
	return err
}

// Routines that the demo looks for (launchd-protocol.md section 2).
const (
	kickstart = 702
	bootstrap = 800
	bootout   = 801
	remove    = 816
)

// count counts the requests of each routine about label among events.
func count(events []launchdsim.Event, label string) map[uint64]int {
	n := map[uint64]int{}
	for _, e := range events {
		// A bootstrap names paths, not labels: any counts.
		if e.Kind == "request" && (e.Label == label || e.Label == "") {
			n[e.Routine]++
		}
	}
	return n
}
