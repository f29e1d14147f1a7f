package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// askTimeout bounds a question to launchd, which is answered at once or never.
const askTimeout = 10 * time.Second

// connect opens the launchd that is meant, behind a gate for this run's signals.
func (c *command) connect() error {
	return c.open(func(t xpc.Transport) xpc.Transport { return gate{t, c.interrupts} })
}

// open opens the launchd that the flags and the environment name.
func (c *command) open(wrap func(xpc.Transport) xpc.Transport) error {
	address, source := c.opts.launchd, "--launchd"
	if address == "" {
		address, source = c.env.getenv(envLaunchd), envLaunchd
	}
	ctx, cancel := c.within(askTimeout)
	defer cancel()
	client, err := launchd.Open(ctx, launchd.Options{
		Address: address,
		Wrap:    wrap,
	})
	if _, malformed := errors.AsType[*launchd.SyntaxError](err); malformed {
		return usage("Write unix:PATH.", "%s does not take %q", source, address)
	}
	if err != nil {
		return noLaunchd(address, err)
	}
	c.closers = append(c.closers, client)
	c.launchd = client
	return nil
}

// connectError says that there is no launchd to talk to.
type connectError struct {
	err    error
	remedy string
}

func (e *connectError) Error() string { return e.err.Error() }
func (e *connectError) Unwrap() error { return e.err }

// Remedy says in one sentence what to do about it.
func (e *connectError) Remedy() string { return e.remedy }

// noLaunchd explains why the launchd at address could not be opened. What an error of
// connect(2) means for a path that is no socket differs between systems, so the path is
// looked at.
func noLaunchd(address string, err error) *connectError {
	const other = " with --launchd unix:PATH or " + envLaunchd + "."
	path := strings.TrimPrefix(address, "unix:")
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return &connectError{err, "Name an embedded launchd" + other}
	case errors.Is(err, context.DeadlineExceeded):
		return &connectError{fmt.Errorf("connect to the launchd at %s: %w", path, err), "Give it longer with --timeout."}
	case errors.Is(err, context.Canceled):
		return &connectError{err, "Nothing was sent."}
	case len(path) >= len(syscall.RawSockaddrUnix{}.Path): // with its NUL
		return &connectError{err, "Name a shorter path of a launchd's socket" + other}
	}
	info, statErr := os.Stat(path)
	switch {
	case errors.Is(statErr, syscall.ENOTDIR):
		return &connectError{err, "Name the socket of a launchd" + other}
	case statErr == nil && info.Mode().Type() != fs.ModeSocket:
		what := "a file"
		if info.IsDir() {
			what = "a folder"
		}
		return &connectError{fmt.Errorf("no launchd at %s: it is %s, not a socket", path, what), "Name the socket of a launchd" + other}
	}
	return &connectError{err, "Start a launchd there, or name another" + other}
}

// user is whose jobs are meant: --uid, else under sudo the user who called it, else
// the caller.
func (c *command) user() (int, error) {
	if c.opts.uid.set {
		return c.opts.uid.id, nil
	}
	if s := c.env.getenv(envSudoUID); c.env.euid == 0 && s != "" {
		id, err := parseUID(s)
		if err != nil {
			return 0, usage("Say whose jobs with --uid N.", "SUDO_UID is %q, which is not a user id", s)
		}
		return id, nil
	}
	return c.env.euid, nil
}

// parseArgument reads TARGET|LABEL. A bare label gives a Target without a domain.
func parseArgument(s string) (launchd.Target, error) {
	if s != "" && !strings.Contains(s, "/") {
		t, err := launchd.ParseTarget("system/" + s)
		if err != nil {
			return launchd.Target{}, usage("A label is something like "+gatewayPrefix+".", "%q is not a label", s)
		}
		return launchd.Target{Label: t.Label}, nil
	}
	return launchd.ParseTarget(s)
}

// parseArguments reads all of them before anything is sent.
func parseArguments(args []string) ([]launchd.Target, error) {
	targets := make([]launchd.Target, len(args))
	for i, s := range args {
		t, err := parseArgument(s)
		if err != nil {
			return nil, err
		}
		targets[i] = t
	}
	return targets, nil
}

// find completes a bare label by the domain in which it is loaded. A label that two of the
// user's domains have is an error.
func (c *command) find(ctx context.Context, t launchd.Target, uid int) (launchd.Target, error) {
	if !t.Domain.IsZero() {
		return t, nil
	}
	return c.launchd.FindOne(ctx, t.Label, uid)
}

// elsewhere is for a target with its domain that is not loaded there, as err says: whether another
// domain has its label.
func (c *command) elsewhere(ctx context.Context, t launchd.Target, uid int, err error) error {
	if owner, ok := domainUser(t.Domain); ok {
		uid = owner
	}
	err = c.launchd.Elsewhere(ctx, t, uid, err)
	if e, ok := errors.AsType[*launchd.ElsewhereError](err); ok {
		e.Verb = c.verb.name
	}
	return err
}

// called names a job: by its target once that is known, until then as it was asked for.
func called(t, asked launchd.Target) string {
	switch {
	case !t.Domain.IsZero():
		return t.String()
	case asked.Domain.IsZero():
		return asked.Label
	}
	return asked.String()
}

// begin is what the verbs that talk to launchd start with.
func (c *command) begin() (targets []launchd.Target, uid int, err error) {
	if targets, err = parseArguments(c.args); err != nil {
		return nil, 0, err
	}
	if uid, err = c.user(); err != nil {
		return nil, 0, err
	}
	return targets, uid, c.connect()
}
