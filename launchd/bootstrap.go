package launchd

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/hermes-gw/hermes-gw/xpc"
)

// Bootstrap loads property lists into a domain (800). A plist with RunAtLoad or
// KeepAlive starts running.
//
// paths are absolute paths of plists, or of folders of them. The request holds type,
// handle, paths (array of string) and by-cli (bool, true); the reply, which is a
// success even if some paths failed, errors (a dictionary from each path that failed
// to its int64) and bootstrap-error (int64). Every failed path gives an *[Error] with
// its Path, in the order of paths; several are joined.
//
// Without paths nothing is sent: to launchd that would be an empty success.
//
// 5 (EIO) can mean almost anything. For each path that failed with it, or all of them if
// launchd named none, the job is looked at (708, 811) and its file read, and [Error].Found
// says what is wrong there; that takes at most 3 s, changes nothing and sends nothing again.
//
// Errors: 5, [ErrAlreadyLoaded], [ErrStopping] (36), [ErrDisabled], [ErrNoDomain],
// [ErrProtected], 1 (not allowed), 109 and 111 (the plist), 122 (owner or mode of the
// plist), 124 (the domain is going away), 134 (wrong kind of session).
// Sources: Procursus launchctl, bootstrap.c; xspawn (by-cli).
func (c *Client) Bootstrap(ctx context.Context, d Domain, paths ...string) error {
	if err := d.check(); err != nil {
		return err
	}
	if len(paths) == 0 {
		return errors.New("bootstrap " + d.String() + ": no property list given")
	}
	list := make([]any, len(paths))
	for i, p := range paths {
		list[i] = p
	}
	msg := d.dict()
	msg["paths"] = list
	msg["by-cli"] = true
	reply, err := c.call(ctx, opBootstrap, d, routineBootstrap, msg)
	if e, ok := errors.AsType[*Error](err); ok && len(paths) == 1 {
		e.Path = paths[0]
	}
	if err == nil {
		err = bootstrapErrors(d, paths, reply)
	}
	return c.diagnose(ctx, d, paths, err)
}

// bootstrapErrors reads what a bootstrap reply says of single paths.
func bootstrapErrors(d Domain, paths []string, reply xpc.Dict) error {
	failed, _ := reply.Dict("errors")
	var errs []error
	seen := make(map[xpc.Errno]bool)
	add := func(path string, code int64) {
		if code != 0 {
			e := &Error{Op: opBootstrap, Target: d.String(), Path: path, Code: errno(code)}
			seen[e.Code] = true
			errs = append(errs, e)
		}
	}
	// In the order of the request, then what launchd found in folders.
	for _, p := range paths {
		code, _ := failed.Int64(p)
		add(p, code)
	}
	for _, p := range slices.Sorted(maps.Keys(failed)) {
		if !slices.Contains(paths, p) {
			code, _ := failed.Int64(p)
			add(p, code)
		}
	}
	code, _ := reply.Int64("bootstrap-error")
	if len(errs) == 0 || !seen[errno(code)] && errno(code) != xpc.SeveralErrors {
		about := ""
		if len(paths) == 1 {
			about = paths[0]
		}
		add(about, code)
	}
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}
