//go:build darwin || linux

package sweep

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/cgoless"
	"github.com/hermes-gw/hermes-gw/internal/proc"
)

// kinfo makes an entry of the process table as macOS has it, by hand from the struct's
// declaration: the offsets are written out here once more.
func kinfo(p Process, stat byte, comm string) []byte {
	b := make([]byte, 648)
	le := binary.LittleEndian
	le.PutUint64(b[0:], uint64(p.Start/1_000_000))
	le.PutUint32(b[8:], uint32(p.Start%1_000_000))
	b[36] = stat
	le.PutUint32(b[40:], uint32(p.PID))
	copy(b[243:260], comm)
	le.PutUint32(b[392:], p.RealUID)
	le.PutUint32(b[420:], p.UID)
	le.PutUint32(b[560:], uint32(p.Parent))
	le.PutUint32(b[564:], uint32(p.Group))
	tty := int32(-1)
	if p.TTY != 0 {
		tty = int32(p.TTY)
	}
	le.PutUint32(b[572:], uint32(tty))
	return b
}

func TestKinfo(t *testing.T) {
	want := []Process{
		{Identity: Identity{PID: 501, Start: 1764000000_123456}, Parent: 1, Group: 500, TTY: 0x10000002, UID: 501, RealUID: 20},
		{Identity: Identity{PID: 99998, Start: 1}, Parent: 501, Group: 501, UID: 1<<32 - 2, RealUID: 0, State: StateZombie},
		{Identity: Identity{PID: 7, Start: 0}, State: StateStopped},
	}
	comms := []string{"Python", strings.Repeat("x", 16), ""}
	var b []byte
	for i, p := range want {
		b = append(b, kinfo(p, []byte{2, 5, 4}[i], comms[i])...)
		want[i].setComm([]byte(comms[i]))
	}
	got, err := appendKinfo(nil, b)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v\ngot  %+v\nwant %+v", err, got, want)
	}
	for i, p := range got {
		if p.Comm() != comms[i] {
			t.Errorf("comm %q, want %q", p.Comm(), comms[i])
		}
	}
	if rows, err := appendKinfo(nil, b[:len(b)-1]); err == nil || len(rows) != 0 {
		t.Errorf("%v, %v", rows, err)
	}
}

func TestProcargs(t *testing.T) {
	padded := func(align, argc int, path string, strings ...string) []byte {
		b := binary.LittleEndian.AppendUint32(nil, uint32(argc))
		b = append(append(b, path...), 0)
		for (len(b)-4)%align != 0 {
			b = append(b, 0)
		}
		for _, s := range strings {
			b = append(append(b, s...), 0)
		}
		return b
	}
	buffer := func(argc int, path string, strings ...string) []byte { return padded(8, argc, path, strings...) }
	const secret = "SECRET=hunter2"
	for name, c := range map[string]struct {
		b    []byte
		want []string // nil is an error
	}{
		"plain":                   {buffer(2, "/bin/sleep", "sleep", "5", "A=b", secret), []string{"sleep", "5"}},
		"empty arguments":         {buffer(4, "/bin/x", "x", "", "", "y", secret), []string{"x", "", "", "y"}},
		"empty last":              {buffer(2, "/bin/x", "x", "", secret), []string{"x", ""}},
		"empty first":             {buffer(2, "/bin/xyz", "", "a", secret), []string{"", "a"}},
		"empty first, no padding": {buffer(2, "/bin/sh", "", "a", secret), []string{"", "a"}},
		// Another padding than xnu's: skipped, unless the last would be a variable.
		"padded to 16":       {padded(16, 2, "/bin/x", "x", "run", secret), []string{"x", "run"}},
		"padded to 64":       {padded(64, 3, "/bin/x", "x", "", "y", secret), []string{"x", "", "y"}},
		"padded to 4":        {padded(4, 2, "/bi", "x", "run", secret), []string{"x", "run"}},
		"not padded":         {padded(1, 2, "/bin", "x", "y", secret), []string{"x", "y"}},
		"padded, in doubt":   {padded(64, 1, "/bin/x", "A=b", secret), []string{""}},
		"padded, no doubt":   {padded(64, 2, "/bin/env", "env", "A=b", secret), []string{"env", "A=b"}},
		"three empty first":  {buffer(4, "/bin/xyz", "", "", "", "a", secret), []string{"", "", "", "a"}},
		"nothing but empty":  {buffer(2, "/bin/xyz", "", ""), []string{"", ""}},
		"line breaks":        {buffer(3, "/p", "p", "-c", "a\nb\t\"c\""), []string{"p", "-c", "a\nb\t\"c\""}},
		"no arguments":       {buffer(0, "/bin/x", secret), []string{}},
		"no environment":     {buffer(1, "/bin/x", "x"), []string{"x"}},
		"argc too large":     {buffer(9, "/bin/x", "x", secret), nil},
		"argc negative":      {buffer(-1, "/bin/x", "x"), nil},
		"argc absurd":        {buffer(1<<31-1, "/bin/x", "x"), nil},
		"cut in an argument": {buffer(2, "/bin/x", "x", "yyyy")[:18], nil},
		"cut in the path":    {buffer(2, "/bin/x", "x")[:8], nil},
		"nothing":            {nil, nil},
		"argc alone":         {[]byte{1, 0, 0, 0}, nil},
	} {
		got, err := parseProcargs(c.b)
		if (err != nil) != (c.want == nil) || !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, %v; want %q", name, got, err, c.want)
		}
		if slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, "hunter2") }) {
			t.Errorf("%s: the environment is among the arguments: %q", name, got)
		}
	}
}

