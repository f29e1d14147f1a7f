package main

import (
	"time"

	"golang.org/x/sys/unix"
)

// clockZero is when CLOCK_MONOTONIC was 0, which is what kills and traces tell times by.
func clockZero() (time.Time, error) {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return time.Time{}, err
	}
	return time.Now().Add(-time.Duration(t.Nano())), nil
}
