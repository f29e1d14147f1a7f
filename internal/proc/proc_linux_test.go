package proc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// helperEnv makes the test binary a helper: "cat" ends with its standard input,
// "headless" does too, after its first thread has ended.
const helperEnv = "HERMES_GW_TEST_HELPER"

func init() {
	if os.Getenv(helperEnv) == "headless" {
		runtime.LockOSThread() // so that main runs on the first thread
	}
}

func TestMain(m *testing.M) {
	switch os.Getenv(helperEnv) {
	case "":
		os.Exit(m.Run())
	case "cat":
		io.Copy(io.Discard, os.Stdin)
	case "headless":
		go func() {
			io.Copy(io.Discard, os.Stdin)
			os.Exit(0)
		}()
		syscall.Syscall(syscall.SYS_EXIT, 0, 0, 0) // of this thread only
	}
}

func helper(t testing.TB, path, what string) *child {
	t.Helper()
	cmd := exec.Command(path)
	// The race detector's exit takes a second otherwise.
	cmd.Env = append(os.Environ(), helperEnv+"="+what, "GORACE=atexit_sleep_ms=0")
	return startCommand(t, cmd)
}

// clock is the time that Identity.Start is on, and clockSlack by how much a start
// may lie off: two ticks.
func clock(t testing.TB) int64 {
	t.Helper()
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		t.Fatal(err)
	}
	return now.Nano() / 1000
}

const clockSlack = 2 * tick

// arguments are those of a process, in whatever form.
func arguments(t testing.TB, pid int) []byte {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || len(b) == 0 {
		t.Fatalf("%q, %v", b, err)
	}
	return b
}

func noPidfds(t testing.TB) {
	pidfdOpen = func(int, int) (int, error) { return -1, unix.ENOSYS }
	t.Cleanup(func() { pidfdOpen = unix.PidfdOpen })
}

var signalWays = []struct {
	name string
	use  func(testing.TB)
}{
	{"pidfd", func(t testing.TB) {
		if h, _, err := openHandle(os.Getpid()); err != nil || h.pidfd < 0 {
			t.Fatalf("no pidfd: %v", err)
		}
	}},
	{"kill", noPidfds},
}

func TestWithoutPidfds(t *testing.T) {
	noPidfds(t)
	c := start(t)
	p := open(t, c.pid)
	if id := must(t, c.pid); p.Identity() != id {
		t.Errorf("%v, want %v", p.Identity(), id)
	}
	if err := p.Wait(context.Background()); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Wait: %v, want ErrUnsupported", err)
	}
	// Another process has the pid by now.
	p.h.id.Start--
	if err := p.Signal(syscall.SIGKILL); !errors.Is(err, ErrGone) {
		t.Errorf("Signal to a reused pid: %v, want ErrGone", err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	c.reap(t) // fails if the signal was delivered
	if _, err := Open(c.pid); !errors.Is(err, ErrGone) {
		t.Errorf("Open: %v, want ErrGone", err)
	}
}

func TestOpenErrorsAreNotGone(t *testing.T) {
	t.Cleanup(func() { pidfdOpen = unix.PidfdOpen })
	pidfdOpen = func(int, int) (int, error) { return -1, unix.EMFILE }
	if _, err := Open(os.Getpid()); !errors.Is(err, unix.EMFILE) {
		t.Errorf("%v, want EMFILE", err)
	}
}

// The pid is reused between the look at the pidfd and the look at /proc.
func TestOpenOfAPidfdWhoseProcessIsGone(t *testing.T) {
	t.Cleanup(func() { pidfdOpen = unix.PidfdOpen })
	fds := openFDs()
	c, successor := start(t), start(t)
	pidfdOpen = func(int, int) (int, error) {
		fd, err := unix.PidfdOpen(c.pid, 0)
		c.reap(t)
		return fd, err
	}
	if p, err := Open(successor.pid); !errors.Is(err, ErrGone) {
		t.Errorf("%v, %v; want ErrGone", p, err)
	}
	successor.reap(t)
	if got := openFDs(); got > fds {
		t.Errorf("%d descriptors, %d before", got, fds)
	}
}

func TestThreadIsNoProcess(t *testing.T) {
	tids := make(chan int)
	stop := make(chan struct{})
	defer close(stop)
	for range 2 { // one of them at least does not run on the first thread
		go func() {
			runtime.LockOSThread()
			tids <- unix.Gettid()
			<-stop
		}()
	}
	id, other := <-tids, <-tids
	if id == os.Getpid() {
		id = other
	}
	if _, err := os.Stat(fmt.Sprintf("/proc/%d/stat", id)); err != nil {
		t.Fatal(err)
	}
	if got, err := Read(id); !errors.Is(err, ErrGone) {
		t.Errorf("Read: %v, %v; want ErrGone", got, err)
	}
	if _, err := Open(id); !errors.Is(err, ErrGone) {
		t.Errorf("Open: %v, want ErrGone", err)
	}
}

// While other threads run, a process whose first thread has ended is alive.
func TestFirstThreadEnded(t *testing.T) {
	c := helper(t, "/proc/self/exe", "headless")
	for state := byte(0); state != 'Z'; runtime.Gosched() {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.pid))
		if err != nil {
			t.Fatal(err)
		}
		state = b[strings.LastIndexByte(string(b), ')')+2]
	}
	p, err := OpenIdentity(must(t, c.pid))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := p.Wait(ctx); err != context.Canceled {
		t.Errorf("Wait: %v", err)
	}
	c.end()
	wait(t, p)
	if _, err := Read(c.pid); !errors.Is(err, ErrGone) {
		t.Errorf("Read after its exit: %v, want ErrGone", err)
	}
}

