package hermesgw

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// The files in a home are Hermes'. They are opened for reading only, never made, written or
// removed, and what they say is a hint: whoever can write there can write anything.

// openFile opens a regular file of the user, or of root, without following a link and without
// ever waiting. The error names the path and wraps fs.ErrNotExist if there is no file.
func openFile(in Install, path string) (*os.File, fs.FileInfo, error) {
	refuse := func(err error) (*os.File, fs.FileInfo, error) {
		var p *fs.PathError
		if errors.As(err, &p) {
			err = p.Err
		}
		return nil, nil, &fs.PathError{Op: "read", Path: path, Err: err}
	}
	// A pipe is not even opened: that would wake up whoever waits to write to it.
	info, err := os.Lstat(path)
	if err != nil {
		return refuse(err)
	}
	if err := ownFile(in, info); err != nil {
		return refuse(err)
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return refuse(err)
	}
	if info, err = f.Stat(); err == nil { // the one that was opened, whatever was there before
		err = ownFile(in, info)
	}
	if err != nil {
		f.Close()
		return refuse(err)
	}
	return f, info, nil
}

// ownFile returns why a file is not to be believed.
func ownFile(in Install, info fs.FileInfo) error {
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		return errors.New("it is a symbolic link")
	case !info.Mode().IsRegular():
		return errors.New("it is not a regular file")
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok:
		return errors.ErrUnsupported
	case int(st.Uid) == in.UID:
		return nil
	case st.Uid != 0:
		return fmt.Errorf("it belongs to user %d, not to %d", st.Uid, in.UID)
	case st.Nlink > 1:
		// The user may have linked something of root's here that only root may read.
		return errors.New("it belongs to root and has other names")
	}
	return nil
}

// readFile returns what is in a small file of Hermes'.
func readFile(in Install, path string, limit int64) ([]byte, fs.FileInfo, error) {
	f, info, err := openFile(in, path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	switch {
	case err != nil:
		return nil, nil, err
	case int64(len(b)) > limit:
		err = fmt.Errorf("it is larger than %d KiB", limit>>10)
	case len(b) == 0:
		err = errors.New("it is empty")
	}
	if err != nil {
		return nil, nil, &fs.PathError{Op: "read", Path: path, Err: err}
	}
	return b, info, nil
}
