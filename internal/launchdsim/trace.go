package launchdsim

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Event is one line of the trace. Which fields are set depends on Kind:
//
//	request  Conn, ID, Routine, Peer, and Domain, Label where the request names them
//	reply    the same, Error (0 is success) and PID where the reply carries one
//	state    Domain, Label, From, To, and PID if there is a process
//	signal   Domain, Label, PID, Signal
//	spawn    Domain, Label, PID
//	exit     Domain, Label, PID, Status
type Event struct {
	Time    int64  `json:"t"` // nanoseconds of CLOCK_MONOTONIC
	Kind    string `json:"ev"`
	Conn    uint64 `json:"conn,omitempty"` // numbers connections from 1
	ID      uint64 `json:"id,omitempty"`   // numbers requests from 1
	Routine uint64 `json:"routine,omitempty"`
	Peer    int    `json:"peer,omitempty"` // pid of the client when it connected, 0 if that is not known
	Domain  string `json:"domain,omitempty"`
	Label   string `json:"label,omitempty"`
	PID     int    `json:"pid,omitempty"`
	Error   *int64 `json:"error,omitempty"` // only in replies, 0 included
	From    string `json:"from,omitempty"`
	To      string `json:"to,omitempty"`
	Signal  int    `json:"sig,omitempty"`    // the host's number
	Status  *int   `json:"status,omitempty"` // raw wait(2) status, only in exits
}

// monotonic reads CLOCK_MONOTONIC, the clock a client on the same machine can
// read too.
func monotonic() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0
	}
	return ts.Nano()
}

// journal writes the trace and the log. One write a line, so that somebody who
// follows the file sees an event as soon as it has happened.
type journal struct {
	mu      sync.Mutex
	trace   io.Writer
	log     io.Writer
	onEvent func(Event)
}

func (j *journal) event(e Event) {
	if j.trace == nil && j.onEvent == nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	// Taken under the lock, so that the lines are in the order of their times.
	e.Time = monotonic()
	if j.trace != nil {
		if line, err := json.Marshal(e); err == nil {
			j.trace.Write(append(line, '\n'))
		}
	}
	if j.onEvent != nil {
		j.onEvent(e)
	}
}

// logf writes a line in the form of launchd.log:
//
//	2021-12-03 10:11:12.345678 (gui/501/label [42]) <Notice>: service state: running
func (j *journal) logf(subject, level, format string, args ...any) {
	if j.log == nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	fmt.Fprintf(j.log, "%s (%s) <%s>: %s\n", time.Now().Format("2006-01-02 15:04:05.000000"), subject, level, fmt.Sprintf(format, args...))
}
