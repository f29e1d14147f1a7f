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

// watch watches a job until the test ends.
func (e *embedded) watch(job Target) <-chan Event {
	next := make(chan Event)
	ctx, cancel := context.WithCancel(e.t.Context())
	ended := make(chan struct{})
	client := e.open()
	go func() {
		defer close(ended)
		for ev, err := range client.Watch(ctx, job) {
			if err != nil {
				e.t.Error(err)
			}
			select {
			case next <- ev:
			case <-ctx.Done():
			}
		}
	}()
	e.t.Cleanup(func() { cancel(); <-ended })
	return next
}

func nextEvent(t *testing.T, next <-chan Event, kind EventKind) Event {
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

// Each way a process ends, and a start that launchd holds back for as long as the throttle
// says.
func TestSimWatchThrottled(t *testing.T) {
	e := embed(t, launchdsim.Options{})
	go_, _ := e.fifo("go")
	job := e.load("job", "read code < "+go_+"; exit $code", keepAlive+throttle30)
	e.state(0, "job", "running")
	next := e.watch(job)
	nextEvent(t, next, EventLoaded)
	old := nextEvent(t, next, EventSpawned)
	for _, code := range []int{0, 75, -9} {
		spawned, _ := e.wait(0, "spawn", func(ev launchdsim.Event) bool { return ev.Kind == "spawn" && ev.PID == old.PID })
		want := Exit{Kind: ExitCode, Code: code}
		if code < 0 {
			want = Exit{Kind: ExitSignaled, Signal: 9}
			if err := e.Kill(t.Context(), job, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		} else {
			say(go_, fmt.Sprint(code))
		}
		if ev := nextEvent(t, next, EventExited); ev.PID != old.PID || ev.Exit.Kind != want.Kind || code >= 0 && ev.Exit.Code != code || ev.Exit.Signal != want.Signal {
			t.Errorf("%+v, want %+v", ev, want)
		}
		held := nextEvent(t, next, EventThrottled)
		since := time.Duration(monotonic() - spawned.Time) // from the spawn until now
		if left := time.Until(held.Until); left < 28*time.Second-since || left > 31*time.Second-since {
			t.Errorf("throttled for %v more, %v after the spawn", left, since)
		}
		pid, err := e.Kickstart(t.Context(), job, KickstartOptions{Unthrottle: true})
		if err != nil {
			t.Fatal(err)
		}
		if old = nextEvent(t, next, EventSpawned); old.PID != pid {
			t.Errorf("%+v, want %d", old, pid)
		}
	}
	if err := e.Bootout(t.Context(), job); err != nil && !errors.Is(err, ErrStopping) {
		t.Fatal(err)
	}
	nextEvent(t, next, EventExited)
	nextEvent(t, next, EventUnloaded)
}

// The life of a real job: loaded, killed, restarted by KeepAlive after its throttle,
// unloaded.
func TestSimWatch(t *testing.T) {
	e := embed(t, launchdsim.Options{TimeScale: 0.02})
	job := e.target("job")
	next := e.watch(job)
	expect := func(kind EventKind) Event { t.Helper(); return nextEvent(t, next, kind) }
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
