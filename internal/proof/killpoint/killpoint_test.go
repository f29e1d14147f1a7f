//go:build linux && (amd64 || arm64)

package killpoint

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hermes-gw/hermes-gw/internal/xpcwire"
)

// role names what this test binary is when it is not testing: a program with known calls.
const role = "KILLPOINT_TEST_ROLE"

func TestMain(m *testing.M) {
	if what := os.Getenv(role); what != "" {
		if err := play(what, os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(99)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func play(what string, args []string) error {
	switch what {
	case "markers":
		return markers(args[0], 5)
	case "markers by threads":
		var all sync.WaitGroup
		for i := range 4 {
			all.Go(func() {
				runtime.LockOSThread() // and so a thread of its own, which ends
				if err := markers(fmt.Sprint(args[0], i), 5); err != nil {
					panic(err)
				}
			})
		}
		all.Wait()
		return nil
	case "parent":
		// The child moves to a session of its own, and waits.
		child := exec.Command("/proc/self/exe", args[0])
		child.Env = append(os.Environ(), role+"=lasting child")
		child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := child.Start(); err != nil {
			return err
		}
		return markers(args[0], 2)
	case "files":
		return files(args[0])
	case "lasting child":
		if err := markers(args[0]+".child", 3); err != nil {
			return err
		}
		time.Sleep(time.Hour)
		return nil
	case "exec from another thread":
		runtime.LockOSThread() // the main thread
		os.Setenv(role, "markers")
		failed := make(chan error)
		go func() {
			runtime.LockOSThread()
			if syscall.Gettid() == os.Getpid() {
				panic("this is the main thread")
			}
			failed <- syscall.Exec("/proc/self/exe", []string{"markers", args[0]}, os.Environ())
		}()
		return <-failed
	case "signal":
		got := make(chan os.Signal, 1)
		signal.Notify(got, syscall.SIGUSR1)
		syscall.Kill(os.Getpid(), syscall.SIGUSR1)
		<-got
		return markers(args[0], 1)
	case "stop":
		if err := markers(args[0], 1); err != nil {
			return err
		}
		fmt.Println(os.Getpid())
		syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		return markers(args[0], 1)
	case "frames":
		return frames()
	case "traced already":
		_, err := Count(context.Background(), exec.Command("/bin/true"))
		if _, denied := errors.AsType[*NotPermittedError](err); !denied {
			return fmt.Errorf("traced, and it says %v", err)
		}
		fmt.Println(err)
		return nil
	}
	return errors.New(what)
}

// markers appends n lines to a file, with one write each.
func markers(path string, n int) error {
	f, err := syscall.Open(path, syscall.O_CREAT|syscall.O_WRONLY|syscall.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	for range n {
		if _, err := syscall.Write(f, []byte("x\n")); err != nil {
			return err
		}
	}
	return nil
}

func lines(path string) int {
	b, _ := os.ReadFile(path)
	return bytes.Count(b, []byte("\n"))
}

func program(what string, args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), role+"="+what)
	cmd.Stderr = os.Stderr
	return cmd
}

// ok skips a test where there is no tracing.
func ok(t *testing.T, err error) {
	t.Helper()
	if _, denied := errors.AsType[*NotPermittedError](err); denied {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func named(calls []Call, name string) (n int) {
	for _, c := range calls {
		if c.Name == name {
			n++
		}
	}
	return n
}

// Killed before each of its calls, a program has made exactly those before it.
func TestKill(t *testing.T) {
	ctx := bounded(t)
	dir := t.TempDir()
	// The shell writes each line at once, and starts fast.
	script := func(path string) *exec.Cmd {
		return exec.Command("/bin/sh", "-c", `exec >>"$0"; echo x; echo x; echo x; echo x; echo x`, path)
	}
	trace, err := Count(ctx, script(dir+"/all"))
	ok(t, err)
	if n := named(trace.Calls, "write"); n != 5 || lines(dir+"/all") != 5 || !trace.Status.Exited() || trace.Status.ExitStatus() != 0 {
		t.Fatalf("%d writes of 5, %d lines, status %v: %v", n, lines(dir+"/all"), trace.Status, trace.Calls)
	}
	for i, c := range trace.Calls {
		if c.Number != i+1 || c.Routine != 0 || c.Name == "write" && (!c.Returned || c.Return != 2) {
			t.Errorf("call %d: %+v", i, c)
		}
	}
	atWrites := map[int]bool{}
	for k := 1; ; k++ {
		path := fmt.Sprint(dir, "/", k)
		r, err := Kill(ctx, script(path), k)
		ok(t, err)
		if n := named(r.Calls, "write"); n != lines(path) {
			t.Errorf("killed before call %d: %d writes, %d lines", k, n, lines(path))
		}
		if !r.Killed {
			if r.Next.Number != 0 || r.At != 0 || len(r.Calls) >= k || !r.Status.Exited() || lines(path) != 5 {
				t.Errorf("beyond the end: %+v", r)
			}
			break
		}
		if r.Next.Number != k || len(r.Calls) != k-1 || r.At <= 0 || r.Status.Signal() != syscall.SIGKILL {
			t.Fatalf("k %d: %+v", k, r)
		}
		if r.Next.Name == "write" {
			atWrites[lines(path)] = true
		}
		if k > 10*len(trace.Calls) {
			t.Fatal("it does not end")
		}
	}
	if len(atWrites) != 5 {
		t.Errorf("killed at writes with these lines before: %v", atWrites)
	}
}

// The number of calls that count does not depend on what the runtime does besides.
func TestCountIsStable(t *testing.T) {
	ctx := bounded(t)
	counts := map[int][]string{}
	for i := range 5 {
		trace, err := Count(ctx, program("markers", filepath.Join(t.TempDir(), fmt.Sprint(i))))
		ok(t, err)
		var names []string
		for _, c := range trace.Calls {
			names = append(names, c.Name)
		}
		counts[len(names)] = names
	}
	if len(counts) != 1 {
		t.Errorf("the counts differ: %v", counts)
	}
	for _, names := range counts {
		t.Logf("%d calls: %s", len(names), strings.Join(names, " "))
	}
}

// All threads are followed: whichever makes the k-th call, no thread makes a later one.
func TestKillThreads(t *testing.T) {
	ctx := bounded(t)
	dir := t.TempDir()
	written := func(path string) (n int) {
		for i := range 4 {
			n += lines(fmt.Sprint(path, i))
		}
		return n
	}
	trace, err := Count(ctx, program("markers by threads", dir+"/all"))
	ok(t, err)
	by := map[int]bool{}
	for _, c := range trace.Calls {
		if c.Name == "write" {
			by[c.Thread] = true
		}
	}
	if n := named(trace.Calls, "write"); n != 20 || written(dir+"/all") != 20 || len(by) < 4 {
		t.Fatalf("%d writes by %d threads", n, len(by))
	}
	for k := len(trace.Calls) - 40; k < len(trace.Calls); k += 3 {
		path := fmt.Sprint(dir, "/", k)
		r, err := Kill(ctx, program("markers by threads", path), k)
		ok(t, err)
		// What another thread had entered and was not back from may have happened.
		back, entered := 0, named(r.Calls, "write")
		for _, c := range r.Calls {
			if c.Name == "write" && c.Returned {
				back++
			}
		}
		if n := written(path); n < back || n > entered {
			t.Errorf("k %d: %d lines of %d to %d writes", k, n, back, entered)
		}
	}
}

func TestChildren(t *testing.T) {
	ctx := bounded(t)
	path := filepath.Join(t.TempDir(), "m")
	trace, err := Count(ctx, program("parent", path))
	ok(t, err)
	left := 0
	for _, c := range trace.Children { // os tries a process of its own, which ends by itself
		gone(t, c.PID)
		if c.Left {
			left++
		}
	}
	if left != 1 || lines(path) != 2 || named(trace.Calls, "write") != 2 || named(trace.Calls, "setsid") != 0 {
		t.Errorf("children %+v, %d lines: %v", trace.Children, lines(path), trace.Calls)
	}
	made := 0
	for _, name := range []string{"clone", "clone3", "fork", "vfork"} {
		made += named(trace.Calls, name)
	}
	if made != len(trace.Children) {
		t.Errorf("%d calls made %d processes: %v", made, len(trace.Children), trace.Calls)
	}
	// Killed right before the last write or the one before it, the child ends too.
	last := 0
	for _, c := range trace.Calls {
		if c.Name == "write" {
			last = c.Number
		}
	}
	r, err := Kill(ctx, program("parent", path+"2"), last-1)
	ok(t, err)
	if !r.Killed || len(r.Children) == 0 || lines(path+"2") != named(r.Calls, "write") {
		t.Errorf("%+v", r)
	}
	for _, c := range r.Children {
		gone(t, c.PID)
	}
}

// gone fails unless a process has ended. Its parent, which reaps it, may be slow.
func gone(t *testing.T, pid int) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if _, state, found := strings.Cut(string(text), ") "); err == nil && found && state[0] != 'Z' && state[0] != 'X' {
		t.Errorf("process %d is still there: %s", pid, text)
	}
}

func TestExecFromAnotherThread(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m")
	trace, err := Count(bounded(t), program("exec from another thread", path))
	ok(t, err)
	if !trace.Status.Exited() || trace.Status.ExitStatus() != 0 || lines(path) != 5 || named(trace.Calls, "write") != 5 || named(trace.Calls, "execve") != 1 {
		t.Errorf("status %v, %d lines: %v", trace.Status, lines(path), trace.Calls)
	}
}

func TestSignalsArePassedOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m")
	trace, err := Count(bounded(t), program("signal", path))
	ok(t, err)
	if !trace.Status.Exited() || lines(path) != 1 || named(trace.Calls, "kill") != 1 {
		t.Errorf("status %v, %d lines: %v", trace.Status, lines(path), trace.Calls)
	}
	trace, err = Count(bounded(t), exec.Command("/bin/sh", "-c", "kill -TERM $$"))
	ok(t, err)
	if !trace.Status.Signaled() || trace.Status.Signal() != syscall.SIGTERM {
		t.Errorf("status %v", trace.Status)
	}
}

// A program that job control stops stays stopped, until it is told to go on.
func TestStop(t *testing.T) {
	ctx := bounded(t)
	path := filepath.Join(t.TempDir(), "m")
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := program("stop", path)
	cmd.Stdout = in
	var trace Trace
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer in.Close()
		trace, err = Count(ctx, cmd)
	}()
	line, _ := bufio.NewReader(out).ReadString('\n')
	pid, _ := strconv.Atoi(strings.TrimSpace(line))
	over := func() bool {
		select {
		case <-done:
			return true
		case <-time.After(time.Millisecond): // there is no event for a stop of a tracee
			return false
		}
	}
	for still := 0; still < 50; still++ {
		if over() {
			ok(t, err)
			t.Fatalf("it did not stop: %v, %d lines", trace.Status, lines(path))
		}
		if text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); !bytes.Contains(text, []byte(") t ")) {
			still = 0
		}
	}
	if lines(path) != 1 {
		t.Errorf("%d lines at the stop", lines(path))
	}
	syscall.Kill(pid, syscall.SIGCONT)
	for !over() {
	}
	ok(t, err)
	if lines(path) != 2 || !trace.Status.Exited() {
		t.Errorf("%d lines, %v", lines(path), trace.Status)
	}
}

