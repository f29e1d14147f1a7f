package launchdsim

import (
	"syscall"
	"time"
)

// Exponential throttling: the minimum runtime doubles with every crash above a
// grace limit, up to a cap. The doubling and the cap are launchd's (decompiled,
// iOS 26.1); how a job asks for it and the grace limit are not public, so the key
// and the number are the model's own.
const (
	exponentialKey = "ExponentialThrottling"
	crashGrace     = 1
	maxMinimum     = 1200 * time.Second
)

// minimumRuntime is the plist's, or what exponential throttling made of it.
func (j *job) minimumRuntime() time.Duration {
	d := j.def.throttle
	if !j.def.backOff {
		return d
	}
	for n := j.crashes - crashGrace; n > 0 && d < maxMinimum; n-- {
		d *= 2
	}
	return max(min(d, maxMinimum), j.def.throttle)
}

// throttled returns how long the minimum runtime, which counts from the last
// spawn, still forbids the next one.
func (j *job) throttled() time.Duration {
	if j.skip || j.spawned.IsZero() {
		return 0
	}
	return j.s.scaled(j.minimumRuntime()) - time.Since(j.spawned)
}

// countCrash keeps the number of unsuccessful ends in a row. What launchd itself
// stopped did not crash.
func (j *job) countCrash(status syscall.WaitStatus, stopped bool) {
	switch {
	case stopped:
	case status.Exited() && status.ExitStatus() == 0:
		j.crashes = 0
	default:
		j.crashes++
	}
}
