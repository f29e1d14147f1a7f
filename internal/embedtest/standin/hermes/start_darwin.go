package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// startTime is when this process started, as Hermes notes it: on macOS centiseconds since
// the epoch, rounded.
func startTime() (int64, error) {
	k, err := unix.SysctlKinfoProc("kern.proc.pid", os.Getpid())
	if err != nil {
		return 0, err
	}
	start := k.Proc.P_starttime
	return start.Sec*100 + (int64(start.Usec)+5_000)/10_000, nil
}
