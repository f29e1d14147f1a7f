//go:build amd64 || arm64

package killpoint

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// fileCall says where in its arguments a call has the file that it is about: names in memory, each
// with the folder that it may be relative to, or an open file.
type fileCall struct {
	names   [][2]int // folder, name; a folder of -1 is the working directory
	open    int      // the argument that is a descriptor, if there are no names
	changes bool
}

// fileCalls are the calls that can change a file, its name or its lock. What is written goes to a
// file that was opened for it.
var fileCalls = map[uint64]fileCall{
	unix.SYS_OPENAT:    {names: [][2]int{{0, 1}}}, // changes: by its flags
	unix.SYS_FLOCK:     {open: 0},
	unix.SYS_UNLINKAT:  {names: [][2]int{{0, 1}}, changes: true},
	unix.SYS_MKDIRAT:   {names: [][2]int{{0, 1}}, changes: true},
	unix.SYS_MKNODAT:   {names: [][2]int{{0, 1}}, changes: true},
	unix.SYS_FCHMODAT:  {names: [][2]int{{0, 1}}, changes: true},
	unix.SYS_FCHOWNAT:  {names: [][2]int{{0, 1}}, changes: true},
	unix.SYS_UTIMENSAT: {names: [][2]int{{0, 1}}, changes: true},
	unix.SYS_RENAMEAT:  {names: [][2]int{{0, 1}, {2, 3}}, changes: true},
	unix.SYS_RENAMEAT2: {names: [][2]int{{0, 1}, {2, 3}}, changes: true},
	unix.SYS_LINKAT:    {names: [][2]int{{0, 1}, {2, 3}}, changes: true},
	unix.SYS_SYMLINKAT: {names: [][2]int{{1, 2}}, changes: true},
	unix.SYS_TRUNCATE:  {names: [][2]int{{-1, 0}}, changes: true},
	unix.SYS_FTRUNCATE: {open: 0, changes: true},
	unix.SYS_FCHMOD:    {open: 0, changes: true},
	unix.SYS_FCHOWN:    {open: 0, changes: true},
	unix.SYS_FSETXATTR: {open: 0, changes: true},
	unix.SYS_SETXATTR:  {names: [][2]int{{-1, 0}}, changes: true},
	unix.SYS_LSETXATTR: {names: [][2]int{{-1, 0}}, changes: true},
}

// filesOf are the files that a call is about, and whether it can change them.
func filesOf(tid int, call uint64, args [6]uint64) (files []string, changes bool) {
	about, known := fileCalls[call]
	if !known {
		about, known = archFileCalls[call]
	}
	if !known {
		return nil, false
	}
	for _, n := range about.names {
		folder := fmt.Sprintf("/proc/%d/cwd", tid)
		if n[0] >= 0 && int32(args[n[0]]) != unix.AT_FDCWD {
			folder = fmt.Sprintf("/proc/%d/fd/%d", tid, int32(args[n[0]]))
		}
		name, null := text(tid, args[n[1]])
		if !filepath.IsAbs(name) {
			at, _ := os.Readlink(folder)
			name = filepath.Join(at, name)
		}
		if !null || n[0] >= 0 { // utimensat: no name is the folder's descriptor itself
			files = append(files, name)
		}
	}
	if len(about.names) == 0 {
		files = append(files, fileOf(tid, args[about.open]))
	}
	if call == unix.SYS_OPENAT {
		return files, args[2]&(unix.O_ACCMODE|unix.O_CREAT|unix.O_TRUNC) != unix.O_RDONLY
	}
	return files, about.changes
}

// text reads a name from the memory of a stopped thread.
func text(tid int, address uint64) (s string, null bool) {
	if address == 0 {
		return "", true
	}
	var name []byte
	for len(name) < unix.PathMax {
		var b [8]byte
		if !peek(tid, address+uint64(len(name)), b[:]) {
			break
		}
		if i := bytes.IndexByte(b[:], 0); i >= 0 {
			return string(append(name, b[:i]...)), false
		}
		name = append(name, b[:]...)
	}
	return string(name), false
}
