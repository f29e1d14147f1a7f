package launchd

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// files are the steps of putting a file in place. Tests let each of them fail.
type files interface {
	create(dir, pattern string) (newFile, error)
	rename(from, to string) error
	remove(path string) error
	syncDir(dir string) error
}

// newFile is a file that is being written.
type newFile interface {
	Name() string
	Write([]byte) (int, error)
	Chown(uid, gid int) error
	Chmod(fs.FileMode) error
	Sync() error
	Close() error
}

type realFiles struct{}

func (realFiles) create(dir, pattern string) (newFile, error) {
	f, err := os.CreateTemp(dir, pattern) // exclusively, with mode 0600
	if err != nil {
		return nil, err // not a nil *os.File in an interface
	}
	return f, nil
}

func (realFiles) rename(from, to string) error { return os.Rename(from, to) }
func (realFiles) remove(path string) error     { return os.Remove(path) }

// syncDir makes a rename last. Not every file system can do it, and the file is in place
// already.
func (realFiles) syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// replaceFile puts a whole file in place of another, or leaves that as it is. A symbolic
// link is replaced, not followed. owner is the uid that gets it, or -1.
func replaceFile(path string, b []byte, mode fs.FileMode, owner int) error {
	return replaceFileBy(realFiles{}, path, b, mode, owner)
}

func replaceFileBy(on files, path string, b []byte, mode fs.FileMode, owner int) (err error) {
	// The name does not end like the file's: launchd loads all *.plist of a folder.
	f, err := on.create(filepath.Dir(path), ".hermes-gw-new-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			on.remove(f.Name())
			err = fmt.Errorf("write %s: %w", path, err)
		}
	}()
	_, err = f.Write(b)
	if err == nil && owner >= 0 && owner != os.Geteuid() {
		err = f.Chown(owner, -1)
	}
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = on.rename(f.Name(), path)
	}
	if err == nil {
		on.syncDir(filepath.Dir(path))
	}
	return err
}
