package hermesgw

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hermes-gw/hermes-gw/internal/proc"
)

// quick asks as often as Hermes does and waits less, for those that are silent; patient waits
// until even a busy machine has answered.
var (
	quick   = probing{timeout: 50 * time.Millisecond, gap: time.Millisecond, strikes: 3}
	patient = probing{timeout: 30 * time.Second, gap: time.Millisecond, strikes: 3}
)

func beat(t *testing.T, home string, pid int, at time.Time, more string) {
	t.Helper()
	write(t, filepath.Join(home, "state", "gateway.heartbeat"), fmt.Sprintf(`{"pid":%d,"updated_at":%q,"monotonic":1.5%s}`, pid, at.UTC().Format("2006-01-02T15:04:05.000000+00:00"), more))
}

func tickPath(home string, pid int) string {
	return filepath.Join(home, "state", fmt.Sprintf("gateway.loop-tick.%d.sock", pid))
}

// Trap 41, and every way in which one of the witnesses is missing or in doubt.
func TestWedged(t *testing.T) {
	const armed = `,"loop_tick_socket":true`
	self := os.Getpid()
	now := time.Now()
	old := now.Add(-91 * time.Second)
	for name, c := range map[string]struct {
		place func(home string)
		want  bool
		why   string
	}{
		"stale and silent": {func(home string) { beat(t, home, self, old, armed); listen(t, tickPath(home, self)) }, true, "silent 3 times"},
		"stale and silent, by the process's own start": {func(home string) {
			beat(t, home, self, old, armed+fmt.Sprintf(`,"start_time":%f`, startEpoch(proc.Self())+0.5))
			listen(t, tickPath(home, self))
		}, true, "silent 3 times"},
		"stale, but it answers": {func(home string) {
			beat(t, home, self, old, armed)
			serve(t, tickPath(home, self), func(conn net.Conn) { conn.Write([]byte("1")) })
		}, false, "answers"},
		"fresh, but silent": {func(home string) {
			beat(t, home, self, now.Add(-89*time.Second), armed)
			listen(t, tickPath(home, self))
		}, false, "1m29s old"},
		"in the future": {func(home string) { beat(t, home, self, now.Add(time.Hour), armed); listen(t, tickPath(home, self)) }, false, "old"},
		"no heartbeat":  {func(home string) { listen(t, tickPath(home, self)) }, false, "no heartbeat"},
		"damaged heartbeat": {func(home string) {
			write(t, filepath.Join(home, "state", "gateway.heartbeat"), `{"pid":`)
			listen(t, tickPath(home, self))
		}, false, "no heartbeat"},
		"another's heartbeat": {func(home string) { beat(t, home, self+1, old, armed); listen(t, tickPath(home, self)) }, false, "of process"},
		"an earlier process's heartbeat": {func(home string) {
			beat(t, home, self, old, armed+fmt.Sprintf(`,"start_time":%f`, startEpoch(proc.Self())-60))
			listen(t, tickPath(home, self))
		}, false, "earlier process"},
		"no time, written now": {func(home string) {
			write(t, filepath.Join(home, "state", "gateway.heartbeat"), fmt.Sprintf(`{"pid":%d%s}`, self, armed))
			listen(t, tickPath(home, self))
		}, false, "s old"},
		"no time, written long ago": {func(home string) {
			path := filepath.Join(home, "state", "gateway.heartbeat")
			write(t, path, fmt.Sprintf(`{"pid":%d%s}`, self, armed))
			must(t, os.Chtimes(path, old, old))
			listen(t, tickPath(home, self))
		}, true, "silent 3 times"},
		"not armed": {func(home string) {
			beat(t, home, self, old, `,"loop_tick_socket":false`)
			listen(t, tickPath(home, self))
		}, false, "no socket"},
		"an old Hermes":    {func(home string) { beat(t, home, self, old, ""); listen(t, tickPath(home, self)) }, false, "no socket"},
		"armed, no socket": {func(home string) { beat(t, home, self, old, armed) }, false, "could not be asked"},
		"armed, nobody listens": {func(home string) {
			beat(t, home, self, old, armed)
			l, err := net.Listen("unix", tickPath(home, self))
			must(t, err)
			l.(*net.UnixListener).SetUnlinkOnClose(false)
			l.Close()
		}, false, "could not be asked"},
		"hangs up": {func(home string) {
			beat(t, home, self, old, armed)
			serve(t, tickPath(home, self), func(net.Conn) {})
		}, false, "could not be asked"},
		"another byte": {func(home string) {
			beat(t, home, self, old, armed)
			serve(t, tickPath(home, self), func(conn net.Conn) { conn.Write([]byte("0")) })
		}, false, "could not be asked"},
	} {
		t.Run(name, func(t *testing.T) {
			home := tempDir(t)
			in := Install{UID: os.Getuid(), AccountHome: home}
			c.place(home)
			p := patient
			if c.want {
				p = quick
			}
			if got, why := wedgedBy(t.Context(), in, home, self, now, p); got != c.want || !strings.Contains(why, c.why) {
				t.Errorf("wedged: %v, %q, want %v, %q", got, why, c.want, c.why)
			}
		})
	}
}

