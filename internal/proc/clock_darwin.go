package proc

import (
	"time"

	"golang.org/x/sys/unix"
)

// Clock reads the clock that [Identity].Start counts on: time since the
// epoch.
func Clock() time.Duration { return time.Duration(time.Now().UnixNano()) }

// SinceBoot is the time since boot, sleep included, whatever is done to the clock on the wall.
// Source: CLOCK_MONOTONIC in clock_gettime(3) of macOS.
func SinceBoot() BootTime {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) != nil {
		return 0
	}
	return BootTime(t.Nano())
}
