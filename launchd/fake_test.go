package launchd

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/proc"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// sent is one request that a transport saw, without its shared memory.
type sent struct {
	Routine uint64
	Msg     xpc.Dict
}

// transport is an xpc.Transport made of one function.
type transport func(ctx context.Context, routine uint64, msg xpc.Dict) (xpc.Dict, error)

func (f transport) Call(ctx context.Context, routine uint64, msg xpc.Dict) (xpc.Dict, error) {
	return f(ctx, routine, msg)
}

// answering returns a client of a launchd that always gives this answer, and what it was
// asked.
func answering(reply xpc.Dict, err error) (*Client, *[]sent) {
	var log []sent
	return New(transport(func(_ context.Context, routine uint64, msg xpc.Dict) (xpc.Dict, error) {
		log = append(log, sent{routine, msg})
		return reply, err
	}), nil), &log
}

// writeText answers a print request that brings shared memory.
func writeText(msg xpc.Dict, text string) (xpc.Dict, error) {
	shmem, ok := msg["shmem"].(*xpc.Shmem)
	if !ok {
		return nil, xpc.EINVAL
	}
	return xpc.Dict{"bytes-written": uint64(copy(shmem.Bytes(), text))}, nil
}

// processTable is a table of processes that live as long as a test says.
type processTable struct {
	mu        sync.Mutex
	live      map[int]*fakeProcess
	began     map[proc.Identity]time.Time
	ancestry  []int // of the caller
	unsure    error // what ancestors answers besides
	unopen    error // what open answers
	holds     int
	startTime int64         // of the next process
	parents   map[int][]int // ancestors of other processes than the caller
	signals   []signaled
	onSignal  func(pid int, sig syscall.Signal)
}

type fakeProcess struct {
	table *processTable
	id    proc.Identity
	gone  chan struct{}
}

func newTable() *processTable {
	return &processTable{live: map[int]*fakeProcess{}, began: map[proc.Identity]time.Time{}}
}

func (p *processTable) spawn(pid int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.startTime += 1000
	f := &fakeProcess{p, proc.Identity{PID: pid, Start: p.startTime}, make(chan struct{})}
	p.live[pid], p.began[f.id] = f, time.Now()
}

func (p *processTable) exit(pid int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.live[pid].gone)
	delete(p.live, pid)
}

func (p *processTable) open(id proc.Identity) (process, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.unopen != nil {
		return nil, p.unopen
	}
	f := p.live[id.PID]
	if f == nil || f.id != id {
		return nil, proc.ErrGone
	}
	p.holds++
	return f, nil
}

func (p *processTable) read(pid int) (proc.Identity, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.unopen != nil {
		return proc.Identity{}, p.unopen
	}
	if f := p.live[pid]; f != nil {
		return f.id, nil
	}
	return proc.Identity{}, proc.ErrGone
}

func (p *processTable) ancestors(of int) (list []proc.Identity, err error) {
	above := p.ancestry
	if more, other := p.parents[of]; other {
		above = more
	}
	for _, pid := range above {
		id := proc.Identity{PID: pid, Start: 1}
		if f := p.live[pid]; f != nil {
			id = f.id
		}
		list = append(list, id)
	}
	return list, p.unsure
}

func (p *processTable) age(id proc.Identity) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Since(p.began[id])
}

