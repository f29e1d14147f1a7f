package launchd

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hermes-gw/hermes-gw/internal/privatedir"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// ReloadOptions: Program and StateDir must be set.
type ReloadOptions struct {
	// Path is the property list to load, an absolute path. "" is the one that the job was
	// loaded from.
	Path string
	// Program begins the argv of the worker, which launchd runs: the absolute path of an
	// executable and arguments that make it call [ReloadWorker] with what follows.
	Program []string
	// StateDir is a folder for the notes of reloads, an absolute path. It belongs to the user
	// of the domain, has mode 0700, and is made if it is missing. It must not be one that
	// launchd loads jobs from, nor one that is emptied while a reload is under way.
	StateDir string
	// Address is where the worker finds the launchd that the Client speaks to, as
	// [Options].Address.
	Address string
	// Timeout is how long the worker tries to load the new definition before it loads the
	// old one again. 0 is the job's exit timeout + its minimum runtime + 30 s.
	Timeout time.Duration
	// OnEvent, if set, is told each step, in order and never concurrently.
	OnEvent func(Event)
}

// ReloadResult is what [Client.Reload] saw, filled in as far as is known when there is an
// error too.
type ReloadResult struct {
	Target     Target
	Outcome    Outcome  // OutcomeRestarted or OutcomeStarted, or why not
	Old        int      // pid before; 0 when the job was not running
	New        int      // pid after; 0 when none was seen
	Inside     bool     // the caller is the job's process, a descendant of it, or in its process group
	RolledBack bool     // the new definition could not be loaded, the old one is again
	Warnings   []string // one sentence each
	Total      time.Duration
}

// ErrReloading: another reload of the job is under way.
var ErrReloading = errors.New("another reload of the job is under way")

// Times of a reload.
const (
	reloadMargin   = 30 * time.Second
	workerThrottle = 10 // seconds, the worker's ThrottleInterval: launchd's default
)

// workerRuns is how long launchd has to start the worker. Tests make it shorter.
var workerRuns = 10 * time.Second

// Reload unloads a job and loads its property list again (801, 800): for a list that has
// changed, or a program that was replaced and signed anew, whose old identity launchd
// keeps from the load on.
//
// Between the two requests the job does not exist, so neither is sent from here: launchd
// itself runs a worker, in a job of its own, that carries both out. Whoever dies
// meanwhile, the caller or the worker, the next worker goes on where the last one was. If
// the new definition cannot be loaded, the old one is loaded again.
//
// First everything is checked: that the property list can be loaded, as [Lint] sees it, and
// has the job's label, that its program is there, that the label is not disabled. If
// anything is wrong nothing is touched. What launchd knows of the old definition is saved;
// it does not tell all (sockets and Mach services, for instance), so the saved one is
// completed from the file on disk.
//
// The worker's label is hermes-gw.reload. and the first 8 hex digits of the SHA-256 of the
// target; it removes itself in the end. After a kill of the worker the job is loaded and
// running again within the worker's ThrottleInterval (10 s) + the job's exit timeout + 5 s.
//
// OutcomeRestarted and OutcomeStarted (nothing ran before) are success: the job runs, in
// another process than before. A caller inside the job gets OutcomeRequested as soon as
// the worker runs. The errors are those of [Client.Inspect] and [Client.Bootstrap], and
// [ErrReloading] (OutcomeBusy).
func (c *Client) Reload(ctx context.Context, t Target, o ReloadOptions) (ReloadResult, error) {
	start := time.Now()
	r := &reload{change: change{c: c, op: "reload", t: t}, o: o, res: ReloadResult{Target: t}}
	err := r.do(ctx)
	r.res.Total = time.Since(start)
	if err != nil && r.res.Outcome == "" {
		r.res.Outcome = outcomeOf(err)
	}
	return r.res, err
}

// reload is one call of Reload.
type reload struct {
	change
	o     ReloadOptions
	res   ReloadResult
	files reloadFiles
	lock  *os.File // held
	owner int      // uid of the files
	note  reloadNote
	disk  map[string]any // the property list that is to be loaded
	text  definitionText // what launchd definitionText of the old definition
}

