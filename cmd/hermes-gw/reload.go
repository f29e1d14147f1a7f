package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/hermes-gw/hermes-gw/launchd"
)

// reloadWorkerArg makes this program the worker of a reload: launchd runs it so. It is no
// verb, because nobody is to call it by hand.
const reloadWorkerArg = "reload-worker"

// reloadWorker carries out a reload in a job of launchd's. It reads nothing but its arguments:
// no flag, no environment.
func reloadWorker(ctx context.Context, args []string, stderr io.Writer) int {
	if err := launchd.ReloadWorker(ctx, args); err != nil {
		fmt.Fprintln(stderr, time.Now().Format(time.RFC3339), shown(err.Error()))
		return exitFailed // launchd starts it again
	}
	return exitOK
}

type reloadResult struct {
	asked launchd.Target // its domain may be missing
	launchd.ReloadResult
	err error
}

func (r *reloadResult) exitCode() int      { return exitOf(r.Outcome) }
func (r *reloadResult) warnings() []string { return r.Warnings }
func (r *reloadResult) subject() string    { return called(r.Target, r.asked) }
func (r *reloadResult) trouble() *problem  { return explain(r.err) }

func (r *reloadResult) line() string {
	head := fmt.Sprintf("%s %s: ", r.Outcome, shown(r.subject()))
	switch {
	case r.Outcome == launchd.OutcomeRequested:
		return head + "launchd reloads the job that this command runs in"
	case !r.Outcome.OK():
		return ""
	}
	return head + fmt.Sprintf("%s in %s, with the property list on disk", pids(r.Old, r.New), took(r.Total))
}

func (r *reloadResult) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Target     string          `json:"target"`
		State      launchd.Outcome `json:"state"`
		OldPID     *int            `json:"old_pid"`
		NewPID     *int            `json:"new_pid"`
		RolledBack bool            `json:"rolled_back"`
		Total      float64         `json:"total_ms"`
		Warnings   []string        `json:"warnings"`
		Error      *problem        `json:"error,omitempty"`
	}{r.subject(), r.Outcome, pid(r.Old), pid(r.New), r.RolledBack, milliseconds(r.Total), list(r.Warnings), r.trouble()})
}

func runReload(c *command) report {
	targets, uid, err := c.begin()
	if err != nil {
		return report{err: err}
	}
	r := &reloadResult{asked: targets[0]}
	if r.Target, r.err = c.located(targets[0], uid); r.err == nil {
		target := r.Target
		r.ReloadResult, r.err = c.reload(target)
		r.Target = target
	}
	if r.err != nil && (r.Outcome == "" || r.Outcome.OK()) {
		r.Outcome = outcomeOf(r.err)
	}
	return report{results: []result{r}}
}

func (c *command) reload(t launchd.Target) (launchd.ReloadResult, error) {
	o, err := c.reloadOptions(t)
	if err != nil {
		return launchd.ReloadResult{}, err
	}
	progress := c.progress()
	defer progress.end()
	o.OnEvent = progress.event
	ctx := c.ctx
	if c.opts.timeout > 0 { // of the wait: what launchd carries out goes on
		var cancel context.CancelFunc
		ctx, cancel = c.within(0)
		defer cancel()
	}
	return c.launchd.Reload(ctx, t, o)
}

// reloadOptions are those for one job.
func (c *command) reloadOptions(t launchd.Target) (o launchd.ReloadOptions, err error) {
	owner := 0 // of the other domains' files
	if uid, ok := domainUser(t.Domain); ok {
		owner = uid
	}
	if o, err = c.reloadFor(owner); err == nil {
		o.Path, err = c.givenPlist(t.Label)
	}
	return o, err
}

// reloadFor says where the notes of a user's reloads lie and how launchd runs the worker: this
// very program.
func (c *command) reloadFor(owner int) (o launchd.ReloadOptions, err error) {
	self, err := c.env.executable()
	if err != nil {
		return o, fmt.Errorf("find this program: %w", err)
	}
	o.Program = []string{self, reloadWorkerArg}
	o.StateDir, err = c.stateDir(owner)
	o.Address = c.address()
	return o, err
}

// stateDir is the folder for what has to last, in the account home of the user: not in a
// cache, because launchd may name a file in it as a job's property list.
func (c *command) stateDir(uid int) (string, error) {
	if dir := c.env.getenv(envState); filepath.IsAbs(dir) {
		return dir, nil
	}
	home, err := c.env.home(uid)
	if err != nil {
		return "", fmt.Errorf("the home folder of user %d is not known: %w", uid, err)
	}
	if runtime.GOOS == "darwin" {
		return filepath.Join(home, "Library", "Application Support", "hermes-gw"), nil
	}
	return filepath.Join(home, ".local", "state", "hermes-gw"), nil
}

// executable is the path of this program, links resolved: a link may be gone when launchd
// starts the worker.
func executable() (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(path)
}