func TestSplitArgs(t *testing.T) {
	for text, want := range map[string][]string{
		"": nil, "a\x00": {"a"}, "a": {"a"}, "a\x00b\x00": {"a", "b"}, "a\x00b": {"a", "b"}, "\x00": {""}, "a\x00\x00\x00b\x00": {"a", "", "", "b"}, "a\x00\x00": {"a", ""},
	} {
		if got := splitArgs([]byte(text)); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestStat(t *testing.T) {
	line := func(comm, state, tail string) string { return "42 (" + comm + ") " + state + " " + tail }
	const tail = "7 41 41 34816 41 4194304 1 2 3 4 5 6 7 8 20 0 1 0 1234 5 6\n"
	for comm, state := range map[string]string{"sleep": "S", "a b": "R", "a) Z 1 (b": "S", ")": "T", "": "Z", "a\nb": "t", "((": "D"} {
		p, err := parseStat([]byte(line(comm, state, tail)))
		want := map[string]State{"T": StateStopped, "t": StateStopped, "Z": StateZombie}[state]
		if err != nil || p.Comm() != comm || p.State != want || p.Parent != 7 || p.Group != 41 || p.TTY != 34816 || p.Start != 12_340_000 {
			t.Errorf("%q: %+v, %v", comm, p, err)
		}
	}
	// A thread of the kernel's own: PF_KTHREAD.
	if p, err := parseStat([]byte(line("kworker/0:1", "I", strings.Replace(tail, "4194304", "69238880", 1)))); err != nil || !p.kernel {
		t.Errorf("%+v, %v", p, err)
	}
	// A leader that has exited while other threads live is no zombie.
	if p, err := parseStat([]byte(line("x", "Z", strings.Replace(tail, "20 0 1 0 1234", "20 0 2 0 1234", 1)))); err != nil || p.State != StateOther {
		t.Errorf("%+v, %v", p, err)
	}
	good := line("x", "S", tail)
	for i := range len(good) - len(" 5 6\n") - 4 {
		if p, err := parseStat([]byte(good[:i])); err == nil {
			t.Fatalf("cut at %d: %+v", i, p)
		}
	}
	for _, bad := range []string{"", "42 x S", "42 (x S", line("x", "SS", tail), line("x", "S", strings.Replace(tail, "7 41", "x 41", 1)), line("x", "S", strings.Replace(tail, "1234", "-1", 1)),
		line("x", "S", strings.Replace(tail, "1234", "99999999999999999999", 1))} {
		if p, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q: %+v", bad, p)
		}
	}
}

func FuzzKinfo(f *testing.F) {
	f.Add(kinfo(Process{Identity: Identity{PID: 1, Start: 1}}, 2, "launchd"))
	f.Fuzz(func(t *testing.T, b []byte) {
		rows, err := appendKinfo(nil, b)
		if (err == nil) != (len(b)%648 == 0) || err == nil && len(rows) != len(b)/648 {
			t.Errorf("%d rows of %d bytes, %v", len(rows), len(b), err)
		}
		for _, p := range rows {
			if len(p.Comm()) > maxComm {
				t.Errorf("%q", p.Comm())
			}
		}
	})
}

func FuzzProcargs(f *testing.F) {
	f.Add([]byte("\x02\x00\x00\x00/bin/x\x00\x00x\x00y\x00A=b\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		argv, err := parseProcargs(b)
		size := 0
		for _, a := range argv {
			size += len(a) + 1
		}
		if size > len(b) || err == nil && len(argv) != int(int32(binary.LittleEndian.Uint32(b))) {
			t.Errorf("%q of %q, %v", argv, b, err)
		}
		joined := 0
		for _, a := range splitArgs(b) {
			joined += len(a) + 1
		}
		if joined < len(b) || joined > len(b)+1 {
			t.Errorf("%d bytes of %d", joined, len(b))
		}
	})
}

func TestStatus(t *testing.T) {
	for text, want := range map[string][2]uint32{
		"Name:\tx\nState:\tS (sleeping)\nUid:\t501\t0\t501\t501\nGid:\t20\t20\t20\t20\n": {501, 0},
		"Name:\tx\\nUid:\t5\t5\t5\t5\nUid:\t0\t4294967294\t1\t1\n":                       {0, 1<<32 - 2},
	} {
		if real, uid, err := parseStatus([]byte(text)); err != nil || [2]uint32{real, uid} != want {
			t.Errorf("%q: %d, %d, %v", text, real, uid, err)
		}
	}
	for _, bad := range []string{"", "Uid:\t1\t1\n", "x\nUid:\t1\n", "x\nUid:\t1\t1", "x\nUid:\ta\tb\n", "x\nUid:\t-1\t1\n", "x\nUid:\t1\t4294967296\n"} {
		if real, uid, err := parseStatus([]byte(bad)); err == nil {
			t.Errorf("%q: %d, %d", bad, real, uid)
		}
	}
}

func FuzzStatus(f *testing.F) {
	f.Add([]byte("Name:\tx\nUid:\t501\t0\t501\t501\nGid:\t20\t20\t20\t20\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if real, uid, err := parseStatus(b); err == nil && !bytes.Contains(b, []byte("Uid:")) {
			t.Errorf("%d, %d of %q", real, uid, b)
		}
	})
}