func (r *reload) do(ctx context.Context) error {
	if err := r.t.check(); err != nil {
		return err
	}
	if err := r.check(ctx); err != nil {
		return err
	}
	unlock, err := r.begin(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := r.hire(ctx); err != nil {
		return err
	}
	unlock()
	if r.res.Inside {
		r.res.Outcome = OutcomeRequested
		return nil
	}
	return r.follow(ctx)
}

// check is everything that can be wrong, before anything is touched.
func (r *reload) check(ctx context.Context) error {
	j, err := r.first(ctx)
	if errors.Is(err, ErrNotLoaded) {
		return notLoaded(r.op, r.t, r.c.disabled(ctx, r.t))
	}
	if err != nil {
		return renamed(r.op, err)
	}
	r.job = j
	r.from(j.PID) // if that fails, only another pid counts
	r.res.Old, r.res.Inside = j.PID, r.inside()
	if r.o.Path == "" {
		r.o.Path = j.Path
	}
	if len(r.o.Program) == 0 || !filepath.IsAbs(r.o.Program[0]) {
		return fmt.Errorf("reload %s: the worker's program %q is not an absolute path", r.t, r.o.Program)
	}
	if info, err := os.Stat(r.o.Program[0]); err != nil {
		return fmt.Errorf("reload %s: the worker's program: %w", r.t, err)
	} else if info.IsDir() || info.Mode()&0o111 == 0 {
		return fmt.Errorf("reload %s: the worker's program %s is not executable", r.t, r.o.Program[0])
	}
	if r.c.disabled(ctx, r.t) {
		return notLoaded(r.op, r.t, true)
	}
	// Not all of it may be told: a launchd that refuses print has only the file's word.
	if text, err := r.c.Print(ctx, r.t); err == nil {
		if p, err := readPrinted(text); err == nil {
			_, r.text, _ = p.job(r.t)
		}
	}
	return r.checkPlist()
}

// begin makes the folder and sees to it that no other reload is under way. The lock is
// held until the worker is loaded, and ends with this process.
func (r *reload) begin(ctx context.Context) (unlock func(), err error) {
	r.owner = os.Geteuid()
	if uid, ok := r.t.Domain.user(); ok {
		r.owner = uid
	}
	if err := privatedir.Make(r.o.StateDir, r.owner); err != nil {
		return nil, r.noNotes(err)
	}
	r.files = filesOf(r.o.StateDir, r.t)
	lock, err := os.OpenFile(r.files.lock(), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, r.noNotes(err)
	}
	r.lock = lock
	unlock = func() {
		// Not by Close alone: a process that is being forked has the file open, too, for a moment.
		unix.Flock(int(lock.Fd()), unix.LOCK_UN)
		lock.Close()
	}
	if os.Geteuid() != r.owner { // or the user could not lock it later
		if err := lock.Chown(r.owner, -1); err != nil {
			unlock()
			return nil, r.noNotes(err)
		}
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		unlock()
		r.res.Outcome = OutcomeBusy
		return nil, fmt.Errorf("reload %s: %w", r.t, ErrReloading)
	}
	if err := r.alone(ctx); err != nil {
		unlock()
		return nil, err
	}
	return unlock, nil
}

// alone looks for the worker of another reload. One that is loaded, not running and past
// its deadline is what is left of a reload that cannot end any more; it is removed.
func (r *reload) alone(ctx context.Context) error {
	worker := r.files.worker(r.t)
	j, err := r.c.look(ctx, worker)
	if errors.Is(err, ErrNotLoaded) {
		return nil
	}
	if err != nil {
		return renamed(r.op, err)
	}
	n, err := readNoteOf(r.owner, r.files.note())
	if j.PID > 0 || err == nil && !n.late() {
		r.res.Outcome = OutcomeBusy
		return fmt.Errorf("reload %s: %w (process %d)", r.t, ErrReloading, j.PID)
	}
	return r.dismiss(ctx)
}

// dismiss unloads the worker and waits until it is gone.
func (r *reload) dismiss(ctx context.Context) error {
	worker := r.files.worker(r.t)
	ctx, cancel := context.WithTimeout(ctx, workerRuns)
	defer cancel()
	if _, err := r.c.Stop(ctx, worker); err != nil && !errors.Is(err, ErrNotLoaded) {
		return fmt.Errorf("reload %s: remove the worker of an earlier reload: %w", r.t, err)
	}
	return nil
}

// hire leaves the note and has launchd run the worker.
func (r *reload) hire(ctx context.Context) error {
	if err := r.write(); err != nil {
		return r.noNotes(err)
	}
	worker := r.files.worker(r.t)
	r.emit(Event{Kind: EventRequested, Detail: "bootstrap " + worker.String()})
	err := r.c.Bootstrap(ctx, worker.Domain, r.files.plist())
	_, unknown := errors.AsType[*xpc.UnknownOutcome](err)
	switch {
	case errors.Is(err, ErrAlreadyLoaded):
		// The files stay: if that worker has the same, it would do nothing without a note.
		r.res.Outcome = OutcomeBusy
		return fmt.Errorf("reload %s: %w (%w)", r.t, ErrReloading, err)
	case err != nil && !unknown:
		r.clear()
		return err
	}
	// An answer that was lost is looked for as if it had been good.
	waiting, cancel := context.WithTimeout(context.WithoutCancel(ctx), workerRuns)
	defer cancel()
	if !unknown {
		waiting, cancel = context.WithTimeout(ctx, workerRuns)
		defer cancel()
	}
	for wait := (backoff{}); ; {
		j, err := r.c.look(waiting, worker)
		n, noteErr := readNoteOf(r.owner, r.files.note())
		switch {
		case noteErr == nil && n.Attempts > 0, errors.Is(noteErr, fs.ErrNotExist):
			return nil // it ran already
		case err == nil && j.State == StateRunning:
			return nil
		case errors.Is(err, ErrNotLoaded) && !unknown:
			r.clear()
			return fmt.Errorf("reload %s: somebody removed the worker (%s) before it ran, so nothing was changed: %w", r.t, worker, err)
		case err == nil:
			r.nudge(waiting, j)
		}
		if err := wait.sleep(waiting); err != nil {
			return r.neverRan(ctx, err)
		}
	}
}

// nudge starts a worker whose start launchd holds back, in a domain that starts on demand
// only for instance, as macOS 26 was seen to have during login and with a locked screen.
// If that is refused, launchd may still start it later.
func (r *reload) nudge(ctx context.Context, worker Job) {
	if worker.PID == 0 && worker.Pended != "" {
		r.c.Kickstart(ctx, worker.Target, KickstartOptions{Unthrottle: true})
	}
}

// neverRan takes a worker back that launchd does not start.
func (r *reload) neverRan(ctx context.Context, why error) error {
	if err := r.dismiss(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	if n, err := readNoteOf(r.owner, r.files.note()); err != nil || n.Attempts > 0 {
		// It was started at the last moment, and stopped: what it was at is unknown.
		r.res.Outcome = OutcomeUnknown
		return fmt.Errorf("reload %s: the worker was stopped while it was at work: start the job if it is not loaded", r.t)
	}
	r.clear()
	return fmt.Errorf("reload %s: launchd did not start the worker (%s) within %v, so nothing was changed: %w", r.t, r.files.worker(r.t), workerRuns, why)
}

// write leaves what the worker needs.
func (r *reload) write() error {
	r.files.removeResults()
	r.files.removeParts()
	r.note = reloadNote{
		Version: noteVersion, ID: fmt.Sprintf("%016x", rand.Uint64()), Target: r.t, Path: r.o.Path, Old: r.old, Step: stepUnload, Digest: r.note.Digest,
	}
	exit, ends := r.exitTimeout()
	if !ends {
		exit = 0
	}
	r.note.Exit, r.note.MinRun = int64(exit), int64(r.minimumRuntime())
	r.note.Deadline = monotonic() + int64(r.limit())
	r.note.Saved = r.files.saved()
	if err := r.writePlist(r.files.saved(), r.savedDefinition()); err != nil {
		return err
	}
	if err := r.writePlist(r.files.plist(), r.workerDefinition()); err != nil {
		return err
	}
	// As long as the one before: it replaces all of it.
	if _, err := r.lock.WriteAt([]byte(r.note.ID), 0); err != nil {
		return err
	}
	return r.files.writeNote(r.files.note(), r.note, r.owner)
}

// limit is how long the worker tries to load the new definition.
func (r *reload) limit() time.Duration {
	if r.o.Timeout > 0 {
		return r.o.Timeout
	}
	exit, _ := r.exitTimeout()
	return exit + r.minimumRuntime() + reloadMargin
}

// clear removes the files of a reload that did not begin.
func (r *reload) clear() {
	for _, path := range []string{r.files.note(), r.files.plist(), r.files.saved()} {
		os.Remove(path)
	}
}

// follow waits until the worker has removed itself, and reads what it left. A worker that
// another reload has loaded since is not waited for.
func (r *reload) follow(ctx context.Context) error {
	worker := r.files.worker(r.t)
	if exit, ends := r.exitTimeout(); ends {
		// Until the deadline, and then for a worker that loads the old definition again.
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.limit()+exit+workerThrottle*time.Second+reloadMargin)
		defer cancel()
	}
	r.emit(Event{Kind: EventWaiting, Detail: worker.String()})
	for wait := (backoff{}); ; {
		j, err := r.c.look(ctx, worker)
		if errors.Is(err, ErrNotLoaded) || r.followed() {
			return r.conclude(ctx)
		}
		r.nudge(ctx, j)
		if isRefusal(err) && ctx.Err() == nil {
			return renamed(r.op, err)
		}
		if err := wait.sleep(ctx); err != nil {
			r.res.Outcome = OutcomeUnknown
			return fmt.Errorf("reload %s: launchd carries it out (%s), and it was not waited for any longer: %w", r.t, worker, err)
		}
	}
}

// followed reports whether another reload of the job has begun since, so that this one is over.
func (r *reload) followed() bool {
	id, err := r.files.last()
	return err == nil && id != r.note.ID
}

// conclude turns the worker's result and what launchd says into one.
func (r *reload) conclude(ctx context.Context) error {
	path := r.files.result(r.note.ID)
	n, err := readNoteOf(r.owner, path)
	if err != nil {
		r.res.Outcome = OutcomeUnknown
		return fmt.Errorf("reload %s: the worker left no result: %w", r.t, err)
	}
	os.Remove(path)
	j, err := r.c.look(ctx, r.t)
	switch {
	case r.followed(): // asked after launchd
		// What launchd says is about the other reload. The worker has seen the process of this one.
		r.res.New = n.New
	case err != nil:
		return fmt.Errorf("%w%s", renamed(r.op, err), because(n))
	case r.replaced(ctx, j.PID):
		r.res.New = j.PID
	}
	if r.res.New > 0 {
		r.emit(Event{Kind: EventSpawned, PID: r.res.New})
	}
	r.res.RolledBack = n.RolledBack
	switch {
	case n.RolledBack:
		r.res.Outcome = OutcomeFailed
		return fmt.Errorf("reload %s: the new definition could not be loaded, so the old one was loaded again: %s", r.t, n.Problem)
	case n.Problem != "":
		r.res.Outcome = OutcomeFailed
		return fmt.Errorf("reload %s: %s", r.t, n.Problem)
	case r.res.New == 0:
		r.res.Outcome = OutcomeParked
		return fmt.Errorf("reload %s: the job is loaded, but has no process%s", r.t, lastExit(j))
	case r.res.Old == 0:
		r.res.Outcome = OutcomeStarted
	default:
		r.res.Outcome = OutcomeRestarted
	}
	return nil
}

func because(n reloadNote) string {
	if n.Problem == "" {
		return ""
	}
	return "; the worker says: " + n.Problem
}

func (r *reload) emit(e Event) {
	if r.o.OnEvent != nil {
		e.Time, e.Target = time.Now(), r.t
		r.o.OnEvent(e)
	}
}

// digest names the contents of a file.
func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
