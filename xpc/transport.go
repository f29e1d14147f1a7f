package xpc

import (
	"context"
	"fmt"
)

// Transport carries one request to a launchd and returns its reply. It is what
// package launchd is written against: [*Pipe], [*Socket] or a fake.
//
// A launchd error, in the reply or from the transport, is returned as an [Errno].
// If ctx ends or the connection breaks after the request was handed over, the
// error is a *[UnknownOutcome]; any other error means that the request was not
// carried out. Implementations are safe for concurrent use; requests do not wait
// for each other.
type Transport interface {
	Call(ctx context.Context, routine uint64, msg Dict) (reply Dict, err error)
}

// UnknownOutcome says that launchd has the request but its answer did not come:
// ctx ended, or the connection broke. The request may still take effect.
type UnknownOutcome struct {
	Routine uint64
	Err     error // why the wait ended
}

func (e *UnknownOutcome) Error() string {
	return fmt.Sprintf("launchd took the request (routine %d) but its answer did not come, so it may still take effect: %v", e.Routine, e.Err)
}

// Unwrap returns why the wait ended.
func (e *UnknownOutcome) Unwrap() error { return e.Err }

// numbered is the error for a number that came in place of a reply. 32 and 118 are the
// transport's own: the answer did not come, or cannot be read.
func numbered(routine uint64, e Errno) error {
	if e == EPIPE || e == BadResponse {
		return &UnknownOutcome{Routine: routine, Err: e}
	}
	return e
}

// ValueError says that a value cannot be sent.
type ValueError struct {
	Path    string // where it stands: "paths[2]", "envvars.PATH"
	Problem string
}

func (e *ValueError) Error() string { return fmt.Sprintf("xpc: %s: %s", e.Path, e.Problem) }
