package launchd

import (
	"context"
	"errors"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hermes-gw/hermes-gw/xpc"
)

// steps collects what OnEvent is told.
func steps(list *[]string) func(Event) {
	return func(e Event) {
		s := string(e.Kind)
		if e.Detail != "" {
			s += " " + e.Detail
		}
		*list = append(*list, s)
	}
}

// exits lets a signalled process leave after a while, with launchd seeing it.
func (m *model) exits(after time.Duration) {
	m.procs.onSignal = func(pid int, _ syscall.Signal) {
		go func() {
			time.Sleep(after)
			m.set(0)
		}()
	}
}

func TestRestartGraceful(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, c := newModel(t, 100, becomes(200, 0))
		m.exits(3 * time.Second)
		var told []string
		r, err := c.Restart(t.Context(), target, RestartOptions{Graceful: &Graceful{Signal: syscall.SIGUSR1}, OnEvent: steps(&told)})
		expect(t, r, err, OutcomeRestarted, 100, 200, MethodGraceful)
		took(t, r, 3*time.Second, 3*time.Second)
		if want := []signaled{{100, syscall.SIGUSR1}}; !slices.Equal(m.procs.signals, want) {
			t.Errorf("signals %v", m.procs.signals)
		}
		if want := []string{"signaled SIGUSR1", "exited", "requested kickstart without kill", "spawned"}; !slices.Equal(told, want) {
			t.Errorf("told %q", told)
		}
		m.done(false)
	})
	synctest.Test(t, func(t *testing.T) { // KeepAlive was faster: its process is the new one
		m, c := newModel(t, 100, names(200))
		m.procs.onSignal = func(int, syscall.Signal) { m.set(200) }
		r, err := c.Restart(t.Context(), target, RestartOptions{Graceful: &Graceful{}})
		expect(t, r, err, OutcomeRestarted, 100, 200, MethodGraceful)
		if want := []signaled{{100, syscall.SIGTERM}}; !slices.Equal(m.procs.signals, want) {
			t.Errorf("signals %v", m.procs.signals)
		}
		m.done(false)
	})
	synctest.Test(t, func(t *testing.T) { // a job without a process has nothing to finish
		m, c := newModel(t, 0, becomes(200, 0))
		r, err := c.Restart(t.Context(), target, RestartOptions{Graceful: &Graceful{}})
		expect(t, r, err, OutcomeStarted, 0, 200, MethodKickstart)
		m.done(true)
	})
}

// The signal goes to the gateway, not to the wrapper that is the job's process, and both
// must be gone before the job is started.
func TestRestartGracefulWrapped(t *testing.T) {
	wrapped := func(t *testing.T, kicks ...kick) (*model, *Client, *Graceful) {
		m, c := newModel(t, 100, kicks...)
		m.procs.spawn(150)
		m.procs.parents = map[int][]int{150: {120, 100, 1}, 170: {1}}
		return m, c, &Graceful{Signal: syscall.SIGUSR1, Process: func(_ context.Context, job Identity) (Identity, error) {
			if job.PID != 100 {
				t.Errorf("asked about %v", job)
			}
			return c.procs.read(150)
		}}
	}
	synctest.Test(t, func(t *testing.T) {
		m, c, g := wrapped(t, becomes(200, 0))
		m.procs.onSignal = func(pid int, _ syscall.Signal) {
			go func() {
				time.Sleep(time.Second)
				m.procs.exit(pid)
				time.Sleep(time.Second)
				m.set(0)
			}()
		}
		r, err := c.Restart(t.Context(), target, RestartOptions{Graceful: g})
		expect(t, r, err, OutcomeRestarted, 100, 200, MethodGraceful)
		took(t, r, 2*time.Second, 2*time.Second)
		if want := []signaled{{150, syscall.SIGUSR1}}; !slices.Equal(m.procs.signals, want) {
			t.Errorf("signals %v", m.procs.signals)
		}
		m.done(false)
	})
	synctest.Test(t, func(t *testing.T) { // a stranger is never signalled
		m, c, g := wrapped(t)
		m.procs.spawn(170)
		g.Process = func(context.Context, Identity) (Identity, error) { return c.procs.read(170) }
		r, err := c.Restart(t.Context(), target, RestartOptions{Graceful: g})
		expect(t, r, err, OutcomeFailed, 100, 0, "")
		if err == nil || !strings.Contains(err.Error(), "not a descendant") || len(m.procs.signals) != 0 {
			t.Error(err, m.procs.signals)
		}
		m.done()
	})
	synctest.Test(t, func(t *testing.T) { // the job's process has gone, the gateway has not
		m, c, g := wrapped(t, names(200))
		g.For = 4 * time.Second
		m.procs.onSignal = func(int, syscall.Signal) { m.set(200) }
		r, err := c.Restart(t.Context(), target, RestartOptions{Graceful: g})
		expect(t, r, err, OutcomeRestarted, 100, 200, MethodGraceful)
		if len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "150") {
			t.Error(r.Warnings)
		}
		m.done(false) // and no kill, which would hit the newborn
	})
	for _, limit := range []time.Duration{4 * time.Second, 40 * time.Second} { // the gateway has gone, its wrapper stays
		synctest.Test(t, func(t *testing.T) {
			m, c, g := wrapped(t, becomes(200, 0))
			g.For, g.Leave = limit, true
			m.procs.onSignal = func(pid int, _ syscall.Signal) {
				go func() {
					time.Sleep(time.Second)
					m.procs.exit(pid)
				}()
			}
			r, err := c.Restart(t.Context(), target, RestartOptions{Graceful: g})
			expect(t, r, err, OutcomeRestarted, 100, 200, MethodKickstart)
			took(t, r, min(limit, 6*time.Second), min(limit, 6*time.Second))
			if len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "100 stayed") {
				t.Error(r.Warnings)
			}
			m.done(true)
		})
	}
}

