package launchd

// State is what launchd says a job is doing: one of the nine constants, or another word
// that a launchd prints and this package does not know. "" is not known.
//
// Source: launchd-protocol.md 6.1, from launchd's table of states.
type State string

// The states, in launchd's order.
const (
	StateNotRunning     State = "not running"
	StateSpawnScheduled State = "spawn scheduled" // throttled, or waiting for its turn
	StateSpawning       State = "spawning"
	StateXPCProxy       State = "xpcproxy" // has a pid, and has not executed its program yet; "spawned" where no xpcproxy is used
	StateRunning        State = "running"
	StateSIGTERMed      State = "SIGTERMed"   // was asked to exit; SIGKILL follows after the exit timeout
	StateSIGKILLed      State = "SIGKILLed"   // was killed, and is not reaped yet
	StateLanguishing    State = "languishing" // was killed, and does not go
	StateExited         State = "exited"      // is being reaped
)

// Known reports whether s is one of the nine states.
func (s State) Known() bool {
	switch s {
	case StateNotRunning, StateSpawnScheduled, StateSpawning, StateXPCProxy, StateRunning,
		StateSIGTERMed, StateSIGKILLed, StateLanguishing, StateExited:
		return true
	}
	return false
}

// Stopping reports whether the job's process is on its way out: told to go, killed, or
// not reaped yet.
func (s State) Stopping() bool {
	return s == StateSIGTERMed || s == StateSIGKILLed || s == StateLanguishing || s == StateExited
}
