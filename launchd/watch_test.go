package launchd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/launchdsim"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// short is an event without what differs from run to run.
func short(e Event) string {
	s := string(e.Kind)
	if e.PID > 0 {
		s += fmt.Sprint(" ", e.PID)
	}
	if e.Exit != (Exit{}) {
		s += " " + e.Exit.String()
	}
	return s
}

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, c := newModel(t, 100)
		start := time.Now()
		for _, step := range []struct {
			at time.Duration
			do func()
		}{
			{10 * time.Second, func() { m.set(0); m.is("spawn scheduled") }},
			{11 * time.Second, func() { m.set(200) }},
			{12 * time.Second, func() { m.set(200) }}, // the same pid, another process
			{13 * time.Second, func() { m.set(0) }},
			{14 * time.Second, func() { m.mu.Lock(); m.loaded = false; m.mu.Unlock() }},
			{20 * time.Second, func() { m.mu.Lock(); m.loaded = true; m.mu.Unlock() }},
			{21 * time.Second, func() { m.set(300) }},
		} {
			time.AfterFunc(step.at, step.do)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var got []string
		var last time.Time
		for e, err := range c.Watch(ctx, target) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Target != target || e.Time.Before(last) {
				t.Errorf("%+v", e)
			}
			last = e.Time
			got = append(got, short(e))
			switch e.Kind {
			case EventExited: // by event, not by a look every now and then
				if off := time.Since(start) % time.Second; off > 2*pollFirst {
					t.Errorf("%v seen %v late", short(e), off)
				}
			case EventThrottled: // 10 s after the spawn
				if e.Until.Sub(start).Round(time.Second) != 10*time.Second {
					t.Errorf("until %v", e.Until.Sub(start))
				}
			}
		}
		const how = " 78: EX_CONFIG"
		want := []string{"loaded", "spawned 100", "exited 100" + how, "throttled", "spawned 200", "exited 200" + how, "spawned 200",
			"exited 200" + how, "unloaded", "loaded", "spawned 300"}
		if !slices.Equal(got, want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
		if m.done(); time.Since(start) != time.Minute {
			t.Errorf("ended after %v", time.Since(start))
		}
	})
}

func TestWatchEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // with the loop
		m, c := newModel(t, 100)
		for range c.Watch(t.Context(), target) {
			break
		}
		m.done()
	})
	synctest.Test(t, func(t *testing.T) { // with an answer that is none
		m, c := newModel(t, 0)
		time.AfterFunc(time.Second, func() {
			m.mu.Lock()
			m.refuse = map[uint64]xpc.Errno{708: 1, 712: 1}
			m.mu.Unlock()
		})
		var last error
		n := 0
		for _, err := range c.Watch(t.Context(), target) {
			last = err
			n++
		}
		if !errors.Is(last, fs.ErrPermission) || n != 2 {
			t.Errorf("%d events, %v", n, last)
		}
	})
	c, log := answering(xpc.Dict{}, nil)
	for _, err := range c.Watch(t.Context(), Target{}) {
		if _, ok := errors.AsType[*SyntaxError](err); !ok {
			t.Error(err)
		}
	}
	if len(*log) != 0 {
		t.Errorf("sent %v", *log)
	}
}

// The life of a real job: loaded, killed, restarted by KeepAlive after its throttle,
// unloaded.
func TestSimWatch(t *testing.T) {
	e := embed(t, launchdsim.Options{TimeScale: 0.02})
	job := e.target("job")
	next := make(chan Event)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ev, err := range e.open().Watch(ctx, job) {
			if err != nil {
				t.Error(err)
			}
			select {
			case next <- ev:
			case <-ctx.Done():
			}
		}
	}()
	defer func() { cancel(); <-ended }()
	expect := func(kind EventKind) Event {
		t.Helper()
		select {
		case ev := <-next:
			if ev.Kind != kind {
				t.Fatalf("got %+v, want %s", ev, kind)
			}
			return ev
		case <-time.After(patience):
			t.Fatalf("no event, want %s", kind)
		}
		return Event{}
	}
	expect(EventUnloaded)
	e.load("job", sleeper, keepAlive)
	expect(EventLoaded)
	first := expect(EventSpawned)
	if err := e.Kill(t.Context(), job, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if ev := expect(EventExited); ev.PID != first.PID || ev.Exit != (Exit{Kind: ExitSignaled, Signal: 9}) {
		t.Errorf("%+v", ev)
	}
	ev := <-next
	if ev.Kind == EventThrottled { // 0.2 s here: often seen, not always
		ev = <-next
	}
	if ev.Kind != EventSpawned || ev.PID == first.PID || !alive(ev.PID) || ev.PID == os.Getpid() {
		t.Errorf("%+v", ev)
	}
	if err := e.Bootout(t.Context(), job); err != nil && !errors.Is(err, ErrStopping) {
		t.Fatal(err)
	}
	expect(EventExited)
	expect(EventUnloaded)
}