// A drain that does not end: the kill comes at the deadline, if the job still has the
// old process, and not at all if it is to be left alone.
func TestRestartGracefulDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, c := newModel(t, 100, becomes(200, 0))
		r, err := c.Restart(t.Context(), target, RestartOptions{Graceful: &Graceful{For: 7 * time.Second}})
		expect(t, r, err, OutcomeRestarted, 100, 200, MethodKickstart)
		took(t, r, 7*time.Second, 7*time.Second)
		if len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "did not finish") {
			t.Error(r.Warnings)
		}
		m.done(true)
	})
	synctest.Test(t, func(t *testing.T) { // the exit timeout is the default
		m, c := newModel(t, 100, becomes(200, 0))
		r, err := c.Restart(t.Context(), target, RestartOptions{Graceful: &Graceful{}})
		expect(t, r, err, OutcomeRestarted, 100, 200, MethodKickstart)
		took(t, r, 5*time.Second, 5*time.Second)
		m.done(true)
	})
	synctest.Test(t, func(t *testing.T) {
		m, c := newModel(t, 100)
		r, err := c.Restart(t.Context(), target, RestartOptions{Graceful: &Graceful{For: 7 * time.Second, Leave: true}})
		expect(t, r, err, OutcomeNotReady, 100, 0, "")
		if !errors.Is(err, ErrDraining) {
			t.Error(err)
		}
		m.done()
	})
	synctest.Test(t, func(t *testing.T) { // out of time is no licence to kill
		m, c := newModel(t, 100)
		r, err := c.Restart(t.Context(), target, RestartOptions{Timeout: 3 * time.Second, Graceful: &Graceful{For: 7 * time.Second}})
		expect(t, r, err, OutcomeNotReady, 100, 0, "")
		if !errors.Is(err, ErrDraining) || !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		m.done()
	})
}

// The drain has ended, and the caller is told to stop at that very moment: the request that
// closes it is sent, because nobody else may start the job.
func TestRestartGracefulInterrupted(t *testing.T) {
	for _, how := range []string{"cancelled", "out of time"} {
		synctest.Test(t, func(t *testing.T) {
			m, c := newModel(t, 100, becomes(200, 0))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			o := RestartOptions{Graceful: &Graceful{For: 7 * time.Second}}
			if how == "out of time" {
				o.Timeout = 3 * time.Second
			}
			m.procs.onSignal = func(int, syscall.Signal) {
				go func() {
					time.Sleep(3 * time.Second)
					m.set(0)
					if how == "cancelled" {
						cancel()
					}
				}()
			}
			r, err := c.Restart(ctx, target, o)
			if err != nil || r.Outcome != OutcomeRestarted || r.New != 200 {
				// The exit came after the end: then nothing is sent any more.
				if r.Outcome != OutcomeNotReady || !errors.Is(err, ErrDraining) || how == "cancelled" {
					t.Errorf("%s: %+v, %v", how, r, err)
				}
				m.kicks = nil
				m.done()
				return
			}
			m.done(false)
		})
	}
	synctest.Test(t, func(t *testing.T) { // and one that launchd does not answer holds nobody up
		m, c := newModel(t, 100, holdsOn)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		m.procs.onSignal = func(int, syscall.Signal) { m.set(0); cancel() }
		r, err := c.Restart(ctx, target, RestartOptions{Graceful: &Graceful{For: 7 * time.Second}})
		expect(t, r, err, OutcomeUnknown, 100, 0, "")
		took(t, r, lastLook, 2*lastLook)
		m.done(false)
	})
}

// The gateway has gone before it could be asked, its wrapper has not: it is waited for, and
// stopped at the deadline.
func TestRestartGracefulGatewayGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, c := newModel(t, 100, becomes(200, 0))
		m.procs.parents = map[int][]int{150: {100, 1}}
		g := &Graceful{For: 4 * time.Second, Process: func(context.Context, Identity) (Identity, error) {
			return Identity{PID: 150, Start: 7}, nil
		}}
		r, err := c.Restart(t.Context(), target, RestartOptions{Graceful: g})
		expect(t, r, err, OutcomeRestarted, 100, 200, MethodKickstart)
		took(t, r, 4*time.Second, 4*time.Second)
		if len(m.procs.signals) != 0 {
			t.Errorf("signals %v", m.procs.signals)
		}
		m.done(true)
	})
}

