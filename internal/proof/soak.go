package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"strings"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
	"github.com/hermes-gw/hermes-gw/launchd"
)

// footprint is what a process holds.
type footprint struct {
	descriptors, goroutines, threads int
	heap                             uint64 // bytes in use after a collection
}

func measure() (f footprint) {
	for range 3 { // what ended with the last request has a moment to go
		runtime.GC()
		time.Sleep(10 * time.Millisecond)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	f.heap, f.goroutines, f.threads = m.HeapAlloc, runtime.NumGoroutine(), pprof.Lookup("threadcreate").Count()
	dir := "/proc/self/fd"
	if runtime.GOOS != "linux" {
		dir = "/dev/fd"
	}
	entries, _ := os.ReadDir(dir)
	f.descriptors = len(entries)
	return f
}

// soakRequests are what is asked in turn; each is one request, some are refused.
var soakRequests = []func(context.Context, *launchd.Client, launchd.Target) error{
	func(ctx context.Context, c *launchd.Client, t launchd.Target) error {
		_, err := c.Job(ctx, t)
		return err
	},
	func(ctx context.Context, c *launchd.Client, t launchd.Target) error {
		_, err := c.Print(ctx, t)
		return err
	},
	func(ctx context.Context, c *launchd.Client, t launchd.Target) error {
		_, _, err := c.Enabled(ctx, t)
		return err
	},
	func(ctx context.Context, c *launchd.Client, t launchd.Target) error {
		_, err := c.List(ctx, t.Domain)
		return err
	},
	func(ctx context.Context, c *launchd.Client, t launchd.Target) error {
		_, err := c.Kickstart(ctx, t, launchd.KickstartOptions{Unthrottle: true}) // changes nothing: it runs
		return err
	},
	func(ctx context.Context, c *launchd.Client, t launchd.Target) error {
		t.Label = "nobody"
		if _, err := c.Attributes(ctx, t); err == nil {
			return fmt.Errorf("launchd knows %s", t)
		}
		return nil
	},
}

// soak sends so many requests over one client and compares what is held after a tenth with what
// is held in the end.
func soak(ctx context.Context, c *launchd.Client, t launchd.Target, count int) (first, last footprint, err error) {
	for i := range count {
		if i == count/10 {
			first = measure()
		}
		one, cancel := context.WithTimeout(ctx, 10*time.Second)
		err := soakRequests[i%len(soakRequests)](one, c, t)
		cancel()
		if err != nil {
			return first, last, fmt.Errorf("request %d: %w", i+1, err)
		}
	}
	return first, measure(), nil
}

// grew says what did, from the one to the other, beyond what comes and goes.
func grew(first, last footprint) (list []string) {
	if last.descriptors > first.descriptors {
		list = append(list, fmt.Sprintf("descriptors: %d to %d", first.descriptors, last.descriptors))
	}
	if last.goroutines > first.goroutines {
		list = append(list, fmt.Sprintf("goroutines: %d to %d", first.goroutines, last.goroutines))
	}
	if last.threads > first.threads+4 { // the Go runtime keeps those that blocked at the same time
		list = append(list, fmt.Sprintf("threads: %d to %d", first.threads, last.threads))
	}
	const slack = 2 << 20
	if last.heap > first.heap+slack {
		list = append(list, fmt.Sprintf("memory: %d to %d bytes", first.heap, last.heap))
	}
	return list
}

// proveSoak sends many requests over one client of a launchd in a process of its own.
func proveSoak(ctx context.Context, r *report, s size) {
	count := 10_000
	if s.long {
		count = 100_000
	}
	w := row{what: "soak", tried: fmt.Sprintf("%d requests over one client", count)}
	began := time.Now()
	w.of(attempt(ctx, w.what, func(t *trial) {
		f := fleet.New(t, fleet.Options{Process: true, Outside: true, Profiles: []fleet.Profile{{Name: fleet.Default, Plist: fleet.Oldest}}})
		first, last, err := soakAway(ctx, f, count)
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range grew(first, last) {
			t.Error(g)
		}
		w.figure = fmt.Sprintf("flat: %d descriptors, %d goroutines, %d threads, %d KiB in use (after a tenth: %d, %d, %d, %d KiB)",
			last.descriptors, last.goroutines, last.threads, last.heap>>10, first.descriptors, first.goroutines, first.threads, first.heap>>10)
	}))
	w.took = time.Since(began)
	r.add(w)
}

// roleSoak makes this program the client of a soak, which prints what it held.
const roleSoak = "soak"

func soakMain(address, target, count string) int {
	t, err := launchd.ParseTarget(target)
	n := 0
	if _, scanErr := fmt.Sscan(count, &n); err == nil {
		err = scanErr
	}
	var c *launchd.Client
	if err == nil {
		c, err = launchd.Open(context.Background(), launchd.Options{Address: strings.TrimPrefix(address, "system")})
	}
	if err == nil {
		defer c.Close()
		var first, last footprint
		if first, last, err = soak(context.Background(), c, t, n); err == nil {
			fmt.Println(first.descriptors, first.goroutines, first.threads, first.heap, last.descriptors, last.goroutines, last.threads, last.heap)
			return 0
		}
	}
	fmt.Fprintln(os.Stderr, "soak:", err)
	return 1
}