// A process that others have started, and that waits until it is traced: numbered from
// its next exec on.
func TestKillAttached(t *testing.T) {
	ctx := bounded(t)
	dir := t.TempDir()
	attached := func(k int, path string) Result {
		out, in, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("/bin/sh", "-c", `echo ready && read -r line && exec "$0" "$@"`, "/proc/self/exe", path)
		cmd.Args[3], _ = os.Executable()
		cmd.Env = append(os.Environ(), role+"=markers")
		cmd.Stdin = out
		ready, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		out.Close()
		if line, err := bufio.NewReader(ready).ReadString('\n'); line != "ready\n" {
			t.Fatal(line, err)
		}
		r, err := KillAttached(ctx, cmd.Process.Pid, k, func() error {
			defer in.Close()
			_, err := fmt.Fprintln(in, "go on")
			return err
		})
		in.Close()
		waited := cmd.Wait() // it is still this process' child
		ok(t, err)
		if waited == nil == r.Killed || cmd.ProcessState == nil || cmd.ProcessState.Sys() != r.Status {
			t.Errorf("%v: %+v", waited, r)
		}
		return r
	}
	all := attached(0, dir+"/all")
	if all.Killed || named(all.Calls, "write") != 5 || lines(dir+"/all") != 5 {
		t.Fatalf("%+v", all)
	}
	for k := 1; k <= len(all.Calls)+1; k += 1 + len(all.Calls)/6 {
		path := fmt.Sprint(dir, "/", k)
		r := attached(k, path)
		if named(r.Calls, "write") != lines(path) || !r.Killed && len(r.Calls) >= k || r.Killed && r.Next.Number != k {
			t.Errorf("k %d: %d lines: %+v", k, lines(path), r)
		}
	}
	cmd := program("lasting child", dir+"/refused")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	refused := errors.New("refused")
	if _, err := KillAttached(ctx, cmd.Process.Pid, 0, func() error { return refused }); !errors.Is(err, refused) {
		t.Error(err)
	}
	if cmd.Wait() == nil {
		t.Error("it was not killed")
	}
}

