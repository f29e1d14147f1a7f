package sweep

import (
	"encoding/binary"
	"fmt"
)

// struct kinfo_proc of xnu, bsd/sys/sysctl.h, for 64-bit processes: a struct extern_proc
// (bsd/sys/proc.h) and a struct eproc. The offsets are those of golang.org/x/sys/unix,
// KinfoProc, which a test compares on macOS.
//
//	struct kinfo_proc {
//		struct extern_proc kp_proc;   // 296 bytes
//		struct eproc       kp_eproc;
//	};
const (
	kinfoSize      = 648
	kinfoStartSec  = 0   // kp_proc.p_un.__p_starttime.tv_sec, int64
	kinfoStartUsec = 8   // tv_usec, int32
	kinfoStat      = 36  // kp_proc.p_stat, char
	kinfoPID       = 40  // kp_proc.p_pid, int32
	kinfoComm      = 243 // kp_proc.p_comm, char[MAXCOMLEN + 1]
	kinfoCommSize  = 17
	kinfoRealUID   = 392 // kp_eproc.e_pcred.p_ruid, uint32
	kinfoUID       = 420 // kp_eproc.e_ucred.cr_uid, uint32
	kinfoParent    = 560 // kp_eproc.e_ppid, int32
	kinfoGroup     = 564 // kp_eproc.e_pgid, int32
	kinfoTTY       = 572 // kp_eproc.e_tdev, int32; -1 (NODEV) for none
)

// p_stat, bsd/sys/proc.h.
const (
	kinfoStopped = 4 // SSTOP
	kinfoZombie  = 5 // SZOMB
)

// appendKinfo appends the rows of a buffer that sysctl KERN_PROC filled.
func appendKinfo(rows []Process, b []byte) ([]Process, error) {
	if len(b)%kinfoSize != 0 {
		return rows, fmt.Errorf("%d bytes are no whole number of entries of %d", len(b), kinfoSize)
	}
	le := binary.LittleEndian
	for ; len(b) > 0; b = b[kinfoSize:] {
		k := b[:kinfoSize]
		p := Process{
			Identity: Identity{
				PID:   int(int32(le.Uint32(k[kinfoPID:]))),
				Start: int64(le.Uint64(k[kinfoStartSec:]))*1_000_000 + int64(int32(le.Uint32(k[kinfoStartUsec:]))),
			},
			Parent:  int(int32(le.Uint32(k[kinfoParent:]))),
			Group:   int(int32(le.Uint32(k[kinfoGroup:]))),
			UID:     le.Uint32(k[kinfoUID:]),
			RealUID: le.Uint32(k[kinfoRealUID:]),
		}
		if dev := int32(le.Uint32(k[kinfoTTY:])); dev != -1 {
			p.TTY = uint64(uint32(dev))
		}
		switch k[kinfoStat] {
		case kinfoStopped:
			p.State = StateStopped
		case kinfoZombie:
			p.State = StateZombie
		}
		p.setComm(k[kinfoComm : kinfoComm+kinfoCommSize])
		rows = append(rows, p)
	}
	return rows, nil
}
