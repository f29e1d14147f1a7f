package hermesgw

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/proc"
)

// tickAnswer is what the tick socket of a gateway says about its event loop.
type tickAnswer uint8

const (
	tickAbsent   tickAnswer = iota // there is no evidence: no socket, nobody or somebody else listens, it was not asked to the end
	tickAnswered                   // the loop runs
	tickSilent                     // that process listens, and does not answer
)

// probing is how the tick socket is asked. Source: probe_gateway_loop_liveness in
// hermes_cli/gateway_process.py.
type probing struct {
	timeout time.Duration // for one answer
	gap     time.Duration // from the end of one probe to the next
	strikes int           // so many in a row without an answer
}

var hermesProbing = probing{timeout: time.Second, gap: 200 * time.Millisecond, strikes: 3}

// staleHeartbeat is how old a heartbeat is when three were missed. Source: as above.
const staleHeartbeat = 90 * time.Second

// tick asks the event loop of a gateway whether it runs, and waits at most 1 s. The loop sends
// one byte to whoever connects to state/gateway.loop-tick.PID.sock. A loop that is stuck does
// not even accept, but the kernel does, for it.
func tick(ctx context.Context, in Install, home string, pid int) tickAnswer {
	return tickWithin(ctx, in, home, pid, hermesProbing.timeout)
}

func tickWithin(ctx context.Context, in Install, home string, pid int, timeout time.Duration) tickAnswer {
	within, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	path := filepath.Join(home, "state", "gateway.loop-tick."+strconv.Itoa(pid)+".sock")
	conn, err := dial(within, in, path)
	if err != nil { // refused, too: what a process of that pid left behind is no evidence
		return tickAbsent
	}
	defer conn.Close()
	defer breakWith(within, conn)()
	var b [1]byte
	n, err := conn.Read(b[:])
	switch {
	case n == 1 && b[0] == '1':
		return tickAnswered
	case errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil:
		return tickSilent
	}
	return tickAbsent
}

// wedged reports whether the event loop of a gateway is proven to be stuck, so that it can
// neither drain nor act on a signal, and why it is or is not. Two witnesses must agree: the
// heartbeat is of this process and older than 90 s at now, and the tick socket, which the
// heartbeat says is there, is silent three times in a row, in 3.4 s. Whatever is missing, cannot
// be read or is about another process speaks against it: what is not certain is no reason to kill.
//
// An old Hermes without a tick socket is never wedged by this, unlike by its own rule.
func wedged(ctx context.Context, in Install, home string, pid int, now time.Time) (bool, string) {
	return wedgedBy(ctx, in, home, pid, now, hermesProbing)
}

func wedgedBy(ctx context.Context, in Install, home string, pid int, now time.Time, p probing) (bool, string) {
	id, err := proc.Read(pid)
	if err != nil {
		return false, "the process cannot be looked at: " + err.Error()
	}
	h, err := readHeartbeat(in, home)
	age := now.Sub(h.UpdatedAt)
	switch {
	case err != nil:
		return false, "there is no heartbeat: " + err.Error()
	case h.PID != pid:
		return false, fmt.Sprintf("the heartbeat is of process %d", h.PID)
	case h.Start > 0 && h.Start < startEpoch(id)-startSlack:
		return false, "the heartbeat is of an earlier process with that pid"
	case age <= staleHeartbeat:
		return false, fmt.Sprintf("its heartbeat is %s old", age.Round(time.Second))
	case !h.TickSocket:
		return false, "its heartbeat is old, but its event loop has no socket to ask"
	}
	old := fmt.Sprintf("its heartbeat is %s old", age.Round(time.Second))
	for strike := range p.strikes {
		if strike > 0 {
			select {
			case <-time.After(p.gap):
			case <-ctx.Done():
			}
		}
		switch tickWithin(ctx, in, home, pid, p.timeout) {
		case tickAnswered:
			return false, old + ", but its event loop answers"
		case tickAbsent:
			return false, old + ", but its event loop could not be asked"
		}
	}
	if now, err := proc.Read(pid); err != nil || now != id {
		return false, "the process has exited meanwhile"
	}
	return true, fmt.Sprintf("%s, and its event loop was silent %d times", old, p.strikes)
}
