package launchd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hermes-gw/hermes-gw/xpc"
)

// Find looks for a label in gui/uid, then in user/uid, then in system, and returns the
// first target that is loaded. Domains that do not exist are passed over, so it works
// over ssh too.
//
// It sends 708 with type, handle and name but without shmem, to which launchd answers 22 if
// the job is loaded and 113 if not, at little cost (xspawn on macOS 26.6.1; launchk).
//
// If the label is loaded in none, the error is [ErrDisabled] with the target in gui/uid
// or user/uid where the label is disabled (811), as [Client.Enabled] tells; system is not
// asked, because that does not keep the user's domains from loading it. Else it is
// [ErrNotLoaded] and names the domains. If a domain gave any other answer (1, 144),
// that one is reported instead. A uid or label that cannot be one is a *[SyntaxError].
func (c *Client) Find(ctx context.Context, label string, uid int) (Target, error) {
	found, err := c.findIn(ctx, label, uid, true)
	if err != nil {
		return Target{}, err
	}
	return found[0], nil
}

// FindAll looks for a label as [Client.Find] does and returns every target that is loaded: a
// label can be loaded in gui/uid and user/uid at once, by mistake as a rule, and then each
// has a process of its own. If more than one domain answers for the label, their jobs are
// read too ([Client.Job]), and of those that have one process only the first counts. The
// errors are those of Find, but for a domain that refuses an answer while another has the
// job.
func (c *Client) FindAll(ctx context.Context, label string, uid int) ([]Target, error) {
	found, err := c.findIn(ctx, label, uid, false)
	if len(found) > 1 {
		found = c.distinct(ctx, found)
	}
	return found, err
}

// FindOne looks for a label as [Client.Find] does, for a caller that wants one job and no
// guess: if gui/uid and user/uid both have it, the error is an *[AmbiguousError] that names
// them. system counts only if neither has it, because its jobs are not that user's. For the
// rest the errors are those of [Client.FindAll].
func (c *Client) FindOne(ctx context.Context, label string, uid int) (Target, error) {
	all, err := c.FindAll(ctx, label, uid)
	if err != nil {
		return Target{}, err
	}
	if len(all) > 1 && all[1].Domain != System() {
		return Target{}, &AmbiguousError{Targets: all[:2]}
	}
	return all[0], nil
}

// AmbiguousError says that a label is loaded in more than one domain of a user, so that a
// label alone does not say which job is meant. It is [ErrAmbiguous].
type AmbiguousError struct {
	Targets []Target // the one in gui/uid and the one in user/uid
}

// Error reads "find x: the label is loaded in more than one domain: gui/501/x and user/501/x".
func (e *AmbiguousError) Error() string {
	names := make([]string, len(e.Targets))
	for i, t := range e.Targets {
		names[i] = t.String()
	}
	return printable(fmt.Sprintf("find %s: %v: %s", e.Targets[0].Label, ErrAmbiguous, strings.Join(names, " and ")))
}

// Unwrap returns [ErrAmbiguous].
func (e *AmbiguousError) Unwrap() error { return ErrAmbiguous }

// Remedy says in one sentence what to do about it.
func (e *AmbiguousError) Remedy() string {
	return printable(fmt.Sprintf("Each has a process of its own: say which one you mean, as in %s, or unload the one that is not wanted, with hermes-gw stop TARGET.", e.Targets[0]))
}

// distinct leaves out the targets that stand for a job which another target has given
// already: whether a domain of launchd's also answers for the jobs of the domain around it
// is not known of every system, and one job is not two. Two jobs never have the same
// process.
func (c *Client) distinct(ctx context.Context, all []Target) (list []Target) {
	var pids []int
	for _, t := range all {
		j, err := c.Job(ctx, t)
		if err == nil && j.PID > 0 {
			if slices.Contains(pids, j.PID) {
				continue
			}
			pids = append(pids, j.PID)
		}
		list = append(list, t)
	}
	return list
}

func (c *Client) findIn(ctx context.Context, label string, uid int, first bool) (found []Target, err error) {
	domains := []Domain{GUI(uid), User(uid), System()}
	if domains[0].IsZero() {
		return nil, &SyntaxError{What: "user id", Input: fmt.Sprint(uid), Problem: "is out of range", Example: "501"}
	}
	var other error
	for _, d := range domains {
		t := Target{Domain: d, Label: label}
		loaded, err := c.loaded(ctx, t)
		switch {
		case loaded:
			if found = append(found, t); first {
				return found, nil
			}
		case err == nil, errors.Is(err, ErrNoDomain):
			continue
		case ctx.Err() != nil || !isRefusal(err):
			return nil, err
		case other == nil:
			other = err
		}
	}
	switch {
	case len(found) > 0:
		return found, nil
	case other != nil:
		return nil, other
	}
	for _, d := range domains[:2] {
		if t := (Target{Domain: d, Label: label}); c.disabled(ctx, t) {
			return nil, notLoaded("find", t, true)
		}
	}
	names := make([]string, len(domains))
	for i, d := range domains {
		names[i] = d.String()
	}
	return nil, &Error{Op: "find", Target: label + " in " + strings.Join(names, ", "), Code: xpc.NoSuchService}
}

// loaded reports whether launchd has t. 113 is no error, 112 and 125 are.
func (c *Client) loaded(ctx context.Context, t Target) (bool, error) {
	if err := t.check(); err != nil {
		return false, err
	}
	_, err := c.call(ctx, "find", t, routinePrintService, t.dict())
	e, refused := errors.AsType[*Error](err)
	switch {
	case err == nil, refused && e.Code == xpc.EINVAL: // 22: the buffer is missing, the job is not
		return true, nil
	case refused && e.Code == xpc.NoSuchService:
		return false, nil
	}
	return false, err
}

// isRefusal tells an answer of launchd from a failed connection.
func isRefusal(err error) bool {
	_, ok := errors.AsType[*Error](err)
	return ok
}

// isCode tells one refusal of launchd from others.
func isCode(err error, code xpc.Errno) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Code == code
}
