package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"howett.net/plist"
)

// A kind of file in the state folder, and what a whole one is. Parts are files that somebody was
// writing when he was killed.
var stateFiles = []struct {
	kind    string
	name    *regexp.Regexp
	whole   func(b []byte) error
	remains bool // after a whole run
}{
	{"result", regexp.MustCompile(`^reload-[0-9a-f]{8}\.[0-9a-f]+\.result\.json$`), wholeNote, true},
	{"note", regexp.MustCompile(`^reload-[0-9a-f]{8}\.json$`), wholeNote, false},
	{"saved definition", regexp.MustCompile(`^reload-[0-9a-f]{8}\.saved\.plist$`), wholePlist, false},
	{"worker", regexp.MustCompile(`^reload-[0-9a-f]{8}\.plist$`), wholePlist, false},
	{"lock of a reload", regexp.MustCompile(`^reload-[0-9a-f]{8}\.lock$`), wholeID, true},
	{"log of a worker", regexp.MustCompile(`^reload-[0-9a-f]{8}\.log$`), wholeLines, true},
	{"lock", regexp.MustCompile(`^[0-9a-f]{8}\.lock$`), wholeHint, true},
	{"part", regexp.MustCompile(`^\.(reload-[0-9a-f]{8})?\.?hermes-gw-new-`), func([]byte) error { return nil }, false},
}

// leftIn looks through a state folder. wrong are files that are there by their own names and not
// whole, or that nobody knows; passing are those that a whole run must have removed.
func leftIn(dir string) (wrong, passing []string) {
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist): // removed meanwhile, or there is no folder yet
			return nil
		case err != nil:
			wrong = append(wrong, err.Error())
			return nil
		case d.IsDir():
			return nil
		}
		for _, f := range stateFiles {
			if !f.name.MatchString(d.Name()) {
				continue
			}
			b, err := os.ReadFile(path)
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err == nil {
				err = f.whole(b)
			}
			if err != nil {
				wrong = append(wrong, fmt.Sprintf("%s (%s) is not whole: %v: %q", d.Name(), f.kind, err, b))
			}
			if !f.remains {
				passing = append(passing, d.Name())
			}
			return nil
		}
		wrong = append(wrong, d.Name()+" is a file that nobody knows")
		return nil
	})
	return wrong, passing
}

// wholeNote: a reload's note and its result.
func wholeNote(b []byte) error {
	var n struct {
		Version  int    `json:"version"`
		ID       string `json:"id"`
		Path     string `json:"path"`
		Step     string `json:"step"`
		Deadline int64  `json:"deadline_ns"`
	}
	if err := json.Unmarshal(b, &n); err != nil {
		return err
	}
	if n.Version != 1 || n.ID == "" || n.Path == "" || n.Step == "" || n.Deadline == 0 {
		return errors.New("it lacks something")
	}
	return nil
}

// wholePlist: a definition that launchd can load.
func wholePlist(b []byte) error {
	var keys map[string]any
	if _, err := plist.Unmarshal(b, &keys); err != nil {
		return err
	}
	if label, _ := keys["Label"].(string); label == "" {
		return errors.New("it has no label")
	}
	if bytes.HasPrefix(b, []byte("<?xml")) && !bytes.HasSuffix(bytes.TrimSpace(b), []byte("</plist>")) {
		return errors.New("its end is missing")
	}
	return nil
}

var reloadID = regexp.MustCompile(`^[0-9a-f]{16}$`)

// wholeID: whose reload was the last one. Nobody was before the first.
func wholeID(b []byte) error {
	if len(b) > 0 && !reloadID.Match(b) {
		return errors.New("it is no ID")
	}
	return nil
}

func wholeLines(b []byte) error {
	switch {
	case !utf8.Valid(b):
		return errors.New("it is no text")
	case len(b) > 0 && !bytes.HasSuffix(b, []byte("\n")):
		return errors.New("its last line has no end")
	}
	return nil
}

// wholeHint: the note in a lock. It is written over the one before it, the rest of which is cut
// off in a second step, so that may still be behind it; the note itself is whole.
func wholeHint(b []byte) error {
	if len(b) == 0 {
		return nil // nobody has written one
	}
	line, _, ended := bytes.Cut(b, []byte("\n"))
	if !ended {
		return errors.New("its last line has no end")
	}
	var n struct {
		Requests []json.RawMessage `json:"requests"`
	}
	return json.Unmarshal(line, &n)
}

// remains are files that are not whole, that nobody knows, or that a whole run has left beside the
// property lists or in the state folder and should not have.
func remains(state string, agents ...string) (wrong []string) {
	wrong, passing := leftIn(state)
	for _, name := range passing {
		wrong = append(wrong, name+" is left after a whole run")
	}
	for _, dir := range agents {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			if !strings.HasSuffix(e.Name(), ".plist") || strings.HasPrefix(e.Name(), ".") {
				wrong = append(wrong, e.Name()+" is left beside the property lists")
			}
		}
	}
	slices.Sort(wrong)
	return wrong
}
