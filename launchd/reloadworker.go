package launchd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/plistfile"
	"github.com/hermes-gw/hermes-gw/internal/proc"
	"github.com/hermes-gw/hermes-gw/xpc"
)

const (
	maxAttempts     = 5  // workers that begin, before the old definition is loaded again
	maxLastAttempts = 50 // workers that try to load the old definition again
)

// ReloadWorker carries out a reload. launchd runs it, in a job that [Client.Reload]
// loads: the program of [ReloadOptions].Program calls it with the arguments that follow
// that program's own, and exits with status 1 if it returns an error, so that launchd
// starts it again; with 0 otherwise. It reads nothing but args and the files they name.
//
// It can be killed at any moment: what it did is noted, and the next one goes on there.
func ReloadWorker(ctx context.Context, args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("reload worker: %d arguments; it is started by a reload, not by hand", len(args))
	}
	address, dir := args[0], args[2]
	t, err := ParseTarget(args[1])
	if err != nil {
		return fmt.Errorf("reload worker: %w", err)
	}
	if !filepath.IsAbs(dir) {
		return fmt.Errorf("reload worker: the folder %q is not absolute", dir)
	}
	c, err := Open(ctx, Options{Address: address})
	if err != nil {
		return fmt.Errorf("reload worker: %w", err)
	}
	defer c.Close()
	w := &reloadWorker{change: change{c: c, op: "reload", t: t}, files: filesOf(dir, t)}
	return w.run(ctx)
}

// reloadWorker is one process of the worker.
type reloadWorker struct {
	change
	files reloadFiles
	note  reloadNote
}

func (w *reloadWorker) run(ctx context.Context) error {
	var err error
	w.note, err = readNote(w.files.note())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return w.vanish(ctx) // all was done but for this
	case err == nil && w.note.Target != w.t:
		err = fmt.Errorf("%s is about %s", w.files.note(), w.note.Target)
		fallthrough
	case err != nil:
		// Nothing can be known of a transaction that is under way, if there is one. What
		// it may have unloaded is loaded again.
		if loaded, lookErr := w.c.loaded(ctx, w.t); lookErr == nil && !loaded {
			w.c.Bootstrap(ctx, w.t.Domain, w.files.saved())
		}
		w.vanish(ctx)
		return fmt.Errorf("reload worker: %w", err)
	}
	exit, minRun := time.Duration(w.note.Exit), time.Duration(w.note.MinRun)
	w.job = Job{Target: w.t, ExitTimeout: &exit, MinimumRuntime: &minRun}
	w.old = w.note.Old
	w.note.Attempts++
	if err := w.keep(); err != nil {
		return err
	}
	if w.note.Step != stepRollBack && w.note.Step != stepDone && (w.note.Attempts > maxAttempts || w.note.late()) {
		if err := w.giveUp(ctx, fmt.Errorf("not done after %d attempts", w.note.Attempts-1)); err != nil {
			return err
		}
	}
	for w.note.Step != stepDone {
		if err := w.step(ctx); err != nil {
			return err
		}
	}
	return w.finish(ctx)
}

// keep notes what was done so far.
func (w *reloadWorker) keep() error {
	if err := w.files.writeNote(w.files.note(), w.note, os.Geteuid()); err != nil {
		return fmt.Errorf("reload worker: %w", err)
	}
	return nil
}

func (w *reloadWorker) goOn(to reloadStep) error {
	w.note.Step = to
	return w.keep()
}

// step carries out the step that is noted and notes the next. It may be carried out again
// after it was interrupted anywhere.
func (w *reloadWorker) step(ctx context.Context) error {
	switch w.note.Step {
	case stepUnload:
		return w.unload(ctx)
	case stepLoad:
		return w.load(ctx)
	case stepVerify:
		return w.verify(ctx)
	case stepRollBack:
		return w.rollBack(ctx)
	}
	return fmt.Errorf("reload worker: %s has the step %q", w.files.note(), w.note.Step)
}

