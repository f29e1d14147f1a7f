package sweep

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// errProcargs says that a buffer is not in the form of KERN_PROCARGS2.
var errProcargs = errors.New("not in the form of KERN_PROCARGS2")

// parseProcargs reads what sysctl KERN_PROCARGS2 gives of a process (xnu,
// bsd/kern/kern_sysctl.c, sysctl_procargsx): an int32 argc, the path of the executable, NULs
// up to a multiple of the pointer size, argc arguments and then the environment, each
// with a NUL at its end. Empty arguments are arguments: to skip one would make a variable
// of the environment out to be the last of them (gopsutil #2082).
func parseProcargs(b []byte) ([]string, error) {
	if len(b) < 4 {
		return nil, errProcargs
	}
	argc := int(int32(binary.LittleEndian.Uint32(b)))
	b = b[4:]
	end := bytes.IndexByte(b, 0)
	if argc < 0 || argc > len(b) || end < 0 {
		return nil, errProcargs
	}
	path := end
	for end < len(b) && b[end] == 0 {
		end++
	}
	// With no argument, or an empty first one, the padding cannot be told from it: the
	// stack is aligned, so what is beyond the padding is arguments.
	if argc > 0 && end > aligned(path+1) {
		end = aligned(path + 1)
	}
	b = b[end:]
	argv := make([]string, 0, argc)
	for range argc {
		i := bytes.IndexByte(b, 0)
		if i < 0 {
			return nil, errProcargs // cut off: what is there may be half an argument
		}
		argv = append(argv, string(b[:i]))
		b = b[i+1:]
	}
	return argv, nil
}

// aligned is the next multiple of the pointer size: the path's string area on the stack is
// padded to that.
func aligned(n int) int { return (n + 7) &^ 7 }

// splitArgs reads /proc/PID/cmdline: each argument with a NUL at its end. A process that
// wrote over its arguments may have left the last one without.
func splitArgs(b []byte) []string {
	if len(b) == 0 {
		return nil
	}
	n := bytes.Count(b, []byte{0})
	if b[len(b)-1] != 0 {
		n++
	}
	argv := make([]string, 0, n)
	for len(b) > 0 {
		i := bytes.IndexByte(b, 0)
		if i < 0 {
			i = len(b)
		}
		argv = append(argv, string(b[:i]))
		b = b[min(i+1, len(b)):]
	}
	return argv
}
