package launchdsim

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// serve starts a server that keeps no events, because long runs would drown in them.
// before changes it before it serves. The caller closes it.
func serve(t testing.TB, o Options, before func(*Server)) (s *Server, dir string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "lsim")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "s"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	s = New(o)
	if before != nil {
		before(s)
	}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return s, dir
}

// usage is what a leak would make grow.
type usage struct {
	heap        uint64 // bytes that are live
	goroutines  int
	descriptors int
}

func (u usage) String() string {
	return fmt.Sprintf("%d KiB live, %d goroutines, %d descriptors", u.heap>>10, u.goroutines, u.descriptors)
}

func measure() (u usage) {
	// The second collection frees what the first one's finalizers let go.
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return usage{m.HeapAlloc, runtime.NumGoroutine(), openDescriptors()}
}

// openDescriptors counts them, the one that it needs for that included.
func openDescriptors() int {
	entries, err := os.ReadDir("/dev/fd")
	if err != nil {
		return -1
	}
	return len(entries)
}

// settled measures until nothing but the heap is above base, which takes a moment:
// who is answered need not wait for the goroutine that answered. It gives up after a
// while and returns what there is then.
func settled(base usage) (u usage) {
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		u = measure()
		if (u.goroutines <= base.goroutines && u.descriptors <= base.descriptors) || time.Now().After(end) {
			return u
		}
	}
}

// quiet measures what a server needs that has nothing to do: the least of several looks,
// the ends of the last requests being still under way in some.
func quiet() usage {
	least := measure()
	for range 20 {
		u := measure()
		least = usage{min(least.heap, u.heap), min(least.goroutines, u.goroutines), min(least.descriptors, u.descriptors)}
	}
	return least
}

// children says what children this process has, zombies included; "" is none. It reaps
// one if it can, so it comes last.
func children() string {
	var status syscall.WaitStatus
	switch pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil); {
	case err == syscall.ECHILD:
		return ""
	case pid > 0:
		return fmt.Sprintf("zombie %d", pid)
	default:
		return fmt.Sprintf("at least one that runs (%v)", err)
	}
}

// flat fails the test if now is above base. room is for what the runtime itself keeps,
// such as the stacks of goroutines that once were and may be again.
func flat(t *testing.T, what string, base, now usage, room uint64) {
	t.Helper()
	t.Logf("%s: %v; before: %v", what, now, base)
	if now.heap > base.heap+room {
		t.Errorf("%s: the live heap grew by %d bytes", what, now.heap-base.heap)
	}
	if now.goroutines > base.goroutines {
		stacks := make([]byte, 1<<16)
		t.Errorf("%s: %d goroutines, %d before\n%s", what, now.goroutines, base.goroutines, stacks[:runtime.Stack(stacks, true)])
	}
	if now.descriptors > base.descriptors {
		t.Errorf("%s: %d descriptors, %d before", what, now.descriptors, base.descriptors)
	}
}

// Restarts, loading and unloading, connections and prints leave nothing behind.
func TestNothingLeaks(t *testing.T) {
	restarts, cycles := 2000, 300
	if long() {
		restarts, cycles = 50_000, 5000
	}
	const room = 64 << 10 // a few words for each restart; one byte in the long form
	if left := children(); left != "" {
		t.Fatalf("before the test: %s", left)
	}
	start := quiet()
	s, dir := serve(t, Options{}, nil)
	f := &fixture{t: t, dir: dir, socket: filepath.Join(dir, "s")}
	c, err := dialSocket(f.socket)
	if err != nil {
		t.Fatal(err)
	}
	c.t = t
	c.load(f.write("a", sleeper+atLoad))
	cycle := f.write("b", sleeper+atLoad)

	pid := c.kick("a", nil)
	restart := func(n int) {
		t.Helper()
		for range n {
			old := pid
			if pid = c.kick("a", dict{"kill": true, "unthrottle": true}); pid == old || pid == 0 {
				t.Fatalf("pid %d after %d", pid, old)
			}
		}
	}
	reload := func(n int) {
		t.Helper()
		for range n {
			c.load(cycle)
			for code(c.call(801, gui(dict{"name": "b"}))) != 3 { // 36 until it is gone
			}
		}
	}
	connect := func(n int) {
		t.Helper()
		for range n {
			other, err := dialSocket(f.socket)
			if err != nil {
				t.Fatal(err)
			}
			other.t = t
			other.print(708, gui(dict{"name": "a"}))
			other.c.Close()
		}
	}
	for _, step := range []struct {
		name string
		n    int
		do   func(int)
	}{{"restarts", restarts, restart}, {"loads and removals", cycles, reload}, {"connections", cycles, connect}} {
		step.do(100)
		base := quiet()
		begin := time.Now()
		step.do(step.n)
		took := time.Since(begin)
		flat(t, fmt.Sprintf("%d %s, %.0f/s", step.n, step.name, float64(step.n)/took.Seconds()), base, settled(base), room)
	}
	c.c.Close()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if left := children(); left != "" {
		t.Errorf("a child of the server is left: %s", left)
	}
	flat(t, "after Close", start, settled(start), 1<<20)
}
