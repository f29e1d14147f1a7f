package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hermes-gw/hermes-gw/internal/plistfile"
)

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
	if _, err := os.Lstat(path); filepath.Ext(path) != ".plist" && !errors.Is(err, fs.ErrNotExist) {
		return bad(nil, "Rename it.", "launchd only loads files whose name ends in .plist")
	}
	b, _, err := plistfile.Read(path)
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

// labelOf reads a property list's Label.
func labelOf(b []byte) (label string, err error) {
	var job struct {
		Label string `plist:"Label"`
	}
	err = plistfile.Decode(b, &job)
	return job.Label, err
}
