package launchdtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/launchdsim"
	"github.com/hermes-gw/hermes-gw/launchd"
)

// Launchd is an embedded launchd that serves the domains system, user/UID and gui/UID
// of the effective user. Use [Start], or [New] where there is no test.
//
// Its methods are safe for concurrent use. Those without an error result end the
// test when they fail, so they belong into the test's own goroutine; after New, where
// there is no test to end, they panic.
type Launchd struct {
	// Client is connected to this launchd. Close closes it.
	Client *launchd.Client

	t       testing.TB // nil after New
	dir     string
	gui     bool
	server  *launchdsim.Server
	served  chan error // what Serve returned
	closed  func() error
	journal journal
}

// Start serves an embedded launchd until the end of the test. The test fails if a
// process of a job is left then, see [Launchd.Close].
func Start(t testing.TB, options ...Option) *Launchd {
	t.Helper()
	l, err := New(options...)
	if err != nil {
		t.Fatal(err)
	}
	l.t = t
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// New is [Start] without a test. The caller closes what it returns.
func New(options ...Option) (*Launchd, error) {
	dir, err := temporaryFolder()
	if err != nil {
		return nil, fmt.Errorf("launchdtest: %w", err)
	}
	var o settings
	for _, option := range options {
		option(&o)
	}
	l := &Launchd{dir: dir, gui: !o.NoGUI, served: make(chan error, 1), journal: newJournal()}
	l.closed = sync.OnceValue(l.close)
	o.OnEvent = l.journal.note
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: l.socket(), Net: "unix"})
	if err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("launchdtest: %w", err)
	}
	l.server = launchdsim.New(o.Options)
	go func() { l.served <- l.server.Serve(listener) }()
	l.Client, err = launchd.Open(context.Background(), launchd.Options{Address: l.Address()})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("launchdtest: %w", err), l.Close())
	}
	return l, nil
}

// temporaryFolder makes a folder that only this user can enter, with a path short
// enough for a socket in it.
func temporaryFolder() (string, error) {
	const room = len(syscall.RawSockaddrUnix{}.Path) - 1 - len("/socket")
	dir, err := os.MkdirTemp("", "launchdtest")
	if err == nil && len(dir) > room {
		os.Remove(dir)
		dir, err = os.MkdirTemp("/tmp", "launchdtest")
	}
	return dir, err
}

func (l *Launchd) socket() string { return filepath.Join(l.dir, "socket") }

// Address is where this launchd listens, "unix:PATH", as [launchd.Options] and
// hermes-gw's --launchd and HERMES_GW_LAUNCHD take it. The socket's folder has mode
// 0700, and only this user and root are served.
func (l *Launchd) Address() string { return "unix:" + l.socket() }

// GUI is the domain of the user's graphical session, there or not ([NoGUI]).
func (l *Launchd) GUI() launchd.Domain { return launchd.GUI(os.Geteuid()) }

// User is the user's background domain.
func (l *Launchd) User() launchd.Domain { return launchd.User(os.Geteuid()) }

// Domain is where the jobs of [Launchd.Job] go: the gui domain, or the user domain
// when there is no gui.
func (l *Launchd) Domain() launchd.Domain {
	if l.gui {
		return l.GUI()
	}
	return l.User()
}

// SetFaults replaces the faults in force; without any it ends them. Requests that hang
// already go on hanging.
func (l *Launchd) SetFaults(faults ...Fault) {
	l.server.SetFaults(internalFaults(faults)...)
}

// Alone waits until no other process than this one is connected. Then everything is in the
// trace that other processes sent before they ended, however that was, with its reply.
func (l *Launchd) Alone(ctx context.Context) error {
	// Connections are let in one after the other: one that is answered comes after all that
	// came before it.
	last, err := launchd.Open(ctx, launchd.Options{Address: l.Address()})
	if err == nil {
		_, err = last.List(ctx, l.User())
		last.Close()
	}
	if err != nil {
		return fmt.Errorf("launchdtest: %w", err)
	}
	for {
		n, left := l.server.Strangers()
		if n == 0 {
			return nil
		}
		select {
		case <-left:
		case <-ctx.Done():
			return fmt.Errorf("launchdtest: %d connections of other processes are left: %w", n, ctx.Err())
		}
	}
}

// SetPenaltyBox puts a loaded job into launchd's penalty box, or takes it out. In
// it the job is not started (139, [xpc.CannotExecute]) but by a kickstart with
// unthrottle, which takes it out.
func (l *Launchd) SetPenaltyBox(job launchd.Target, on bool) {
	if !l.server.SetPenaltyBox(job.Domain.String(), job.Label, on) {
		l.helper()
		l.fail(fmt.Errorf("launchdtest: penalty box: %s is not loaded", job))
	}
}

// Close ends every job as launchd does when a session ends: SIGTERM to its process
// group, after the exit timeout SIGKILL, times [TimeScale]. It returns when all
// processes are reaped. Closing again does nothing and returns the same.
//
// A process that a job started and that is still there a second after the job has
// gone, because the job has AbandonProcessGroup or the process ignored the SIGTERM, is
// killed, and the error names it. A process that made a session of its own is out of
// reach.
func (l *Launchd) Close() error { return l.closed() }

func (l *Launchd) close() error {
	var errs []error
	if l.Client != nil {
		errs = append(errs, l.Client.Close())
	}
	errs = append(errs, l.server.Close(), <-l.served, l.endSurvivors(), os.RemoveAll(l.dir))
	return errors.Join(errs...)
}

// endSurvivors kills the process groups that outlive their jobs.
func (l *Launchd) endSurvivors() error {
	const patience = time.Second
	deadline := time.Now().Add(patience)
	var left []string
	for group, label := range l.journal.orphans() {
		for launchdsim.GroupRuns(group) {
			if time.Now().After(deadline) {
				left = append(left, fmt.Sprintf("%s (process group %d)", label, group))
				syscall.Kill(-group, syscall.SIGKILL)
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	if left == nil {
		return nil
	}
	slices.Sort(left)
	return fmt.Errorf("launchdtest: processes outlived their jobs, and were killed: %s", left)
}

func (l *Launchd) helper() {
	if l.t != nil {
		l.t.Helper()
	}
}

// fail ends the test with err, or panics without one.
func (l *Launchd) fail(err error) {
	if l.t == nil {
		panic(err)
	}
	l.t.Helper()
	l.t.Fatal(err)
}
