package launchd

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var errBooting = errors.New("still booting")

// after is a Ready that is content with a process after a while.
func after(d time.Duration) func(context.Context, int) error {
	began := time.Now()
	return func(context.Context, int) error {
		if time.Since(began) < d {
			return errBooting
		}
		return nil
	}
}

func TestRestartReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, c := newModel(t, 100, becomes(200, 0))
		var told []string
		r, err := c.Restart(t.Context(), target, RestartOptions{Ready: after(4 * time.Second), OnEvent: steps(&told)})
		expect(t, r, err, OutcomeRestarted, 100, 200, MethodKickstart)
		took(t, r, 4*time.Second, 4*time.Second+pollLast)
		if len(told) != 4 || told[1] != "spawned" || !strings.HasPrefix(told[2], "waiting") || told[3] != "ready" {
			t.Errorf("told %q", told)
		}
		m.done(true)
	})
	synctest.Test(t, func(t *testing.T) {
		m, c := newModel(t, 100, becomes(200, 0))
		r, err := c.Restart(t.Context(), target, RestartOptions{Ready: after(time.Hour), ReadyTimeout: 3 * time.Second})
		expect(t, r, err, OutcomeNotReady, 100, 200, MethodKickstart)
		took(t, r, 3*time.Second, 3*time.Second)
		if !errors.Is(err, errBooting) || !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		m.done(true)
	})
}

// A process that exits before it is ready is not the end: launchd starts another. Three
// of them are.
func TestRestartReadyExits(t *testing.T) {
	run := func(t *testing.T, lives time.Duration, then func(m *model, n int)) (*model, RestartResult, error) {
		m, c := newModel(t, 100, becomes(200, 0))
		n := 0
		ready := func(ctx context.Context, pid int) error {
			if pid == 299 {
				return nil
			}
			n++
			go func() {
				time.Sleep(lives)
				then(m, n)
			}()
			<-ctx.Done() // the exit of the process ends the question
			return ctx.Err()
		}
		r, err := c.Restart(t.Context(), target, RestartOptions{Ready: ready})
		return m, r, err
	}
	synctest.Test(t, func(t *testing.T) {
		m, r, err := run(t, time.Second, func(m *model, n int) {
			m.set(0)
			m.is("spawn scheduled")
			time.Sleep(2 * time.Second)
			m.set(299)
		})
		expect(t, r, err, OutcomeRestarted, 100, 299, MethodKickstart)
		if len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "200 exited before it was ready (last exit: 78: EX_CONFIG)") {
			t.Error(r.Warnings)
		}
		m.done(true)
	})
	synctest.Test(t, func(t *testing.T) {
		m, r, err := run(t, time.Second, func(m *model, n int) {
			m.set(0)
			m.is("spawn scheduled")
			time.Sleep(2 * time.Second)
			m.set(200 + n)
		})
		expect(t, r, err, OutcomeFlapping, 100, 202, MethodKickstart)
		if !strings.Contains(err.Error(), "3 new processes exited") {
			t.Error(err)
		}
		m.done(true) // and nothing more was sent
		time.Sleep(time.Minute)
	})
	synctest.Test(t, func(t *testing.T) {
		m, r, err := run(t, time.Second, func(m *model, n int) { m.set(0) })
		expect(t, r, err, OutcomeParked, 100, 200, MethodKickstart)
		m.done(true)
	})
	synctest.Test(t, func(t *testing.T) {
		m, r, err := run(t, time.Second, func(m *model, n int) {
			m.set(0)
			m.is("spawn scheduled")
		})
		expect(t, r, err, OutcomeThrottled, 100, 200, MethodKickstart)
		m.done(true)
	})
}

// Trap 11: a caller that is itself the job's process must be able to go: the request is not waited
// for once launchd has it.
func TestTrap11RestartOfOneself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		released := make(chan struct{})
		m, c := newModel(t, 100, func(_ context.Context, m *model) (int, error) {
			time.Sleep(50 * time.Millisecond)
			m.is("SIGTERMed")
			<-released
			m.set(200)
			return 200, nil
		})
		m.procs.ancestry = []int{100}
		r, err := c.Restart(t.Context(), target, RestartOptions{})
		expect(t, r, err, OutcomeRequested, 100, 0, MethodKickstart)
		took(t, r, 50*time.Millisecond, 50*time.Millisecond+pollLast)
		close(released)
		synctest.Wait()
		m.done(true)
	})
}
