package fleet

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/launchdsim"
	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/launchd/launchdtest"
	"github.com/hermes-gw/hermes-gw/xpc"
	"golang.org/x/sys/unix"
)

// world is an embedded launchd, in this process or in one of its own.
type world interface {
	Address() string
	Close() error
	Mark() launchdtest.Mark
	Trace(launchdtest.Mark) []launchdtest.Event
	Wait(context.Context, launchdtest.Mark, func(launchdtest.Event) bool) (launchdtest.Event, error)
}

// startHere serves launchd in this process.
func (f *Fleet) startHere() (world, error) {
	options := slices.Clone(f.options.Launchd)
	if f.options.NoGUI {
		options = append(options, launchdtest.NoGUI())
	}
	if f.options.TimeScale != 0 {
		options = append(options, launchdtest.TimeScale(f.options.TimeScale))
	}
	l, err := launchdtest.New(append(options, launchdtest.Deny(f.options.Deny...))...)
	if err != nil {
		return nil, err
	}
	f.Launchd, f.Client = l, l.Client
	return l, nil
}

// process is an embedded launchd in a process of its own.
type process struct {
	socket string
	client *launchd.Client
	cmd    *exec.Cmd
	stderr strings.Builder // to be read after its end
	ended  chan struct{}
	err    error     // how it ended; set before ended is closed
	zero   time.Time // when the trace's clock was 0

	mu      sync.Mutex
	events  []launchdtest.Event
	changed chan struct{} // closed and replaced at every event
	over    bool          // no more will come
}

// startProcess starts launchd and waits until it serves.
func (f *Fleet) startProcess() (world, error) {
	if len(f.options.Launchd) > 0 {
		return nil, errors.New("a launchd in a process of its own takes none of launchdtest's options")
	}
	path, err := builtLaunchd()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(f.Dir, "launchd")
	if err := os.Mkdir(dir, 0o711); err != nil { // another user's worker comes here, too
		return nil, err
	}
	trace := filepath.Join(dir, "trace")
	if err := syscall.Mkfifo(trace, 0o600); err != nil {
		return nil, err
	}
	zero, err := ClockZero()
	if err != nil {
		return nil, err
	}
	p := &process{zero: zero, socket: filepath.Join(dir, "socket"), ended: make(chan struct{}), changed: make(chan struct{})}
	args := []string{"--socket", p.socket, "--trace", trace}
	if len(f.options.Deny) > 0 {
		var numbers []string
		for _, r := range f.options.Deny {
			numbers = append(numbers, strconv.FormatUint(r, 10))
		}
		args = append(args, "--deny", strings.Join(numbers, ","))
	}
	if f.options.TimeScale != 0 {
		args = append(args, "--time-scale", strconv.FormatFloat(f.options.TimeScale, 'g', -1, 64))
	}
	if f.options.NoGUI {
		args = append(args, "--no-gui")
	}
	if f.UID != os.Geteuid() {
		args = append(args, "--uid", strconv.Itoa(f.UID))
	}
	p.cmd = exec.Command(path, args...)
	p.cmd.Env = f.environment()
	p.cmd.Stderr = &p.stderr
	p.cmd.WaitDelay = time.Second // of a job that inherited stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := tied(p.cmd, p.ended); err != nil {
		return nil, err
	}
	go p.follow(trace)
	first, _ := bufio.NewReader(stdout).ReadString('\n')
	go func() {
		io.Copy(io.Discard, stdout)
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	if strings.TrimSpace(first) != "ready "+p.socket {
		return nil, errors.Join(fmt.Errorf("the embedded launchd said %q", first), p.Close())
	}
	ctx, cancel := f.soon()
	defer cancel()
	if p.client, err = launchd.Open(ctx, launchd.Options{Address: p.Address()}); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	f.Client = p.client
	return p, nil
}

func (p *process) Address() string { return "unix:" + p.socket }

// ClockZero is when CLOCK_MONOTONIC was 0, which is what traces, and kills, tell times by. This process may lose the
// processor between its two looks, which makes it too late: the earliest of some counts.
func ClockZero() (zero time.Time, err error) {
	for range 20 {
		var t unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
			return time.Time{}, err
		}
		if at := time.Now().Add(-time.Duration(t.Nano())); zero.IsZero() || at.Before(zero) {
			zero = at
		}
	}
	return zero, nil
}

// Close asks launchd to stop its jobs and itself, and kills it when that takes too long.
func (p *process) Close() error {
	var errs []error
	if p.client != nil {
		errs = append(errs, p.client.Close())
	}
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.cmd.Process.Kill()
		<-p.ended
		errs = append(errs, fmt.Errorf("the embedded launchd did not stop within %v", patience))
	}
	if p.err != nil {
		errs = append(errs, fmt.Errorf("the embedded launchd: %w: %s", p.err, &p.stderr))
	}
	return errors.Join(errs...)
}

// follow reads the trace until its writer ends.
func (p *process) follow(path string) {
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.over = true
		close(p.changed)
	}()
	file, err := os.Open(path) // waits for the writer
	if err != nil {
		return
	}
	defer file.Close()
	lines := json.NewDecoder(file)
	for {
		var e launchdsim.Event
		if lines.Decode(&e) != nil {
			return
		}
		p.note(e)
	}
}

func (p *process) note(e launchdsim.Event) {
	event := launchdtest.Event{
		Time: p.zero.Add(time.Duration(e.Time)), Kind: launchdtest.Kind(e.Kind), Domain: e.Domain, Label: e.Label, PID: e.PID,
		Conn: e.Conn, ID: e.ID, Routine: e.Routine, Peer: e.Peer, From: e.From, To: e.To, Signal: syscall.Signal(e.Signal),
	}
	if e.Error != nil {
		event.Code = xpc.Errno(*e.Error)
	}
	if e.Status != nil {
		event.Status = syscall.WaitStatus(*e.Status)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	event.Next = launchdtest.Mark(len(p.events) + 1)
	p.events = append(p.events, event)
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *process) Mark() launchdtest.Mark {
	p.mu.Lock()
	defer p.mu.Unlock()
	return launchdtest.Mark(len(p.events))
}

func (p *process) Trace(m launchdtest.Mark) []launchdtest.Event {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.events[min(max(int(m), 0), len(p.events)):])
}

func (p *process) Wait(ctx context.Context, m launchdtest.Mark, want func(launchdtest.Event) bool) (launchdtest.Event, error) {
	for next := max(int(m), 0); ; {
		p.mu.Lock()
		changed, over := p.changed, p.over
		fresh := p.events[min(next, len(p.events)):]
		p.mu.Unlock()
		for _, e := range fresh {
			if want(e) {
				return e, nil
			}
			next = int(e.Next)
		}
		if over {
			return launchdtest.Event{}, errors.New("the embedded launchd has ended")
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return launchdtest.Event{}, fmt.Errorf("none of %d events is the one that was waited for: %v\n%w", next, p.Trace(m), ctx.Err())
		}
	}
}
