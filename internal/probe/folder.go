package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/hermes-gw/hermes-gw/internal/privatedir"
	"github.com/hermes-gw/hermes-gw/launchd"
)

// ErrBusy: another probe is under way.
var ErrBusy = errors.New("another probe is under way")

// folder is where the property lists of throwaway jobs lie. Only its user can reach it.
// It is locked for as long as a probe uses it; a lock ends with its process, so what a
// killed probe left can be told from what is in use.
type folder struct {
	path string
	lock *os.File
}

func openFolder(state string, owner int) (*folder, error) {
	if err := privatedir.Make(state, owner); err != nil {
		return nil, err
	}
	// launchd may name files by the resolved path, and is given it.
	state, err := filepath.EvalSymlinks(state)
	if err != nil {
		return nil, fmt.Errorf("state folder: %w", err)
	}
	f := &folder{path: filepath.Join(state, "probe")}
	for {
		if err := privatedir.Make(f.path, owner); err != nil {
			return nil, err
		}
		if f.lock, err = os.OpenFile(f.path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_DIRECTORY, 0); err != nil {
			return nil, fmt.Errorf("state folder: %w", err)
		}
		if err := unix.Flock(int(f.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			f.lock.Close()
			if errors.Is(err, unix.EWOULDBLOCK) {
				return nil, ErrBusy
			}
			return nil, fmt.Errorf("lock %s: %w", f.path, err)
		}
		// The probe before removes the folder as its last act.
		held, err := f.lock.Stat()
		now, nowErr := os.Lstat(f.path)
		if err == nil && nowErr == nil && os.SameFile(held, now) {
			return f, nil
		}
		f.unlock()
	}
}

// close removes the folder, unless something is left in it, and the lock with it.
func (f *folder) close() {
	os.Remove(f.path)
	f.unlock()
}

// unlock does not leave it to Close: a process that is being forked at this moment has the file
// open, too, until it runs its program, and would keep the lock for so long.
func (f *folder) unlock() {
	unix.Flock(int(f.lock.Fd()), unix.LOCK_UN)
	f.lock.Close()
}

// The files of a throwaway job.
func (f *folder) plist(label string) string   { return filepath.Join(f.path, label+".plist") }
func (f *folder) ready(label string) string   { return filepath.Join(f.path, label+".pid") }
func (f *folder) program(label string) string { return filepath.Join(f.path, label+".program") }
func (f *folder) spare(label string) string   { return filepath.Join(f.path, label+".spare") }

// clear removes the files of a job.
func (f *folder) clear(label string) error {
	var errs []error
	for _, path := range []string{f.ready(label), f.program(label), f.spare(label), f.plist(label)} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// unfinished begins the names of property lists that launchd.Plist.WriteFile was writing
// when it was killed.
const unfinished = ".hermes-gw-new-"

// tidy removes such files. Nobody else writes here: the folder is locked.
func (f *folder) tidy() error {
	entries, _ := os.ReadDir(f.path)
	var errs []error
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), unfinished) && e.Type().IsRegular() {
			errs = append(errs, os.Remove(filepath.Join(f.path, e.Name())))
		}
	}
	return errors.Join(errs...)
}

// labels are those of the throwaway jobs that have a file here.
func (f *folder) labels() (labels []string) {
	entries, _ := os.ReadDir(f.path)
	for _, e := range entries {
		name := e.Name()
		label := name[:len(name)-len(filepath.Ext(name))]
		if isThrowaway(label) && !slices.Contains(labels, label) {
			labels = append(labels, label)
		}
	}
	return labels
}

// holds reports whether a job was loaded from its own list in this folder.
func (f *folder) holds(j launchd.Job) bool {
	return isThrowaway(j.Target.Label) && j.Path == f.plist(j.Target.Label)
}

// copyProgram copies a file that can be executed. A process that was forked meanwhile would
// have it open for writing, so that nobody could execute it (ETXTBSY): an embedded launchd
// in this process forks.
func copyProgram(from, to string) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o700)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// sweep removes what earlier probes left that were killed: jobs with a throwaway label
// that were loaded from this folder, and their files.
func (p *prober) sweep(ctx context.Context) {
	candidates := p.folder.labels()
	keep := make(map[string]bool) // files of jobs that may be loaded
	domains := []launchd.Domain{launchd.GUI(p.o.UID), launchd.User(p.o.UID)}
	if p.o.UID == 0 {
		domains = append(domains, launchd.System())
	}
	for _, d := range domains {
		labels := slices.Clone(candidates)
		// A job can be loaded whose list was removed already.
		if list, err := p.client.List(ctx, d); err == nil {
			for _, e := range list {
				if isThrowaway(e.Label) && !slices.Contains(labels, e.Label) {
					labels = append(labels, e.Label)
				}
			}
		}
		for _, label := range labels {
			t := launchd.Target{Domain: d, Label: label}
			j, err := p.client.Job(ctx, t)
			if err != nil {
				keep[label] = keep[label] || !errors.Is(err, launchd.ErrNotLoaded) && !errors.Is(err, launchd.ErrNoDomain)
				continue
			}
			if !p.folder.holds(j) {
				continue
			}
			if err := p.unload(ctx, t); err != nil {
				keep[label] = true
				p.report.Left = append(p.report.Left, label)
			} else {
				p.report.Removed = append(p.report.Removed, label)
			}
		}
	}
	if err := p.folder.tidy(); err != nil {
		p.report.Problems = append(p.report.Problems, err.Error())
	}
	for _, label := range candidates {
		if !keep[label] {
			if err := p.folder.clear(label); err != nil {
				p.report.Problems = append(p.report.Problems, err.Error())
			}
		}
	}
}
