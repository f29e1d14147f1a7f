package proc

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// zombie is SZOMB of xnu's bsd/sys/proc.h: only the exit status is left.
const zombie = 5

func read(pid int) (entry, error) {
	if err := checkPID(pid); err != nil {
		return entry{}, err
	}
	k, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	switch {
	case err == unix.EIO, err == unix.ESRCH: // x/sys says EIO when the kernel answers with nothing
		return entry{}, goneError(pid)
	case err != nil:
		return entry{}, fmt.Errorf("look at process %d: %w", pid, err)
	case k.Proc.P_stat == zombie:
		return entry{}, goneError(pid)
	}
	start := k.Proc.P_starttime
	return entry{
		Identity: Identity{PID: pid, Start: start.Sec*1_000_000 + int64(start.Usec)},
		parent:   int(k.Eproc.Ppid),
	}, nil
}
