package hermesgw

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hermes-gw/hermes-gw/internal/privatedir"
	"github.com/hermes-gw/hermes-gw/internal/proc"
	"github.com/hermes-gw/hermes-gw/launchd"
)

// Bounds of the rate guard: so many restarts of one target in so much time, and no more
// unless forced. A watchdog that restarts a gateway each time it looks at it otherwise keeps it
// from ever coming up.
const (
	rateLimit  = 3
	rateWindow = 60 * time.Second
)

const (
	maxFlightNote = 16 << 10
	lockPollFirst = 2 * time.Millisecond
	lockPollLast  = 100 * time.Millisecond
)

// Holder is who restarts a target, as the note in its lock says: a hint for people.
type Holder struct {
	PID     int
	Command string // "hermes-gw restart --all"
}

func (h Holder) String() string {
	switch {
	case h.PID <= 0:
		return "another process"
	case h.Command == "":
		return fmt.Sprintf("process %d", h.PID)
	}
	return fmt.Sprintf("process %d (%s)", h.PID, h.Command)
}

// BusyError says that another restart of the target is under way and did not end in time.
type BusyError struct {
	Target launchd.Target
	Holder Holder
}

func (e *BusyError) Error() string {
	return fmt.Sprintf("restart %s: %v restarts it already and has not ended", e.Target, e.Holder)
}

// Remedy says in one sentence what to do.
func (e *BusyError) Remedy() string {
	return "Wait for it, or give this one longer with --timeout."
}

// RateError says that a target was restarted too often.
type RateError struct {
	Target launchd.Target
	Times  int
	Next   time.Duration // until the next one is allowed
}

func (e *RateError) Error() string {
	return fmt.Sprintf("restart %s: it was restarted %d times in the last %.0f s, so nothing was sent",
		e.Target, e.Times, rateWindow.Seconds())
}

// Remedy says in one sentence what to do.
func (e *RateError) Remedy() string {
	return fmt.Sprintf("Look at its log for why it needs that; another restart is allowed in %.0f s, or now with --force.", math.Ceil(e.Next.Seconds()))
}

// flight is the right to restart one target. Its lock is a flock(2) on a file that is never
// unlinked: the kernel gives it up with the process that holds it, however that ends. What
// the file says is a hint and decides nothing but the rate guard.
type flight struct {
	file    *os.File
	note    flightNote
	address string // of the launchd that is asked
}

type flightNote struct {
	PID      int             `json:"pid"` // of the holder; 0 when nobody holds it
	Start    int64           `json:"start_time"`
	Command  string          `json:"command"`
	Requests []flightRequest `json:"requests"` // the last ones, oldest first
}

// flightRequest is one request that restarted the target.
type flightRequest struct {
	At      proc.BootTime `json:"at"`      // in nanoseconds
	Launchd string        `json:"launchd"` // the address of an embedded one; "" is the system's

	// For doctor, of the job as it was before: launchd's number of its starts, and how many of the last
	// ones nobody had asked for, if it was flapping. 0 if that is not known.
	Runs    int `json:"runs,omitempty"`
	Unasked int `json:"unasked,omitempty"`
}

// flightName is the file of a target's lock.
func flightName(t launchd.Target) string {
	sum := sha256.Sum256([]byte(t.String()))
	return hex.EncodeToString(sum[:4]) + ".lock"
}

// board waits for the right to restart t. waited is true if somebody else had it first. The
// error is a *BusyError if ctx ends before, and anything else if there can be no lock:
// then the restart goes on without.
func board(ctx context.Context, dir string, owner int, t launchd.Target, command, address string) (f *flight, waited bool, err error) {
	d, err := privatedir.Open(dir, owner)
	if err != nil {
		return nil, false, err
	}
	defer d.Close()
	file, err := d.OpenFile(flightName(t))
	if err != nil {
		return nil, false, err
	}
	for wait := lockPollFirst; ; wait = min(2*wait, lockPollLast) {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			file.Close()
			return nil, false, fmt.Errorf("lock %s: %w", file.Name(), err)
		}
		waited = true
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			busy := &BusyError{Target: t, Holder: readFlightNote(file).holder()}
			file.Close()
			return nil, true, busy
		}
	}
	f = &flight{file: file, address: address, note: readFlightNote(file)}
	self := proc.Self()
	f.note.PID, f.note.Start, f.note.Command = self.PID, self.Start, command
	f.write()
	return f, waited, nil
}

