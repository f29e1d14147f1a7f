package launchd

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/hermes-gw/hermes-gw/xpc"
)

// Getenv reads a variable of the environment that a domain gives to every job it starts
// (820). ok is false if it is not set, which launchd answers with 3.
//
// The request holds type, handle and envvar (string); the reply value (string).
// Errors: [ErrNoDomain], 1 (not allowed), *[SyntaxError] (the name).
// Sources: Procursus launchctl, env.c; launchd-protocol.md 2.2.
func (c *Client) Getenv(ctx context.Context, d Domain, name string) (value string, ok bool, err error) {
	const op = "getenv"
	if err := checkVariable(d, name); err != nil {
		return "", false, err
	}
	msg := d.dict()
	msg["envvar"] = name
	reply, err := c.call(ctx, op, d, routineGetenv, msg)
	if isCode(err, xpc.ESRCH) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	value, ok = reply.String("value")
	if !ok {
		return "", false, &Error{Op: op, Target: d.String(), Code: xpc.BadResponse}
	}
	return value, true, nil
}

// Setenv sets variables for every process that a domain's jobs start from now on (819);
// the jobs that run keep what they have. It lasts until the domain goes: the logout, or
// the next boot.
//
// The request holds type, handle and envvars, a dictionary from each name to its value
// (string); the reply is empty. A name is not empty and has no "="; if one is wrong, or
// there is none at all, nothing is sent. One request sets them all.
// Errors: [ErrNoDomain], 1 (not allowed), *[SyntaxError] (a name).
// Sources: Procursus launchctl, env.c; launchd-protocol.md 2.2.
func (c *Client) Setenv(ctx context.Context, d Domain, vars map[string]string) error {
	values := make(xpc.Dict, len(vars))
	for name, value := range vars {
		values[name] = value
	}
	return c.environment(ctx, "setenv", d, values)
}

// Unsetenv removes variables (819). One that is not set is no error.
//
// The request holds type, handle and envvars, a dictionary from each name to null; the
// reply is empty. Names, errors and sources are those of [Client.Setenv].
func (c *Client) Unsetenv(ctx context.Context, d Domain, names ...string) error {
	values := make(xpc.Dict, len(names))
	for _, name := range names {
		values[name] = nil
	}
	return c.environment(ctx, "unsetenv", d, values)
}

func (c *Client) environment(ctx context.Context, op string, d Domain, values xpc.Dict) error {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if err := checkVariable(d, name); err != nil {
			return err
		}
	}
	if len(values) == 0 {
		return d.check()
	}
	msg := d.dict()
	msg["envvars"] = values
	_, err := c.call(ctx, op, d, routineSetenv, msg)
	return err
}

func checkVariable(d Domain, name string) error {
	if err := d.check(); err != nil {
		return err
	}
	problem := ""
	switch {
	case name == "":
		problem = "is empty"
	case strings.ContainsAny(name, "=\x00"):
		problem = "has a character that none can have"
	}
	if problem != "" {
		return &SyntaxError{What: "variable name", Input: name, Problem: problem, Example: "PATH"}
	}
	return nil
}