func FuzzStat(f *testing.F) {
	f.Add([]byte("42 (a) b) S 7 41 41 34816 41 4194304 1 2 3 4 5 6 7 8 20 0 1 0 1234 5 6\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parseStat(b)
		if err == nil && p.Start < 0 {
			t.Errorf("%+v", p)
		}
		begin, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
		if err == nil && !strings.HasPrefix(string(b[begin+1:end]), p.Comm()) && !bytes.Contains(b, []byte{0}) {
			t.Errorf("comm %q of %q", p.Comm(), b)
		}
	})
}

// standInVar makes this test binary a process that waits until its standard input ends: it can
// have any arguments then.
const standInVar = "HERMES_GW_TEST_STAND_IN"

// becomes are other things that the test binary can be.
var becomes = map[string]func(){}

var runTests func() int // TestMain's m.Run

func TestMain(m *testing.M) {
	runTests = m.Run
	switch how := os.Getenv(standInVar); {
	case how == "":
		os.Exit(m.Run())
	case becomes[how] != nil:
		becomes[how]()
		return
	case how == "stubborn":
		signal.Ignore(syscall.SIGTERM)
	}
	os.Stdout.WriteString("ready\n")
	io.Copy(io.Discard, os.Stdin)
}

// standIn starts a process with these arguments, in a process group of its own, that lives
// until the test ends. It has executed its program, and is ready.
func standIn(t testing.TB, how string, argv ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := &exec.Cmd{Path: self, Args: argv, Env: append(os.Environ(), standInVar+"="+how), SysProcAttr: &syscall.SysProcAttr{Setpgid: true}}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Process.Kill()
		cmd.Wait()
	})
	if _, err := io.ReadFull(out, make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	return cmd
}