// An answer after some silence is one.
func TestWedgedAnswersLate(t *testing.T) {
	home := tempDir(t)
	pid := os.Getpid()
	beat(t, home, pid, time.Now().Add(-time.Hour), `,"loop_tick_socket":true`)
	var asked atomic.Int32
	serve(t, tickPath(home, pid), func(conn net.Conn) {
		if asked.Add(1) < 3 {
			conn.Read(make([]byte, 1)) // until the other hangs up
		} else {
			conn.Write([]byte("1"))
		}
	})
	often := quick
	often.strikes = 1000
	if got, why := wedgedBy(t.Context(), Install{UID: os.Getuid()}, home, pid, time.Now(), often); got || !strings.Contains(why, "answers") || asked.Load() < 3 {
		t.Errorf("wedged: %v, %q, asked %d times", got, why, asked.Load())
	}
}

func TestWedgedNoProcess(t *testing.T) {
	home := tempDir(t)
	for _, pid := range []int{0, -1, 1 << 22} {
		beat(t, home, max(pid, 2), time.Now().Add(-time.Hour), `,"loop_tick_socket":true`)
		if got, why := wedgedBy(t.Context(), Install{UID: os.Getuid()}, home, pid, time.Now(), quick); got {
			t.Errorf("wedged: process %d, %q", pid, why)
		}
	}
}

// That one has no more time to ask is not that there was no answer.
func TestWedgedEnds(t *testing.T) {
	home := tempDir(t)
	in := Install{UID: os.Getuid()}
	pid := os.Getpid()
	beat(t, home, pid, time.Now().Add(-time.Hour), `,"loop_tick_socket":true`)
	listen(t, tickPath(home, pid))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if got, why := wedged(ctx, in, home, pid, time.Now()); got || !strings.Contains(why, "could not be asked") {
		t.Errorf("wedged: %v, %q", got, why)
	}
	if got := tick(ctx, in, home, pid); got != tickAbsent {
		t.Errorf("tick: %v", got)
	}
}

// A process that is stopped is silent, and answers again when it is continued (traps 33 and 41).
func TestWedgedProcess(t *testing.T) {
	home := tempDir(t)
	in := Install{UID: os.Getuid(), AccountHome: home}
	child := gateway(t, home, nil)
	pid := child.Process.Pid
	beat(t, home, pid, time.Now().Add(-2*time.Minute), `,"loop_tick_socket":true`)

	if got, why := wedgedBy(t.Context(), in, home, pid, time.Now(), patient); got || !strings.Contains(why, "answers") {
		t.Errorf("running: wedged: %v, %q", got, why)
	}
	must(t, child.Process.Signal(syscall.SIGSTOP))
	if _, err := unix.Wait4(pid, nil, unix.WUNTRACED, nil); err != nil { // until it has stopped
		t.Fatal(err)
	}
	if got, why := wedgedBy(t.Context(), in, home, pid, time.Now(), quick); !got {
		t.Errorf("stopped: wedged: %v, %q", got, why)
	}
	must(t, child.Process.Signal(syscall.SIGCONT))
	if got, why := wedgedBy(t.Context(), in, home, pid, time.Now(), patient); got || !strings.Contains(why, "answers") {
		t.Errorf("continued: wedged: %v, %q", got, why)
	}
	if id, err := identify(t.Context(), in, home); err != nil || id.PID != pid {
		t.Errorf("identify: %+v, %v", id, err)
	}
}

// The bound of the real thing: three times 1 s, and twice 0.2 s between.
func TestWedgedInTime(t *testing.T) {
	if hermesProbing.timeout*3+hermesProbing.gap*2 > 3500*time.Millisecond || hermesProbing.strikes != 3 {
		t.Errorf("%+v", hermesProbing)
	}
}
