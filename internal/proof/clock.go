package main

import (
	"time"

	"golang.org/x/sys/unix"
)

// clockZero is when CLOCK_MONOTONIC was 0, which is what kills and traces tell times by. This process may lose the
// processor between its two looks, which makes it too late: the earliest of some counts.
func clockZero() (zero time.Time, err error) {
	for range 20 {
		var t unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
			return time.Time{}, err
		}
		if at := time.Now().Add(-time.Duration(t.Nano())); zero.IsZero() || at.Before(zero) {
			zero = at
		}
	}
	return zero, nil
}