func TestNameOfACommand(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{") Z 1 1 (", "a\nb) R 0", ")))))))", "(((", " ", "1 (x) 2"} {
		path := filepath.Join(dir, name)
		exe, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(exe, path); err != nil {
			t.Fatal(err)
		}
		c := helper(t, path, "cat")
		comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", c.pid))
		if err != nil || string(comm) != name+"\n" {
			t.Fatalf("the command is called %q, %v", comm, err)
		}
		e, err := read(c.pid)
		if err != nil || e.parent != os.Getpid() || e.Start < Self().Start {
			t.Errorf("%q: %+v, %v; want parent %d, start after %d", name, e, err, os.Getpid(), Self().Start)
		}
		c.reap(t)
	}
}

func TestParseStat(t *testing.T) {
	// From a real one: 38 fields and more; 17 is the signal to the parent.
	const rest = "11 22 22 0 -1 4194304 94 0 0 0 0 0 0 0 20 0 %d 0 12345 3133440 425 18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 %d 3 0 0 0 0 0 0\n"
	line := func(head string, threads, signal int) string { return head + " " + fmt.Sprintf(rest, threads, signal) }
	want := stat{parent: 11, start: 123_450_000}
	dead, thread := want, want
	dead.dead, thread.thread = true, true
	for name, v := range map[string]struct {
		line string
		want stat
	}{
		"plain":            {line("7 (cat) S", 1, 17), want},
		"name with all":    {line("7 (a) Z (b\n) ) S", 1, 17), want},
		"empty name":       {line("7 () R", 1, 17), want},
		"zombie":           {line("7 (cat) Z", 1, 17), dead},
		"zombie in exit":   {line("7 (cat) X", 0, 17), dead},
		"zombie's threads": {line("7 (cat) Z", 2, 17), want},
		"thread":           {line("7 (cat) S", 3, -1), thread},
		"no exit signal":   {line("7 (cat) S", 1, 0), want},
	} {
		if s, err := parseStat([]byte(v.line)); err != nil || s != v.want {
			t.Errorf("%s: %+v, %v; want %+v", name, s, err, v.want)
		}
	}
	whole := line("7 (cat) S", 1, 17)
	for name, bad := range map[string]string{
		"empty":        "",
		"no name":      "7 cat S 1 2 3",
		"nothing more": "7 (cat)",
		"cut":          whole[:len(whole)/2],
		"parent":       strings.Replace(whole, "S 11", "S x", 1),
		"start":        strings.Replace(whole, "12345", "-1", 1),
		"huge start":   strings.Replace(whole, "12345", "9223372036854775807", 1),
		"beyond int64": strings.Replace(whole, "12345", "9223372036854775808", 1),
	} {
		if s, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%s: %+v, want an error", name, s)
		}
	}
}
