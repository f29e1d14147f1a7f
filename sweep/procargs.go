package sweep

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
)

// errProcargs says that a buffer is not in the form of KERN_PROCARGS2.
var errProcargs = errors.New("not in the form of KERN_PROCARGS2")

// parseProcargs reads what sysctl KERN_PROCARGS2 gives of a process: an int32 argc, the path of
// the executable, NULs, argc arguments and then the environment, each with a NUL at its end.
// Empty arguments are arguments: to skip one would make a variable of the environment out to
// be the last of them (gopsutil #2082).
//
// How many NULs pad the path is nowhere promised, so they are skipped, however many. Only an
// empty first argument looks the same. xnu pads to the pointer size (bsd/kern/kern_exec.c,
// exec_extract_strings: ip_strspace % new_ptr_size), so NULs beyond that may be empty
// arguments: they are, unless skipping them leaves a last argument that can be no variable.
// A Mac must confirm the padding; if it is another one, an argv that ends like a variable
// (env A=b) is taken to begin with an empty argument, and is no match.
func parseProcargs(b []byte) ([]string, error) {
	argv, _, err := splitProcargs(b)
	return argv, err
}

// splitProcargs is parseProcargs, and what follows the arguments.
func splitProcargs(b []byte) (argv []string, rest []byte, err error) {
	if len(b) < 4 {
		return nil, nil, errProcargs
	}
	argc := int(int32(binary.LittleEndian.Uint32(b)))
	b = b[4:]
	end := bytes.IndexByte(b, 0)
	if argc < 0 || argc > len(b) || end < 0 {
		return nil, nil, errProcargs
	}
	const pointer = 8
	padded := (end + 1 + pointer - 1) &^ (pointer - 1)
	for end < len(b) && b[end] == 0 {
		end++
	}
	argv, rest, err = cutStrings(b[end:], argc)
	if empty := min(end-padded, argc); empty > 0 && (err != nil || allVariables(argv[argc-empty:])) {
		argv, rest, err = cutStrings(b[end-empty:], argc)
	}
	return argv, rest, err
}

// cutStrings takes the first n strings, and leaves the rest.
func cutStrings(b []byte, n int) (list []string, rest []byte, err error) {
	list = make([]string, 0, n)
	for range n {
		i := bytes.IndexByte(b, 0)
		if i < 0 {
			return nil, nil, errProcargs // cut off: what is there may be half an argument
		}
		list = append(list, string(b[:i]))
		b = b[i+1:]
	}
	return list, b, nil
}

// variable finds a variable in an environment: strings with a NUL at the end of each. On macOS
// an empty one ends it, and strings for the dynamic linker follow. The first of a name counts, as
// for getenv(3).
func variable(environ []byte, name string) (value string, set bool) {
	for len(environ) > 0 && environ[0] != 0 {
		entry := environ
		if i := bytes.IndexByte(environ, 0); i >= 0 {
			entry, environ = environ[:i], environ[i+1:]
		} else {
			environ = nil
		}
		if key, value, ok := bytes.Cut(entry, []byte("=")); ok && string(key) == name {
			return string(value), true
		}
	}
	return "", false
}

// allVariables reports whether each of these could be a variable of the environment.
func allVariables(list []string) bool {
	for _, s := range list {
		if strings.IndexByte(s, '=') <= 0 {
			return false
		}
	}
	return true
}

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
