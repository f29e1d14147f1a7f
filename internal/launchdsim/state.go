package launchdsim

import "fmt"

// state is what launchd calls a service's state; print shows the words below
// ("spawn scheduled" is also how a throttled job reads: there is no state of
// its own for that). Numbers and words: launchd-protocol notes, from the state
// names in launchd of iOS 26.1, seen in macOS 13 to 26 print output.
type state uint8

const (
	notRunning     state = iota
	spawnScheduled       // a throttle timer runs
	spawning             // asked for, no pid yet
	xpcproxy             // has its pid, has not exec'd the program
	running
	sigtermed   // asked to stop, the exit timeout runs
	sigkilled   // the exit timeout is over, or it was stopped before its exec
	languishing // SIGKILL did not end it
	exited      // being cleaned up; nobody outside sees this one
)

var stateWords = [...]string{"not running", "spawn scheduled", "spawning", "xpcproxy", "running", "SIGTERMed", "SIGKILLed", "languishing", "exited"}

func (s state) String() string { return stateWords[s] }

// event is what moves a job from one state to another.
type event uint8

const (
	evDemand   event = iota // somebody wants it to run, and it may at once
	evThrottle              // somebody wants it to run, but the minimum runtime is not over
	evTimer                 // the throttle timer fired, or was cancelled in favour of a spawn
	evCancel                // a scheduled spawn is off
	evSpawned               // the process exists
	evFailed                // it could not be created
	evInit                  // the program was exec'd
	evStop                  // SIGTERM was sent
	evAbort                 // SIGKILL was sent
	evLinger                // it outlived the SIGKILL
	evExited                // it is dead
	evCleaned               // exit handling is done
)

var eventWords = [...]string{"demand", "throttle", "timer", "cancel", "spawned", "failed", "init", "stop", "abort", "linger", "exited", "cleaned"}

func (e event) String() string { return eventWords[e] }

// transitions is the whole life of a job. What is not in it cannot happen. launchd's
// log also names "spawn scheduled" for the instant before a spawn that nothing delays;
// here it is the state of a spawn that waits.
var transitions = map[state]map[event]state{
	notRunning:     {evDemand: spawning, evThrottle: spawnScheduled},
	spawnScheduled: {evTimer: spawning, evCancel: notRunning},
	spawning:       {evSpawned: xpcproxy, evFailed: notRunning},
	xpcproxy:       {evInit: running, evAbort: sigkilled, evExited: exited},
	running:        {evStop: sigtermed, evAbort: sigkilled, evExited: exited},
	sigtermed:      {evAbort: sigkilled, evExited: exited},
	sigkilled:      {evLinger: languishing, evExited: exited},
	languishing:    {evExited: exited},
	exited:         {evCleaned: notRunning},
}

// next returns the state that follows. An event that the table does not allow is
// a defect of the model, so it panics rather than going on with a wrong picture.
func (s state) next(e event) state {
	to, ok := transitions[s][e]
	if !ok {
		panic(fmt.Sprintf("launchdsim: event %q in state %q", e, s))
	}
	return to
}

// spawnReason says why a job was started; print calls it the immediate reason.
// The numbers are launchd's, the words are from print output where it was seen.
type spawnReason uint8

const (
	reasonNone        spawnReason = 0
	reasonSpeculative spawnReason = 4 // RunAtLoad, and the first run of KeepAlive
	reasonKeepAlive   spawnReason = 5
	reasonExitStatus  spawnReason = 6 // KeepAlive with SuccessfulExit or Crashed
	reasonDemand      spawnReason = 9 // kickstart
	reasonLegacyStart spawnReason = 10
	reasonRetry       spawnReason = 11
	reasonInterval    spawnReason = 12
)

func (r spawnReason) String() string {
	switch r {
	case reasonSpeculative:
		return "speculative"
	case reasonKeepAlive:
		return "keepalive"
	case reasonExitStatus:
		return "semaphore"
	case reasonDemand:
		return "non-ipc demand"
	case reasonLegacyStart:
		return "one-shot"
	case reasonRetry:
		return "retry"
	case reasonInterval:
		return "interval"
	}
	return "(none)"
}

// demand says whether somebody asked for this start. A domain in on-demand-only
// mode grants only these.
func (r spawnReason) demand() bool { return r == reasonDemand || r == reasonLegacyStart }
