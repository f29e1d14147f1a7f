package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"howett.net/plist"
)

// maxPlist bounds a property list. Those of launchd jobs have a few KiB; the
// parser's stack grows with the nesting that fits.
const maxPlist = 256 << 10

// plistError says why a property list was not sent to launchd.
type plistError struct {
	path    string
	problem string
	remedy  string
	cause   error // of the file system, or nil
}

func (e *plistError) Error() string  { return fmt.Sprintf("%s: %s", shown(e.path), e.problem) }
func (e *plistError) Unwrap() error  { return e.cause }
func (e *plistError) Remedy() string { return e.remedy }

// checkPlist looks at what launchd would only answer with "Input/output error":
// a file that is missing, not a file, not a property list, or another job's.
func checkPlist(path, label string) error {
	bad := func(cause error, remedy, format string, args ...any) error {
		return &plistError{path, fmt.Sprintf(format, args...), remedy, cause}
	}
	const fix = "Correct it (plutil -lint shows where it breaks); nothing was sent to launchd."
	if filepath.Ext(path) != ".plist" {
		return bad(nil, "Rename it.", "launchd only loads files whose name ends in .plist")
	}
	b, err := readRegular(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return bad(err, "Name the job's property list with --plist PATH.", "there is no such file")
	case err != nil:
		return bad(err, "Make it a readable file, or name another with --plist PATH.", "%v", err)
	}
	found, err := labelOf(b)
	switch {
	case err != nil:
		return bad(nil, fix, "it is not a property list that launchd reads: %v", err)
	case found == "":
		return bad(nil, fix, "it has no Label")
	case found != label:
		return bad(nil, "Name the job as the file does, or another file with --plist PATH.",
			"it is the property list of %s, not of %s", shown(found), shown(label))
	}
	return nil
}

// readRegular reads a regular file without ever waiting for a pipe's other end.
func readRegular(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, plain(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, plain(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is not a regular file")
	}
	b, err := io.ReadAll(io.LimitReader(f, maxPlist+1))
	if err != nil {
		return nil, plain(err)
	}
	if len(b) > maxPlist {
		return nil, fmt.Errorf("it is larger than %d KiB", maxPlist>>10)
	}
	return b, nil
}

// plain leaves the path out of an error, where it is said anyway.
func plain(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// labelOf reads a property list's Label. Of the formats that the parser knows, it
// takes only those that launchd does: XML and binary. The parser's own panics are
// errors.
func labelOf(b []byte) (label string, err error) {
	defer func() {
		if r := recover(); r != nil {
			label, err = "", errors.New("it is damaged")
		}
	}()
	if strings.TrimSpace(string(b)) == "" {
		return "", errors.New("it is empty")
	}
	if strings.HasPrefix(string(b), "bplist") {
		if err := soundBinary(b); err != nil {
			return "", err
		}
	}
	// Only the Label is decoded: in a binary list a few bytes can refer to each other
	// so often that decoding it all would never end.
	var job struct {
		Label string `plist:"Label"`
	}
	format, err := plist.Unmarshal(b, &job)
	switch {
	case format == plist.OpenStepFormat || format == plist.GNUStepFormat:
		return "", errors.New("it is neither XML nor binary")
	case err != nil:
		return "", err
	}
	return job.Label, nil
}

// soundBinary checks what the parser takes on trust and then reads beyond the
// file for: the lengths of a binary property list's objects. The format is
// CoreFoundation's, CFBinaryPList.c: header, objects, a table of their offsets,
// and a trailer of 32 bytes.
func soundBinary(b []byte) error {
	damaged := errors.New("it is damaged")
	if len(b) < 40 {
		return damaged
	}
	trailer := b[len(b)-32:]
	offsetSize, refSize := uint64(trailer[6]), uint64(trailer[7])
	objects, top, table := binary.BigEndian.Uint64(trailer[8:]), binary.BigEndian.Uint64(trailer[16:]), binary.BigEndian.Uint64(trailer[24:])
	end := uint64(len(b) - 32)
	if offsetSize < 1 || offsetSize > 8 || refSize < 1 || refSize > 8 || table < 9 || table >= end ||
		objects > end || objects*offsetSize != end-table || top >= objects {
		return damaged
	}
	number := func(at, size uint64) (n uint64) {
		for _, c := range b[at : at+size] {
			n = n<<8 | uint64(c)
		}
		return n
	}
	for i := range objects {
		at := number(table+i*offsetSize, offsetSize)
		if at < 8 || at >= table {
			return damaged
		}
		kind, n := b[at]&0xf0, uint64(b[at]&0x0f)
		at++
		unit := uint64(0)
		switch kind {
		case 0x10, 0x20: // integer, real: 2^n bytes
			unit, n = 1<<n, 1
		case 0x30: // date
			unit, n = 8, 1
		case 0x80: // uid
			unit, n = 1, n+1
		case 0x40, 0x50: // data, ASCII
			unit = 1
		case 0x60: // UTF-16
			unit = 2
		case 0xa0:
			unit = refSize
		case 0xd0:
			unit = 2 * refSize
		}
		if kind >= 0x40 && kind != 0x80 && n == 0x0f { // the count follows as an integer
			if at >= table || b[at]&0xf0 != 0x10 || b[at]&0x0f > 3 {
				return damaged
			}
			size := uint64(1) << (b[at] & 0x0f)
			if at++; at+size > table {
				return damaged
			}
			n, at = number(at, size), at+size
		}
		if n > table || at+n*unit > table {
			return damaged
		}
	}
	return nil
}