// A caller inside the job asks, and does not wait for its own end.
func TestRestartGracefulFromInside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, c := newModel(t, 100)
		m.procs.ancestry = []int{100, 1}
		r, err := c.Restart(t.Context(), target, RestartOptions{Graceful: &Graceful{Signal: syscall.SIGUSR1}})
		expect(t, r, err, OutcomeRequested, 100, 0, "")
		took(t, r, 0, 0)
		if want := []signaled{{100, syscall.SIGUSR1}}; !slices.Equal(m.procs.signals, want) {
			t.Errorf("signals %v", m.procs.signals)
		}
		m.done()
	})
}

const keptAlive = "\tproperties = keepalive | runatload\n"

// A launchd that demands an entitlement: the old process is told to exit, as launchd
// would tell it, and KeepAlive starts the next.
func TestRestartBySignal(t *testing.T) {
	for _, code := range []xpc.Errno{144, 154} {
		synctest.Test(t, func(t *testing.T) {
			m, c := newModel(t, 100, refuses(code))
			m.ending = keptAlive
			m.procs.onSignal = func(int, syscall.Signal) {
				m.set(0)
				m.is("spawn scheduled")
				go func() {
					time.Sleep(9 * time.Second)
					m.set(200)
				}()
			}
			var told []string
			r, err := c.Restart(t.Context(), target, RestartOptions{OnEvent: steps(&told)})
			expect(t, r, err, OutcomeRestarted, 100, 200, MethodSignal)
			took(t, r, 9*time.Second, 9*time.Second+pollLast)
			if want := []signaled{{100, syscall.SIGTERM}}; !slices.Equal(m.procs.signals, want) {
				t.Errorf("signals %v", m.procs.signals)
			}
			if len(told) != 5 || told[1] != "signaled SIGTERM" || told[2] != "exited" || !strings.HasPrefix(told[3], "throttled") || told[4] != "spawned" {
				t.Errorf("told %q", told)
			}
			m.done(true)
		})
	}
	synctest.Test(t, func(t *testing.T) { // SIGKILL a second after the exit timeout
		m, c := newModel(t, 100, refuses(144))
		m.ending = keptAlive
		begin := time.Now()
		m.procs.onSignal = func(_ int, sig syscall.Signal) {
			if sig == syscall.SIGKILL {
				if after := time.Since(begin); after != 6*time.Second {
					t.Errorf("SIGKILL after %v", after)
				}
				m.set(200)
			}
		}
		r, err := c.Restart(t.Context(), target, RestartOptions{})
		expect(t, r, err, OutcomeRestarted, 100, 200, MethodSignal)
		if want := []signaled{{100, syscall.SIGTERM}, {100, syscall.SIGKILL}}; !slices.Equal(m.procs.signals, want) {
			t.Errorf("signals %v", m.procs.signals)
		}
		m.done(true)
	})
	synctest.Test(t, func(t *testing.T) { // KeepAlive does not revive it after all
		m, c := newModel(t, 100, refuses(144))
		m.ending = keptAlive
		m.exits(0)
		r, err := c.Restart(t.Context(), target, RestartOptions{})
		expect(t, r, err, OutcomeParked, 100, 0, "")
		if !errors.Is(err, ErrNotEntitled) || !strings.Contains(err.Error(), "78: EX_CONFIG") {
			t.Error(err)
		}
		m.done(true)
	})
	synctest.Test(t, func(t *testing.T) { // nobody would start it again: it is not touched
		m, c := newModel(t, 100, refuses(144))
		r, err := c.Restart(t.Context(), target, RestartOptions{})
		expect(t, r, err, OutcomeFailed, 100, 0, "")
		if !errors.Is(err, ErrNotEntitled) || len(m.procs.signals) != 0 {
			t.Error(err, m.procs.signals)
		}
		m.done(true)
	})
	synctest.Test(t, func(t *testing.T) { // the caller inside
		m, c := newModel(t, 100, refuses(144))
		m.ending = keptAlive
		m.procs.ancestry = []int{100}
		r, err := c.Restart(t.Context(), target, RestartOptions{})
		expect(t, r, err, OutcomeRequested, 100, 0, MethodSignal)
		m.done(true)
	})
	synctest.Test(t, func(t *testing.T) { // after a drain, KeepAlive has to do it
		m, c := newModel(t, 100, refuses(144))
		m.procs.onSignal = func(int, syscall.Signal) {
			m.set(0)
			m.is("spawn scheduled")
			go func() {
				time.Sleep(time.Second)
				m.set(200)
			}()
		}
		r, err := c.Restart(t.Context(), target, RestartOptions{Graceful: &Graceful{}})
		expect(t, r, err, OutcomeRestarted, 100, 200, MethodSignal)
		m.done(false)
	})
}
