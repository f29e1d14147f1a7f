package proc

import "time"

// BootTime is a time on the clock of [SinceBoot]. It is a type of its own, because on macOS that clock
// and [Clock] have nothing in common, while on Linux they are one: there a mix-up would pass every test.
type BootTime int64

// Sub is the time from an earlier one to this.
func (t BootTime) Sub(earlier BootTime) time.Duration { return time.Duration(t - earlier) }

// Add is a later one.
func (t BootTime) Add(d time.Duration) BootTime { return t + BootTime(d) }
