package launchd

import (
	"strings"
	"testing"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/proc"
)

// The oracle of [TestChaos] sees each kind of untrue report, with and without an old process.
func TestChaosOracle(t *testing.T) {
	const label = "job0"
	w := newChaosWorld(1, t.TempDir())
	begin := w.began.Add(10 * time.Second)
	lives := func(pid int, from, to time.Duration) {
		p := &chaosProc{w: w, id: proc.Identity{PID: pid, Start: int64(from)}, label: label, began: w.began.Add(from)}
		if to > 0 {
			p.ended = w.began.Add(to)
		}
		w.instances[label] = append(w.instances[label], p)
	}
	lives(100, time.Second, 5*time.Second)    // was over by the begin of the call
	lives(101, 6*time.Second, 11*time.Second) // was replaced meanwhile
	lives(102, 12*time.Second, 0)
	ours := &proc.Identity{PID: 101}
	for _, c := range []struct {
		op       string
		outcome  Outcome
		old, new int
		want     string // "" is true
		inside   *proc.Identity
		unloaded bool
	}{
		{"restart", OutcomeRestarted, 101, 102, "", nil, false},
		{"restart", OutcomeRestarted, 101, 777, "777 was not the job's", nil, false},
		{"restart", OutcomeRestarted, 777, 102, "777 was not the job's", nil, false},
		{"restart", OutcomeRestarted, 102, 101, "no process 101 of the job began", nil, false},
		{"restart", OutcomeRestarted, 101, 0, "no process 0 of the job began", nil, false},
		{"restart", OutcomeRestarted, 0, 102, "nothing to restart", nil, false},
		{"restart", OutcomeAlreadyRestarting, 0, 102, "", nil, false},
		{"restart", OutcomeAlreadyRestarting, 101, 102, "", nil, false},
		{"restart", OutcomeAlreadyRestarting, 0, 101, "no process 101 of the job began", nil, false},
		{"restart", OutcomeAlreadyRestarting, 0, 777, "777 was not the job's", nil, false},
		{"restart", OutcomeStarted, 0, 102, "", nil, false},
		{"restart", OutcomeStarted, 0, 101, "process 101 was there before", nil, false},
		{"restart", OutcomeStarted, 0, 0, "names no process", nil, false},
		{"start", OutcomeStarted, 0, 101, "", nil, false},
		{"restart", OutcomeFailed, 777, 0, "777 was not the job's", nil, false},
		{"restart", OutcomeFlapping, 0, 777, "777 was not the job's", nil, false},
		{"restart", OutcomeRequested, 101, 0, "", ours, false},
		{"restart", OutcomeRequested, 101, 0, "not inside", nil, false},
		{"restart", OutcomeNotLoaded, 0, 0, "nobody unloaded", nil, false},
		{"restart", OutcomeNotLoaded, 0, 0, "", nil, true},
		{"stop", OutcomeStopped, 101, 0, "", nil, true},
		{"stop", OutcomeStopped, 0, 0, "", nil, true},
		{"stop", OutcomeStopped, 101, 0, "nobody unloaded", nil, false},
	} {
		w.unloads = map[string][]string{}
		if c.unloaded {
			w.unloads[label] = []string{"stop"}
		}
		x := &chaosCall{w: w, link: &chaosLink{inside: c.inside}, target: w.target(label), begin: begin, what: c.op}
		if why := w.untrue(x, c.outcome, c.old, c.new); c.want == "" && why != "" || !strings.Contains(why, c.want) {
			t.Errorf("%s: %s %d -> %d: %q, want %q", c.op, c.outcome, c.old, c.new, why, c.want)
		}
	}
	w.unloads[label] = []string{"stop"}
	late := &chaosCall{w: w, link: &chaosLink{}, target: w.target(label), begin: begin.Add(10 * time.Second), what: "stop"}
	for _, old := range []int{0, 102} {
		if why := w.untrue(late, OutcomeStopped, old, 0); why != "process 102 lives" {
			t.Errorf("a stop of %d: %q", old, why)
		}
	}
}
