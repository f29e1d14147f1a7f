package launchd

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/proc"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// expect checks what of a result does not depend on time.
func expect(t *testing.T, r RestartResult, err error, outcome Outcome, old, new int, method string) {
	t.Helper()
	if r.Target != target || r.Outcome != outcome || r.Old != old || r.New != new || r.Method != method {
		t.Errorf("got %+v, %v; want %s %d -> %d by %q", r, err, outcome, old, new, method)
	}
	if good := outcome.OK() || outcome == OutcomeRequested; good != (err == nil) {
		t.Errorf("outcome %s with error %v", r.Outcome, err)
	}
}

// took checks the time of the fake clock.
func took(t *testing.T, r RestartResult, least, most time.Duration) {
	t.Helper()
	if r.Total < least || r.Total > most {
		t.Errorf("took %v, want %v to %v", r.Total, least, most)
	}
	if r.Resolve < 0 || r.Request < 0 || r.Resolve+r.Request > r.Total {
		t.Errorf("times do not add up: %+v", r)
	}
}

func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, c := newModel(t, 100, becomes(200, 3*time.Second))
		var told []RestartResult
		r, err := c.Restart(t.Context(), target, RestartOptions{Sending: func(r RestartResult) {
			told = append(told, r)
			if n := len(m.kickstarts()); n != 0 {
				t.Errorf("Sending came after %d kickstarts", n)
			}
		}})
		expect(t, r, err, OutcomeRestarted, 100, 200, MethodKickstart)
		took(t, r, 3*time.Second, 3*time.Second)
		if r.Request != 3*time.Second || len(r.Warnings) != 0 || r.Inside {
			t.Errorf("%+v", r)
		}
		if want := []RestartResult{{Target: target, Old: 100}}; !reflect.DeepEqual(told, want) {
			t.Errorf("told %+v", told)
		}
		m.done(true)
	})
}

func TestRestartOfIdleJobStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, c := newModel(t, 0, becomes(200, time.Millisecond))
		r, err := c.Restart(t.Context(), target, RestartOptions{})
		expect(t, r, err, OutcomeStarted, 0, 200, MethodKickstart)
		m.done(true)
	})
}

// The same pid with another start time is another process.
func TestRestartReusesPID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, c := newModel(t, 100, becomes(100, time.Millisecond))
		r, err := c.Restart(t.Context(), target, RestartOptions{})
		expect(t, r, err, OutcomeRestarted, 100, 100, MethodKickstart)
		m.done(true)
	})
}

// An answer that names the old process is not believed.
func TestRestartAnswerNamesOldProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, c := newModel(t, 100, func(_ context.Context, m *model) (int, error) {
			go func() {
				time.Sleep(time.Second)
				m.set(200)
			}()
			return 100, nil
		})
		r, err := c.Restart(t.Context(), target, RestartOptions{})
		expect(t, r, err, OutcomeRestarted, 100, 200, MethodObserved)
		took(t, r, time.Second, time.Second+pollLast)
		m.done(true)
	})
	synctest.Test(t, func(t *testing.T) { // ExitTimeOut 0: it may take for ever
		m, c := newModel(t, 100, func(_ context.Context, m *model) (int, error) {
			go func() {
				time.Sleep(time.Hour)
				m.set(200)
			}()
			return 100, nil
		})
		m.exit = 0
		r, err := c.Restart(t.Context(), target, RestartOptions{})
		expect(t, r, err, OutcomeRestarted, 100, 200, MethodObserved)
		m.done(true)
	})
	synctest.Test(t, func(t *testing.T) {
		m, c := newModel(t, 100, names(100))
		r, err := c.Restart(t.Context(), target, RestartOptions{})
		expect(t, r, err, OutcomeFailed, 100, 0, "")
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "old process 100") {
			t.Error(err)
		}
		took(t, r, 20*time.Second, 20*time.Second) // exit timeout + throttle + settle
		m.done(true)
	})
}

// A pid of 0 says nothing: the job is looked at.
func TestRestartAnswerNamesNoProcess(t *testing.T) {
	for _, state := range []string{"", "spawn scheduled"} {
		synctest.Test(t, func(t *testing.T) {
			m, c := newModel(t, 100, func(_ context.Context, m *model) (int, error) {
				m.set(0)
				m.is(state)
				return 0, nil
			})
			r, err := c.Restart(t.Context(), target, RestartOptions{})
			want := OutcomeFailed
			if state != "" {
				want = OutcomeThrottled
			}
			expect(t, r, err, want, 100, 0, "")
			took(t, r, 15*time.Second, 15*time.Second)
			m.done(true)
		})
	}
	synctest.Test(t, func(t *testing.T) {
		m, c := newModel(t, 100, func(_ context.Context, m *model) (int, error) {
			m.set(0)
			go func() {
				time.Sleep(2 * time.Second)
				m.set(200)
			}()
			return 0, nil
		})
		r, err := c.Restart(t.Context(), target, RestartOptions{})
		expect(t, r, err, OutcomeRestarted, 100, 200, MethodObserved)
		m.done(true)
	})
}

