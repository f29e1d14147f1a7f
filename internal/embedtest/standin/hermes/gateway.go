package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/demo/watch"
	"github.com/hermes-gw/hermes-gw/internal/embedtest/standin"
)

// gateway is one run of the gateway.
type gateway struct {
	*notes
	standin.Behaviour
	record standin.Record

	signals chan os.Signal
	ending  <-chan time.Time // of Behaviour.Exit
	member  *watch.Member    // nil: no demo watches
	gone    <-chan struct{}  // closed when the demo is gone

	lock   *os.File
	listen *os.File

	mu    sync.Mutex // of what follows: sockets and the heartbeat read it
	state state
	// apiServer is its entry of the platforms, where Behaviour.Listen asks for one.
	apiServer *standin.Platform
	close     []func() // what the teardown takes away, besides gateway.pid
}

// cause is why a gateway stops waiting.
type cause struct {
	signal syscall.Signal // 0: none
	exit   bool           // Behaviour.Exit is due
	gone   bool           // the demo is gone
}

// booted is when this process started, as good as Go can tell.
var booted = time.Now()

func runGateway(home string) int {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1)
	n, b := newNotes(standin.RoleGateway, home)
	start, err := startTime()
	if err != nil {
		fmt.Fprintln(os.Stderr, "hermes gateway:", err)
		return n.exit(standin.ExitConfig)
	}
	g := &gateway{
		notes: n, Behaviour: b, signals: signals,
		record: standin.Record{PID: os.Getpid(), Kind: "hermes-gateway", Argv: os.Args, Start: start, Home: home},
	}
	if b.Exit != nil {
		g.ending = time.After(time.Until(booted.Add(b.Exit.After)))
	}
	return g.exit(g.run())
}

func (g *gateway) run() int {
	for _, line := range g.Stderr {
		fmt.Fprintln(os.Stderr, line)
	}
	if g.Behaviour.Exit != nil && g.Behaviour.Exit.After == 0 {
		return g.diesBy(cause{exit: true})
	}
	// Until the first state is written Python's own actions are in force: a signal ends the
	// process.
	if c := g.wait(g.recordStart() + g.BootDelay); c != (cause{}) {
		return g.diesBy(c)
	}
	if !g.NoLock {
		c, err := g.takeLock()
		if c != (cause{}) {
			return g.diesBy(c)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "hermes gateway:", err)
			return standin.ExitSignalled
		}
	}
	if err := g.claim(); err != nil {
		fmt.Fprintln(os.Stderr, "hermes gateway:", err)
		return standin.ExitSignalled
	}
	if err := g.open(); err != nil {
		fmt.Fprintln(os.Stderr, "hermes gateway:", err)
		g.teardown()
		return standin.ExitConfig
	}
	c := g.wait(g.RunDelay)
	if c == (cause{}) && !g.NeverRuns {
		g.enter("running")
		fmt.Println("gateway", os.Getpid(), "running for", g.home)
		if socket := os.Getenv("HERMES_DEMO_WATCH"); socket != "" {
			member, err := watch.Join(socket, os.Getpid(), g.home)
			if err != nil {
				fmt.Fprintln(os.Stderr, "hermes gateway: the demo is gone:", err)
				g.teardown()
				return standin.ExitStopped
			}
			g.member, g.gone = member, member.Lost()
		}
	}
	for c == (cause{}) {
		c = g.wait(forever)
	}
	return g.end(c)
}

// forever is longer than any test.
const forever = 24 * time.Hour

// wait waits so long, or for a cause to end.
func (g *gateway) wait(d time.Duration) cause {
	c, _ := g.waitOr(d, nil, nil)
	return c
}

// waitOr is wait that gives what comes from a channel, or late if nothing does in time.
func (g *gateway) waitOr(d time.Duration, result <-chan error, late error) (cause, error) {
	over := time.After(d)
	for {
		select {
		case s := <-g.signals:
			g.note(standin.Event{Kind: standin.Signal, Signal: int(s.(syscall.Signal))})
			fmt.Println("gateway", os.Getpid(), "got", s)
			if s == syscall.SIGTERM && g.IgnoreTERM {
				continue
			}
			return cause{signal: s.(syscall.Signal)}, nil
		case <-g.ending:
			return cause{exit: true}, nil
		case <-g.gone:
			return cause{gone: true}, nil
		case err := <-result:
			return cause{}, err
		case <-over:
			return cause{}, late
		}
	}
}

