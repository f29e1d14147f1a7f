package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// startTime is when this process started, as Hermes notes it: on Linux the kernel's clock
// ticks since boot, which are centiseconds.
func startTime() (int64, error) {
	text, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return 0, err
	}
	// pid (comm) state ppid ...; comm may hold anything. starttime is the 22nd field.
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 20 {
		return 0, fmt.Errorf("/proc/self/stat: %q", text)
	}
	return strconv.ParseInt(string(fields[19]), 10, 64)
}