// 1 comes for a moment after a spawn; an old job that answers it is somebody else's.
func TestRestartDenied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, c := newModel(t, 100, refuses(1), refuses(1), becomes(200, 0))
		r, err := c.Restart(t.Context(), target, RestartOptions{})
		expect(t, r, err, OutcomeRestarted, 100, 200, MethodKickstart)
		took(t, r, deniedFirst, deniedWindow)
		m.done(true, true, true)
	})
	synctest.Test(t, func(t *testing.T) { // always
		m, c := newModel(t, 100, refuses(1), refuses(1), refuses(1), refuses(1), refuses(1))
		r, err := c.Restart(t.Context(), target, RestartOptions{})
		expect(t, r, err, OutcomeFailed, 100, 0, "")
		if !errors.Is(err, fs.ErrPermission) {
			t.Error(err)
		}
		took(t, r, deniedFirst, deniedWindow)
		m.done(true, true, true, true, true)
	})
	synctest.Test(t, func(t *testing.T) { // not in that window
		m, c := newModel(t, 100, refuses(1))
		time.Sleep(young)
		r, err := c.Restart(t.Context(), target, RestartOptions{})
		expect(t, r, err, OutcomeFailed, 100, 0, "")
		if !errors.Is(err, fs.ErrPermission) {
			t.Error(err)
		}
		took(t, r, 0, 0)
		m.done(true)
	})
	synctest.Test(t, func(t *testing.T) { // it leaves the window meanwhile
		m, c := newModel(t, 100, refuses(1), refuses(1))
		time.Sleep(young - 10*time.Millisecond)
		r, err := c.Restart(t.Context(), target, RestartOptions{})
		expect(t, r, err, OutcomeFailed, 100, 0, "")
		m.done(true, true)
	})
	synctest.Test(t, func(t *testing.T) { // no process, so no window
		m, c := newModel(t, 0, refuses(1))
		r, err := c.Restart(t.Context(), target, RestartOptions{})
		expect(t, r, err, OutcomeFailed, 0, 0, "")
		m.done(true)
	})
	synctest.Test(t, func(t *testing.T) { // another process already: no second kill
		m, c := newModel(t, 100, func(_ context.Context, m *model) (int, error) {
			m.set(200)
			return 0, xpc.EPERM
		})
		r, err := c.Restart(t.Context(), target, RestartOptions{})
		expect(t, r, err, OutcomeAlreadyRestarting, 100, 200, MethodObserved)
		m.done(true)
	})
}

func TestRestartInProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, c := newModel(t, 100, refuses(36), refuses(36), becomes(200, 0))
		r, err := c.Restart(t.Context(), target, RestartOptions{})
		expect(t, r, err, OutcomeRestarted, 100, 200, MethodKickstart)
		m.done(true, true, true)
	})
	synctest.Test(t, func(t *testing.T) { // until exit timeout + 2 s
		var many []kick
		for range 1000 {
			many = append(many, refuses(36))
		}
		m, c := newModel(t, 100, many...)
		r, err := c.Restart(t.Context(), target, RestartOptions{})
		expect(t, r, err, OutcomeFailed, 100, 0, "")
		took(t, r, 7*time.Second, 7*time.Second+pollLast)
		if !errors.Is(err, ErrStopping) {
			t.Error(err)
		}
		m.kicks = nil
		if n := len(m.kickstarts()); n < 60 || n > 100 {
			t.Errorf("%d kickstarts in 7 s", n)
		}
	})
	synctest.Test(t, func(t *testing.T) { // someone else is done with it
		m, c := newModel(t, 100, func(_ context.Context, m *model) (int, error) {
			m.set(200)
			return 0, xpc.EINPROGRESS
		})
		r, err := c.Restart(t.Context(), target, RestartOptions{})
		expect(t, r, err, OutcomeAlreadyRestarting, 100, 200, MethodObserved)
		m.done(true)
	})
}

// stops answers 37 and lets the process exit after a while.
func stops(after time.Duration) kick {
	return func(_ context.Context, m *model) (int, error) {
		m.is("SIGTERMed")
		go func() {
			time.Sleep(after)
			m.set(0)
		}()
		return 0, xpc.EALREADY
	}
}

