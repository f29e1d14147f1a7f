package proc

import (
	"time"

	"golang.org/x/sys/unix"
)

// Clock reads the clock that [Identity].Start counts on: time since boot,
// sleep included.
func Clock() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) != nil {
		return 1<<63 - 1 // as if every process were old
	}
	return time.Duration(t.Nano())
}

// SinceBoot is the time since boot, sleep included, whatever is done to the clock on the wall.
func SinceBoot() BootTime { return BootTime(Clock()) }
