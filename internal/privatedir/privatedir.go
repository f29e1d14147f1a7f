// Package privatedir makes and opens the folder in which hermes-gw keeps what must outlive
// one process: notes of reloads, locks of restarts.
//
// The folder belongs to one user and nobody else can reach it, because whoever can write
// there could have a program run as that user, or hold up every restart. When root acts for a
// user, what it makes there is given to that user.
package privatedir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Dir is an open folder. What is opened through it lies in that very folder, whatever
// becomes of its path meanwhile.
type Dir struct {
	path  string
	owner int
	fd    int
}

// Open opens the folder at path, an absolute path, and makes it, with mode 0700, if it is
// missing; missing folders above it are made, too. It must belong to owner, be
// out of reach of others, and be no symbolic link.
func Open(path string, owner int) (*Dir, error) {
	if !filepath.IsAbs(path) {
		return nil, fmt.Errorf("state folder %q: the path must be absolute", path)
	}
	path = filepath.Clean(path)
	if err := makeAll(filepath.Dir(path), owner); err != nil {
		return nil, fmt.Errorf("state folder: %w", err)
	}
	if err := makeOne(path, 0o700, owner); err != nil {
		return nil, fmt.Errorf("state folder: %w", err)
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
		return nil, fmt.Errorf("state folder %s: it is not a folder", path)
	case err != nil:
		return nil, fmt.Errorf("state folder: %w", &fs.PathError{Op: "open", Path: path, Err: err})
	}
	d := &Dir{path: path, owner: owner, fd: fd}
	if err := d.check(); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// Make makes the folder as Open does, or checks that it is so already.
func Make(path string, owner int) error {
	d, err := Open(path, owner)
	if err != nil {
		return err
	}
	return d.Close()
}

// Close closes the folder; files that were opened through it stay open.
func (d *Dir) Close() error { return unix.Close(d.fd) }

func (d *Dir) check() error {
	var st unix.Stat_t
	if err := unix.Fstat(d.fd, &st); err != nil {
		return fmt.Errorf("state folder: %w", &fs.PathError{Op: "stat", Path: d.path, Err: err})
	}
	switch {
	case int(st.Uid) != d.owner:
		return fmt.Errorf("state folder %s: it belongs to another user", d.path)
	case st.Mode&0o077 != 0:
		return fmt.Errorf("state folder %s: others can reach it (mode %04o): chmod 0700 it", d.path, st.Mode&0o777)
	}
	return nil
}

// OpenFile opens a file of the folder for reading and writing, and makes it, with mode 0600,
// if it is missing. A symbolic link, or anything but a file, is an error.
func (d *Dir) OpenFile(name string) (*os.File, error) {
	if name == "" || name == "." || name == ".." || strings.ContainsRune(name, '/') {
		return nil, fmt.Errorf("state folder %s: %q is not the name of a file", d.path, name)
	}
	path := filepath.Join(d.path, name)
	fd, err := unix.Openat(d.fd, name, unix.O_RDWR|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = errors.New("it is not a file")
	}
	if err == nil && int(st.Uid) != d.owner && int(st.Uid) == os.Geteuid() {
		err = unix.Fchown(fd, d.owner, -1)
	}
	if err != nil {
		f.Close()
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return f, nil
}

// makeAll makes a folder of the user's and those above it, as far as they are missing.
func makeAll(path string, owner int) error {
	if info, err := os.Stat(path); err == nil {
		if !info.IsDir() {
			return &fs.PathError{Op: "mkdir", Path: path, Err: unix.ENOTDIR}
		}
		return nil
	}
	if parent := filepath.Dir(path); parent != path {
		if err := makeAll(parent, owner); err != nil {
			return err
		}
	}
	return makeOne(path, 0o755, owner)
}

// makeOne makes a folder that is missing, for owner.
func makeOne(path string, mode fs.FileMode, owner int) error {
	err := os.Mkdir(path, mode)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err == nil && os.Geteuid() != owner {
		err = os.Lchown(path, owner, -1)
	}
	return err
}