func (f *fakeProcess) Wait(ctx context.Context) error {
	select {
	case <-f.gone:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Signal lets the table's onSignal decide what the process does.
func (f *fakeProcess) Signal(sig syscall.Signal) error {
	f.table.mu.Lock()
	alive := f.table.live[f.id.PID] == f
	react := f.table.onSignal
	f.table.signals = append(f.table.signals, signaled{f.id.PID, sig})
	f.table.mu.Unlock()
	if !alive {
		return proc.ErrGone
	}
	if react != nil {
		react(f.id.PID, sig)
	}
	return nil
}

// signaled is one signal that was sent.
type signaled struct {
	pid int
	sig syscall.Signal
}

func (f *fakeProcess) Close() error {
	f.table.mu.Lock()
	defer f.table.mu.Unlock()
	f.table.holds--
	return nil
}

// model is a launchd with one job, whose answers to kickstarts a test scripts.
type model struct {
	t     testing.TB
	procs *processTable

	mu       sync.Mutex
	loaded   bool
	enabled  bool
	pid      int
	state    string
	exit     int // exit timeout, seconds
	throttle int
	ending   string               // the last line of print's text before the brace
	refuse   map[uint64]xpc.Errno // routines that are refused
	hang     []uint64             // routines that are taken and never answered
	kicks    []kick               // what kickstarts answer, in order
	log      []sent               // all requests
}

// kick is the answer to one kickstart. do runs with the model unlocked.
type kick func(ctx context.Context, m *model) (pid int, err error)

func newModel(t testing.TB, pid int, kicks ...kick) (*model, *Client) {
	m := &model{t: t, procs: newTable(), loaded: true, enabled: true, pid: pid, exit: 5, throttle: 10, kicks: kicks}
	if pid > 0 {
		m.procs.spawn(pid)
	}
	c := New(m, nil)
	c.procs = m.procs
	return m, c
}

// set puts another process in place of the job's; 0 is none.
func (m *model) set(pid int) {
	m.mu.Lock()
	old := m.pid
	m.pid, m.state = pid, ""
	m.mu.Unlock()
	if old > 0 {
		m.procs.exit(old)
	}
	if pid > 0 {
		m.procs.spawn(pid)
	}
}

// is sets the word that print shows.
func (m *model) is(state string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state = state
}

func (m *model) Call(ctx context.Context, routine uint64, msg xpc.Dict) (xpc.Dict, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	m.log = append(m.log, sent{routine, msg})
	if code, refused := m.refuse[routine]; refused {
		m.mu.Unlock()
		return nil, code
	}
	if slices.Contains(m.hang, routine) {
		m.mu.Unlock()
		<-ctx.Done()
		return nil, &xpc.UnknownOutcome{Routine: routine, Err: ctx.Err()}
	}
	defer m.mu.Unlock()
	switch {
	case routine == routineEnabled:
		return xpc.Dict{"loaded": m.loaded, "enabled": m.enabled}, nil
	case routine == routineBootstrap:
		m.loaded = true
		return xpc.Dict{}, nil
	case !m.loaded:
		return nil, xpc.NoSuchService
	}
	switch routine {
	case routinePrintService:
		return writeText(msg, m.text())
	case routineAttributes:
		return xpc.Dict{"attrs": xpc.Dict{"pid": int64(m.pid), "path": "/p"}}, nil
	case routineKickstart:
		if len(m.kicks) == 0 {
			m.t.Errorf("a kickstart too many: %v", msg)
			return nil, xpc.Errno(153)
		}
		next := m.kicks[0]
		m.kicks = m.kicks[1:]
		m.mu.Unlock()
		pid, err := next(ctx, m)
		m.mu.Lock()
		if err != nil {
			return nil, err
		}
		return xpc.Dict{"pid": int64(pid)}, nil
	}
	m.t.Errorf("unexpected request %d %v", routine, msg)
	return nil, xpc.EDOM
}

func (m *model) text() string {
	state := m.state
	pid := ""
	if state == "" {
		state = "not running"
		if m.pid > 0 {
			state = "running"
		}
	}
	if m.pid > 0 {
		pid = fmt.Sprintf("\tpid = %d\n", m.pid)
	}
	return fmt.Sprintf("%s = {\n\tstate = %s\n\tminimum runtime = %d\n\texit timeout = %d\n%s\tlast exit code = 78: EX_CONFIG\n%s}\n",
		target, state, m.throttle, m.exit, pid, m.ending)
}

// kickstarts returns the kill flag of each kickstart so far, and fails the test if one
// was not as all of them must be.
func (m *model) kickstarts() (kills []bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.log {
		switch s.Routine {
		case routineBootstrap, routineBootout, 816:
			m.t.Errorf("a restart sent %d", s.Routine)
		case routineKickstart:
			kill, _ := s.Msg.Bool("kill")
			if unthrottle, _ := s.Msg.Bool("unthrottle"); !unthrottle {
				m.t.Errorf("a kickstart without unthrottle: %v", s.Msg)
			}
			kills = append(kills, kill)
		}
	}
	return kills
}

func (m *model) done(kills ...bool) {
	m.t.Helper()
	if got := m.kickstarts(); !slices.Equal(got, kills) {
		m.t.Errorf("kickstarts with kill = %v, want %v", got, kills)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.kicks) > 0 {
		m.t.Errorf("%d kickstarts were not sent", len(m.kicks))
	}
	if m.procs.holds != 0 {
		m.t.Errorf("%d processes are still held", m.procs.holds)
	}
}

// Kicks.

// becomes replaces the process after a while and names the new one.
func becomes(pid int, after time.Duration) kick {
	return func(_ context.Context, m *model) (int, error) {
		time.Sleep(after)
		m.set(pid)
		return pid, nil
	}
}

// refuses answers with a number and changes nothing.
func refuses(code xpc.Errno) kick {
	return func(context.Context, *model) (int, error) { return 0, code }
}

// names answers with a pid and changes nothing.
func names(pid int) kick {
	return func(context.Context, *model) (int, error) { return pid, nil }
}
