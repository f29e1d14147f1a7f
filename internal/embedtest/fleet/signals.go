package fleet

import (
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/standin"
)

// SignalSeen is a signal that reached a stand-in.
type SignalSeen struct {
	Time   time.Time
	Role   string // gateway or wrapper
	PID    int
	Signal syscall.Signal
}

func (s SignalSeen) String() string { return fmt.Sprintf("%s to %s %d", s.Signal, s.Role, s.PID) }

// SignalsSeen are the signals that the profile's gateways and wrappers got so far. Each was
// noted before anything came of it. SIGKILL is seen by nobody.
func (f *Fleet) SignalsSeen(profile string) (list []SignalSeen) {
	f.t.Helper()
	for _, e := range f.log(profile) {
		if e.Kind == standin.Signal {
			list = append(list, SignalSeen{Time: e.Time, Role: e.Role, PID: e.PID, Signal: syscall.Signal(e.Signal)})
		}
	}
	return list
}

// log is what the profile's stand-ins noted.
func (f *Fleet) log(profile string) []standin.Event {
	f.t.Helper()
	events, err := standin.ReadLog(f.Gateway(profile).Home)
	f.must(err)
	return events
}

// SawSignal reports whether a stand-in of this role got the signal.
func (f *Fleet) SawSignal(profile, role string, s syscall.Signal) bool {
	f.t.Helper()
	return slices.ContainsFunc(f.SignalsSeen(profile), func(seen SignalSeen) bool { return seen.Role == role && seen.Signal == s })
}
