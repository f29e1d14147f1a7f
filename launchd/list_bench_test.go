package launchd_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/launchdsim"
	"github.com/hermes-gw/hermes-gw/launchd"
)

// listOf serves an embedded launchd with n jobs, none of which runs.
func listOf(tb testing.TB, n int) (*launchd.Client, launchd.Domain) {
	tb.Helper()
	dir, err := os.MkdirTemp("", "list")
	if err != nil {
		tb.Fatal(err)
	}
	server := launchdsim.New(launchdsim.Options{})
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "s"), Net: "unix"})
	if err != nil {
		tb.Fatal(err)
	}
	go server.Serve(l)
	tb.Cleanup(func() {
		server.Close()
		os.RemoveAll(dir)
	})
	client, err := launchd.Open(context.Background(), launchd.Options{Address: "unix:" + filepath.Join(dir, "s")})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { client.Close() })
	for i := range n {
		path := filepath.Join(dir, fmt.Sprintf("org.example.job-%04d.plist", i))
		text := fmt.Sprintf(`<plist version="1.0"><dict><key>Label</key><string>org.example.job-%04d</string><key>Program</key><string>/bin/sleep</string></dict></plist>`, i)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			tb.Fatal(err)
		}
		if err := server.Load(path); err != nil {
			tb.Fatal(err)
		}
	}
	return client, launchd.GUI(os.Geteuid())
}

func middle(list []time.Duration) time.Duration {
	slices.Sort(list)
	return list[len(list)/2]
}

// BenchmarkList lists 2,000 jobs through the socket and reports, as medians in one run:
// the whole call, decoding and parsing its text alone, and the first divided by five times
// the second, which must not be above 1.
//
//	go test -run '^$' -bench 'List$' -benchtime 100x ./launchd
func BenchmarkList(b *testing.B) {
	const jobs = 2000
	client, gui := listOf(b, jobs)
	ctx := context.Background()
	text, err := client.PrintDomain(ctx, gui)
	if err != nil {
		b.Fatal(err)
	}
	bytes := []byte(text)
	var whole, alone []time.Duration
	b.ReportAllocs()
	for b.Loop() {
		start := time.Now()
		list, err := client.List(ctx, gui)
		whole = append(whole, time.Since(start))
		if err != nil || len(list) != jobs {
			b.Fatal(len(list), err)
		}
		b.StopTimer()
		start = time.Now()
		info, err := launchd.ParseDomain(string(bytes))
		alone = append(alone, time.Since(start))
		if err != nil || len(info.Services) != jobs {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	w, a := middle(whole), middle(alone)
	b.ReportMetric(float64(w.Nanoseconds()), "list-ns")
	b.ReportMetric(float64(a.Nanoseconds()), "parse-ns")
	b.ReportMetric(float64(w)/float64(5*a), "of-bound")
}

// Twice the jobs take about twice the memory, in a whole List through the socket: the
// request, launchd's side of it in this process, the reply and its text.
func TestListAllocations(t *testing.T) {
	const calls = 10
	measure := func(n int) (count, bytes float64) {
		client, gui := listOf(t, n)
		list := func() {
			if jobs, err := client.List(t.Context(), gui); err != nil || len(jobs) != n {
				t.Error(len(jobs), err)
			}
		}
		list() // connections and buffers are made once
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range calls {
			list()
		}
		runtime.ReadMemStats(&after)
		return float64(after.Mallocs-before.Mallocs) / calls, float64(after.TotalAlloc-before.TotalAlloc) / calls
	}
	fewCount, fewBytes := measure(250)
	manyCount, manyBytes := measure(500)
	t.Logf("250 jobs: %.0f allocations, %.0f bytes; 500 jobs: %.0f, %.0f", fewCount, fewBytes, manyCount, manyBytes)
	if manyCount > 2*fewCount+50 || manyCount > 500 {
		t.Errorf("%v allocations for 250 jobs, %v for 500", fewCount, manyCount)
	}
	// Buffers that grow by doubling can be twice what is in them, at either size.
	if manyBytes > 3*fewBytes {
		t.Errorf("%v bytes for 250 jobs, %v for 500", fewBytes, manyBytes)
	}
}
