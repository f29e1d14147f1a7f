package launchd

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hermes-gw/hermes-gw/xpc"
)

// ListEntry is one row of a list of jobs.
type ListEntry struct {
	Label string // its name in the domain
	PID   int    // 0 when it is not running
	// LastExit is how its last process ended. The list does not tell what its words in
	// parentheses mean, "(pe)" and "(jt)" among them: they are in Words.
	LastExit Exit
}

// List lists the jobs of a domain, in launchd's order, from the services block of its
// print text (828), because 815 refuses any domain but the caller's.
//
// The request and the reply are those of [Client.PrintDomain]. A text that was cut off or
// has a row that cannot be read is an error, never a shorter list.
// Errors: as [Client.PrintDomain].
// Sources: launchd-protocol.md 6.3a (public captures of macOS 13 to 26), 2.2 (815).
func (c *Client) List(ctx context.Context, d Domain) ([]ListEntry, error) {
	text, err := c.PrintDomain(ctx, d)
	if err != nil {
		return nil, err
	}
	info, err := ParseDomain(text)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", d, err)
	}
	return info.Services, nil
}

// ListOwn lists the jobs of the domain whose bootstrap port this process has, sorted by
// label (815). Over ssh that is not the graphical session.
//
// The request holds type 7 and handle 0; the reply services, a dictionary from each
// label to pid (int64, 0 if none) and status (int64, as wait(2) gives it; 0 also for a
// job that never exited).
// Errors: [ErrNoDomain], 1 (not allowed).
// Sources: launchk (list_all); launchd-protocol.md 6.4.
func (c *Client) ListOwn(ctx context.Context) ([]ListEntry, error) {
	reply, err := c.call(ctx, "list", Own(), routineList, Own().dict())
	if err != nil {
		return nil, err
	}
	services, ok := reply.Dict("services")
	if !ok {
		return nil, &Error{Op: "list", Target: Own().String(), Code: xpc.BadResponse}
	}
	list := make([]ListEntry, 0, len(services))
	for label, v := range services {
		row, _ := v.(xpc.Dict)
		e := ListEntry{Label: label, PID: pidOf(row)}
		if raw, ok := row.Int64("status"); ok {
			e.LastExit = exitStatus(raw)
		}
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b ListEntry) int { return strings.Compare(a.Label, b.Label) })
	return list, nil
}
