package sweep

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/proc"
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

// Starts are in ticks, so the present is: what starts from now on is not before it.
func TestNow(t *testing.T) {
	for range 1000 {
		if now := Now(); now%tick != 0 {
			t.Fatal(now)
		}
	}
	since := Now()
	child := standIn(t, "willing", "sleep", "5")
	if id, err := proc.Read(child.Process.Pid); err != nil || id.Start < since {
		t.Errorf("%v, %v; it is %d", id, err, since)
	}
}

// Right before the signal the table says something else of a pid than the plan: trap 26 with a
// table by hand.
func TestCheckWithAFakeTable(t *testing.T) {
	defer func(path string) { procfs = path }(procfs)
	const pid, start = 1 << 22, 5_000 // above the largest pid there is
	row := func(pid, parent, group int, state string, start int64) string {
		return fmt.Sprintf("%d (python3) %s %d %d 14 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 %d 5 6\n", pid, state, parent, group, start)
	}
	planned := Planned{Identity: Identity{PID: pid, Start: start * tick}, Argv: gatewayArgv}
	for name, c := range map[string]struct {
		stat string // "": not there any more
		want error
	}{
		"the pid is another's":        {row(pid, 1, pid, "S", start+1), ErrGone},
		"the pid is another's, older": {row(pid, 1, pid, "S", start-1), ErrGone},
		"it has exited":               {"", ErrGone},
		"it is a zombie":              {row(pid, 1, pid, "Z", start), ErrGone},
		"it is a job's child":         {row(pid, 7, pid, "S", start), sparedError("it belongs to ai.hermes.gateway")},
		"it is in a job's group":      {row(pid, 1, 7, "S", start), sparedError("its process group is that of ai.hermes.gateway")},
		"it is in the caller's group": {row(pid, 1, 77, "S", start), sparedError("it is in the caller's process group")},
		"its parent cannot be seen":   {row(pid, 9, pid, "S", start), sparedError("its ancestors cannot be seen, so a job can be one")},
		"it has no arguments":         {row(pid, 1, pid, "S", start), ErrGone}, // the system itself knows no such process
	} {
		procfs = t.TempDir()
		write := func(pid int, stat string) {
			dir := filepath.Join(procfs, strconv.Itoa(pid))
			err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(filepath.Join(dir, "stat"), []byte(stat), 0o644),
				os.WriteFile(filepath.Join(dir, "status"), fmt.Appendf(nil, "Name:\tx\nUid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d\n", os.Geteuid()), 0o644))
			if err != nil {
				t.Fatal(err)
			}
		}
		write(os.Getpid(), row(os.Getpid(), 1, 77, "R", 1))
		write(7, row(7, 1, 7, "S", 1))
		if c.stat != "" {
			write(pid, c.stat)
		}
		again := &checker{rules: &rules{uint32(os.Geteuid()), Options{Managed: []Managed{{7, "ai.hermes.gateway"}}}}}
		if err := again.check(t.Context(), planned); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	// The same of a pid that another gateway has by now.
	procfs = "/proc"
	stray := standIn(t, "willing", gatewayArgv...)
	id, err := proc.Read(stray.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	for start, want := range map[int64]error{id.Start: nil, id.Start + tick: ErrGone, id.Start - tick: ErrGone} {
		again := &checker{rules: &rules{uid: uint32(os.Geteuid())}}
		if err := again.check(t.Context(), Planned{Identity: Identity{PID: id.PID, Start: start}, Argv: gatewayArgv}); !errors.Is(err, want) {
			t.Errorf("start %d instead of %d: %v, want %v", start, id.Start, err, want)
		}
	}
}
