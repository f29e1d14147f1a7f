// Command hermes-gw restarts, starts, stops and shows launchd jobs with one
// request each, without running launchctl. `hermes-gw help` says the rest.
package main

import (
	"context"
	"os"

	"github.com/hermes-gw/hermes-gw/internal/probe"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == reloadWorkerArg {
		os.Exit(reloadWorker(context.Background(), os.Args[2:], os.Stderr))
	}
	if len(os.Args) > 1 && os.Args[1] == probeJobArg {
		os.Exit(probe.JobMain(os.Args[2:]))
	}
	ignoreWriting()
	os.Exit(run(context.Background(), systemEnv(), os.Args[1:], os.Stdout, os.Stderr))
}