// end is what follows a cause; it gives the exit code.
func (g *gateway) end(c cause) int {
	code := standin.ExitStopped
	switch {
	case c.exit, c.signal == syscall.SIGHUP:
		return g.diesBy(c)
	case c.signal == syscall.SIGUSR1:
		code = standin.ExitRestart
		if g.DrainedTo != nil {
			code = *g.DrainedTo
		}
		g.mu.Lock()
		g.state.RestartRequested = true
		g.mu.Unlock()
		g.enter("draining")
		drain := g.Drain
		if g.DrainForever {
			drain = forever
		}
		for until := time.Now().Add(drain); ; {
			c := g.wait(time.Until(until))
			if c == (cause{}) || c.gone {
				break
			}
			if c.exit || c.signal == syscall.SIGHUP {
				return g.diesBy(c)
			}
			if c.signal != syscall.SIGUSR1 {
				code = g.codeOf(c.signal)
				break
			}
		}
	case c.signal != 0:
		code = g.codeOf(c.signal)
	}
	if g.member != nil && !c.gone {
		g.member.Stopping()
	}
	g.teardown()
	return code
}

// codeOf is the exit code after SIGTERM or SIGINT.
func (g *gateway) codeOf(s syscall.Signal) int {
	if s == syscall.SIGINT || g.announced() {
		return standin.ExitStopped
	}
	return standin.ExitSignalled
}

// diesBy ends the process without a teardown.
func (g *gateway) diesBy(c cause) int {
	switch {
	case c.gone:
		return standin.ExitStopped
	case !c.exit:
		return dieBy(c.signal)
	case g.Behaviour.Exit.Signal != 0:
		s := syscall.Signal(g.Behaviour.Exit.Signal)
		if s == syscall.SIGKILL {
			syscall.Kill(os.Getpid(), s)
			select {}
		}
		return dieBy(s)
	}
	return g.Behaviour.Exit.Code
}

// open makes what a running gateway has, in the order in which Hermes does.
func (g *gateway) open() error {
	if g.Listen != "" {
		g.apiServer = &standin.Platform{State: "connecting"}
	}
	g.enter("starting")
	if err := g.control(); err != nil {
		return err
	}
	if g.Listen != "" {
		g.apiServer = g.listenAt(g.Listen)
	}
	if g.Orphan != nil {
		if err := g.leaveOrphan(); err != nil {
			return err
		}
	}
	return g.beat()
}

// teardown takes gateway.pid away first, as Hermes does, long before the process ends. The
// state file says stopped at its end.
func (g *gateway) teardown() {
	g.mu.Lock()
	closers := g.close
	g.close = nil
	g.mu.Unlock()
	if !g.NoPID {
		if r, err := readRecord(filepath.Join(g.home, standin.FilePID)); err == nil && r.PID == os.Getpid() {
			g.remove(standin.FilePID)
		}
	}
	for _, f := range closers {
		f()
	}
	for until := time.Now().Add(g.Teardown); time.Now().Before(until); {
		g.wait(time.Until(until)) // whatever comes is noted, and changes nothing
	}
	g.mu.Lock()
	g.state.ExitReason = g.Behaviour.ExitReason
	g.mu.Unlock()
	g.enter("stopped")
}

// atEnd has f called by the teardown.
func (g *gateway) atEnd(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.close = append(g.close, f)
}

// leaveOrphan starts a child that outlives the gateway.
func (g *gateway) leaveOrphan() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, roleOrphan)
	cmd.Args[0] = os.Args[0]
	if filepath.Base(cmd.Args[0]) != "hermes" {
		cmd.Args[0] = "hermes" // no interpreter: its arguments are no program's
	}
	cmd.Env = append(os.Environ(), "HERMES_HOME="+g.home)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: g.Orphan.Session}
	for _, f := range []*os.File{g.listen, g.lock} {
		if f != nil && (f != g.lock || g.Orphan.Lock) {
			cmd.ExtraFiles = append(cmd.ExtraFiles, f)
		}
	}
	// Known to be there before the gateway says that it runs.
	ready, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	if n, err := ready.Read(make([]byte, 16)); n == 0 {
		return errors.Join(errors.New("the orphan did not start"), err)
	}
	return nil
}
