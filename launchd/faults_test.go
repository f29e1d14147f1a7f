package launchd

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hermes-gw/hermes-gw/xpc"
)

// A launchd that demands an entitlement, and a process whose start time cannot be read: another
// one could have its pid by the time of a signal.
func TestNoSignalWithoutIdentity(t *testing.T) {
	m, c := newModel(t, 100)
	m.ending = "\tproperties = keepalive | runatload\n"
	m.refuse = map[uint64]xpc.Errno{routineKickstart: xpc.Errno(144)}
	m.procs.unopen = errors.New("no start time")
	_, err := c.Restart(t.Context(), target, RestartOptions{})
	if !errors.Is(err, ErrNotEntitled) || !strings.Contains(err.Error(), "cannot be told from others") {
		t.Error(err)
	}
	if len(m.procs.signals) > 0 {
		t.Errorf("signals: %v", m.procs.signals)
	}
}

// The same launchd shows nothing either, and its dictionary says that the job is not kept
// alive: whoever stopped it would leave it stopped.
func TestNoSignalWhereNothingRevives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		procs := newTable()
		procs.spawn(100)
		c := New(transport(func(_ context.Context, routine uint64, _ xpc.Dict) (xpc.Dict, error) {
			switch routine {
			case routineAttributes:
				return xpc.Dict{"attrs": xpc.Dict{"pid": int64(100), "keep-alive": false}}, nil
			case routineKickstart:
				return nil, xpc.Errno(144)
			}
			return nil, xpc.EPERM
		}), nil)
		c.procs = procs
		if _, err := c.Restart(t.Context(), target, RestartOptions{}); !errors.Is(err, ErrNotEntitled) {
			t.Error(err)
		}
		if len(procs.signals) > 0 {
			t.Errorf("signals: %v", procs.signals)
		}
	})
}

// Somebody else has restarted the job and is already stopping what they started: the answer is
// 36, and a second request must not kill what comes after that.
func TestNoSecondKillAfterSomebodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, c := newModel(t, 100,
			func(_ context.Context, m *model) (int, error) {
				m.set(101)
				m.is("SIGTERMed")
				time.AfterFunc(time.Second, func() { m.set(102) })
				return 0, xpc.EINPROGRESS
			},
			names(102))
		r, err := c.Restart(t.Context(), target, RestartOptions{})
		if err != nil || r.Outcome != OutcomeAlreadyRestarting || r.New != 102 {
			t.Errorf("%+v, %v", r, err)
		}
		m.done(true, false)
	})
}

// The job's process exits right after launchd has named it, and its pid is given to a process
// that has nothing to do with the job before anybody looks at its identity.
func TestGracefulSignalsNoOtherProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, c := newModel(t, 100, names(101))
		asked := false
		c.t = transport(func(ctx context.Context, routine uint64, msg xpc.Dict) (xpc.Dict, error) {
			if routine == routinePrintService && !asked {
				asked = true
				m.mu.Lock()
				m.pid = 101 // 100 is somebody else's, and lives
				m.mu.Unlock()
				m.procs.spawn(101)
			}
			return m.Call(ctx, routine, msg)
		})
		r, err := c.Restart(t.Context(), target, RestartOptions{Graceful: &Graceful{Signal: syscall.SIGUSR1}})
		if err != nil || r.New != 101 {
			t.Errorf("%+v, %v", r, err)
		}
		if len(m.procs.signals) > 0 {
			t.Errorf("signals: %v", m.procs.signals)
		}
		m.done(false)
	})
}

// launchd names the old process once more, which nobody has reaped yet, and then its pid is
// given to somebody else's process: that is not the job's new one.
func TestReusedPidIsNotTheNewProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, c := newModel(t, 100, func(_ context.Context, m *model) (int, error) {
			m.procs.exit(100)
			m.procs.spawn(100) // somebody else's
			m.mu.Lock()
			m.pid = 0
			m.mu.Unlock()
			time.AfterFunc(time.Second, func() { m.set(105) })
			return 100, nil
		})
		r, err := c.Restart(t.Context(), target, RestartOptions{})
		if err != nil || r.New != 105 || r.Outcome != OutcomeRestarted {
			t.Errorf("%+v, %v", r, err)
		}
		m.done(true)
	})
}

// The new process was seen, and then the job is not there any more: a success with an error
// would be neither.
func TestNoSuccessWithAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, c := newModel(t, 100, func(_ context.Context, m *model) (int, error) {
			m.set(101)
			m.is("xpcproxy") // so that it is looked at again
			time.AfterFunc(time.Millisecond, func() {
				m.mu.Lock()
				m.loaded = false
				m.mu.Unlock()
				m.procs.exit(101)
			})
			return 101, nil
		})
		r, err := c.Restart(t.Context(), target, RestartOptions{Verify: true})
		if err == nil || r.Outcome.OK() {
			t.Errorf("%+v, %v", r, err)
		}
		m.done(true)
	})
}

// A worker was killed after it had unloaded the job, and launchd refuses the next one the unload:
// there is nothing to unload any more, so it goes on.
func TestRefusedUnloadOfWhatIsGone(t *testing.T) {
	dir := t.TempDir()
	files := filesOf(dir, target)
	path := dir + "/job.plist"
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := New(transport(func(_ context.Context, routine uint64, _ xpc.Dict) (xpc.Dict, error) {
		if routine == routineBootout {
			return nil, xpc.EPERM
		}
		return nil, xpc.NoSuchService
	}), nil)
	c.procs = newTable()
	w := &reloadWorker{change: change{c: c, op: "reload", t: target}, files: files}
	w.note = reloadNote{Version: noteVersion, Target: target, Path: path, Digest: digest([]byte("x")), Attempts: 2, Step: stepUnload}
	if err := w.unload(t.Context()); err != nil || w.note.Step != stepLoad || w.note.Problem != "" {
		t.Errorf("%v, %+v", err, w.note)
	}
}