// unload unloads the old definition and waits until it is gone.
func (w *reloadWorker) unload(ctx context.Context) error {
	if err := w.unchanged(); err != nil {
		return w.giveUp(ctx, err)
	}
	err := w.c.Bootout(ctx, w.t)
	switch {
	case err == nil, errors.Is(err, ErrStopping), errors.Is(err, ErrNotLoaded):
	case isRefusal(err):
		loaded, lookErr := w.stays(ctx)
		if lookErr != nil {
			return lookErr
		}
		if loaded {
			// The old definition is as it was.
			w.note.Problem = err.Error()
			return w.goOn(stepDone)
		}
		// A worker before this one has unloaded it.
	default:
		return err
	}
	waiting, cancel := w.until(ctx, settle)
	defer cancel()
	if err := w.exited(waiting); err != nil {
		return err
	}
	for wait := (backoff{}); ; {
		loaded, err := w.c.loaded(waiting, w.t)
		if err == nil && !loaded {
			return w.goOn(stepLoad)
		}
		if err != nil && !isRefusal(err) {
			return err
		}
		if err := wait.sleep(waiting); err != nil {
			return fmt.Errorf("reload worker: %s is still there: %w", w.t, err)
		}
	}
}

// unchanged says whether the property list is still what was checked.
func (w *reloadWorker) unchanged() error {
	b, _, err := plistfile.Read(w.note.Path)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", w.note.Path, err)
	case digest(b) != w.note.Digest:
		return fmt.Errorf("%s has changed since it was checked", w.note.Path)
	}
	return nil
}

// until bounds ctx by the job's exit timeout and more.
func (w *reloadWorker) until(ctx context.Context, more time.Duration) (context.Context, context.CancelFunc) {
	if exit, ends := w.exitTimeout(); ends {
		return context.WithTimeout(ctx, exit+more)
	}
	return context.WithCancel(ctx)
}

// load loads the new definition. launchd answers 5 while anything of the old one drains;
// other refusals will not change.
func (w *reloadWorker) load(ctx context.Context) error {
	if loaded, err := w.stays(ctx); err == nil && loaded { // by a worker before this one
		return w.goOn(stepVerify)
	}
	if err := w.unchanged(); err != nil {
		return w.giveUp(ctx, err)
	}
	waiting, cancel := w.until(ctx, settle)
	defer cancel()
	for wait := (backoff{}); ; {
		err := w.c.Bootstrap(waiting, w.t.Domain, w.note.Path)
		loaded, lookErr := w.stays(waiting)
		switch {
		case lookErr == nil && loaded: // by this request or one before it
			return w.goOn(stepVerify)
		case err == nil && lookErr == nil:
			return w.giveUp(ctx, fmt.Errorf("%s was loaded, but it does not define %s", w.note.Path, w.t.Label))
		case err != nil && !isRefusal(err):
			return err
		case err != nil && !passing(err):
			return w.giveUp(ctx, err)
		}
		if wait.sleep(waiting) != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return w.giveUp(ctx, err)
		}
	}
}

// stays reports whether the job is loaded and not on its way out: one whose process is
// being stopped may be gone afterwards.
func (w *reloadWorker) stays(ctx context.Context) (bool, error) {
	j, err := w.c.look(ctx, w.t)
	if errors.Is(err, ErrNotLoaded) {
		return false, nil
	}
	return err == nil && !j.State.Stopping(), err
}

// passing reports whether a bootstrap can succeed later.
func passing(err error) bool {
	return isCode(err, xpc.EIO) || isCode(err, xpc.EINPROGRESS) || isCode(err, xpc.EALREADY) || isCode(err, xpc.EBUSY)
}

// giveUp gives up the new definition. The old one is loaded again, unless one is loaded.
func (w *reloadWorker) giveUp(ctx context.Context, why error) error {
	w.note.Problem = why.Error()
	loaded, err := w.stays(ctx)
	switch {
	case err != nil:
		return err
	case loaded:
		return w.goOn(stepDone)
	}
	return w.goOn(stepRollBack)
}

