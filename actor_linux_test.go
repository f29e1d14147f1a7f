package hermesgw_test

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mmMap is struct prctl_mm_map of linux/prctl.h.
type mmMap struct {
	startCode, endCode, startData, endData, startBrk, brk, startStack uint64
	argStart, argEnd, envStart, envEnd                                uint64
	auxv                                                              uint64
	auxvSize, exeFD                                                   uint32
}

// hide makes the kernel show no arguments, as of a process in the middle of an exec, or no
// environment. It fails on a kernel without CHECKPOINT_RESTORE.
func hide(arguments, environment bool) error {
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return err
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	field := func(n int) uint64 { // by its number in proc(5)
		v, perr := strconv.ParseUint(string(fields[n-3]), 10, 64)
		if perr != nil && err == nil {
			err = perr
		}
		return v
	}
	brk, _, _ := unix.Syscall(unix.SYS_BRK, 0, 0, 0)
	m := mmMap{
		startCode: field(26), endCode: field(27), startStack: field(28), startData: field(45), endData: field(46),
		startBrk: field(47), brk: uint64(brk), argStart: field(48), argEnd: field(49), envStart: field(50), envEnd: field(51),
		exeFD: ^uint32(0),
	}
	hidden := map[string]bool{"cmdline": arguments, "environ": environment}
	if arguments {
		m.argEnd = m.argStart
	}
	if environment {
		m.envEnd = m.envStart
	}
	if err != nil {
		return err
	}
	const setMM, mapOf = 35, 14 // PR_SET_MM, PR_SET_MM_MAP
	if err := unix.Prctl(setMM, mapOf, uintptr(unsafe.Pointer(&m)), unsafe.Sizeof(m), 0); err != nil {
		return err
	}
	for name, hide := range hidden {
		if shown, err := os.ReadFile("/proc/self/" + name); err != nil || hide != (len(shown) == 0) {
			return fmt.Errorf("%s is %q, %w", name, shown, err)
		}
	}
	return nil
}
