package proc

import "time"

// Clock reads the clock that [Identity].Start counts on: time since the
// epoch.
func Clock() time.Duration { return time.Duration(time.Now().UnixNano()) }
