package sweep

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// crowd starts n processes.
func crowd(tb testing.TB, n int) {
	tb.Helper()
	hold, release, err := os.Pipe()
	if err != nil {
		tb.Fatal(err)
	}
	var all []*exec.Cmd
	tb.Cleanup(func() {
		release.Close()
		for _, cmd := range all {
			cmd.Process.Kill()
			cmd.Wait()
		}
		hold.Close()
	})
	for range n {
		cmd := exec.Command("/bin/cat") // waits for the end of its input
		cmd.Stdin = hold
		if err := cmd.Start(); err != nil {
			tb.Fatal(err)
		}
		all = append(all, cmd)
	}
}

// everything reads of everybody what psutil's as_dict reads, but for the maps of memory, which
// would take far longer.
func everything() (n int, err error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		dir := filepath.Join("/proc", e.Name())
		for _, file := range []string{"stat", "status", "cmdline", "environ", "io"} {
			os.ReadFile(filepath.Join(dir, file))
		}
		for _, link := range []string{"exe", "cwd"} {
			os.Readlink(filepath.Join(dir, link))
		}
		os.ReadDir(filepath.Join(dir, "fd"))
		n++
	}
	return n, nil
}

// BenchmarkScan scans at least 1,000 processes with the arguments of candidates only, and
// reports, as medians in one run: the scan, reading everything of everybody, and five times the
// first divided by the second, which must not be above 1.
//
//	go test -run '^$' -bench Scan -benchtime 20x ./sweep
func BenchmarkScan(b *testing.B) {
	crowd(b, 1000)
	var table Table
	var scan, all []time.Duration
	b.ReportAllocs()
	for b.Loop() {
		start := time.Now()
		if err := table.Read(context.Background(), -1); err != nil {
			b.Fatal(err)
		}
		if _, err := NewPlan(context.Background(), &table, os.Geteuid(), Options{}); err != nil {
			b.Fatal(err)
		}
		scan = append(scan, time.Since(start))
		b.StopTimer()
		start = time.Now()
		n, err := everything()
		all = append(all, time.Since(start))
		if err != nil || n < 1000 || len(table.Rows()) < 1000 {
			b.Fatal(n, len(table.Rows()), err)
		}
		b.StartTimer()
	}
	slices.Sort(scan)
	slices.Sort(all)
	s, a := scan[len(scan)/2], all[len(all)/2]
	b.ReportMetric(float64(s.Nanoseconds()), "scan-ns")
	b.ReportMetric(float64(a.Nanoseconds()), "everything-ns")
	b.ReportMetric(5*float64(s)/float64(a), "of-bound")
}

// The memory of a table that is read again and again stays what it is.
func TestScanMemory(t *testing.T) {
	scans := 300
	if os.Getenv("HERMES_GW_LONG") == "1" {
		scans = 10_000
	}
	var table Table
	once := func() {
		if err := table.Read(t.Context(), -1); err != nil {
			t.Fatal(err)
		}
		if _, err := NewPlan(t.Context(), &table, os.Geteuid(), Options{}); err != nil {
			t.Fatal(err)
		}
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	descriptors := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	for range 50 {
		once()
	}
	before, files := heap(), descriptors()
	for range scans {
		once()
	}
	if after := heap(); after > before+before/4+256<<10 || descriptors() != files {
		t.Errorf("heap %d -> %d bytes, descriptors %d -> %d", before, after, files, descriptors())
	} else {
		t.Logf("%d scans: heap %d -> %d KiB, descriptors %d", scans, before>>10, after>>10, files)
	}
}

// A /proc that cannot be read is an error, never an empty table.
func TestScanFails(t *testing.T) {
	defer func(path string) { procfs = path }(procfs)
	dir := t.TempDir()
	write := func(path, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, path), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var table Table
	for name, c := range map[string]struct {
		set  func()
		want string
	}{
		"not mounted":  {func() { procfs = filepath.Join(dir, "none") }, "no such file"},
		"empty":        {func() { procfs = t.TempDir() }, "the system shows no process"},
		"not a folder": {func() { write("file", ""); procfs = filepath.Join(dir, "file") }, "not a directory"},
		"malformed":    {func() { procfs = dir; write("12/stat", "12 (x") }, "proc(5)"},
	} {
		c.set()
		if err := table.Read(t.Context(), -1); err == nil || !strings.Contains(err.Error(), c.want) || len(table.Rows()) != 0 {
			t.Errorf("%s: %d rows, %v", name, len(table.Rows()), err)
		}
	}
	// One that ends in between is no failure.
	procfs = filepath.Join(dir, "half")
	if err := os.MkdirAll(filepath.Join(procfs, "13"), 0o755); err != nil {
		t.Fatal(err)
	}
	stat := "14 (x) S 1 14 14 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 1234 5 6\n"
	write("half/14/stat", stat)
	write("half/14/status", "Name:\tx\nUid:\t7\t8\t9\t9\n")
	if err := table.Read(t.Context(), -1); err != nil || len(table.Rows()) != 1 || table.Rows()[0].PID != 14 || table.Rows()[0].UID != 8 || table.Rows()[0].RealUID != 7 {
		t.Errorf("%+v, %v", table.Rows(), err)
	}
}
