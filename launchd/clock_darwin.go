package launchd

import "time"

// startClock reads the clock that [proc.Identity].Start counts on: time since the
// epoch.
func startClock() time.Duration { return time.Duration(time.Now().UnixNano()) }
