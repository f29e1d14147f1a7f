// Package plistfile reads property lists as launchd does: regular files only, and
// XML or binary only. The parser (howett.net/plist) would also take OpenStep text
// and nothing at all, and trusts a binary list that it should not.
package plistfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"howett.net/plist"
)

// MaxSize bounds a property list, in bytes. Those of launchd jobs have a few KiB;
// the parser's stack grows with the nesting that fits.
const MaxSize = 256 << 10

// ErrFormat is what [Decode] returns for text that is a property list to the parser,
// but not to launchd.
var ErrFormat = errors.New("it is neither XML nor binary")

// Read reads a regular file without ever waiting for a pipe's other end, and returns
// what the system says of it. The error does not name the path.
func Read(path string) ([]byte, fs.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, plain(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, plain(err)
	}
	if !info.Mode().IsRegular() {
		return nil, nil, errors.New("it is not a regular file")
	}
	b, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, nil, plain(err)
	}
	if len(b) > MaxSize {
		return nil, nil, fmt.Errorf("it is larger than %d KiB", MaxSize>>10)
	}
	return b, info, nil
}

// plain leaves the path out of an error.
func plain(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// Decode decodes a property list into v, as plist.Unmarshal does. The parser's own
// panics are errors.
func Decode(b []byte, v any) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errDamaged
		}
	}()
	if strings.TrimSpace(string(b)) == "" {
		return errors.New("it is empty")
	}
	switch {
	case strings.HasPrefix(string(b), "bplist"):
		err = checkBinary(b)
	case strings.HasPrefix(string(b), "\xff\xfe"), strings.HasPrefix(string(b), "\xfe\xff"):
		err = errors.New("it is UTF-16: save it as UTF-8")
	case strings.HasPrefix(strings.TrimSpace(string(b)), "<"):
		err = checkXML(b)
	}
	if err != nil {
		return err
	}
	format, err := plist.Unmarshal(b, v)
	if format == plist.OpenStepFormat || format == plist.GNUStepFormat {
		return ErrFormat
	}
	return err
}