func TestKillAfter(t *testing.T) {
	ctx := bounded(t)
	path := filepath.Join(t.TempDir(), "m")
	r, err := KillAfter(ctx, program("lasting child", path), 50*time.Millisecond)
	ok(t, err)
	if !r.Killed || r.At <= 0 || r.Next.Number != 0 || lines(path+".child") > 3 {
		t.Errorf("%+v", r)
	}
	r, err = KillAfter(ctx, program("markers", path), time.Hour)
	ok(t, err)
	if r.Killed || r.At != 0 || lines(path) != 5 {
		t.Errorf("%+v", r)
	}
}

// The end of the context is the end of the program and of its children.
func TestContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for lines(path+".child") < 3 {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	cmd := program("lasting child", path)
	_, err := Count(ctx, cmd)
	if _, denied := errors.AsType[*NotPermittedError](err); denied {
		t.Skip(err)
	}
	if !errors.Is(err, context.Canceled) || cmd.ProcessState == nil {
		t.Errorf("%v, %v", err, cmd.ProcessState)
	}
	if _, err := Count(ctx, program("markers", path)); !errors.Is(err, context.Canceled) || lines(path) > 0 {
		t.Errorf("%v, %d lines", err, lines(path))
	}
}

// What is written where it is to be written, and the errors of a start.
func TestCommand(t *testing.T) {
	ctx := bounded(t)
	cmd := exec.Command("/bin/sh", "-c", "cat; echo bad >&2; exit 3")
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader("good"), &stdout, &stderr
	trace, err := Count(ctx, cmd)
	ok(t, err)
	if stdout.String() != "good" || stderr.String() != "bad\n" || trace.Status.ExitStatus() != 3 || cmd.ProcessState.ExitCode() != 3 {
		t.Errorf("%q, %q, %v", &stdout, &stderr, trace.Status)
	}
	if _, err := Count(ctx, exec.Command("/nonexistent")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if _, err := Kill(ctx, exec.Command("/bin/true"), 0); err == nil {
		t.Error("call 0")
	}
}

// A process that somebody traces cannot have its children traced again.
func TestNotPermitted(t *testing.T) {
	cmd := program("traced already")
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	trace, err := Count(bounded(t), cmd)
	ok(t, err)
	if trace.Status.ExitStatus() != 0 || !strings.Contains(stdout.String(), "cannot be traced here") {
		t.Errorf("%v, %q", trace.Status, &stdout)
	}
}

// A request frame is known by its form, in whichever call it is written.
func TestRoutines(t *testing.T) {
	trace, err := Count(bounded(t), program("frames"))
	ok(t, err)
	var got []string
	for _, c := range trace.Sent() {
		got = append(got, fmt.Sprint(c.Name, " ", c.Routine))
	}
	if want := "write 702, writev 800, sendto 801, sendmsg 708"; strings.Join(got, ", ") != want {
		t.Errorf("%v, want %s", got, want)
	}
	if calls := trace.Sent(801, 816); len(calls) != 1 || calls[0].Routine != 801 {
		t.Errorf("%v", calls)
	}
	refused := 0 // to a closed descriptor
	for _, c := range trace.Calls {
		if c.Routine == 703 && c.Returned && c.Return == -int64(syscall.EBADF) {
			refused++
		}
	}
	if refused != 1 {
		t.Errorf("%v", trace.Calls)
	}
}

// frames writes request frames, and what is none.
func frames() error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	frame := func(routine uint64) []byte {
		b, _, err := xpcwire.AppendRequest(nil, xpcwire.Request{Magic: xpcwire.Magic, Routine: routine}, map[string]any{"name": "job"})
		if err != nil {
			panic(err)
		}
		return b
	}
	unix.Write(1000, frame(703)) // fails
	_, e1 := unix.Write(pair[0], frame(702))
	_, e2 := unix.Writev(pair[0], [][]byte{frame(800)})
	e3 := unix.Sendto(pair[0], frame(801), 0, nil)
	e4 := unix.Sendmsg(pair[0], frame(708), nil, nil, 0)
	_, e5 := unix.Write(pair[0], frame(709)[:12])
	_, e6 := unix.Write(pair[0], make([]byte, 100))
	return errors.Join(e1, e2, e3, e4, e5, e6)
}