// allowed says whether the target may be restarted once more.
func (f *flight) allowed(t launchd.Target) error {
	if f == nil {
		return nil
	}
	now := proc.SinceBoot()
	var recent []proc.BootTime
	for _, r := range f.note.Requests {
		// A time to come is of another boot.
		if age := now.Sub(r.At); r.Launchd == f.address && age >= 0 && age < rateWindow {
			recent = append(recent, r.At)
		}
	}
	if len(recent) < rateLimit {
		return nil
	}
	slices.Sort(recent)
	oldest := recent[len(recent)-rateLimit]
	return &RateError{Target: t, Times: len(recent), Next: oldest.Add(rateWindow).Sub(now)}
}

// last is the last request that was sent to a launchd since the machine booted; nil for none.
func (n flightNote) last(address string) *flightRequest {
	now := proc.SinceBoot()
	for _, r := range slices.Backward(n.Requests) {
		if r.Launchd == address && now.Sub(r.At) >= 0 {
			return &r
		}
	}
	return nil
}

// flightNote reads a target's note without taking the lock.
func (h *Hermes) flightNote(t launchd.Target) flightNote {
	if h.o.StateDir == "" {
		return flightNote{}
	}
	file, err := os.OpenFile(filepath.Join(h.o.StateDir, flightName(t)), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return flightNote{}
	}
	defer file.Close()
	return readFlightNote(file)
}

// sending notes that the target is about to be restarted, and how often launchd had started it by
// then, all in all and without anybody asking. The last request stays in the note, however old: doctor
// counts from it.
func (f *flight) sending(runs, unasked int) error {
	if f == nil {
		return nil
	}
	now := proc.SinceBoot()
	f.note.Requests = slices.DeleteFunc(f.note.Requests, func(r flightRequest) bool {
		return now.Sub(r.At) < 0 || now.Sub(r.At) >= rateWindow
	})
	f.note.Requests = append(f.note.Requests, flightRequest{At: now, Launchd: f.address, Runs: runs, Unasked: unasked})
	if n := len(f.note.Requests) - 8*rateLimit; n > 0 {
		f.note.Requests = f.note.Requests[n:]
	}
	return f.write()
}

// land gives the right back.
func (f *flight) land() {
	if f == nil {
		return
	}
	f.note.PID, f.note.Start, f.note.Command = 0, 0, ""
	f.write()
	f.file.Close()
}

// write replaces the note. A note that cannot be written, or half, is a hint that is missing. It is
// written over the last one before the rest of that is cut off: on a full disk there may be room
// for no other.
func (f *flight) write() error {
	b, err := json.Marshal(f.note)
	if err != nil {
		return err
	}
	b = append(b, '\n')
	if _, err := f.file.WriteAt(b, 0); err != nil {
		return err
	}
	return f.file.Truncate(int64(len(b)))
}

func readFlightNote(file *os.File) (n flightNote) {
	b, err := io.ReadAll(io.NewSectionReader(file, 0, maxFlightNote))
	if err != nil || json.Unmarshal(b, &n) != nil {
		return flightNote{}
	}
	return n
}

// holder names who has the lock, if it is still there.
func (n flightNote) holder() Holder {
	id, err := proc.Read(n.PID)
	if n.PID <= 0 || err != nil || id.Start != n.Start {
		return Holder{}
	}
	return Holder{PID: n.PID, Command: strings.ToValidUTF8(n.Command, "?")}
}
