package proc

import (
	"errors"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hermes-gw/hermes-gw/internal/cgoless"
)

// clock is the time that Identity.Start is on, and clockSlack by how much a start
// may lie off: macOS is exact, but darwinhost counts from a boot time in seconds.
func clock(testing.TB) int64 { return time.Now().UnixMicro() }

const clockSlack = 1_000_000

// arguments are those of a process, in whatever form.
func arguments(t testing.TB, pid int) []byte {
	t.Helper()
	b, err := unix.SysctlRaw("kern.procargs2", pid)
	if err != nil || len(b) == 0 {
		t.Fatalf("%q, %v", b, err)
	}
	return b
}

// libproc is the table as it is on this system; a test may change its copy.
func libproc(t testing.TB) *cgoless.Libproc {
	t.Helper()
	lib, err := cgoless.LoadLibproc()
	if err != nil {
		t.Fatal(err)
	}
	if lib.Signal == nil {
		t.Skip("this macOS lacks proc_signal_with_audittoken")
	}
	l := *lib
	return &l
}

func use(t testing.TB, lib *cgoless.Libproc, err error) {
	loadLibproc = func() (*cgoless.Libproc, error) { return lib, err }
	t.Cleanup(func() { loadLibproc = cgoless.LoadLibproc })
}

var signalWays = []struct {
	name string
	use  func(testing.TB)
}{
	{"audit token", func(t testing.TB) {
		libproc(t)
	}},
	{"no audit token", func(t testing.TB) {
		lib := libproc(t)
		lib.Signal = nil
		use(t, lib, nil)
	}},
	{"no libproc", func(t testing.TB) { use(t, nil, errors.ErrUnsupported) }},
	{"no version", func(t testing.TB) {
		lib := libproc(t)
		lib.Version = func(int32) (int32, bool) { return 0, false }
		use(t, lib, nil)
	}},
}

// Between the look at the version and the signal the process execs: the version
// read is an old one.
func TestSignalAfterAnExecInBetween(t *testing.T) {
	lib := libproc(t)
	c, become := execs(t)
	real, versions := lib.Version, []int32{}
	lib.Version = func(pid int32) (int32, bool) {
		v, ok := real(pid)
		if versions = append(versions, v); len(versions) == 1 {
			become()
		}
		return v, ok
	}
	use(t, lib, nil)
	if err := open(t, c.pid).Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if len(versions) != 2 || versions[0] == versions[1] {
		t.Errorf("versions %v, want two", versions)
	}
	if sig := c.signalled(); sig != syscall.SIGTERM {
		t.Errorf("the process died of %v, not SIGTERM", sig)
	}
}

// A process that always execs in between is still signalled, after a bound.
func TestSignalWithVersionsAlwaysTooOld(t *testing.T) {
	lib := libproc(t)
	real, calls := lib.Version, 0
	lib.Version = func(pid int32) (int32, bool) {
		calls++
		v, ok := real(pid)
		return v - 1, ok
	}
	use(t, lib, nil)
	c := start(t)
	if err := open(t, c.pid).Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if calls != maxExecs {
		t.Errorf("%d looks at the version, want %d", calls, maxExecs)
	}
	if sig := c.signalled(); sig != syscall.SIGTERM {
		t.Errorf("the process died of %v, not SIGTERM", sig)
	}
}

// The process exits and is reaped after its version was read; and, in the other
// order, before: both times nothing is signalled.
func TestSignalToAProcessThatExitsInBetween(t *testing.T) {
	for _, before := range []bool{true, false} {
		lib := libproc(t)
		c := start(t)
		real := lib.Version
		lib.Version = func(pid int32) (int32, bool) {
			if before {
				c.reap(t)
			}
			v, ok := real(pid)
			if !before {
				c.reap(t)
			}
			return v, ok
		}
		use(t, lib, nil)
		if err := open(t, c.pid).Signal(syscall.SIGTERM); !errors.Is(err, ErrGone) {
			t.Errorf("%v, want ErrGone", err)
		}
	}
}

func TestSignalToAReusedPID(t *testing.T) {
	for _, way := range signalWays {
		t.Run(way.name, func(t *testing.T) {
			way.use(t)
			c := start(t)
			p := open(t, c.pid)
			p.h.id.Start-- // what is there now started at another time
			if err := p.Signal(syscall.SIGKILL); !errors.Is(err, ErrGone) {
				t.Errorf("%v, want ErrGone", err)
			}
			c.reap(t) // fails if the signal was delivered
		})
	}
}

func TestSignalErrorsOfTheKernel(t *testing.T) {
	lib := libproc(t)
	lib.Signal = func(int32, int32, syscall.Signal) syscall.Errno { return unix.EPERM }
	use(t, lib, nil)
	if err := open(t, start(t).pid).Signal(syscall.SIGTERM); !errors.Is(err, unix.EPERM) {
		t.Errorf("%v, want EPERM", err)
	}
}
