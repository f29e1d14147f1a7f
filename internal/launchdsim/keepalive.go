package launchdsim

import (
	"fmt"
	"os"
	"syscall"
)

// keepAlive is the KeepAlive key: a bool, or conditions of which one is enough
// (launchd.plist(5)).
type keepAlive struct {
	always         bool
	successfulExit *bool
	crashed        *bool
	pathState      map[string]bool
	afterDemand    bool // AfterInitialDemand: not before the first explicit start
}

func parseKeepAlive(v any) (k keepAlive) {
	switch v := v.(type) {
	case bool:
		k.always = v
	case map[string]any:
		if b, isBool := v["SuccessfulExit"].(bool); isBool {
			k.successfulExit = &b
		}
		if b, isBool := v["Crashed"].(bool); isBool {
			k.crashed = &b
		}
		if paths, isDict := v["PathState"].(map[string]any); isDict {
			k.pathState = map[string]bool{}
			for p, want := range paths {
				if b, isBool := want.(bool); isBool {
					k.pathState[p] = b
				}
			}
		}
		k.afterDemand, _ = v["AfterInitialDemand"].(bool)
		// Alone it delays an unconditional KeepAlive.
		k.always = k.afterDemand && len(v) == 1
	}
	return k
}

// set says whether there is anything to keep alive for.
func (k keepAlive) set() bool {
	return k.always || k.successfulExit != nil || k.crashed != nil || len(k.pathState) > 0
}

// atLoad says whether the job runs as soon as it is loaded. An exit status
// condition needs a first run (launchd.plist(5): SuccessfulExit implies
// RunAtLoad).
func (k keepAlive) atLoad() bool {
	if k.afterDemand {
		return false
	}
	return k.always || k.successfulExit != nil || k.crashed != nil || k.paths()
}

// afterExit says whether the job runs again after it ended with status.
func (k keepAlive) afterExit(status syscall.WaitStatus) (bool, spawnReason) {
	clean := status.Exited() && status.ExitStatus() == 0
	switch {
	case k.always:
		return true, reasonKeepAlive
	case k.successfulExit != nil && clean == *k.successfulExit:
		return true, reasonExitStatus
	case k.crashed != nil && crashed(status) == *k.crashed:
		return true, reasonExitStatus
	case k.paths():
		return true, reasonKeepAlive
	}
	return false, reasonNone
}

func (k keepAlive) paths() bool {
	for p, want := range k.pathState {
		if _, err := os.Stat(p); (err == nil) == want {
			return true
		}
	}
	return false
}

// crashed says whether status is an end by one of the signals that
// launchd.plist(5) calls typical of a crash.
func crashed(status syscall.WaitStatus) bool {
	if !status.Signaled() {
		return false
	}
	switch status.Signal() {
	case syscall.SIGILL, syscall.SIGTRAP, syscall.SIGABRT, syscall.SIGFPE, syscall.SIGBUS, syscall.SIGSEGV, syscall.SIGSYS:
		return true
	}
	return false
}

// semaphores are the conditions on the exit as print shows them: seen in a capture of
// macOS 14 or later that launchd/testdata/print holds.
func (k keepAlive) semaphores() (rows []string) {
	row := func(name string, on *bool) {
		if on == nil {
			return
		}
		value := 0
		if *on {
			value = 1
		}
		rows = append(rows, fmt.Sprintf("%s => %d", name, value))
	}
	row("successful exit", k.successfulExit)
	row("after crash", k.crashed)
	return rows
}
