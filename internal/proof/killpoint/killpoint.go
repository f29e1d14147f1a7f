package killpoint

import (
	"context"
	"fmt"
	"os/exec"
	"syscall"
	"time"
)

// Call is one system call that was numbered.
type Call struct {
	Number int    // from 1
	Thread int    // the thread that made it
	Name   string // "write"
	// Routine is that of the request frame (design section 4.2) that the call is to write
	// to a stream; 0 if it writes none.
	Routine uint64
	// Files are those that the call is about, of a call that can change or lock one: absolute
	// paths, before symbolic links are followed. Changes says that it can change them; an open
	// file is changed by whoever opened it for that.
	Files    []string
	Changes  bool
	Returned bool  // it has come back
	Return   int64 // what it returned: minus the error's number if it failed
}

func (c Call) String() string {
	if c.Number == 0 {
		return "no call"
	}
	if c.Routine != 0 {
		return fmt.Sprintf("%d (%s, request %d)", c.Number, c.Name, c.Routine)
	}
	return fmt.Sprintf("%d (%s)", c.Number, c.Name)
}

// Child is a process that the program started, or one of those did.
type Child struct {
	PID  int
	Left bool // it was still there when the program had ended, and was killed then
}

// Trace is what a program did.
type Trace struct {
	Calls    []Call // that it entered, in order
	Children []Child
	Status   syscall.WaitStatus // how its process ended
}

// Sent returns the calls that wrote a request frame of one of the routines, or of any if
// none is named, and did not fail. One that had not come back when the program was killed
// counts.
func (t Trace) Sent(routines ...uint64) (calls []Call) {
	for _, c := range t.Calls {
		if c.Routine == 0 || c.Returned && c.Return <= 0 {
			continue
		}
		wanted := len(routines) == 0
		for _, r := range routines {
			wanted = wanted || r == c.Routine
		}
		if wanted {
			calls = append(calls, c)
		}
	}
	return calls
}

// Result is how a run ended that was to be killed.
type Result struct {
	Trace
	Killed bool          // false: it had ended by itself before
	Next   Call          // the call it was killed at, which was not made; zero if it was at none
	At     time.Duration // when it was killed, on CLOCK_MONOTONIC; 0 if it was not
}

// NotPermittedError says that processes cannot be traced here: a container or a
// security module forbids it, somebody traces this process already, or the system has no
// such tracing. A test that needs it should be skipped with this reason.
type NotPermittedError struct{ Err error }

func (e *NotPermittedError) Error() string {
	return fmt.Sprintf("processes cannot be traced here: %v", e.Err)
}

func (e *NotPermittedError) Unwrap() error { return e.Err }

// Count runs a command to its end and numbers its calls. cmd must not have been started;
// afterwards it is as after its Wait. An exit status other than 0 is no error: see
// [Trace].Status.
//
// If ctx ends, the command is killed and the error is ctx's. The error is a
// [*NotPermittedError] where there is no tracing, or says why the command did not start.
func Count(ctx context.Context, cmd *exec.Cmd) (Trace, error) {
	r, err := run(ctx, plan{cmd: cmd})
	return r.Trace, err
}

// Kill runs a command and kills it right before its k-th call, k from 1. It is as Count
// otherwise.
func Kill(ctx context.Context, cmd *exec.Cmd, k int) (Result, error) {
	if k < 1 {
		return Result{}, fmt.Errorf("killpoint: there is no call %d: they are numbered from 1", k)
	}
	return run(ctx, plan{cmd: cmd, at: k})
}

// KillAfter runs a command and kills it after a time, counted from its exec, wherever it
// is then. It is as Count otherwise.
func KillAfter(ctx context.Context, cmd *exec.Cmd, after time.Duration) (Result, error) {
	return run(ctx, plan{cmd: cmd, timed: true, after: after})
}

// KillAttached kills a process that others have started, right before the k-th call after
// its next exec; with a k of 0 it only counts. The process must be one that waits until
// it is traced: it has said so, or its own exec could still be the next one. Once it is
// traced, release is called, to let it go on and execute the program that is meant. The
// error of release ends the process and the call.
//
// The process stays its parent's child. It is killed if ctx ends, because a process
// that is no longer counted would go on with what the test is about.
func KillAttached(ctx context.Context, pid, k int, release func() error) (Result, error) {
	if pid < 1 || k < 0 {
		return Result{}, fmt.Errorf("killpoint: process %d, call %d", pid, k)
	}
	return run(ctx, plan{pid: pid, at: k, release: release})
}

// plan is what a run is to be.
type plan struct {
	cmd     *exec.Cmd // or, if nil:
	pid     int
	release func() error

	at    int // the call before which it is killed, 0 for none
	timed bool
	after time.Duration
}
