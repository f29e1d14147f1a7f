package launchdtest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/proc"
	"github.com/hermes-gw/hermes-gw/launchd"
	. "github.com/hermes-gw/hermes-gw/launchd/launchdtest"
	"github.com/hermes-gw/hermes-gw/xpc"
)

const patience = 30 * time.Second

// soon bounds what must happen.
func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func wait(t testing.TB, l *Launchd, m Mark, want func(Event) bool) Event {
	t.Helper()
	e, err := l.Wait(soon(t), m, want)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func is(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
}

func runs(pid int) bool {
	_, err := proc.Read(pid)
	return err == nil
}

var restart = launchd.KickstartOptions{Kill: true, Unthrottle: true}

func TestThreeLines(t *testing.T) {
	l := Start(t)
	job := l.Job("org.example.agent", "/bin/sleep", "1000")
	result, err := l.Client.Restart(soon(t), job, launchd.RestartOptions{})
	if err != nil || result.Outcome != launchd.OutcomeRestarted || result.New == result.Old || !runs(result.New) || runs(result.Old) {
		t.Fatalf("%+v, %v", result, err)
	}
}

// At the end of a test nothing of it is left.
func TestStartEndsWithTheTest(t *testing.T) {
	var pid int
	var address string
	t.Run("inner", func(t *testing.T) {
		l := Start(t)
		job := l.Job("a", "/bin/sleep", "1000")
		pid = wait(t, l, 0, Is(Spawn, job.Label)).PID
		address = l.Address()
		info, err := os.Stat(filepath.Dir(strings.TrimPrefix(address, "unix:")))
		if err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("the socket's folder: %v, %v", info.Mode(), err)
		}
		other, err := launchd.Open(soon(t), launchd.Options{Address: address})
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		if j, err := other.Job(soon(t), job); err != nil || j.PID != pid {
			t.Errorf("%+v, %v, want pid %d", j, err, pid)
		}
	})
	if runs(pid) {
		t.Errorf("process %d is left", pid)
	}
	if _, err := os.Stat(filepath.Dir(strings.TrimPrefix(address, "unix:"))); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder is left: %v", err)
	}
	if c, err := launchd.Open(soon(t), launchd.Options{Address: address}); err == nil {
		c.Close()
		t.Error("it still serves")
	}
}

// spy stands for a test and keeps what it is told.
type spy struct {
	testing.TB
	mu       sync.Mutex
	errors   []string
	cleanups []func()
}

func (s *spy) Helper() {}
func (s *spy) Error(args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.errors = append(s.errors, fmt.Sprint(args...))
}
func (s *spy) Fatal(args ...any) {
	s.Error(args...)
	runtime.Goexit()
}
func (s *spy) Cleanup(f func()) { s.cleanups = append(s.cleanups, f) }

// run runs f as a test and returns what failed.
func (s *spy) run(f func()) []string {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			for _, f := range slices.Backward(s.cleanups) {
				f()
			}
		}()
		f()
	}()
	<-done
	return s.errors
}

// A process that outlives its job fails the test and is killed.
func TestSurvivorsFailTheTest(t *testing.T) {
	for _, test := range []struct {
		name, script string
		abandon      bool
	}{
		{"abandoned", "sleep 1000 & echo $! > $0", true},
		{"deaf to SIGTERM", `(trap "" TERM; echo $$ > $0; sh -c 'echo $PPID' > $0; sleep 1000; sleep 1000)& read x < $0.go`, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir, err := os.MkdirTemp("", "x")
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(dir)
			fifo := filepath.Join(dir, "pid")
			tell := openFIFO(t, fifo)
			openFIFO(t, fifo+".go")
			var pid int
			s := &spy{TB: t}
			failed := s.run(func() {
				l := Start(s)
				job := l.LoadKeys(Keys{"Label": "messy", "ProgramArguments": []string{"/bin/sh", "-c", test.script, fifo}, "RunAtLoad": true, "AbandonProcessGroup": test.abandon})
				if !test.abandon {
					fmt.Fscan(tell, &pid) // the job's own
				}
				fmt.Fscan(tell, &pid)
				if !test.abandon {
					if err := l.Client.Kill(soon(t), job, syscall.SIGKILL); err != nil {
						t.Error(err)
					}
				}
				wait(t, l, 0, Is(Exit, job.Label))
				if !runs(pid) {
					t.Errorf("the child %d is gone already", pid)
				}
			})
			if len(failed) != 1 || !strings.Contains(failed[0], "/messy (process group ") {
				t.Errorf("the test's failures: %q", failed)
			}
			p, err := proc.Open(pid)
			if err == nil {
				defer p.Close()
				if err := p.Wait(soon(t)); err != nil {
					t.Errorf("the child %d: %v", pid, err)
				}
			}
		})
	}
}

