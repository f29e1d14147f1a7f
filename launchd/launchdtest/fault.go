package launchdtest

import (
	"time"

	"github.com/hermes-gw/hermes-gw/internal/launchdsim"
	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// FaultKind is a way for launchd to misbehave.
type FaultKind int

// The kinds of faults. Only Late and Mistype carry the request out; Fault.Carry makes
// the others do it as well.
const (
	Late    FaultKind = iota + 1 // answer after Fault.Delay
	Never                        // do not answer, and keep the connection open
	Hangup                       // close the connection instead of answering
	Garbage                      // answer with bytes that are no message
	Mistype                      // answer with a string under Fault.Key, whatever belongs there
	Fail                         // answer with the error number Fault.Code
	Broken                       // fail with Fault.Code before there is an answer, as libxpc does when it cannot reach launchd
)

var internalKinds = map[FaultKind]launchdsim.FaultKind{
	Late:    launchdsim.Late,
	Never:   launchdsim.Never,
	Hangup:  launchdsim.Hangup,
	Garbage: launchdsim.Garbage,
	Mistype: launchdsim.Mistype,
	Fail:    launchdsim.Fail,
	Broken:  launchdsim.Broken,
}

// Fault makes the requests go wrong that match Routine, Domain and Label, where a
// zero field matches every request; the first fault in a list that matches counts.
// A Fault of {Kind: Never, Domain: launchd.GUI(501)} hangs one domain only.
type Fault struct {
	Kind    FaultKind
	Routine uint64         // 702 is kickstart; the methods of launchd.Client name theirs
	Domain  launchd.Domain // as the request addresses it
	Label   string
	Carry   bool          // carry the request out all the same
	Delay   time.Duration // of Late; TimeScale does not apply
	Key     string        // of Mistype
	Code    xpc.Errno     // of Fail and Broken
	Times   int           // how often; 0 is always
}

func internalFaults(faults []Fault) []launchdsim.Fault {
	var list []launchdsim.Fault
	for _, f := range faults {
		domain := ""
		if !f.Domain.IsZero() {
			domain = f.Domain.String()
		}
		list = append(list, launchdsim.Fault{
			Kind: internalKinds[f.Kind], Routine: f.Routine, Domain: domain, Label: f.Label,
			Carry: f.Carry, Delay: f.Delay, Key: f.Key, Code: int64(f.Code), Times: f.Times,
		})
	}
	return list
}
