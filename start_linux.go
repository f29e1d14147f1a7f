package hermesgw

import (
	"time"

	"github.com/hermes-gw/hermes-gw/internal/proc"
	"github.com/hermes-gw/hermes-gw/launchd"
)

// startEpoch returns when a process started, in seconds since the epoch. The kernel counts from
// boot on, so this depends on when it is asked if the clock is set.
func startEpoch(id launchd.Identity) float64 {
	age := proc.Clock() - time.Duration(id.Start)*time.Microsecond
	return float64(time.Now().Add(-age).UnixMicro()) / 1e6
}

// startSlack is how far two such times of one process can be apart, in seconds: psutil adds to
// the second in which the system was booted.
const startSlack = 1.1
