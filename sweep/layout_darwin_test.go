package sweep

import (
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The offsets are those of the struct as x/sys has it from the system's headers.
func TestKinfoLayout(t *testing.T) {
	var k unix.KinfoProc
	var start unix.Timeval
	for name, c := range map[string]struct{ got, want uintptr }{
		"size":        {kinfoSize, unsafe.Sizeof(k)},
		"p_starttime": {kinfoStartSec, unsafe.Offsetof(k.Proc) + unsafe.Offsetof(k.Proc.P_starttime) + unsafe.Offsetof(start.Sec)},
		"tv_usec":     {kinfoStartUsec, unsafe.Offsetof(k.Proc) + unsafe.Offsetof(k.Proc.P_starttime) + unsafe.Offsetof(start.Usec)},
		"p_stat":      {kinfoStat, unsafe.Offsetof(k.Proc) + unsafe.Offsetof(k.Proc.P_stat)},
		"p_pid":       {kinfoPID, unsafe.Offsetof(k.Proc) + unsafe.Offsetof(k.Proc.P_pid)},
		"p_comm":      {kinfoComm, unsafe.Offsetof(k.Proc) + unsafe.Offsetof(k.Proc.P_comm)},
		"p_comm size": {kinfoCommSize, unsafe.Sizeof(k.Proc.P_comm)},
		"p_ruid":      {kinfoRealUID, unsafe.Offsetof(k.Eproc) + unsafe.Offsetof(k.Eproc.Pcred) + unsafe.Offsetof(k.Eproc.Pcred.P_ruid)},
		"cr_uid":      {kinfoUID, unsafe.Offsetof(k.Eproc) + unsafe.Offsetof(k.Eproc.Ucred) + unsafe.Offsetof(k.Eproc.Ucred.Uid)},
		"e_ppid":      {kinfoParent, unsafe.Offsetof(k.Eproc) + unsafe.Offsetof(k.Eproc.Ppid)},
		"e_pgid":      {kinfoGroup, unsafe.Offsetof(k.Eproc) + unsafe.Offsetof(k.Eproc.Pgid)},
		"e_tdev":      {kinfoTTY, unsafe.Offsetof(k.Eproc) + unsafe.Offsetof(k.Eproc.Tdev)},
	} {
		if c.got != c.want {
			t.Errorf("%s is at %d, not at %d", name, c.want, c.got)
		}
	}
}