// files does something to files.
func files(dir string) error {
	at := func(name string) string { return filepath.Join(dir, name) }
	f, err := os.Create(at("made"))
	if err != nil {
		return err
	}
	defer f.Close()
	r, err := os.Open(at("made"))
	if err != nil {
		return err
	}
	defer r.Close()
	d, err := unix.Open(dir, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := os.Chdir(dir); err != nil {
		return err
	}
	return errors.Join(
		unix.Flock(int(r.Fd()), unix.LOCK_SH|unix.LOCK_NB), f.Truncate(3), r.Chmod(0o600),
		unix.Renameat(d, "made", unix.AT_FDCWD, "renamed"), os.Link(at("renamed"), at("linked")), os.Symlink("linked", at("link")),
		os.Lchown(at("link"), -1, -1), os.Chtimes(at("linked"), time.Now(), time.Now()), os.Mkdir("sub", 0o700), os.Remove("sub"), os.Remove(at("linked")),
	)
}

// What a call is about is known, relative to whatever, and whether it changes that.
func TestFiles(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	trace, err := Count(bounded(t), program("files", dir))
	ok(t, err)
	if trace.Status.ExitStatus() != 0 {
		t.Fatalf("%v, %v", trace.Status, err)
	}
	var got []string
	for _, c := range trace.Calls {
		line := ""
		for _, f := range c.Files {
			if name, below := strings.CutPrefix(f, dir+"/"); below {
				line += " " + name
			}
		}
		if line != "" {
			got = append(got, fmt.Sprintf("%s%s %t", strings.TrimSuffix(strings.TrimSuffix(c.Name, "2"), "at"), line, c.Changes))
		}
	}
	want := []string{
		"open made true", "open made false", "flock made false", "ftruncate made true", "fchmod made true",
		"rename made renamed true", "link renamed linked true", "symlink link true", "fchown link true", "utimens linked true",
		"mkdir sub true", "unlink sub true", "unlink sub true", "unlink linked true",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q,\nwant %q", got, want)
	}
}
