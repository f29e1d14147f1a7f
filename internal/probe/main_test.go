package probe

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/hermes-gw/hermes-gw/launchd"
)

// The test binary is also what throwaway jobs and the workers of reloads run.
const (
	jobArg    = "probe-job"
	workerArg = "reload-worker"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		// os.Exit takes a second where the race detector is linked in.
		switch os.Args[1] {
		case jobArg:
			syscall.Exit(JobMain(os.Args[2:]))
		case liveArg:
			syscall.Exit(liveJob(os.Args[2:]))
		case workerArg:
			if err := launchd.ReloadWorker(context.Background(), os.Args[2:]); err != nil {
				fmt.Fprintln(os.Stderr, err)
				syscall.Exit(1)
			}
			syscall.Exit(0)
		}
	}
	os.Exit(m.Run())
}