func TestRestartWhileStopping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, c := newModel(t, 100, stops(4*time.Second), becomes(200, 0))
		r, err := c.Restart(t.Context(), target, RestartOptions{})
		expect(t, r, err, OutcomeAlreadyRestarting, 100, 200, MethodWaited)
		took(t, r, 4*time.Second, 4*time.Second)
		m.done(true, false)
	})
	synctest.Test(t, func(t *testing.T) { // launchd still names the dead process for a while, or is at it
		m, c := newModel(t, 100, stops(time.Second), names(100), refuses(36), refuses(37), names(0), becomes(200, 0))
		r, err := c.Restart(t.Context(), target, RestartOptions{})
		expect(t, r, err, OutcomeAlreadyRestarting, 100, 200, MethodWaited)
		m.done(true, false, false, false, false, false)
	})
	synctest.Test(t, func(t *testing.T) { // it does not exit
		m, c := newModel(t, 100, stops(time.Hour))
		r, err := c.Restart(t.Context(), target, RestartOptions{})
		expect(t, r, err, OutcomeFailed, 100, 0, "")
		took(t, r, 7*time.Second, 7*time.Second)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "process 100 has not exited after 7s") {
			t.Error(err)
		}
		m.done(true)
		time.Sleep(time.Hour)
	})
	synctest.Test(t, func(t *testing.T) { // ExitTimeOut 0: all the time in the world
		m, c := newModel(t, 100, stops(3*time.Hour), becomes(200, 0))
		m.exit = 0
		r, err := c.Restart(t.Context(), target, RestartOptions{})
		expect(t, r, err, OutcomeAlreadyRestarting, 100, 200, MethodWaited)
		took(t, r, 3*time.Hour, 3*time.Hour)
		m.done(true, false)
	})
	synctest.Test(t, func(t *testing.T) { // but the caller's
		m, c := newModel(t, 100, stops(3*time.Hour))
		m.exit = 0
		r, err := c.Restart(t.Context(), target, RestartOptions{Timeout: time.Minute})
		expect(t, r, err, OutcomeFailed, 100, 0, "")
		took(t, r, time.Minute, time.Minute)
		m.done(true)
		time.Sleep(3 * time.Hour)
	})
	synctest.Test(t, func(t *testing.T) { // KeepAlive was faster than our second look
		m, c := newModel(t, 100, func(_ context.Context, m *model) (int, error) {
			m.set(200)
			return 0, xpc.EALREADY
		})
		r, err := c.Restart(t.Context(), target, RestartOptions{})
		expect(t, r, err, OutcomeAlreadyRestarting, 100, 200, MethodObserved)
		m.done(true)
	})
	synctest.Test(t, func(t *testing.T) { // the process that is being stopped is not the first one
		m, c := newModel(t, 100, func(_ context.Context, m *model) (int, error) {
			m.set(200)
			return stops(time.Second)(nil, m)
		}, names(200), becomes(300, 0))
		r, err := c.Restart(t.Context(), target, RestartOptions{})
		expect(t, r, err, OutcomeAlreadyRestarting, 100, 300, MethodWaited)
		m.done(true, false, false)
	})
	synctest.Test(t, func(t *testing.T) { // nothing ran when we looked first
		m, c := newModel(t, 0, func(_ context.Context, m *model) (int, error) {
			m.set(200)
			return stops(time.Second)(nil, m)
		}, becomes(300, 0))
		r, err := c.Restart(t.Context(), target, RestartOptions{})
		expect(t, r, err, OutcomeAlreadyRestarting, 0, 300, MethodWaited)
		m.done(true, false)
	})
	synctest.Test(t, func(t *testing.T) { // unloaded meanwhile
		m, c := newModel(t, 100, stops(time.Second), refuses(113))
		r, err := c.Restart(t.Context(), target, RestartOptions{})
		expect(t, r, err, OutcomeNotLoaded, 100, 0, "")
		m.done(true, false)
	})
	synctest.Test(t, func(t *testing.T) { // the last answer is lost
		m, c := newModel(t, 100, stops(time.Second), func(_ context.Context, m *model) (int, error) {
			m.set(200)
			return 0, &xpc.UnknownOutcome{Routine: 702, Err: io.ErrUnexpectedEOF}
		})
		r, err := c.Restart(t.Context(), target, RestartOptions{})
		expect(t, r, err, OutcomeRestarted, 100, 200, MethodObserved)
		m.done(true, false)
	})
}

