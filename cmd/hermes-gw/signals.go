package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/hermes-gw/hermes-gw/xpc"
)

// errInterrupted is why a request was not sent, or no longer waited for, after
// the first SIGINT or SIGTERM.
var errInterrupted = errors.New("interrupted")

// ignoreWriting keeps writing from ending a restart half-way: a reader of stdout that goes away
// (SIGPIPE), and a note that is larger than files may be here (SIGXFSZ). It is done before
// anything is printed.
func ignoreWriting() { signal.Ignore(syscall.SIGPIPE, syscall.SIGXFSZ) }

// listen takes over the signals that the whole run depends on. SIGHUP keeps its default
// action until a request that changes something goes out. A signal that was ignored when the
// command started (nohup, a background job of a script) stays ignored.
func listen() <-chan os.Signal {
	c := make(chan os.Signal, 4)
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGTERM} {
		if !signal.Ignored(s) {
			signal.Notify(c, s)
		}
	}
	return c
}

// listenHangup takes over SIGHUP, unless it was ignored when the command started.
func listenHangup() <-chan os.Signal {
	c := make(chan os.Signal, 1)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(c, syscall.SIGHUP)
	}
	return c
}

// untilHangup is the run's context, which SIGHUP ends as well: for what has to be undone
// when its terminal goes, rather than carried on.
func (c *command) untilHangup() (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(c.ctx)
	signals := c.env.hangups()
	go func() {
		for {
			select {
			case s := <-signals:
				c.interrupts.note(s) // a further one has nobody to hurry for
				cancel(errInterrupted)
			case <-ctx.Done():
				return
			}
		}
	}()
	return ctx, func() { cancel(nil) }
}

func ignoreHangup() { signal.Ignore(syscall.SIGHUP) }

// interrupts joins the signals that arrive with the requests that go out: it
// alone decides whether one may still be sent.
type interrupts struct {
	ignoreHangup func()
	exit         func(code int)

	mu    sync.Mutex
	first os.Signal // nil until a signal came
	out   bool      // a request that changes something went out
	left  []string  // labels whose old process has left as it was asked to

	listening chan struct{} // closed when signals are taken over; nil: they are
}

// watch returns a context that ends with the first signal. The second ends the
// process at once. stop ends the watch.
//
// Taking signals over needs a thread of the runtime's, so it is done beside what comes first.
// Until then a signal ends the command as it ends any other; nothing that changes something
// is sent before, and what goes on until it is interrupted prints nothing before.
func (i *interrupts) watch(parent context.Context, listen func() <-chan os.Signal) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	done, ended := make(chan struct{}), make(chan struct{})
	i.listening = make(chan struct{})
	go func() {
		defer close(ended)
		signals := listen()
		close(i.listening)
		for {
			select {
			case s := <-signals:
				if i.note(s) {
					cancel(errInterrupted)
				} else {
					i.exit(signalExit(s))
				}
			case <-done:
				return
			}
		}
	}()
	return ctx, func() {
		close(done)
		<-ended
		cancel(nil)
	}
}

// listened returns when signals are taken over.
func (i *interrupts) listened() {
	if i.listening != nil {
		<-i.listening
	}
}

// note records a signal and reports whether it is the first.
func (i *interrupts) note(s os.Signal) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.first != nil {
		return false
	}
	i.first = s
	return true
}

// by returns the signal that interrupted the command, or nil.
func (i *interrupts) by() os.Signal {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.first
}

// sending is asked right before a request that changes something is handed over.
// From then on the work goes on without a terminal.
func (i *interrupts) sending() error {
	i.listened()
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.first != nil {
		return errInterrupted
	}
	if !i.out {
		i.out = true
		i.ignoreHangup()
	}
	return nil
}

// drained notes that a job's old process has left as it was asked to: the request that starts the
// next one is owed, whatever signal comes.
func (i *interrupts) drained(label string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.left = append(i.left, label)
}

// owed reports whether a request is that one: a start (702) without a kill.
func (i *interrupts) owed(routine uint64, msg xpc.Dict) bool {
	label, _ := msg.String("name")
	kill, _ := msg.Bool("kill")
	i.mu.Lock()
	defer i.mu.Unlock()
	return routine == 702 && !kill && slices.Contains(i.left, label)
}

// changing is told that something is about to change, by a request or by a signal.
func (i *interrupts) changing() { i.sending() }

// signalExit is the shell's convention for a command that a signal ended.
func signalExit(s os.Signal) int {
	if n, ok := s.(syscall.Signal); ok {
		return 128 + int(n)
	}
	return exitFailed
}

// gate is a transport that lets nothing out after an interruption but questions. It marks
// a request whose answer did not come in time as *unanswered.
type gate struct {
	xpc.Transport
	interrupts *interrupts
}

func (g gate) Call(ctx context.Context, routine uint64, msg xpc.Dict) (xpc.Dict, error) {
	if !onlyAsks(routine) && !g.interrupts.owed(routine, msg) {
		if err := g.interrupts.sending(); err != nil {
			return nil, err
		}
	}
	// The time can be up while a launchd that does answer is asked once more.
	const tooLong = 100 * time.Millisecond
	start := time.Now()
	reply, err := g.Transport.Call(ctx, routine, msg)
	if errors.Is(err, context.DeadlineExceeded) && time.Since(start) > tooLong {
		err = &unanswered{err}
	}
	return reply, err
}

// unanswered tells a launchd that let the time run out from a wait for a job that did:
// the end of that wait has no request to it.
type unanswered struct{ err error }

func (e *unanswered) Error() string { return e.err.Error() }
func (e *unanswered) Unwrap() error { return e.err }

// onlyAsks reports whether a routine (launchd-protocol.md section 2) changes
// nothing: blame, print, attributes, enabled?, list, getenv and print domain. Any
// other counts as a change, unknown ones too.
func onlyAsks(routine uint64) bool {
	switch routine {
	case 707, 708, 712, 811, 815, 820, 828:
		return true
	}
	return false
}
