package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// askTimeout bounds a question to launchd, which is answered at once or never.
const askTimeout = 10 * time.Second

// envLaunchd names the launchd to talk to, as --launchd does.
const envLaunchd = "HERMES_GW_LAUNCHD"

// connect opens the launchd that the flags and the environment name, behind a gate
// for this run's signals.
func (c *command) connect() error {
	address, source := c.opts.launchd, "--launchd"
	if address == "" {
		address, source = c.env.getenv(envLaunchd), envLaunchd
	}
	var t xpc.Transport
	if address == "" {
		p, err := xpc.Bootstrap()
		if err != nil {
			return &connectError{err}
		}
		t = p
	} else {
		path, ok := strings.CutPrefix(address, "unix:")
		if !ok || path == "" {
			return usage("Write unix:PATH.", "%s does not take %q", source, address)
		}
		ctx, cancel := c.within(askTimeout)
		defer cancel()
		s, err := xpc.Dial(ctx, path)
		if err != nil {
			return &connectError{err}
		}
		c.closers = append(c.closers, s)
		t = s
	}
	c.launchd = launchd.New(gate{t, c.interrupts}, nil)
	return nil
}

// connectError says that there is no launchd to talk to.
type connectError struct{ err error }

func (e *connectError) Error() string { return e.err.Error() }
func (e *connectError) Unwrap() error { return e.err }

// Remedy says in one sentence what to do about it.
func (e *connectError) Remedy() string {
	if errors.Is(e.err, errors.ErrUnsupported) {
		return "Name an embedded launchd with --launchd unix:PATH or " + envLaunchd + "."
	}
	return "Start a launchd there, or name another with --launchd unix:PATH or " + envLaunchd + "."
}

// user is whose jobs are meant: --uid, else under sudo the user who called it, else
// the caller.
func (c *command) user() (int, error) {
	if c.opts.uid.set {
		return c.opts.uid.id, nil
	}
	if s := c.env.getenv("SUDO_UID"); c.env.euid == 0 && s != "" {
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

// find completes a bare label by the domain in which it is loaded.
func (c *command) find(ctx context.Context, t launchd.Target, uid int) (launchd.Target, error) {
	if !t.Domain.IsZero() {
		return t, nil
	}
	return c.launchd.Find(ctx, t.Label, uid)
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
