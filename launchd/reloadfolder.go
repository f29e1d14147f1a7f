package launchd

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// makeParents makes the folders above the state folder that are missing.
func (r *reload) makeParents() error {
	owner := os.Geteuid()
	if uid, ok := r.t.Domain.user(); ok {
		owner = uid
	}
	return makeFolders(filepath.Dir(r.o.StateDir), 0o755, owner)
}

// makeFolders makes a folder and those above it that are missing, all of them the owner's:
// root leaves nothing of its own in the home of a user.
func makeFolders(dir string, mode fs.FileMode, owner int) error {
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := makeFolders(filepath.Dir(dir), mode, owner); err != nil {
		return err
	}
	return makeFolder(dir, mode, owner)
}

// makeFolder makes one folder, unless it is there.
func makeFolder(dir string, mode fs.FileMode, owner int) error {
	err := os.Mkdir(dir, mode)
	if err == nil && os.Geteuid() != owner {
		err = os.Lchown(dir, owner, -1)
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}
