package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// watch reads the peaks of a process that runs.
func (p *peak) watch(pid int) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return
	}
	// Until it has executed its program, it is a copy of this process.
	if !strings.HasPrefix(string(b), "Name:\thermes-gw\n") {
		return
	}
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(line, ":")
		n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch {
		case err != nil:
		case name == "VmHWM":
			p.memory = max(p.memory, n<<10)
		case name == "Threads":
			p.threads = max(p.threads, int(n))
		}
	}
}
