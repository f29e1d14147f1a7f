package hermesgw

import "github.com/hermes-gw/hermes-gw/launchd"

// startEpoch returns when a process started, in seconds since the epoch.
func startEpoch(id launchd.Identity) float64 { return float64(id.Start) / 1e6 }

// startSlack is how far two such times of one process can be apart, in seconds: rounding.
const startSlack = 0.011
