package main

import (
	"fmt"
	"slices"
	"sync"
)

// history is which verbs a test ran.
type history struct {
	mu  sync.Mutex
	run []string
}

func (v *history) ran(args []string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.run = append(v.run, args[0])
}

// keptLoaded looks through the whole trace at the end of every test with an embedded launchd:
// nothing is ever unloaded without a name, which would be the whole domain; and where nothing
// but a restart was asked for, and questions, nothing was loaded, unloaded or removed (trap 5).
func (s *sim) keptLoaded() {
	restarts := !slices.ContainsFunc(s.run, func(verb string) bool {
		return !slices.Contains([]string{"restart", "status", "ps", "version", "help"}, verb)
	})
	for _, e := range s.trace.all() {
		if e.Ev != "request" {
			continue
		}
		if e.Routine == 801 && e.Label == "" {
			s.t.Errorf("a bootout without a name: %+v", e)
		}
		if restarts && slices.Contains([]uint64{800, 801, 816}, e.Routine) {
			s.t.Errorf("a restart sent %d for %q", e.Routine, e.Label)
		}
	}
}

// count returns how often a restart of the job was asked for, and how many processes it
// had.
func (s *sim) count(label string) (kicks, spawns int) {
	for _, e := range s.trace.all() {
		switch {
		case e.Label != label:
		case e.Ev == "request" && e.Routine == 702:
			kicks++
		case e.Ev == "spawn":
			spawns++
		}
	}
	return kicks, spawns
}

// synced returns the number of events once the trace is as far as launchd is now.
func (s *sim) synced() int {
	s.t.Helper()
	s.mu.Lock()
	label := fmt.Sprint("synced.", len(s.run))
	s.mu.Unlock()
	s.command("status", label).start().end()
	s.trace.await(s.t, "the question about "+label, 0, func(e event) bool { return e.Ev == "request" && e.Label == label })
	return len(s.trace.all())
}