func TestRestartRefused(t *testing.T) {
	for code, want := range map[xpc.Errno]struct {
		outcome Outcome
		is      error
	}{
		113: {OutcomeNotLoaded, ErrNotLoaded}, 112: {OutcomeNoSession, ErrNoDomain}, 125: {OutcomeNoSession, ErrNoDomain},
		150: {OutcomeProtected, ErrProtected}, 144: {OutcomeFailed, ErrNotEntitled}, 154: {OutcomeFailed, ErrNotEntitled}, // with no KeepAlive
		119: {OutcomeDisabled, ErrDisabled}, 139: {OutcomeFailed, xpc.CannotExecute}, 22: {OutcomeFailed, xpc.EINVAL},
	} {
		synctest.Test(t, func(t *testing.T) {
			m, c := newModel(t, 100, refuses(code))
			r, err := c.Restart(t.Context(), target, RestartOptions{})
			expect(t, r, err, want.outcome, 100, 0, "")
			if !errors.Is(err, want.is) || !strings.HasPrefix(err.Error(), "kickstart gui/501/ai.hermes.gateway: ") {
				t.Error(err)
			}
			took(t, r, 0, 0)
			m.done(true)
		})
	}
}

// What the first look says ends a restart before anything is sent.
func TestRestartResolve(t *testing.T) {
	for name, c := range map[string]struct {
		set     func(*model)
		outcome Outcome
		is      error
	}{
		"not loaded":  {func(m *model) { m.loaded = false }, OutcomeNotLoaded, ErrNotLoaded},
		"disabled":    {func(m *model) { m.loaded, m.enabled = false, false }, OutcomeDisabled, ErrDisabled},
		"not told":    {func(m *model) { m.loaded, m.enabled, m.refuse = false, false, map[uint64]xpc.Errno{811: 1} }, OutcomeNotLoaded, ErrNotLoaded},
		"no domain":   {func(m *model) { m.refuse = map[uint64]xpc.Errno{708: 125, 712: 125} }, OutcomeNoSession, ErrNoDomain},
		"not allowed": {func(m *model) { m.refuse = map[uint64]xpc.Errno{708: 1, 712: 1} }, OutcomeFailed, fs.ErrPermission},
	} {
		synctest.Test(t, func(t *testing.T) {
			m, client := newModel(t, 100)
			c.set(m)
			r, err := client.Restart(t.Context(), target, RestartOptions{Sending: func(RestartResult) { t.Errorf("%s: Sending", name) }})
			expect(t, r, err, c.outcome, 0, 0, "")
			if !errors.Is(err, c.is) || !strings.HasPrefix(err.Error(), "restart gui/501/ai.hermes.gateway: ") {
				t.Errorf("%s: %v", name, err)
			}
			m.done()
		})
	}
}

func TestRestartWarnings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, c := newModel(t, 100, becomes(200, 0))
		m.enabled = false
		r, err := c.Restart(t.Context(), target, RestartOptions{CheckEnabled: true})
		expect(t, r, err, OutcomeRestarted, 100, 200, MethodKickstart)
		if len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "disabled") {
			t.Error(r.Warnings)
		}
	})
	synctest.Test(t, func(t *testing.T) { // 811 is not answered: no obstacle
		m, c := newModel(t, 100, becomes(200, 0))
		m.enabled, m.refuse = false, map[uint64]xpc.Errno{811: 144}
		r, err := c.Restart(t.Context(), target, RestartOptions{CheckEnabled: true})
		expect(t, r, err, OutcomeRestarted, 100, 200, MethodKickstart)
		if len(r.Warnings) != 0 {
			t.Error(r.Warnings)
		}
	})
	synctest.Test(t, func(t *testing.T) { // nobody asked
		m, c := newModel(t, 100, becomes(200, 0))
		m.enabled = false
		r, err := c.Restart(t.Context(), target, RestartOptions{})
		expect(t, r, err, OutcomeRestarted, 100, 200, MethodKickstart)
		if len(r.Warnings) != 0 || slices.ContainsFunc(m.log, func(s sent) bool { return s.Routine == routineEnabled }) {
			t.Error(r.Warnings, m.log)
		}
	})
	synctest.Test(t, func(t *testing.T) { // processes that cannot be looked at: the pid alone counts
		m, c := newModel(t, 100, becomes(200, 0))
		m.procs.unopen = fs.ErrPermission
		r, err := c.Restart(t.Context(), target, RestartOptions{})
		expect(t, r, err, OutcomeRestarted, 100, 200, MethodKickstart)
		if len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "start time of process 100") {
			t.Error(r.Warnings)
		}
	})
	synctest.Test(t, func(t *testing.T) { // and the same pid does not
		m, c := newModel(t, 100, becomes(100, 0))
		m.procs.unopen = fs.ErrPermission
		r, err := c.Restart(t.Context(), target, RestartOptions{})
		expect(t, r, err, OutcomeFailed, 100, 0, "")
	})
}

