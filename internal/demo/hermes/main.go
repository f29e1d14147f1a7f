// Command hermes stands in for Hermes in the demo: a gateway that does nothing
// but come, go and say so, and the wrapper that Hermes puts around it.
//
//	hermes [--profile NAME] gateway run [--external-supervisor]
//	hermes stderr-timestamp --error-log FILE -- COMMAND...
//
// Signals and exit codes are those of Hermes, as far as a restart meets them.
package main

import (
	"fmt"
	"os"
)

// Exit codes of Hermes.
const (
	exitStopped   = 0  // a planned stop
	exitSignalled = 1  // SIGTERM that nobody announced: a supervisor should revive it
	exitRestart   = 75 // SIGUSR1: drained, to be started again
	exitConfig    = 78 // nothing that a new start would mend; the wrapper turns it into 0
)

func main() {
	args := os.Args[1:]
	if len(args) >= 2 && args[0] == "--profile" {
		args = args[2:]
	}
	switch {
	case len(args) >= 2 && args[0] == "gateway" && args[1] == "run":
		os.Exit(gateway(os.Getenv("HERMES_HOME"), os.Getenv("HERMES_DEMO_WATCH")))
	case len(args) >= 5 && args[0] == "stderr-timestamp" && args[1] == "--error-log" && args[3] == "--":
		os.Exit(wrap(args[2], args[4:]))
	}
	fmt.Fprintln(os.Stderr, "hermes (a stand-in): use `gateway run` or `stderr-timestamp --error-log FILE -- COMMAND...`")
	os.Exit(2)
}
