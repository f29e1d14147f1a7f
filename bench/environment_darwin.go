package main

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

func sysctl(name string) string {
	s, err := unix.Sysctl(name)
	if err != nil {
		return "?"
	}
	return s
}

func systemName() string {
	return fmt.Sprintf("macOS %s (%s)", sysctl("kern.osproductversion"), sysctl("kern.osversion"))
}

func cpuName() string { return sysctl("machdep.cpu.brand_string") }

// loadAverage reads struct loadavg of sys/resource.h: three fixpt_t and a long fscale.
func loadAverage() string {
	b, err := unix.SysctlRaw("vm.loadavg")
	if err != nil || len(b) < 24 {
		return "?"
	}
	scale := float64(binary.LittleEndian.Uint64(b[16:]))
	return fmt.Sprintf("%.2f", float64(binary.LittleEndian.Uint32(b))/scale)
}
