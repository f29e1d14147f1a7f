package launchd

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// reloadStep is where the transaction of a reload is. A worker that starts anew goes on
// at the step that is noted.
type reloadStep string

const (
	stepUnload   reloadStep = "unload"   // the old definition may still be loaded
	stepLoad     reloadStep = "load"     // it is gone; the new one may be loaded
	stepVerify   reloadStep = "verify"   // the new one was loaded
	stepRollBack reloadStep = "rollback" // the new one cannot be loaded; the old one is to be
	stepDone     reloadStep = "done"
)

// reloadNote is all that a worker knows of its transaction. It lies in a file, so that
// the worker can be killed at any moment.
type reloadNote struct {
	Version    int        `json:"version"` // 1
	ID         string     `json:"id"`      // of this reload, which no other has
	Target     Target     `json:"target"`
	Path       string     `json:"path"`        // of the plist that is to be loaded
	Digest     string     `json:"digest"`      // of its contents when they were checked
	Saved      string     `json:"saved"`       // the plist of the old definition, "" if there is none
	Old        Identity   `json:"old"`         // the process before
	Deadline   int64      `json:"deadline_ns"` // on CLOCK_MONOTONIC
	Exit       int64      `json:"exit_timeout_ns"`
	MinRun     int64      `json:"minimum_runtime_ns"`
	Attempts   int        `json:"attempts"` // how many workers began
	Step       reloadStep `json:"step"`
	Problem    string     `json:"problem,omitempty"` // why it was rolled back, or what failed last
	New        int        `json:"new_pid,omitempty"`
	RolledBack bool       `json:"rolled_back,omitempty"`
}

const (
	noteVersion = 1
	maxNote     = 64 << 10
)

// reloadFiles are the files of one target's reloads, in a folder that only its user can
// reach.
type reloadFiles struct {
	dir  string
	name string // 8 hex digits
}

func filesOf(dir string, t Target) reloadFiles {
	sum := sha256.Sum256([]byte(t.String()))
	return reloadFiles{dir, hex.EncodeToString(sum[:4])}
}

func (f reloadFiles) note() string  { return filepath.Join(f.dir, "reload-"+f.name+".json") }
func (f reloadFiles) plist() string { return filepath.Join(f.dir, "reload-"+f.name+".plist") }
func (f reloadFiles) saved() string { return filepath.Join(f.dir, "reload-"+f.name+".saved.plist") }
func (f reloadFiles) lock() string  { return filepath.Join(f.dir, "reload-"+f.name+".lock") }
func (f reloadFiles) log() string   { return filepath.Join(f.dir, "reload-"+f.name+".log") }

// last is the ID of the reload that has begun last: who begins one writes it into the lock.
func (f reloadFiles) last() (string, error) {
	file, err := os.OpenFile(f.lock(), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, 64))
	return string(b), err
}

// result is what the worker of one reload leaves for its client. Each reload has its own: the
// next one may begin before the client of this one has read it.
func (f reloadFiles) result(id string) string {
	return filepath.Join(f.dir, "reload-"+f.name+"."+id+resultSuffix)
}

const (
	resultSuffix = ".result.json"
	// resultKept is for how long a result waits for its client, which is there within
	// a second if it still runs.
	resultKept = 10 * time.Minute
)

// removeResults removes those that nobody has come for.
func (f reloadFiles) removeResults() {
	f.remove("reload-"+f.name+".", func(e fs.DirEntry) bool {
		info, err := e.Info()
		return strings.HasSuffix(e.Name(), resultSuffix) && err == nil && time.Since(info.ModTime()) > resultKept
	})
}

// remove removes those whose name begins with prefix and that nobody needs.
func (f reloadFiles) remove(prefix string, needless func(fs.DirEntry) bool) {
	entries, _ := os.ReadDir(f.dir)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) && needless(e) {
			os.Remove(filepath.Join(f.dir, e.Name()))
		}
	}
}

// replace puts a whole file in place of one of these.
func (f reloadFiles) replace(path string, b []byte, owner int) error {
	return replaceFileBy(partFiles{prefix: f.parts()}, path, b, 0o600, owner)
}

// partFiles gives files that are being written a prefix of their own.
type partFiles struct {
	realFiles
	prefix string
}

func (p partFiles) create(dir, pattern string) (newFile, error) {
	return p.realFiles.create(dir, p.prefix+pattern)
}

// parts begins the names of files of this target that are being written.
func (f reloadFiles) parts() string { return ".reload-" + f.name }

// removeParts removes what a process that was killed has left of a file it was writing. One
// process at a time writes: the client that holds the lock, then the worker.
func (f reloadFiles) removeParts() {
	f.remove(f.parts(), func(fs.DirEntry) bool { return true })
}

// reloadPrefix begins the labels of workers. It is no gateway's.
const reloadPrefix = "hermes-gw.reload."

func (f reloadFiles) worker(t Target) Target {
	return Target{Domain: t.Domain, Label: reloadPrefix + f.name}
}

// readNote reads a note, or a result. The file must be the user's own or root's.
func readNote(path string) (reloadNote, error) {
	return readNoteOf(os.Geteuid(), path)
}

// readNoteOf is readNote for root, who acts for a user.
func readNoteOf(owner int, path string) (reloadNote, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return reloadNote{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return reloadNote{}, err
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); !ok || !info.Mode().IsRegular() || stat.Uid != uint32(owner) && stat.Uid != uint32(os.Geteuid()) && stat.Uid != 0 {
		return reloadNote{}, fmt.Errorf("%s: it is not a file of this user", path)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxNote+1))
	if err != nil {
		return reloadNote{}, err
	}
	var n reloadNote
	if len(b) > maxNote {
		err = errors.New("it is too large")
	} else {
		err = json.Unmarshal(b, &n)
	}
	if err == nil && n.Version != noteVersion {
		err = fmt.Errorf("it is of version %d", n.Version)
	}
	if err == nil {
		err = n.Target.check()
	}
	if err != nil {
		return reloadNote{}, fmt.Errorf("%s: %w", path, err)
	}
	return n, nil
}

// writeNote writes a note or a result.
func (f reloadFiles) writeNote(path string, n reloadNote, owner int) error {
	b, err := json.MarshalIndent(n, "", "\t")
	if err != nil {
		return err
	}
	return f.replace(path, append(b, '\n'), owner)
}

// monotonic reads the clock of deadlines, which all processes of this boot share.
func monotonic() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return 0
	}
	return t.Nano()
}

func (n reloadNote) late() bool { return monotonic() > n.Deadline }
