package launchd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/plistfile"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// Cause is one reason that was found for an error that launchd gave none for.
type Cause struct {
	// ID is a word that programs may rely on: "already-loaded", "draining", "disabled",
	// "loaded-elsewhere", "no-domain", "relative-path", "no-file", or the name of a rule
	// of [Lint].
	ID      string
	Problem string // "the label x is disabled"
	Remedy  string // one sentence

	is error // the sentinel that it amounts to, or nil
}

const (
	diagnosis = 3 * time.Second // at most, for all paths together
	maxDiags  = 16              // paths that are looked at
)

// diagnose looks for the reason of each 5 in err, an error of a bootstrap of paths.
func (c *Client) diagnose(ctx context.Context, d Domain, paths []string, err error) error {
	var failed []*Error
	collect(err, func(e *Error) {
		if e.Code == xpc.EIO && len(failed) < maxDiags {
			failed = append(failed, e)
		}
	})
	if len(failed) == 0 {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, diagnosis)
	defer cancel()
	defer func() { // labels and keys in them are the file's
		for _, e := range failed {
			for i := range e.Found {
				e.Found[i].Problem, e.Found[i].Remedy = printable(e.Found[i].Problem), printable(e.Found[i].Remedy)
			}
		}
	}()
	for _, e := range failed {
		if e.Path != "" {
			e.Found, e.looked = c.causes(ctx, d, e.Path)
			continue
		}
		// launchd refused them all together.
		e.looked = len(paths) <= maxDiags
		for _, path := range paths[:min(len(paths), maxDiags)] {
			found, looked := c.causes(ctx, d, path)
			e.looked = e.looked && looked
			if len(found) > 0 && found[0].is == ErrNoDomain { // that is about all of them
				e.Found = found
				break
			}
			for _, cause := range found {
				cause.Problem = path + ": " + cause.Problem
				e.Found = append(e.Found, cause)
			}
		}
	}
	return err
}

// collect finds the errors of launchd in err, which may be several joined.
func collect(err error, f func(*Error)) {
	if e, ok := err.(*Error); ok {
		f(e)
		return
	}
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		for _, err := range several.Unwrap() {
			collect(err, f)
		}
	}
}

// causes looks at what launchd-protocol.md 7.6 lists: the reasons for 5 that users met.
// looked reports whether all of it could be looked at.
func (c *Client) causes(ctx context.Context, d Domain, path string) (found []Cause, looked bool) {
	if !filepath.IsAbs(path) {
		return []Cause{{ID: "relative-path", Problem: "the path is not absolute, and launchd does not know this program's folder", Remedy: "Give the whole path."}}, true
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil, false // launchd takes folders too, and names the files in them that fail
	}
	label := ""
	if b, _, err := plistfile.Read(path); err == nil {
		if keys, err := decodePlist(b); err == nil {
			label, _ = keys["Label"].(string)
		}
	}
	t := Target{Domain: d, Label: label}
	if t.check() == nil {
		found, looked = c.causesAt(ctx, t)
	}
	findings, err := Lint(path, LintOptions{Domain: d})
	if err != nil {
		return append(found, Cause{ID: "no-file", Problem: fmt.Sprintf("the file cannot be read: %v", pathless(err)), Remedy: "Name a property list that launchd can read."}), looked
	}
	for _, f := range findings {
		if f.Fatal {
			problem := f.Problem
			if f.Key != "" {
				problem = f.Key + ": " + problem
			}
			found = append(found, Cause{ID: f.Rule, Problem: problem, Remedy: f.Fix + "."})
		}
	}
	return found, looked
}

// causesAt asks launchd about the job itself. looked reports whether it answered.
func (c *Client) causesAt(ctx context.Context, t Target) (found []Cause, looked bool) {
	j, err := c.look(ctx, t)
	looked = err == nil || errors.Is(err, ErrNotLoaded)
	switch {
	case errors.Is(err, ErrNoDomain):
		return []Cause{{"no-domain", fmt.Sprintf("there is no %s", t.Domain), adviceOn(xpc.NoSuchDomain).text, ErrNoDomain}}, true
	case err == nil && j.State.Stopping():
		// launchd has the same states for a job that a kickstart stops.
		process := "its process"
		if j.PID > 0 {
			process += fmt.Sprintf(" %d", j.PID)
		}
		found = append(found, Cause{"draining", "the job is being stopped, and " + process + " has not exited yet",
			"Try again when it has: launchd kills it after its exit timeout" + withinExit(j) + ".", ErrStopping})
	case err == nil:
		running := ""
		if j.PID > 0 {
			running = fmt.Sprintf(", and runs as process %d", j.PID)
		}
		found = append(found, Cause{"already-loaded", fmt.Sprintf("the job is loaded already%s", running),
			"Restart it, or unload it first if its property list changed.", ErrAlreadyLoaded})
	}
	if c.disabled(ctx, t) {
		found = append(found, Cause{"disabled", fmt.Sprintf("the label %s is disabled", t.Label), "Enable it first: hermes-gw ctl enable " + t.String() + ".", ErrDisabled})
	}
	if other, ok := t.Domain.sibling(); ok {
		there := Target{Domain: other, Label: t.Label}
		if loaded, err := c.loaded(ctx, there); err == nil && loaded {
			found = append(found, Cause{"loaded-elsewhere", fmt.Sprintf("the label is loaded in %s", other), "Unload it there first: hermes-gw stop " + there.String() + ".", nil})
		}
	}
	return found, looked && ctx.Err() == nil
}

func withinExit(j Job) string {
	if j.ExitTimeout == nil || *j.ExitTimeout == 0 {
		return ""
	}
	return fmt.Sprintf(", %v", *j.ExitTimeout)
}

// sibling returns the other domain of the same user.
func (d Domain) sibling() (Domain, bool) {
	switch d.kind {
	case kindGUI:
		return Domain{kindUser, d.id}, true
	case kindUser:
		return Domain{kindGUI, d.id}, true
	}
	return Domain{}, false
}

// pathless is what the system says, without the path that stands in the error already.
func pathless(err error) error {
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return err
}
