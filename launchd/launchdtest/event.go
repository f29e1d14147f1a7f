package launchdtest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/launchdsim"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// Kind says what an [Event] is about.
type Kind string

// The kinds of events.
const (
	Request Kind = "request" // a request came
	Reply   Kind = "reply"   // its reply was written, or could not be; a little after the client may have it
	State   Kind = "state"   // a job went from one state to another
	Spawn   Kind = "spawn"   // a job got a process
	Signal  Kind = "signal"  // launchd sends a signal to a job's process
	Exit    Kind = "exit"    // a job's process was reaped
)

// Event is one thing that launchd did. Fields that say nothing about its kind are zero.
type Event struct {
	Time time.Time // when, with the monotonic clock
	Kind Kind
	Next Mark // the place in the trace right after this event

	Domain string // "gui/501"; a request may address one that does not exist
	Label  string // of the job; "" in a request about a domain
	PID    int    // Spawn, Signal, Exit, Reply and State where there is a process

	Conn    uint64    // Request, Reply: the connection, from 1
	ID      uint64    // Request, Reply: what a reply has in common with its request
	Routine uint64    // Request, Reply: 702 is kickstart
	Peer    int       // Request, Reply: pid of the client when it connected, 0 if that is not known
	Code    xpc.Errno // Reply: launchd's error, 0 is success

	From, To string             // State: as print shows them, "running", "SIGTERMed"; "exited" is never shown
	Signal   syscall.Signal     // Signal
	Status   syscall.WaitStatus // Exit
}

// String gives e in one line, for messages of tests.
func (e Event) String() string {
	var b strings.Builder
	b.WriteString(string(e.Kind))
	switch e.Kind {
	case Request, Reply:
		fmt.Fprintf(&b, " %d of connection %d, routine %d", e.ID, e.Conn, e.Routine)
	case State:
		fmt.Fprintf(&b, " %s -> %s", e.From, e.To)
	case Signal:
		fmt.Fprintf(&b, " %s", e.Signal)
	case Exit:
		if e.Status.Signaled() {
			fmt.Fprintf(&b, " by %s", e.Status.Signal())
		} else {
			fmt.Fprintf(&b, " with %d", e.Status.ExitStatus())
		}
	}
	if e.Domain != "" {
		fmt.Fprintf(&b, " %s", e.Domain)
		if e.Label != "" {
			fmt.Fprintf(&b, "/%s", e.Label)
		}
	}
	if e.PID != 0 {
		fmt.Fprintf(&b, " pid %d", e.PID)
	}
	if e.Code != 0 {
		fmt.Fprintf(&b, ": %v", e.Code)
	}
	return b.String()
}

// Mark is a place between two events of the trace. The zero Mark is its begin.
type Mark int

// journal keeps what happened.
type journal struct {
	mu     sync.Mutex
	events []Event
	more   chan struct{}  // closed and replaced at every event
	groups map[int]string // process groups that had members when their job's process was reaped, and the job
}

func newJournal() journal { return journal{more: make(chan struct{}), groups: map[int]string{}} }

// note is called for each event, in order and not concurrently.
func (j *journal) note(e launchdsim.Event) {
	event := Event{
		Time: time.Now(), Kind: Kind(e.Kind), Domain: e.Domain, Label: e.Label, PID: e.PID,
		Conn: e.Conn, ID: e.ID, Routine: e.Routine, Peer: e.Peer, From: e.From, To: e.To, Signal: syscall.Signal(e.Signal),
	}
	if e.Error != nil {
		event.Code = xpc.Errno(*e.Error)
	}
	if e.Status != nil {
		event.Status = syscall.WaitStatus(*e.Status)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	event.Next = Mark(len(j.events) + 1)
	j.events = append(j.events, event)
	// While a group has members its number belongs to nobody else, so what is noted
	// now may be signalled later.
	if event.Kind == Exit && syscall.Kill(-e.PID, 0) != syscall.ESRCH {
		j.groups[e.PID] = e.Domain + "/" + e.Label
	}
	close(j.more)
	j.more = make(chan struct{})
}

func (j *journal) orphans() map[int]string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return maps.Clone(j.groups)
}

// Mark returns the place after the last event so far.
func (l *Launchd) Mark() Mark {
	j := &l.journal
	j.mu.Lock()
	defer j.mu.Unlock()
	return Mark(len(j.events))
}

// Trace returns the events since m in their order; Trace(0) is all of them.
func (l *Launchd) Trace(m Mark) []Event {
	j := &l.journal
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.events[min(max(int(m), 0), len(j.events)):])
}

// Wait returns the first event since m that want likes, which may have happened
// already or not yet. When ctx ends first it returns an error that tells what did
// happen. want is called once for each event.
func (l *Launchd) Wait(ctx context.Context, m Mark, want func(Event) bool) (Event, error) {
	j := &l.journal
	for next := max(int(m), 0); ; {
		j.mu.Lock()
		more := j.more
		fresh := j.events[min(next, len(j.events)):]
		j.mu.Unlock()
		for _, e := range fresh {
			if want(e) {
				return e, nil
			}
			next = int(e.Next)
		}
		select {
		case <-more:
		case <-ctx.Done():
			return Event{}, l.missed(ctx, m)
		}
	}
}

// missed says what happened instead of what was waited for.
func (l *Launchd) missed(ctx context.Context, m Mark) error {
	const most = 50
	events := l.Trace(m)
	var b strings.Builder
	fmt.Fprintf(&b, "launchdtest: none of %d events is the one that was waited for", len(events))
	if len(events) > most {
		fmt.Fprintf(&b, "; the last %d", most)
		events = events[len(events)-most:]
	}
	for _, e := range events {
		fmt.Fprintf(&b, "\n\t%s", e)
	}
	return fmt.Errorf("%s\n%w", b.String(), ctx.Err())
}

// Is returns what [Launchd.Wait] takes to wait for an event of this kind about the job
// with this label.
func Is(k Kind, label string) func(Event) bool {
	return func(e Event) bool { return e.Kind == k && e.Label == label }
}

// Became is [Is] for a job that reached a state, "running" for instance.
func Became(state, label string) func(Event) bool {
	return func(e Event) bool { return e.Kind == State && e.Label == label && e.To == state }
}
