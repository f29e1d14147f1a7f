package launchd

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Elsewhere is for a target that was named with its domain and is not loaded there, as err, of a
// question about it, says. If another domain of uid's, or system, has the label, it returns an
// *[ElsewhereError]: to load the job where it was asked for would make a second instance of it. If
// no other has it, it returns err. If launchd does not say, that is the error, because then a
// second instance cannot be ruled out. An err that is neither [ErrNotLoaded] nor [ErrNoDomain]
// is returned as it is, and nothing is asked.
func (c *Client) Elsewhere(ctx context.Context, t Target, uid int, err error) error {
	if !errors.Is(err, ErrNotLoaded) && !errors.Is(err, ErrNoDomain) {
		return err
	}
	found, asked := c.FindAll(ctx, t.Label, uid)
	switch {
	case len(found) > 0:
		return &ElsewhereError{Target: t, Found: found, Err: err}
	case errors.Is(asked, ErrNotLoaded), errors.Is(asked, ErrNoDomain), errors.Is(asked, ErrDisabled):
		return err
	}
	return fmt.Errorf("%s is not loaded, and whether another domain has its label is not known: %w", printable(t.String()), asked)
}

// ElsewhereError says that a job is not loaded in the domain that was named, and is in another. It
// wraps the error about the domain that was named: [ErrNotLoaded] or [ErrNoDomain].
type ElsewhereError struct {
	Target Target   // that was named
	Found  []Target // where the label is loaded; at least one
	Err    error
	Verb   string // of hermes-gw, that was asked for; "" if it is not known
}

// Error reads "user/501/x is not loaded, but gui/501/x is".
func (e *ElsewhereError) Error() string {
	why := fmt.Sprintf("%s is not loaded", e.Target)
	if errors.Is(e.Err, ErrNoDomain) {
		why = fmt.Sprintf("there is no domain %s to have %s", e.Target.Domain, e.Target.Label)
	}
	names := make([]string, len(e.Found))
	for i, t := range e.Found {
		names[i] = t.String()
	}
	is := "is"
	if len(names) > 1 {
		is = "are"
	}
	return printable(fmt.Sprintf("%s, but %s %s", why, strings.Join(names, " and "), is))
}

// Unwrap returns Err.
func (e *ElsewhereError) Unwrap() error { return e.Err }

// Remedy says in one sentence what to do about it.
func (e *ElsewhereError) Remedy() string {
	text := fmt.Sprintf("Name that one, %s", e.Found[0])
	if e.Verb != "" {
		text = fmt.Sprintf("Name that one: hermes-gw %s %s", e.Verb, e.Found[0])
	}
	if loads := e.Verb == "restart" || e.Verb == "start"; loads && !errors.Is(e.Err, ErrNoDomain) {
		text += fmt.Sprintf("; for it to be in %s instead, first hermes-gw stop %s", e.Target.Domain, e.Found[0])
	}
	return printable(text + ".")
}
