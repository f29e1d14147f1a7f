//go:build darwin || linux

package proc

import (
	"bytes"
	"context"
	"errors"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestSelf(t *testing.T) {
	id := Self()
	if read, err := Read(os.Getpid()); err != nil || id != read || id.IsZero() || id.Start == 0 {
		t.Errorf("%+v, read as %+v, %v", id, read, err)
	}
	if !(Identity{}).IsZero() {
		t.Error("the zero identity is not zero")
	}
}

// The start is a time in microseconds on the system's clock.
func TestStartIsATime(t *testing.T) {
	before := clock(t)
	c := start(t)
	after := clock(t)
	id, err := Read(c.pid)
	if err != nil || id.PID != c.pid || id.Start < before-clockSlack || id.Start > after+clockSlack {
		t.Errorf("%+v, %v; started between %d and %d", id, err, before, after)
	}
	if self := Self(); self.Start > id.Start || self.Start < after-int64(time.Hour/time.Microsecond) {
		t.Errorf("this process started at %d, now is %d", self.Start, after)
	}
}

func TestExecKeepsTheIdentity(t *testing.T) {
	c, become := execs(t)
	before, err := Read(c.pid)
	if err != nil {
		t.Fatal(err)
	}
	become()
	if after, err := Read(c.pid); err != nil || after != before {
		t.Errorf("%+v became %+v, %v", before, after, err)
	}
}

func TestNoSuchProcess(t *testing.T) {
	c := start(t)
	p := open(t, c.pid)
	if id, err := Read(c.pid); err != nil || p.Identity() != id {
		t.Errorf("opened %+v, read %+v, %v", p.Identity(), id, err)
	}
	c.reap(t)
	for name, err := range map[string]error{
		"Read":         second(Read(c.pid)),
		"Open":         second(Open(c.pid)),
		"OpenIdentity": second(OpenIdentity(p.Identity())),
		"Signal":       p.Signal(syscall.SIGTERM),
	} {
		if !errors.Is(err, ErrGone) || !errors.Is(err, os.ErrProcessDone) {
			t.Errorf("%s: %v, want ErrGone", name, err)
		}
	}
	wait(t, p)
	for _, pid := range []int{0, -1, -c.pid} {
		for name, err := range map[string]error{
			"Read":         second(Read(pid)),
			"Open":         second(Open(pid)),
			"OpenIdentity": second(OpenIdentity(Identity{PID: pid})),
			"Ancestors":    second(Ancestors(pid)),
		} {
			if err == nil || errors.Is(err, ErrGone) {
				t.Errorf("%s of %d: %v, want another error", name, pid, err)
			}
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestZombieIsGone(t *testing.T) {
	c := start(t)
	p := open(t, c.pid)
	c.end()
	wait(t, p) // returns although nobody has reaped it
	// macOS may show it alive for a moment.
	for deadline := time.Now().Add(10 * time.Second); second(Read(c.pid)) == nil && time.Now().Before(deadline); {
		runtime.Gosched()
	}
	for name, err := range map[string]error{
		"Read":         second(Read(c.pid)),
		"Open":         second(Open(c.pid)),
		"OpenIdentity": second(OpenIdentity(p.Identity())),
		"Ancestors":    second(Ancestors(c.pid)),
		"Signal":       p.Signal(syscall.SIGTERM),
	} {
		if !errors.Is(err, ErrGone) {
			t.Errorf("%s: %v, want ErrGone", name, err)
		}
	}
	if err := syscall.Kill(c.pid, 0); err != nil {
		t.Errorf("the zombie was reaped by somebody: %v", err)
	}
}

func TestWaitForAStranger(t *testing.T) {
	pid, stdin := orphan(t)
	p := open(t, pid)
	result := make(chan error, 1)
	go func() { result <- p.Wait(context.Background()) }()
	select {
	case err := <-result:
		t.Fatalf("Wait returned %v before the exit", err)
	default:
	}
	stdin.Close()
	if err := <-result; err != nil {
		t.Error(err)
	}
}

func TestManyWaiters(t *testing.T) {
	c := start(t)
	p := open(t, c.pid)
	ctx, cancel := context.WithCancel(context.Background())
	given, kept := make(chan error), make(chan error)
	const each = 10
	for range each {
		go func() { given <- p.Wait(ctx) }()
		go func() { kept <- p.Wait(context.Background()) }()
	}
	cancel()
	for range each {
		if err := <-given; err != context.Canceled {
			t.Errorf("cancelled: %v", err)
		}
	}
	select {
	case err := <-kept:
		t.Errorf("another one's cancellation ended a wait: %v", err)
	default:
	}
	c.end()
	for range each {
		if err := <-kept; err != nil {
			t.Error(err)
		}
	}
	if err := p.Wait(ctx); err != nil { // the exit counts for more
		t.Errorf("after the exit: %v", err)
	}
}

func TestWaitDeadline(t *testing.T) {
	c := start(t)
	p := open(t, c.pid)
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if err := p.Wait(ctx); err != context.DeadlineExceeded {
		t.Errorf("%v, want the deadline", err)
	}
	c.end()
	wait(t, p)
}

func TestClose(t *testing.T) {
	c := start(t)
	p := open(t, c.pid)
	results := make(chan error)
	for range 3 {
		go func() { results <- p.Wait(context.Background()) }()
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	for range 3 {
		if err := <-results; !errors.Is(err, os.ErrClosed) {
			t.Errorf("Wait: %v, want ErrClosed", err)
		}
	}
	for name, err := range map[string]error{
		"Wait":   p.Wait(context.Background()),
		"Signal": p.Signal(syscall.SIGKILL),
		"Close":  p.Close(),
	} {
		if !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s: %v, want ErrClosed", name, err)
		}
	}
	if err := second(OpenIdentity(p.Identity())); err != nil {
		t.Errorf("the process did not survive: %v", err)
	}

	// Closed without a wait, and after the exit.
	p = open(t, c.pid)
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if err := p.Wait(context.Background()); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Wait: %v, want ErrClosed", err)
	}
	p = open(t, c.pid)
	c.end()
	wait(t, p)
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

func TestConcurrentUse(t *testing.T) {
	c := start(t)
	p := open(t, c.pid)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() { p.Wait(context.Background()) })
		all.Go(func() { p.Signal(syscall.SIGCONT) })
	}
	all.Go(func() { p.Close() })
	all.Wait()
}

var errArguments = errors.New("it has other arguments")

func TestSignal(t *testing.T) {
	for _, way := range signalWays {
		t.Run(way.name, func(t *testing.T) {
			way.use(t)
			t.Run("live", func(t *testing.T) {
				c := start(t)
				if err := open(t, c.pid).Signal(syscall.SIGTERM); err != nil {
					t.Error(err)
				}
				if sig := c.signalled(); sig != syscall.SIGTERM {
					t.Errorf("the process died of %v, not SIGTERM", sig)
				}
			})
			t.Run("only if", func(t *testing.T) {
				c := start(t)
				p := open(t, c.pid)
				no := errors.New("not this one")
				if err := p.SignalIf(syscall.SIGKILL, func() error { return no }); err != no {
					t.Errorf("%v, want %v", err, no)
				}
				if err := p.SignalIf(syscall.SIGTERM, func() error { return nil }); err != nil {
					t.Error(err)
				}
				if sig := c.signalled(); sig != syscall.SIGTERM {
					t.Errorf("the process died of %v, not SIGTERM", sig)
				}
				if err := p.SignalIf(0, func() error { t.Error("asked about no signal"); return nil }); err == nil {
					t.Error("signal 0 is sent")
				}
			})
			t.Run("after exec", func(t *testing.T) {
				c, become := execs(t)
				p := open(t, c.pid)
				become()
				if err := p.Signal(syscall.SIGUSR1); err != nil {
					t.Error(err)
				}
				if sig := c.signalled(); sig != syscall.SIGUSR1 {
					t.Errorf("the process died of %v, not SIGUSR1", sig)
				}
			})
			// The same process, by its identity, but not what was looked for any more.
			t.Run("other arguments", func(t *testing.T) {
				c, become := execs(t)
				p := open(t, c.pid)
				planned := arguments(t, c.pid)
				check := func() error {
					if !bytes.Equal(arguments(t, c.pid), planned) {
						return errArguments
					}
					return nil
				}
				become()
				if err := p.SignalIf(syscall.SIGKILL, check); err != errArguments {
					t.Errorf("%v, want %v", err, errArguments)
				}
				c.reap(t) // fails if the signal was delivered
			})
			// Whatever happens while the caller looks comes before the look at the identity.
			t.Run("gone while asked", func(t *testing.T) {
				c := start(t)
				p := open(t, c.pid)
				if err := p.SignalIf(syscall.SIGKILL, func() error { c.reap(t); return nil }); !errors.Is(err, ErrGone) {
					t.Errorf("%v, want ErrGone", err)
				}
			})
			t.Run("reused while asked", func(t *testing.T) {
				if way.name == "pidfd" {
					t.Skip("a pidfd stays the process's own")
				}
				c := start(t)
				p := open(t, c.pid)
				if err := p.SignalIf(syscall.SIGKILL, func() error { p.h.id.Start--; return nil }); !errors.Is(err, ErrGone) {
					t.Errorf("%v, want ErrGone", err)
				}
				c.reap(t) // fails if the signal was delivered
			})
			t.Run("zombie", func(t *testing.T) {
				c := start(t)
				p := open(t, c.pid)
				c.cmd.Process.Kill()
				untilZombie(t, c.pid)
				if err := p.Signal(syscall.SIGTERM); !errors.Is(err, ErrGone) {
					t.Errorf("%v, want ErrGone", err)
				}
			})
			t.Run("reaped", func(t *testing.T) {
				c := start(t)
				p := open(t, c.pid)
				c.reap(t)
				if err := p.Signal(syscall.SIGTERM); !errors.Is(err, ErrGone) {
					t.Errorf("%v, want ErrGone", err)
				}
			})
			t.Run("invalid", func(t *testing.T) {
				p := open(t, start(t).pid)
				for _, sig := range []syscall.Signal{0, -1, 1000} {
					if err := p.Signal(sig); err == nil || errors.Is(err, ErrGone) {
						t.Errorf("signal %d: %v, want another error", int(sig), err)
					}
				}
				if err := second(OpenIdentity(p.Identity())); err != nil {
					t.Errorf("the process did not survive: %v", err)
				}
			})
			t.Run("pid 1", func(t *testing.T) {
				p, err := Open(1)
				if err != nil {
					t.Skip(err)
				}
				defer p.Close()
				if err := p.Signal(syscall.SIGCONT); err == nil {
					t.Error("a signal went to pid 1")
				}
			})
		})
	}
}

// untilZombie waits for an exit without Process.
func untilZombie(t testing.TB, pid int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); second(Read(pid)) == nil; {
		if time.Now().After(deadline) {
			t.Fatalf("process %d does not end", pid)
		}
		runtime.Gosched()
	}
}

// A process that got the pid of another differs in its start.
func TestReusedPID(t *testing.T) {
	c := start(t)
	id, err := Read(c.pid)
	if err != nil {
		t.Fatal(err)
	}
	for _, other := range []int64{id.Start - 1, id.Start + 1, 0} {
		if p, err := OpenIdentity(Identity{PID: c.pid, Start: other}); !errors.Is(err, ErrGone) || p != nil {
			t.Errorf("start %d instead of %d: %v, want ErrGone", other, id.Start, err)
		}
	}
	p, err := OpenIdentity(id)
	if err != nil || p.Identity() != id {
		t.Fatalf("%v, %v", p, err)
	}
	p.Close()
}

// openFDs counts this process's descriptors, by asking for each: that works where
// there is no /proc, too. darwinhost's own ones begin at 700.
func openFDs() (n int) {
	for fd := range uintptr(700) {
		if _, err := unix.FcntlInt(fd, unix.F_GETFD, 0); err == nil {
			n++
		}
	}
	return n
}

func TestNothingLeaks(t *testing.T) {
	c := start(t)
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	once := func(i int) {
		p, err := OpenIdentity(must(t, c.pid))
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		switch i % 4 {
		case 0: // no wait at all
		case 1:
			if err := p.Wait(gone); err != context.Canceled {
				t.Fatal(err)
			}
		case 2:
			go p.Wait(context.Background()) // Close ends it
		case 3: // refused
			if _, err := OpenIdentity(Identity{c.pid, 1}); !errors.Is(err, ErrGone) {
				t.Fatal(err)
			}
		}
	}
	once(1) // opens the poller, or loads a library
	fds, goroutines := openFDs(), runtime.NumGoroutine()
	for i := range 1000 {
		once(i)
	}
	exiting := start(t)
	p := open(t, exiting.pid)
	exiting.reap(t)
	wait(t, p)
	p.Close()
	// A goroutine that has sent its last may still be counted.
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > goroutines && time.Now().Before(deadline); {
		runtime.Gosched()
	}
	if got := runtime.NumGoroutine(); got > goroutines {
		t.Errorf("%d goroutines, %d before", got, goroutines)
	}
	if got := openFDs(); got > fds {
		t.Errorf("%d descriptors, %d before", got, fds)
	}
}

func must(t testing.TB, pid int) Identity {
	t.Helper()
	id, err := Read(pid)
	if err != nil {
		t.Fatal(err)
	}
	return id
}
