// Package privatedir makes folders that only one user can reach: what launchd is told to
// run lies there.
package privatedir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Make makes dir, an absolute path, with mode 0700 for its owner, or checks that it is so
// already: whoever can write there could have any program run as that user. Folders above it
// are made as they are by default.
func Make(dir string, owner int) error {
	if !filepath.IsAbs(dir) {
		return fmt.Errorf("state folder %q: the path must be absolute", dir)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("state folder: %w", err)
	}
	err := os.Mkdir(dir, 0o700)
	if err == nil && os.Geteuid() != owner {
		err = os.Lchown(dir, owner, -1)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("state folder: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("state folder: %w", err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.IsDir():
		return fmt.Errorf("state folder %s: it is not a folder", dir)
	case info.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("state folder %s: others can reach it (mode %04o): chmod 0700 it", dir, info.Mode().Perm())
	case !ok || int(stat.Uid) != owner:
		return fmt.Errorf("state folder %s: it belongs to another user", dir)
	}
	return nil
}
