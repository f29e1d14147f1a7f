package launchd_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
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

// Twice the jobs take about twice the allocations, and few for each.
func TestListAllocations(t *testing.T) {
	count := func(n int) float64 {
		client, gui := listOf(t, n)
		text, err := client.PrintDomain(t.Context(), gui)
		if err != nil {
			t.Fatal(err)
		}
		return testing.AllocsPerRun(5, func() {
			if info, err := launchd.ParseDomain(text); err != nil || len(info.Services) != n {
				t.Error(len(info.Services), err)
			}
		})
	}
	few, many := count(250), count(500)
	if many > 2*few+10 || many > 500+50 {
		t.Errorf("%v allocations for 250 jobs, %v for 500", few, many)
	}
}
