// Command demo is the main job on real processes, without a Mac: it builds the
// command and the embedded launchd, loads jobs of the shapes that Hermes installs,
// restarts them through hermes-gw, and shows what a client that is killed half-way
// leaves behind.
//
//	go run ./internal/demo
//
// Every claim that it prints is checked. It exits 0 only if all of them hold, 1
// otherwise, and 128+n when signal n interrupted it. It leaves nothing behind.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/gorun"
)

func main() {
	// The embedded launchd is tied to the thread that starts it (tie_linux.go).
	runtime.LockOSThread()
	if len(os.Args) == 5 && os.Args[1] == roleTwoStep {
		os.Exit(twoStep(os.Args[2], os.Args[3], os.Args[4]))
	}
	if len(os.Args) > 1 {
		fmt.Fprintln(os.Stderr, "demo: it takes no arguments: go run ./internal/demo")
		os.Exit(2)
	}
	os.Exit(run())
}

// interruption is a signal that ended the demo early.
type interruption struct{ signal syscall.Signal }

func (i interruption) Error() string { return "interrupted: " + i.signal.String() }

// run plays the demo and returns its exit code.
func run() int {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	interruptible(cancel)
	out := &output{w: os.Stdout, cancel: cancel}

	claims := &claims{}
	err := play(ctx, cancel, out, claims)
	if cause := context.Cause(ctx); cause != nil && (err != nil || len(claims.failed) > 0) {
		err = cause // what made a step fail, not what the step saw of it
	}
	return verdict(out, claims, err)
}

func verdict(out *output, claims *claims, err error) int {
	if stop, ok := errors.AsType[interruption](err); ok {
		fmt.Fprintf(os.Stderr, "demo: %v; everything was cleaned up\n", stop)
		return 128 + int(stop.signal)
	}
	for _, f := range claims.failed {
		out.line("FAILED: %s", f)
	}
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "demo:", err)
	case len(claims.failed) == 0:
		out.line("%d claims were checked, all hold.", claims.checked)
		if out.err == nil {
			return 0
		}
	}
	return 1
}

// interruptible cancels with an interruption on SIGINT, SIGTERM and, unless nohup
// had it ignored, SIGHUP. Signals that come later change nothing: cleaning up is
// bounded and goes on.
func interruptible(cancel context.CancelCauseFunc) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(signals, syscall.SIGHUP)
	}
	// Taken and dropped, so that writing to a closed pipe is an error of the
	// write and no sudden end. (Ignored, it would be ignored by the children too.)
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	go func() {
		for s := range signals {
			cancel(interruption{s.(syscall.Signal)})
		}
	}()
	// Looked up now: once it has ended, the parent is another process.
	gone := gorun.Command()
	go func() {
		if gone() {
			cancel(interruption{syscall.SIGHUP})
		}
	}()
}

// output prints for a reader that may go away.
type output struct {
	w      io.Writer
	cancel context.CancelCauseFunc
	err    error
}

func (o *output) line(format string, args ...any) {
	if o.err != nil {
		return
	}
	if _, o.err = fmt.Fprintf(o.w, format+"\n", args...); o.err != nil {
		o.cancel(fmt.Errorf("nobody reads what the demo prints: %w", o.err))
	}
}

// claims counts what was checked.
type claims struct {
	checked int
	failed  []string
}

// check records a claim, worded as what must be true, and returns holds.
func (c *claims) check(holds bool, format string, args ...any) bool {
	c.checked++
	if !holds {
		c.failed = append(c.failed, fmt.Sprintf(format, args...))
	}
	return holds
}

// Bounds of a demo that hangs. A usual run takes seconds.
const (
	playTimeout = time.Minute
	stopTimeout = 10 * time.Second
)