func TestTable(t *testing.T) {
	var table Table
	want := []string{"sleep", "1000", "", "a b", "c\nd", ""}
	child := standIn(t, "willing", want...)
	if err := table.Read(t.Context(), -1); err != nil {
		t.Fatal(err)
	}
	p := table.Find(child.Process.Pid)
	id, err := proc.Read(child.Process.Pid)
	if p == nil || err != nil || p.Identity != id || p.Parent != os.Getpid() || p.Group != child.Process.Pid || int(p.UID) != os.Geteuid() || p.State != StateOther {
		t.Fatalf("%+v, %v", p, err)
	}
	if argv, err := table.Args(p); err != nil || !slices.Equal(argv, want) {
		t.Errorf("%q, %v", argv, err)
	}
	if self := table.Find(os.Getpid()); self == nil || self.Parent != os.Getppid() || self.Identity != proc.Self() {
		t.Errorf("%+v", self)
	}
	if len(table.Ancestors(child.Process.Pid)) == 0 || table.Ancestors(child.Process.Pid)[0].PID != os.Getpid() {
		t.Errorf("%v", table.Ancestors(child.Process.Pid))
	}
	if below := table.Descendants(os.Getpid()); !slices.ContainsFunc(below, func(p *Process) bool { return p.PID == child.Process.Pid }) {
		t.Errorf("%v", below)
	}

	// By user.
	if err := table.Read(t.Context(), os.Geteuid()); err != nil || table.Find(os.Getpid()) == nil {
		t.Error(err)
	}
	for p := range table.All() {
		if int(p.UID) != os.Geteuid() {
			t.Errorf("%+v", p)
		}
	}
	if err := table.Read(t.Context(), 54321); err == nil || !strings.Contains(err.Error(), "no process of user 54321") || len(table.Rows()) != 0 {
		t.Errorf("%d rows, %v", len(table.Rows()), err)
	}

	// Stopped, a zombie, gone.
	if err := child.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	state := func(want State) *Process {
		t.Helper()
		deadline := time.Now().Add(30 * time.Second)
		for {
			if err := table.Read(t.Context(), -1); err != nil {
				t.Fatal(err)
			}
			p := table.Find(child.Process.Pid)
			if p != nil && p.State == want {
				return p
			}
			if time.Now().After(deadline) {
				t.Fatalf("%+v is not %v", p, want)
			}
			runtime.Gosched()
		}
	}
	state(StateStopped)
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	zombie := *state(StateZombie)
	if _, err := table.Args(&zombie); !errors.Is(err, ErrZombie) {
		t.Error(err)
	}
	child.Wait()
	zombie.State = StateOther
	if argv, err := table.Args(&zombie); !errors.Is(err, ErrGone) || argv != nil {
		t.Errorf("%q, %v", argv, err)
	}
	// Another process' arguments are not given out as those of one that had the pid before.
	other := Process{Identity: Identity{PID: os.Getpid(), Start: 1}}
	if argv, err := table.Args(&other); !errors.Is(err, ErrGone) || argv != nil {
		t.Errorf("%q, %v", argv, err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := table.Read(ctx, -1); !errors.Is(err, context.Canceled) || len(table.Rows()) != 0 {
		t.Error(err)
	}
}

// fakeSysctl answers from a table and counts.
type fakeSysctl struct {
	table   []byte
	args    map[int32][]byte
	errno   syscall.Errno
	tables  int
	perArgs int
}

func (f *fakeSysctl) load() *cgoless.Sysctl {
	return &cgoless.Sysctl{Get: func(mib []int32, buf []byte) (int, syscall.Errno) {
		if mib[1] == 49 {
			f.perArgs++
			b, ok := f.args[mib[2]]
			if !ok {
				return 0, syscall.EINVAL
			}
			return copy(buf, b), 0
		}
		f.tables++
		switch {
		case f.errno != 0:
			return 0, f.errno
		case len(buf) < len(f.table):
			return 0, syscall.ENOMEM
		}
		return copy(buf, f.table), 0
	}}
}

// One sysctl for the table, and one for the arguments of each candidate.
func TestSysctlCalls(t *testing.T) {
	f := &fakeSysctl{args: map[int32][]byte{}}
	for i := range 500 {
		comm := "zsh"
		if i%50 == 0 {
			comm = "python3.12"
		}
		f.table = append(f.table, kinfo(Process{Identity: Identity{PID: 100 + i, Start: 5}, Parent: 1, Group: 100 + i, UID: 501, RealUID: 501}, 2, comm)...)
	}
	var table Table
	sys := f.load()
	table.all = true
	if err := table.readKinfo(sys, -1); err != nil || len(table.Rows()) != 500 || f.tables != 1 {
		t.Fatalf("%d rows, %d calls, %v", len(table.Rows()), f.tables, err)
	}
	plan, err := newPlan(t.Context(), &table, &rules{501, Options{Self: 101}}, func(p *Process) ([]string, error) { return table.readProcargs(sys, p.PID) })
	if err != nil || len(plan.Signal) != 0 || f.perArgs != 10 || f.tables != 1 {
		t.Errorf("%d calls for arguments, %d for the table, %v, %v", f.perArgs, f.tables, plan, err)
	}
	// A table that has grown beyond the buffer is asked for again, with more room.
	f.table = bytes.Repeat(f.table, 10)
	f.tables = 0
	table.rows = table.rows[:0]
	if err := table.readKinfo(sys, -1); err != nil || len(table.Rows()) != 5000 || f.tables > 4 {
		t.Errorf("%d rows, %d calls, %v", len(table.Rows()), f.tables, err)
	}
	f.tables = 0
	table.rows = table.rows[:0]
	if err := table.readKinfo(sys, -1); err != nil || f.tables != 1 {
		t.Errorf("%d calls, %v", f.tables, err)
	}
	// A scan that fails is an error, never an empty list.
	for _, f := range []*fakeSysctl{{errno: syscall.EPERM}, {errno: syscall.ENOMEM}, {table: make([]byte, 100)}} {
		var table Table
		if err := table.readKinfo(f.load(), -1); err == nil || len(table.Rows()) != 0 {
			t.Errorf("%+v: %d rows, %v", f, len(table.Rows()), err)
		}
	}
	for _, errno := range []syscall.Errno{syscall.EINVAL, syscall.EIO, syscall.EPERM, syscall.ESRCH} {
		sys := &cgoless.Sysctl{Get: func([]int32, []byte) (int, syscall.Errno) { return 0, errno }}
		argv, err := table.readProcargs(sys, 5)
		want := ErrUnreadable
		if errno == syscall.ESRCH {
			want = ErrGone
		}
		if !errors.Is(err, want) || argv != nil {
			t.Errorf("%v: %q, %v", errno, argv, err)
		}
	}
}

// BenchmarkKinfo parses a table of 10,000 rows and looks for candidates; none of them
// matches. Below 1 ms, without allocations.
func BenchmarkKinfo(b *testing.B) {
	var buf []byte
	for i := range 10_000 {
		buf = append(buf, kinfo(Process{Identity: Identity{PID: i + 1, Start: 1764000000_000000}, Parent: 1, Group: 1, UID: 501, RealUID: 501}, 2, "mdworker_shared")...)
	}
	rows := make([]Process, 0, 10_000)
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if rows, err = appendKinfo(rows[:0], buf); err != nil {
			b.Fatal(err)
		}
		for i := range rows {
			if candidate(rows[i].comm[:rows[i].commLen]) {
				b.Fatal("a candidate")
			}
		}
	}
}

func TestKinfoAllocatesNothing(t *testing.T) {
	buf := bytes.Repeat(kinfo(Process{Identity: Identity{PID: 5, Start: 1}, UID: 501}, 2, "WindowServer"), 1000)
	rows := make([]Process, 0, 1000)
	candidate(nil)
	if n := testing.AllocsPerRun(20, func() {
		rows, _ = appendKinfo(rows[:0], buf)
		for i := range rows {
			candidate(rows[i].comm[:rows[i].commLen])
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
