package hermesgw

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// maxLinks bounds the symbolic links that are followed for one path, as the kernels do.
const maxLinks = 40

// resolve returns an absolute path without symbolic links, as Path.resolve of Python does: a
// part that does not exist, or cannot be looked at, stays as it is, and .. goes up from where a
// link led. filepath.EvalSymlinks fails on such a path, and a label is a digest of it.
func resolve(path string) (string, error) {
	if !filepath.IsAbs(path) {
		return "", fmt.Errorf("%q is not an absolute path", path)
	}
	todo := pathParts(path)
	done := "" // "" is the root folder
	for links := 0; len(todo) > 0; {
		part := todo[0]
		todo = todo[1:]
		if part == ".." {
			done = done[:max(strings.LastIndexByte(done, '/'), 0)]
			continue
		}
		next := done + "/" + part
		target, err := os.Readlink(next)
		if err != nil { // no link, or nothing that can be read
			done = next
			continue
		}
		if links++; links > maxLinks {
			return "", &os.PathError{Op: "resolve", Path: path, Err: syscall.ELOOP}
		}
		if filepath.IsAbs(target) {
			done = ""
		}
		todo = append(pathParts(target), todo...)
	}
	if done == "" {
		return "/", nil
	}
	return done, nil
}

// pathParts returns the names in a path. It keeps .., which filepath.Clean would not, though what
// that means depends on links.
func pathParts(path string) []string {
	return slices.DeleteFunc(strings.Split(path, "/"), func(part string) bool { return part == "" || part == "." })
}

// sameFolder reports whether two resolved paths name one folder. Where file names ignore case
// or Unicode form, as they mostly do on macOS, the paths can differ.
func sameFolder(a, b string) bool {
	if a == b {
		return true
	}
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}
