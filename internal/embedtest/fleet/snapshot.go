package fleet

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/standin"
)

// Snapshot is what the files of Hermes and the property lists were at a moment.
type Snapshot struct {
	f     *Fleet
	files map[string]file // by path
	notes map[string]int  // length of each home's log of its stand-ins, before the files were read
}

// file is one of them.
type file struct {
	mode    fs.FileMode
	modTime time.Time
	data    []byte // a symbolic link's is where it leads
}

// Snapshot reads every file of the fleet's root, and of Library.
func (f *Fleet) Snapshot() Snapshot {
	f.t.Helper()
	s := Snapshot{f: f, notes: map[string]int{}}
	for _, g := range f.gateways {
		s.notes[g.Profile] = len(f.log(g.Profile))
	}
	files, err := f.files()
	f.must(err)
	s.files = files
	return s
}

func (f *Fleet) files() (map[string]file, error) {
	files := map[string]file{}
	for _, top := range []string{f.Root, f.AccountHome} {
		err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return gone(err)
			}
			info, err := d.Info()
			if err != nil {
				return gone(err)
			}
			if d.IsDir() || strings.HasPrefix(d.Name(), "standin.") {
				return nil
			}
			one := file{mode: info.Mode(), modTime: info.ModTime()}
			switch {
			case info.Mode().IsRegular():
				one, err = readFile(path)
			case info.Mode()&fs.ModeSymlink != 0:
				var to string
				to, err = os.Readlink(path)
				one.data = []byte(to)
			}
			if err == nil {
				files[path] = one
			}
			return gone(err)
		})
		if err != nil {
			return nil, err
		}
	}
	return files, nil
}

// readFile reads a file that may be replaced meanwhile: time and content are of one.
func readFile(path string) (one file, err error) {
	f, err := os.Open(path)
	if err != nil {
		return one, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return one, err
	}
	one.mode, one.modTime = info.Mode(), info.ModTime()
	one.data, err = io.ReadAll(f)
	return one, err
}

// gone makes nothing of a file that a gateway took away meanwhile.
func gone(err error) error {
	if os.IsNotExist(err) {
		return nil
	}
	return err
}

// OnlyRead fails the test if, since the snapshot, a file was made, changed, touched or
// removed by anybody but the stand-ins, which note every write with the content and the
// time that the file has afterwards. Logs may grow. Call it while no gateway starts or
// ends, or the notes and the files do not fit each other.
func (s Snapshot) OnlyRead() {
	s.f.t.Helper()
	for _, problem := range s.changes() {
		s.f.t.Error(problem)
	}
}

// changes tells what OnlyRead finds.
func (s Snapshot) changes() (problems []string) {
	s.f.t.Helper()
	// Files before notes: what a file holds has been noted by then.
	now, err := s.f.files()
	s.f.must(err)
	noted := map[string][]standin.Event{}
	for _, g := range s.f.gateways {
		for i, e := range s.f.log(g.Profile) {
			if e.Kind != standin.Write && e.Kind != standin.Remove {
				continue
			}
			path := filepath.Join(g.Home, e.Path)
			if i < s.notes[g.Profile] {
				noted[path] = nil // but the last one may not have been carried out yet
			}
			noted[path] = append(noted[path], e)
		}
	}
	say := func(path, format string, args ...any) {
		problems = append(problems, path+": "+fmt.Sprintf(format, args...))
	}
	for path, is := range now {
		was, known := s.files[path]
		switch {
		case is.mode&fs.ModeSocket != 0 || temporary(path):
			// A gateway's, and gone with it.
		case slices.ContainsFunc(noted[path], is.wrote) && (!known || is.mode == was.mode):
		case !known:
			say(path, "is new")
		case is.mode != was.mode:
			say(path, "had mode %v, has %v", was.mode, is.mode)
		case strings.HasSuffix(path, ".log") && filepath.Base(filepath.Dir(path)) == "logs":
			if !bytes.HasPrefix(is.data, was.data) {
				say(path, "did not only grow")
			}
		case !bytes.Equal(is.data, was.data):
			say(path, "was %q, is %q", was.data, is.data)
		case !is.modTime.Equal(was.modTime):
			say(path, "was touched: time was %v, is %v", was.modTime, is.modTime)
		}
	}
	for path, was := range s.files {
		_, there := now[path]
		removed := slices.ContainsFunc(noted[path], func(e standin.Event) bool { return e.Kind == standin.Remove })
		if !there && !removed && was.mode&fs.ModeSocket == 0 && !temporary(path) {
			say(path, "is gone")
		}
	}
	slices.Sort(problems)
	return problems
}

// wrote reports whether a stand-in made the file what it is.
func (is file) wrote(e standin.Event) bool {
	sum := sha256.Sum256(is.data)
	return e.Kind == standin.Write && e.SHA256 == hex.EncodeToString(sum[:]) && e.ModTime == is.modTime.UnixNano()
}

// temporary reports whether a file is one that a gateway is about to rename to the file
// that it replaces: NAME.PID.
func temporary(path string) bool {
	ext := filepath.Ext(path)
	return len(ext) > 1 && strings.Trim(ext[1:], "0123456789") == ""
}
