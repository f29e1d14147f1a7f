package launchd

import "time"

// EventKind is what happened to a job, or what a restart did about it.
type EventKind string

// The kinds of [Event]. [Client.Watch] reports the first five, [Client.Restart] and
// [Client.Reload] all of them but unloaded and loaded, which only a reload causes.
const (
	EventLoaded    EventKind = "loaded"    // launchd has the job
	EventUnloaded  EventKind = "unloaded"  // launchd does not have the job
	EventSpawned   EventKind = "spawned"   // PID is the job's process now
	EventExited    EventKind = "exited"    // PID has gone, by Exit if launchd told
	EventThrottled EventKind = "throttled" // launchd starts the job at Until, if that is known
	EventRequested EventKind = "requested" // a request that changes the job is about to be sent: Detail
	EventSignaled  EventKind = "signaled"  // PID was sent the signal in Detail
	EventWaiting   EventKind = "waiting"   // for what Detail says, about PID
	EventReady     EventKind = "ready"     // PID is ready
)

// Event is one step in the life of a job.
type Event struct {
	Time   time.Time // when it was seen, which can be a little later than it happened
	Kind   EventKind
	Target Target
	PID    int       // 0 when it is not about a process
	Exit   Exit      // of EventExited; the zero Exit is not known
	Until  time.Time // of EventThrottled; the zero time is not known
	Detail string    // for people; empty for most kinds
}
