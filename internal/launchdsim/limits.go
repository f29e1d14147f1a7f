package launchdsim

import (
	"fmt"
	"strconv"
	"strings"
)

// limitFlags are the resource limits of launchd.plist(5) and sh's letters for
// them, with what one unit of the shell's is worth in the plist's.
var limitFlags = []struct {
	key    string
	letter string
	unit   uint64
}{
	{"Core", "c", 512},
	{"CPU", "t", 1},
	{"Data", "d", 1024},
	{"FileSize", "f", 512},
	{"MemoryLock", "l", 1024},
	{"NumberOfFiles", "n", 1},
	{"NumberOfProcesses", processLetter, 1},
	{"ResidentSetSize", "m", 1024},
	{"Stack", "s", 1024},
}

// limitCommands gives the shell commands that set Umask and the resource limits;
// "" for none. launchd's trampoline sets them in the child before the exec; here a
// shell does, and execs the program in its place, so the pid stays.
func limitCommands(raw map[string]any) string {
	var commands []string
	switch mask := raw["Umask"].(type) {
	case uint64:
		commands = append(commands, fmt.Sprintf("umask %03o", mask&0o777))
	case string: // octal with a leading 0, as strtoul(3) reads it
		if n, err := strconv.ParseUint(mask, 0, 32); err == nil {
			commands = append(commands, fmt.Sprintf("umask %03o", n&0o777))
		}
	}
	for _, kind := range []struct{ key, flag string }{{"SoftResourceLimits", "-S"}, {"HardResourceLimits", "-H"}} {
		limits, _ := raw[kind.key].(map[string]any)
		for _, l := range limitFlags {
			if n, isInt := limits[l.key].(uint64); isInt {
				commands = append(commands, fmt.Sprintf("ulimit %s -%s %d", kind.flag, l.letter, n/l.unit))
			}
		}
	}
	return strings.Join(commands, " && ")
}

// limited puts the shell in front of c.
func (c command) limited(commands string) command {
	if commands == "" {
		return c
	}
	c.argv = append([]string{"sh", "-c", commands + ` && exec "$0" "$@"; exit 78`, lookPath(c.program)}, c.argv[1:]...)
	c.program = "/bin/sh"
	return c
}