// A new process that is gone when it is looked at is no success.
func TestRestartNewProcessExits(t *testing.T) {
	dies := func(next int, state string) kick {
		return func(_ context.Context, m *model) (int, error) {
			m.set(200)
			m.set(next)
			m.is(state)
			return 200, nil
		}
	}
	for _, c := range []struct {
		next    int
		state   string
		outcome Outcome
		method  string
	}{
		{0, "", OutcomeParked, ""},
		{0, "spawn scheduled", OutcomeThrottled, ""},
		{300, "", OutcomeRestarted, MethodObserved},
	} {
		synctest.Test(t, func(t *testing.T) {
			m, client := newModel(t, 100, dies(c.next, c.state))
			r, err := client.Restart(t.Context(), target, RestartOptions{})
			expect(t, r, err, c.outcome, 100, c.next, c.method)
			if err != nil && (!strings.Contains(err.Error(), "200 exited at once") || !strings.Contains(err.Error(), "78: EX_CONFIG")) {
				t.Error(err)
			}
			m.done(true)
		})
	}
}

func loses(cause error, do func(*model)) kick {
	return func(_ context.Context, m *model) (int, error) {
		do(m)
		return 0, cause
	}
}

// Trap 3, all the ways that a lost answer can have gone.
func TestTrap03RestartAnswerLost(t *testing.T) {
	unknown := &xpc.UnknownOutcome{Routine: 702, Err: io.ErrUnexpectedEOF}
	nothing := func(*model) {}
	later := func(m *model) {
		go func() {
			time.Sleep(3 * time.Second)
			m.set(200)
		}()
	}
	for _, c := range []struct {
		name        string
		old         int
		cause       error
		do          func(*model)
		inside      bool
		outcome     Outcome
		new         int
		least, most time.Duration
	}{
		{"replaced", 100, unknown, func(m *model) { m.set(200) }, false, OutcomeRestarted, 200, 0, 0},
		{"started", 0, unknown, func(m *model) { m.set(200) }, false, OutcomeStarted, 200, 0, 0},
		{"replaced later", 100, unknown, later, false, OutcomeRestarted, 200, 3 * time.Second, 3*time.Second + pollLast},
		{"unchanged", 100, unknown, nothing, false, OutcomeUnknown, 0, 7 * time.Second, 7 * time.Second},
		{"unchanged, inside", 100, unknown, nothing, true, OutcomeRequested, 0, 7 * time.Second, 7 * time.Second},
		{"replaced, inside", 100, unknown, func(m *model) { m.set(200) }, true, OutcomeRequested, 200, 0, 0},
		{"gone", 100, unknown, func(m *model) { m.set(0) }, false, OutcomeUnknown, 0, 7 * time.Second, 7 * time.Second},
		{"unloaded", 100, unknown, func(m *model) { m.mu.Lock(); m.loaded = false; m.mu.Unlock() }, false, OutcomeUnknown, 0, 0, 0},
		{"not sent", 100, io.ErrClosedPipe, nothing, false, OutcomeFailed, 0, 0, 0},
		{"not sent, but replaced", 100, io.ErrClosedPipe, func(m *model) { m.set(200) }, false, OutcomeAlreadyRestarting, 200, 0, 0},
		{"throttled", 100, unknown, func(m *model) { m.set(0); m.is("spawn scheduled") }, false, OutcomeUnknown, 0, 7 * time.Second, 7 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			m, client := newModel(t, c.old, loses(c.cause, c.do))
			if c.inside {
				m.procs.ancestry = []int{50, 100, 1}
			}
			r, err := client.Restart(t.Context(), target, RestartOptions{})
			method := ""
			if c.new > 0 {
				method = MethodObserved
			}
			t.Log(c.name)
			expect(t, r, err, c.outcome, c.old, c.new, method)
			took(t, r, c.least, c.most)
			if err != nil && !errors.Is(err, c.cause) {
				t.Error(err)
			}
			m.done(true) // one kill, whatever happened to its answer
		})
	}
}

// holdsOn never answers; the request stays with launchd.
func holdsOn(ctx context.Context, m *model) (int, error) {
	<-ctx.Done()
	return 0, &xpc.UnknownOutcome{Routine: 702, Err: ctx.Err()}
}

func TestRestartOutOfTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the caller's bound
		m, c := newModel(t, 100, holdsOn)
		r, err := c.Restart(t.Context(), target, RestartOptions{Timeout: 3 * time.Second})
		expect(t, r, err, OutcomeUnknown, 100, 0, "")
		took(t, r, 3*time.Second, 3*time.Second)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		m.done(true)
	})
	synctest.Test(t, func(t *testing.T) { // the job's: exit timeout + throttle + margin
		m, c := newModel(t, 100, holdsOn)
		m.exit, m.throttle = 7, 4
		r, err := c.Restart(t.Context(), target, RestartOptions{})
		expect(t, r, err, OutcomeUnknown, 100, 0, "")
		took(t, r, 21*time.Second, 21*time.Second)
		m.done(true)
	})
	synctest.Test(t, func(t *testing.T) { // none: only ctx ends it
		m, c := newModel(t, 100, holdsOn)
		m.exit = 0
		ctx, cancel := context.WithTimeout(t.Context(), 48*time.Hour)
		defer cancel()
		r, err := c.Restart(ctx, target, RestartOptions{})
		expect(t, r, err, OutcomeUnknown, 100, 0, "")
		took(t, r, 48*time.Hour, 48*time.Hour)
		m.done(true)
	})
	synctest.Test(t, func(t *testing.T) { // cancelled, and the new process is seen all the same
		ctx, cancel := context.WithCancel(t.Context())
		m, c := newModel(t, 100, func(ctx context.Context, m *model) (int, error) {
			m.set(200)
			cancel()
			return holdsOn(ctx, m)
		})
		r, err := c.Restart(ctx, target, RestartOptions{})
		expect(t, r, err, OutcomeRestarted, 100, 200, MethodObserved)
		m.done(true)
	})
	synctest.Test(t, func(t *testing.T) { // before anything was sent
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		m, c := newModel(t, 100)
		r, err := c.Restart(ctx, target, RestartOptions{})
		expect(t, r, err, OutcomeFailed, 0, 0, "")
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		m.done()
	})
	synctest.Test(t, func(t *testing.T) { // a launchd that does not answer questions
		c := New(transport(func(ctx context.Context, _ uint64, _ xpc.Dict) (xpc.Dict, error) {
			<-ctx.Done()
			return nil, &xpc.UnknownOutcome{Err: ctx.Err()}
		}), nil)
		r, err := c.Restart(t.Context(), target, RestartOptions{})
		expect(t, r, err, OutcomeFailed, 0, 0, "")
		took(t, r, margin, margin)
	})
	synctest.Test(t, func(t *testing.T) { // while waiting for another's stop
		m, c := newModel(t, 100, refuses(36), refuses(36), refuses(36), refuses(36), refuses(36), refuses(36))
		r, err := c.Restart(t.Context(), target, RestartOptions{Timeout: 100 * time.Millisecond})
		expect(t, r, err, OutcomeFailed, 100, 0, "")
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrStopping) {
			t.Error(err)
		}
		m.done(true, true, true, true, true, true)
	})
}

func TestRestartFromInside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, c := newModel(t, 100, becomes(200, 0))
		m.procs.ancestry = []int{70, 100, 1}
		told := false
		r, err := c.Restart(t.Context(), target, RestartOptions{Sending: func(r RestartResult) { told = r.Inside }})
		expect(t, r, err, OutcomeRequested, 100, 200, MethodKickstart)
		if !told || !r.Inside {
			t.Errorf("told %v, %+v", told, r)
		}
		m.done(true)
	})
	synctest.Test(t, func(t *testing.T) { // refused: nothing was requested
		m, c := newModel(t, 100, refuses(150))
		m.procs.ancestry = []int{100}
		r, err := c.Restart(t.Context(), target, RestartOptions{})
		expect(t, r, err, OutcomeProtected, 100, 0, "")
		m.done(true)
	})
	synctest.Test(t, func(t *testing.T) { // the job is this process itself
		self := os.Getpid()
		m, c := newModel(t, self, becomes(self+1, 0))
		r, err := c.Restart(t.Context(), target, RestartOptions{})
		expect(t, r, err, OutcomeRequested, self, self+1, MethodKickstart)
		m.done(true)
	})
}