// openFIFO makes a FIFO and holds both ends.
func openFIFO(t testing.TB, path string) io.Reader {
	t.Helper()
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.SetReadDeadline(time.Now().Add(patience))
	t.Cleanup(func() { f.Close() })
	return f
}

// A job's whole group ends with the test: nothing to complain about.
func TestGroupsEndWithTheTest(t *testing.T) {
	l, err := New()
	if err != nil {
		t.Fatal(err)
	}
	fifo := filepath.Join(t.TempDir(), "pid")
	tell := openFIFO(t, fifo)
	l.Job("a", "/bin/sh", "-c", "sleep 1000 & echo $! > $0; wait", fifo)
	var child int
	if _, err := fmt.Fscan(tell, &child); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("the second Close: %v", err)
	}
	if runs(child) {
		t.Errorf("process %d is left", child)
	}
}

func TestLoad(t *testing.T) {
	l := Start(t)
	text := `<?xml version="1.0"?><plist version="1.0"><dict>
<key>Label</key><string>from.text</string><key>Program</key><string>/bin/sleep</string></dict></plist>`
	if got, want := l.Load(text), (launchd.Target{Domain: l.GUI(), Label: "from.text"}); got != want {
		t.Errorf("%v, want %v", got, want)
	}
	path := filepath.Join(t.TempDir(), "elsewhere.plist")
	if err := os.WriteFile(path, []byte(strings.Replace(text, "from.text", "from.path", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	job := l.Load(path)
	if j, err := l.Client.Job(soon(t), job); err != nil || job.Label != "from.path" || j.Path != path || j.Running() {
		t.Errorf("%v: %+v, %v", job, j, err)
	}
	job = l.LoadKeys(Keys{"Label": "keys", "Program": "/bin/sleep", "ProgramArguments": []string{"sleep", "1000"}, "KeepAlive": Keys{"SuccessfulExit": true}, "ExitTimeOut": 33})
	if j, err := l.Client.Inspect(soon(t), job); err != nil || j.ExitTimeout == nil || *j.ExitTimeout != 33*time.Second || j.Arguments[0] != "sleep" {
		t.Errorf("%+v, %v", j, err)
	}
	// A plist of one's own, loaded by the code under test.
	plist := l.Plist(Keys{"Label": "off", "Program": "/bin/sleep", "Disabled": true})
	is(t, l.Client.Bootstrap(soon(t), l.User(), plist), launchd.ErrDisabled)
}

// What launchd refuses ends the test, or panics without one.
func TestLoadRefused(t *testing.T) {
	for _, test := range []struct {
		name, want string
		f          func(*Launchd)
	}{
		{"twice", "launchdtest: bootstrap", func(l *Launchd) { l.Job("a", "/bin/sleep", "1000"); l.Job("a", "/bin/sleep", "1000") }},
		{"no program", "launchdtest: bootstrap", func(l *Launchd) { l.Job("a") }},
		{"odd label", "launchdtest: bootstrap", func(l *Launchd) { l.Job("../a/b", "/bin/sleep") }},
		{"no label", "launchdtest: bootstrap", func(l *Launchd) { l.Job("", "/bin/sleep") }},
		{"long label", "file name too long", func(l *Launchd) { l.Job(strings.Repeat("a", 300), "/bin/sleep") }},
		{"no file", "launchdtest: bootstrap", func(l *Launchd) { l.Load("/nowhere/a.plist") }},
		{"no property list", "launchdtest: bootstrap", func(l *Launchd) { l.Load("<hello>") }},
		{"not for a property list", "property list", func(l *Launchd) { l.LoadKeys(Keys{"Label": "a", "Program": func() {}}) }},
		{"penalty box", "a is not loaded", func(l *Launchd) { l.SetPenaltyBox(launchd.Target{Domain: l.GUI(), Label: "a"}, true) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &spy{TB: t}
			if failed := s.run(func() { test.f(Start(s)); t.Error("it goes on") }); len(failed) != 1 || !strings.Contains(failed[0], test.want) {
				t.Errorf("in a test: %q, want %q", failed, test.want)
			}
			l, err := New()
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			defer func() {
				if err, _ := recover().(error); err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("without one: %v, want %q", err, test.want)
				}
			}()
			test.f(l)
		})
	}
}

func TestFaults(t *testing.T) {
	var unknown *xpc.UnknownOutcome
	for _, test := range []struct {
		fault  Fault
		wrong  func(pid int, err error) bool
		kicked bool
	}{
		{Fault{Kind: Fail, Code: 77}, func(_ int, err error) bool { return errors.Is(err, xpc.Errno(77)) }, false},
		{Fault{Kind: Fail, Code: 77, Carry: true}, func(_ int, err error) bool { return errors.Is(err, xpc.Errno(77)) }, true},
		{Fault{Kind: Broken, Code: xpc.Reentrancy}, func(_ int, err error) bool { return errors.Is(err, xpc.Reentrancy) }, false},
		{Fault{Kind: Hangup}, func(_ int, err error) bool { return errors.As(err, &unknown) }, false},
		{Fault{Kind: Hangup, Carry: true}, func(_ int, err error) bool { return errors.As(err, &unknown) }, true},
		{Fault{Kind: Garbage}, func(_ int, err error) bool { return errors.As(err, &unknown) }, false},
		{Fault{Kind: Never}, func(_ int, err error) bool { return errors.Is(err, context.Canceled) }, false},
		{Fault{Kind: Late, Delay: 50 * time.Millisecond}, func(pid int, err error) bool { return err == nil && pid != 0 }, true},
		{Fault{Kind: Mistype, Key: "pid"}, func(pid int, err error) bool { return err == nil && pid == 0 }, true},
	} {
		t.Run(fmt.Sprintf("%+v", test.fault), func(t *testing.T) {
			test.fault.Routine, test.fault.Label, test.fault.Domain = 702, "a", launchd.GUI(os.Geteuid())
			l := Start(t, Faults(test.fault))
			never := Fault{Kind: Never, Label: "other"} // matches nothing here
			l.SetFaults(never, test.fault)
			job, b := l.Job("a", "/bin/sleep", "1000"), l.Job("b", "/bin/sleep", "1000")
			old := wait(t, l, 0, Is(Spawn, "a")).PID
			if pid, err := l.Client.Kickstart(soon(t), b, restart); err != nil || pid == 0 {
				t.Errorf("another job: %d, %v", pid, err)
			}
			mark := l.Mark()
			ctx, cancel := context.WithCancel(soon(t))
			defer cancel()
			go func() {
				// The job is not waited for longer than launchd has the request.
				if _, err := l.Wait(ctx, mark, func(e Event) bool { return e.Kind == Request && e.Label == "a" }); err == nil && test.fault.Kind == Never {
					cancel()
				}
			}()
			pid, err := l.Client.Kickstart(ctx, job, restart)
			if !test.wrong(pid, err) {
				t.Errorf("pid %d, %v", pid, err)
			}
			request := wait(t, l, mark, Is(Request, "a"))
			if test.fault.Kind == Late && time.Since(request.Time) < test.fault.Delay {
				t.Errorf("answered after %v", time.Since(request.Time))
			}
			l.SetFaults()
			now, err := l.Client.Kickstart(soon(t), job, launchd.KickstartOptions{})
			if err != nil || (now != old) != test.kicked {
				t.Errorf("pid %d, then %d, %v; restarted: want %v", old, now, err, test.kicked)
			}
		})
	}
}

func TestFaultTimes(t *testing.T) {
	l := Start(t, Faults(Fault{Kind: Fail, Code: 77, Times: 2}))
	for range 2 {
		_, err := l.Client.PrintDomain(soon(t), l.GUI())
		is(t, err, xpc.Errno(77))
	}
	if _, err := l.Client.PrintDomain(soon(t), l.GUI()); err != nil {
		t.Error(err)
	}
}

// One domain hangs, the others do not.
func TestOneDomainHangs(t *testing.T) {
	l := Start(t, Faults(Fault{Kind: Never, Domain: launchd.User(os.Geteuid())}))
	ctx, cancel := context.WithCancel(soon(t))
	hung := make(chan error, 1)
	go func() {
		_, err := l.Client.PrintDomain(ctx, l.User())
		hung <- err
	}()
	e := wait(t, l, 0, func(e Event) bool { return e.Kind == Request && e.Domain == l.User().String() })
	if _, err := l.Client.PrintDomain(soon(t), l.GUI()); err != nil {
		t.Error(err)
	}
	if _, err := l.Client.PrintDomain(soon(t), launchd.System()); err != nil {
		t.Error(err)
	}
	select {
	case err := <-hung:
		t.Errorf("an answer after all: %v", err)
	default:
	}
	cancel()
	is(t, <-hung, context.Canceled)
	for _, reply := range l.Trace(e.Next) {
		if reply.Kind == Reply && reply.ID == e.ID {
			t.Errorf("answered: %v", reply)
		}
	}
}

func TestDeny(t *testing.T) {
	l := Start(t, Deny(702, 828))
	job := l.Job("a", "/bin/sleep", "1000")
	_, err := l.Client.Kickstart(soon(t), job, restart)
	is(t, err, launchd.ErrNotEntitled)
	_, err = l.Client.PrintDomain(soon(t), l.GUI())
	is(t, err, launchd.ErrNotEntitled)
	if _, err := l.Client.Print(soon(t), job); err != nil {
		t.Error(err)
	}
}

// A throttle of 100 s takes one.
func TestTimeScale(t *testing.T) {
	l := Start(t, TimeScale(0.01))
	job := l.LoadKeys(Keys{"Label": "a", "ProgramArguments": []string{"/bin/sleep", "1000"}, "RunAtLoad": true, "ThrottleInterval": 100})
	wait(t, l, 0, Became("running", "a"))
	mark := l.Mark()
	if _, err := l.Client.Kickstart(soon(t), job, launchd.KickstartOptions{Kill: true}); err != nil {
		t.Fatal(err)
	}
	scheduled := wait(t, l, mark, Became("spawn scheduled", "a"))
	if spawn := wait(t, l, scheduled.Next, Is(Spawn, "a")); spawn.Time.Sub(scheduled.Time) < 100*time.Millisecond {
		t.Errorf("spawned after %v", spawn.Time.Sub(scheduled.Time))
	}
}

func TestNoGUI(t *testing.T) {
	for _, test := range []struct {
		option Option
		want   xpc.Errno
	}{{NoGUI(), 125}, {NoGUIError(xpc.NoSuchDomain), 112}} {
		l := Start(t, test.option)
		_, err := l.Client.PrintDomain(soon(t), l.GUI())
		is(t, err, test.want)
		is(t, err, launchd.ErrNoDomain)
		if job := l.Job("a", "/bin/sleep", "1000"); job.Domain != l.User() || l.Domain() != l.User() {
			t.Errorf("%v", job)
		}
	}
	if l := Start(t); l.Domain() != l.GUI() {
		t.Errorf("%v", l.Domain())
	}
}

func TestOnDemandOnly(t *testing.T) {
	l := Start(t, OnDemandOnly())
	job := l.Job("a", "/bin/sleep", "1000")
	if j, err := l.Client.Inspect(soon(t), job); err != nil || j.State != "not running" || j.Runs == nil || *j.Runs != 0 {
		t.Errorf("%+v, %v", j, err)
	}
	if pid, err := l.Client.Kickstart(soon(t), job, launchd.KickstartOptions{}); err != nil || !runs(pid) {
		t.Errorf("%d, %v", pid, err)
	}
}

func TestSpawnWindow(t *testing.T) {
	l := Start(t, SpawnWindow(time.Hour))
	job := l.Job("a", "/bin/sleep", "1000")
	if j, err := l.Client.Inspect(soon(t), job); err != nil || j.State != "xpcproxy" || !j.Running() {
		t.Errorf("%+v, %v", j, err)
	}
	if _, err := l.Client.Kickstart(soon(t), job, restart); err != nil {
		t.Error(err)
	}

	l = Start(t, SpawnWindowDenied(time.Hour))
	job = l.Job("a", "/bin/sleep", "1000")
	_, err := l.Client.Kickstart(soon(t), job, restart)
	is(t, err, xpc.EPERM)
}

func TestPinCode(t *testing.T) {
	program := filepath.Join(t.TempDir(), "program")
	install := func(seconds string) {
		os.Remove(program)
		if err := os.WriteFile(program, []byte("#!/bin/sh\nexec /bin/sleep "+seconds+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	install("1000")
	l := Start(t, PinCode())
	job := l.Job("a", program)
	wait(t, l, 0, Became("running", "a"))
	mark := l.Mark()
	install("2000")
	if _, err := l.Client.Kickstart(soon(t), job, restart); err != nil {
		t.Fatal(err)
	}
	spawn := wait(t, l, mark, Is(Spawn, "a"))
	if e := wait(t, l, spawn.Next, Is(Exit, "a")); e.PID != spawn.PID || !e.Status.Signaled() || e.Status.Signal() != syscall.SIGKILL {
		t.Errorf("%v after %v", e, spawn)
	}
}

func TestSetPenaltyBox(t *testing.T) {
	l := Start(t)
	job := l.LoadKeys(Keys{"Label": "a", "ProgramArguments": []string{"/bin/sleep", "1000"}})
	l.SetPenaltyBox(job, true)
	_, err := l.Client.Kickstart(soon(t), job, launchd.KickstartOptions{})
	is(t, err, xpc.CannotExecute)
	l.SetPenaltyBox(job, false)
	if pid, err := l.Client.Kickstart(soon(t), job, launchd.KickstartOptions{}); err != nil || !runs(pid) {
		t.Errorf("%d, %v", pid, err)
	}
}

func TestLog(t *testing.T) {
	var log bytes.Buffer
	l, err := New(Log(&log))
	if err != nil {
		t.Fatal(err)
	}
	l.Job("a", "/bin/sleep", "1000")
	wait(t, l, 0, Became("running", "a"))
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "/a [") || !strings.Contains(log.String(), "]) <Notice>: service state: running\n") {
		t.Errorf("%s", log.String())
	}
}

func TestTrace(t *testing.T) {
	l := Start(t)
	job := l.Job("a", "/bin/sh", "-c", "read x < /dev/zero") // dies by a signal only
	running := wait(t, l, 0, Became("running", "a"))
	mark := l.Mark()
	before := time.Now()
	if err := l.Client.Kill(soon(t), job, syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	exit := wait(t, l, mark, Is(Exit, "a"))
	if exit.PID != running.PID || exit.Domain != l.GUI().String() || !exit.Status.Signaled() || exit.Status.Signal() != syscall.SIGUSR1 || exit.Time.Before(before) || exit.Time.After(time.Now()) {
		t.Errorf("%+v", exit)
	}
	reply := wait(t, l, mark, Is(Reply, "a"))
	if request := wait(t, l, mark, Is(Request, "a")); request.ID != reply.ID || request.Conn != reply.Conn || request.Peer != reply.Peer || request.Routine != 812 || reply.Code != 0 {
		t.Errorf("%+v, %+v", request, reply)
	} else if request.Peer != os.Getpid() && (request.Peer != 0 || runtime.GOOS == "linux") { // a host for another system's programs may not tell
		t.Errorf("sent by process %d, and this is %d", request.Peer, os.Getpid())
	}
	mark = l.Mark()
	if err := l.Client.Kill(soon(t), job, syscall.SIGUSR1); !errors.Is(err, xpc.ESRCH) {
		t.Error(err)
	}
	if reply = wait(t, l, mark, Is(Reply, "a")); reply.Code != xpc.ESRCH {
		t.Errorf("%+v", reply)
	}

	all := l.Trace(0)
	for i, e := range all {
		if e.Next != Mark(i+1) || (i > 0 && e.Time.Before(all[i-1].Time)) {
			t.Errorf("event %d: %+v", i, e)
		}
	}
	if since := l.Trace(mark); len(since) != len(all)-int(mark) || since[len(since)-1] != all[len(all)-1] {
		t.Errorf("%d of %d events since %d", len(since), len(all), mark)
	}
	if beyond := l.Trace(Mark(len(all) + 100)); len(beyond) != 0 {
		t.Errorf("%v", beyond)
	}
	for _, e := range []Event{all[0], exit, reply, running} {
		if s := e.String(); !strings.HasPrefix(s, string(e.Kind)+" ") || strings.Contains(s, "\n") {
			t.Errorf("%q", s)
		}
	}
}

// What was waited for in vain is told with what happened instead.
func TestWaitInVain(t *testing.T) {
	l := Start(t)
	l.Job("a", "/bin/sleep", "1000")
	wait(t, l, 0, Became("running", "a"))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	asked := map[Mark]int{}
	_, err := l.Wait(ctx, 0, func(e Event) bool { asked[e.Next]++; return false })
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "spawning -> xpcproxy") {
		t.Errorf("%v", err)
	}
	for mark, n := range asked {
		if n != 1 {
			t.Errorf("asked %d times about event %d", n, mark)
		}
	}
}

// A deep temporary folder is no obstacle, although a socket's path must be short.
func TestDeepTemporaryFolder(t *testing.T) {
	deep := filepath.Join(t.TempDir(), strings.Repeat("deep/", 30))
	if err := os.MkdirAll(deep, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", deep)
	l := Start(t)
	if list, err := l.Client.List(soon(t), l.GUI()); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
	if entries, err := os.ReadDir(deep); err != nil || len(entries) != 0 {
		t.Errorf("left there: %v, %v", entries, err)
	}
}

func TestCloseDuringRequests(t *testing.T) {
	// Requests of several goroutines, and a Close in between.
	l, err := New()
	if err != nil {
		t.Fatal(err)
	}
	job := l.Job("a", "/bin/sleep", "1000")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				if _, err := l.Client.Job(soon(t), job); err != nil {
					return
				}
			}
		})
	}
	wait(t, l, l.Mark(), func(e Event) bool { return e.Kind == Reply && e.ID > 50 })
	wg.Go(func() { l.Close() })
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
}