// verify sees to it that the job runs, in another process than the old one.
func (w *reloadWorker) verify(ctx context.Context) error {
	waiting, cancel := context.WithTimeout(ctx, w.minimumRuntime()+settle)
	defer cancel()
	asked := false
	for wait := (backoff{}); ; {
		j, err := w.c.look(waiting, w.t)
		switch {
		case err == nil && w.replaced(ctx, j.PID) && !j.State.Stopping():
			w.note.New = j.PID
			return w.goOn(stepDone)
		case errors.Is(err, ErrNotLoaded):
			return w.goOn(stepLoad) // somebody unloaded it
		case err == nil && !asked && j.PID == 0:
			// Nothing may start it by itself: not RunAtLoad, not a domain that
			// holds starts back.
			asked = true
			pid, err := w.c.Kickstart(waiting, w.t, KickstartOptions{Unthrottle: true})
			if err == nil && w.replaced(ctx, pid) {
				w.note.New = pid
				return w.goOn(stepDone)
			}
		}
		if wait.sleep(waiting) != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			w.note.Problem = fmt.Sprintf("%s is loaded, but does not run", w.t)
			return w.goOn(stepDone)
		}
	}
}

// rollBack loads the saved definition.
func (w *reloadWorker) rollBack(ctx context.Context) error {
	path := w.note.Saved
	if path == "" {
		path = w.note.Path
	}
	waiting, cancel := w.until(ctx, settle)
	defer cancel()
	for wait := (backoff{}); ; {
		err := w.c.Bootstrap(waiting, w.t.Domain, path)
		loaded, lookErr := w.stays(waiting)
		switch {
		case lookErr == nil && loaded:
			w.note.RolledBack = path == w.note.Saved
			if j, err := w.c.look(ctx, w.t); err == nil && j.PID == 0 {
				w.c.Kickstart(waiting, w.t, KickstartOptions{Unthrottle: true})
			}
			if j, err := w.c.look(ctx, w.t); err == nil {
				w.note.New = j.PID
			}
			return w.goOn(stepDone)
		case lookErr != nil:
			return lookErr
		case err != nil && passing(err) && wait.sleep(waiting) == nil:
			continue
		case w.note.Attempts > maxAttempts+maxLastAttempts:
			w.note.Problem += fmt.Sprintf("; and the old definition could not be loaded: %v", err)
			return w.goOn(stepDone)
		}
		return fmt.Errorf("reload worker: load the old definition again: %w", err)
	}
}

// finish leaves the result, and nothing else.
func (w *reloadWorker) finish(ctx context.Context) error {
	if err := w.files.writeNote(w.files.result(w.note.ID), w.note, os.Geteuid()); err != nil {
		return fmt.Errorf("reload worker: %w", err)
	}
	if saved := w.files.saved(); !w.note.RolledBack && w.note.Path != saved { // launchd names it as the job's plist after a roll-back
		os.Remove(saved)
	}
	if err := os.Remove(w.files.note()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reload worker: %w", err)
	}
	return w.vanish(ctx)
}

// vanish removes the worker's own job, and with it this process.
func (w *reloadWorker) vanish(ctx context.Context) error {
	os.Remove(w.files.plist())
	w.files.removeParts()
	err := w.c.Bootout(ctx, w.files.worker(w.t))
	if errors.Is(err, ErrStopping) {
		// launchd stops this process now. If it does not, the next worker tries again: one that
		// stays would keep other reloads from beginning.
		if pause(ctx, assumedExit+settle) != nil {
			return nil
		}
		return fmt.Errorf("reload worker: launchd does not remove %s: %w", w.files.worker(w.t), err)
	}
	if errors.Is(err, ErrNotLoaded) || errors.Is(err, proc.ErrGone) {
		return nil
	}
	return err
}