func TestStart(t *testing.T) {
	check := func(t *testing.T, r StartResult, err error, want StartResult, is error) {
		t.Helper()
		want.Target = target
		if !reflect.DeepEqual(r, want) || !errors.Is(err, is) || is == nil && err != nil {
			t.Errorf("got %+v, %v\nwant %+v", r, err, want)
		}
	}
	plist := t.TempDir() + "/x.plist"
	if err := os.WriteFile(plist, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	start := func(m *model, c *Client, path string, want StartResult, is error) {
		t.Helper()
		r, err := c.Start(t.Context(), target, path)
		check(t, r, err, want, is)
		if len(m.kicks) > 0 || m.procs.holds != 0 {
			t.Errorf("%d kickstarts left, %d processes held", len(m.kicks), m.procs.holds)
		}
		for _, s := range m.log {
			if kill, _ := s.Msg.Bool("kill"); kill {
				t.Error("a start that kills")
			}
		}
	}

	m, c := newModel(t, 100, names(100))
	start(m, c, "", StartResult{Outcome: OutcomeStarted, PID: 100, WasRunning: true}, nil)

	m, c = newModel(t, 0, becomes(200, 0))
	start(m, c, "", StartResult{Outcome: OutcomeStarted, PID: 200}, nil)

	m, c = newModel(t, 0, refuses(36), names(0), becomes(200, 0))
	start(m, c, "", StartResult{Outcome: OutcomeStarted, PID: 200}, nil)

	m, c = newModel(t, 0, becomes(200, 0))
	m.loaded = false
	start(m, c, plist, StartResult{Outcome: OutcomeStarted, PID: 200, Loaded: true}, nil)

	m, c = newModel(t, 0)
	m.loaded = false
	start(m, c, "", StartResult{Outcome: OutcomeNotLoaded}, ErrNotLoaded)

	m, c = newModel(t, 0)
	m.loaded, m.enabled = false, false
	start(m, c, plist, StartResult{Outcome: OutcomeDisabled}, ErrDisabled)
	if n := len(m.log); n != 2 {
		t.Errorf("sent %d requests for a disabled job", n)
	}

	for path, is := range map[string]error{"relative.plist": nil, plist + ".none": fs.ErrNotExist} {
		m, c = newModel(t, 0)
		m.loaded = false
		r, err := c.Start(t.Context(), target, path)
		if r.Outcome != OutcomeFailed || err == nil || is != nil && !errors.Is(err, is) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %+v, %v", path, r, err)
		}
	}

	// The plist was loaded but has another label.
	m, c = newModel(t, 0, refuses(113))
	m.loaded = false
	r, err := c.Start(t.Context(), target, plist)
	if r.Outcome != OutcomeNotLoaded || !r.Loaded || err == nil || !strings.Contains(err.Error(), "does not define") {
		t.Errorf("%+v, %v", r, err)
	}

	synctest.Test(t, func(t *testing.T) { // stopping: it is started after the exit
		m, c := newModel(t, 100, becomes(200, 0))
		m.is("SIGTERMed")
		go func() {
			time.Sleep(time.Second)
			m.set(0)
		}()
		r, err := c.Start(t.Context(), target, "")
		check(t, r, err, StartResult{Outcome: OutcomeStarted, PID: 200}, nil)
	})
	synctest.Test(t, func(t *testing.T) { // the answer is lost
		m, c := newModel(t, 0, loses(&xpc.UnknownOutcome{Err: io.EOF}, func(*model) {}))
		r, err := c.Start(t.Context(), target, "")
		check(t, r, err, StartResult{Outcome: OutcomeUnknown}, io.EOF)
		_ = m
	})
}

func TestStop(t *testing.T) {
	type bootout func(m *model) error
	run := func(t *testing.T, pid int, f bootout, want StopResult, is error) *model {
		t.Helper()
		m, c := newModel(t, pid)
		inner := c.t
		var names []string
		c.t = transport(func(ctx context.Context, routine uint64, msg xpc.Dict) (xpc.Dict, error) {
			if routine != routineBootout {
				return inner.Call(ctx, routine, msg)
			}
			name, _ := msg.String("name")
			names = append(names, name)
			return xpc.Dict{}, f(m)
		})
		r, err := c.Stop(t.Context(), target)
		want.Target = target
		if r != want || (err == nil) != r.Outcome.OK() || is != nil && !errors.Is(err, is) {
			t.Errorf("got %+v, %v; want %+v", r, err, want)
		}
		if !reflect.DeepEqual(names, []string{target.Label}) {
			t.Errorf("bootouts of %q", names)
		}
		if m.procs.holds != 0 {
			t.Error("a process is still held")
		}
		return m
	}
	unload := func(m *model) {
		m.set(0)
		m.mu.Lock()
		defer m.mu.Unlock()
		m.loaded = false
	}
	synctest.Test(t, func(t *testing.T) { // at once
		run(t, 0, func(m *model) error { unload(m); return nil }, StopResult{Outcome: OutcomeStopped}, nil)
	})
	synctest.Test(t, func(t *testing.T) { // it takes its time; the process goes before the job
		begin := time.Now()
		run(t, 100, func(m *model) error {
			go func() {
				time.Sleep(3 * time.Second)
				m.set(0)
				time.Sleep(time.Second)
				unload(m)
			}()
			return xpc.EINPROGRESS
		}, StopResult{Outcome: OutcomeStopped, Old: 100}, nil)
		if d := time.Since(begin); d < 4*time.Second || d > 4*time.Second+pollLast {
			t.Errorf("took %v", d)
		}
	})
	synctest.Test(t, func(t *testing.T) { // the job goes before its process
		begin := time.Now()
		run(t, 100, func(m *model) error {
			m.mu.Lock()
			m.loaded = false
			m.mu.Unlock()
			go func() {
				time.Sleep(3 * time.Second)
				m.set(0)
			}()
			return nil
		}, StopResult{Outcome: OutcomeStopped, Old: 100}, nil)
		if d := time.Since(begin); d != 3*time.Second {
			t.Errorf("took %v", d)
		}
	})
	synctest.Test(t, func(t *testing.T) { // it never ends
		begin := time.Now()
		run(t, 100, func(m *model) error { return xpc.EINPROGRESS }, StopResult{Outcome: OutcomeFailed, Old: 100}, context.DeadlineExceeded)
		if d := time.Since(begin); d != 10*time.Second {
			t.Errorf("took %v", d)
		}
	})
	synctest.Test(t, func(t *testing.T) { // the process ends, the job stays
		run(t, 100, func(m *model) error { m.set(0); return nil }, StopResult{Outcome: OutcomeFailed, Old: 100}, context.DeadlineExceeded)
	})
	synctest.Test(t, func(t *testing.T) { // someone loads it again
		begin := time.Now()
		run(t, 100, func(m *model) error { m.set(200); return nil }, StopResult{Outcome: OutcomeFailed, Old: 100}, nil)
		if d := time.Since(begin); d != 0 {
			t.Errorf("took %v", d)
		}
	})
	synctest.Test(t, func(t *testing.T) { // someone else was faster
		run(t, 100, func(m *model) error { unload(m); return xpc.ESRCH }, StopResult{Outcome: OutcomeStopped, Old: 100}, nil)
	})
	synctest.Test(t, func(t *testing.T) {
		run(t, 100, func(m *model) error { return xpc.Protected }, StopResult{Outcome: OutcomeProtected, Old: 100}, ErrProtected)
	})
	synctest.Test(t, func(t *testing.T) {
		run(t, 100, func(m *model) error { return &xpc.UnknownOutcome{Err: io.EOF} }, StopResult{Outcome: OutcomeUnknown, Old: 100}, io.EOF)
	})

	m, c := newModel(t, 0)
	m.loaded = false
	r, err := c.Stop(t.Context(), target)
	if r != (StopResult{Target: target, Outcome: OutcomeNotLoaded}) || !errors.Is(err, ErrNotLoaded) {
		t.Errorf("%+v, %v", r, err)
	}
}

// The real process table behind the composites.
func TestSystemProcesses(t *testing.T) {
	var s system
	self, err := s.read(os.Getpid())
	if err != nil || self != proc.Self() {
		t.Fatalf("%v, %v", self, err)
	}
	if age := s.age(self); age < 0 || age > 10*time.Minute {
		t.Errorf("this process began %v ago", age)
	}
	if p, err := s.open(self); err != nil || p.Close() != nil {
		t.Error(err)
	}
	for _, gone := range []proc.Identity{{PID: 1 << 30, Start: 1}, {PID: self.PID, Start: self.Start - 1}} {
		if p, err := s.open(gone); !errors.Is(err, proc.ErrGone) || p != nil {
			t.Error(p, err)
		}
	}
	x := change{c: New(nil, nil)}
	parent, err := s.read(os.Getppid())
	if err != nil {
		t.Fatal(err)
	}
	other := parent
	other.Start--
	// Whatever starts the tests may lead their process group, as under a shell at a terminal.
	leads := parent.PID == syscall.Getpgrp()
	for old, want := range map[proc.Identity]bool{
		self: true, parent: true, {PID: parent.PID}: true, other: leads, {PID: 1 << 30}: false, {}: false,
	} {
		if x.old = old; x.inside() != want {
			t.Errorf("inside %v: %v", old, !want)
		}
	}
}
