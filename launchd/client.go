// Package launchd controls launchd jobs by asking launchd itself, without running
// launchctl.
//
// A job is addressed by a [Target], its domain and its label; [Client.FindOne] finds the
// domain of a label. A [Client] has one method for each routine of launchd's private interface; none
// of these retries or polls. What launchctl's verbs are here:
//
//	bootstrap           Client.Bootstrap       load property lists
//	bootout             Client.Bootout         unload a job
//	enable, disable     Client.SetEnabled, Client.Enabled
//	kickstart           Client.Kickstart       start a job, with Kill restart it
//	kill                Client.Kill            signal its process
//	start, stop,        Client.StartOwn, Client.StopOwn,
//	remove, list        Client.RemoveOwn, Client.ListOwn, Client.ListOwnJob
//	print               Client.Print, Client.PrintDomain; read by ParsePrint, ParseDomain
//	print-disabled      Client.PrintDisabled, Client.Overrides
//	blame               Client.Blame           why a job was started
//	getenv, setenv      Client.Getenv, Client.Setenv, Client.Unsetenv
//	version, error      Client.Version; xpc.Errno has the texts
//
// [Client.Job], [Client.Inspect] and [Client.List] give what launchd knows as Go values.
//
// [Client.Restart], [Client.Reload], [Client.Start] and [Client.Stop] are made of these
// and wait until what they promise is true; [Client.Watch] tells what happens to a job.
// A restart never unloads the job. A reload, which must, has launchd itself carry it
// out.
//
// A [Plist] is a job's property list; [Lint] finds what launchd would refuse or silently
// ignore in one. What launchd refuses is an [Error], which says what to do about it.
//
// Routine numbers, keys and error numbers come from public sources, named at each
// method; internal/launchdsim/launchd-protocol.md is the collection of them. Package
// launchdtest has a launchd for the tests of programs that use this one.
package launchd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/proc"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// Options say how to reach launchd. The zero value is this Mac's launchd.
type Options struct {
	// Transport is used as it is, if set; the caller keeps it and closes it.
	Transport xpc.Transport
	// Address is where an embedded launchd listens, "unix:PATH"; "" is none.
	Address string
	// Wrap, if set, is given the transport that was opened and returns the one to use, which
	// calls it in turn: to count, to delay or to refuse requests.
	Wrap func(xpc.Transport) xpc.Transport
	// Logger gets one debug line for each request: operation, target, routine,
	// duration and error, nothing of the contents. nil logs nothing.
	Logger *slog.Logger
}

// Client sends requests to one launchd. It is safe for concurrent use and keeps no
// state about jobs.
type Client struct {
	t      xpc.Transport
	log    *slog.Logger
	procs  processes
	owned  io.Closer                 // what Close closes, or nil
	spare  atomic.Pointer[xpc.Shmem] // memory for the next print
	closed atomic.Bool
	above  atomic.Pointer[[]proc.Identity] // this process' ancestors, once known
}

// Open connects to a launchd: o.Transport if set, else the one at o.Address, else on
// macOS the system's through libxpc. Elsewhere the error is
// [errors.ErrUnsupported] and names the embedded launchd.
//
// An Address is tried once, so that a socket without a server is an error here; ctx
// bounds that. One that is not unix:PATH is a *[SyntaxError].
func Open(ctx context.Context, o Options) (*Client, error) {
	wrap := o.Wrap
	if wrap == nil {
		wrap = func(t xpc.Transport) xpc.Transport { return t }
	}
	if o.Transport != nil {
		return New(wrap(o.Transport), o.Logger), nil
	}
	if o.Address == "" {
		p, err := xpc.Bootstrap()
		if err != nil {
			return nil, err
		}
		return New(wrap(p), o.Logger), nil
	}
	path, ok := strings.CutPrefix(o.Address, "unix:")
	if !ok || path == "" {
		return nil, &SyntaxError{What: "launchd address", Input: o.Address, Problem: "is not unix:PATH", Example: "unix:/tmp/launchd/socket"}
	}
	s, err := xpc.Dial(ctx, path)
	if err != nil {
		return nil, err
	}
	c := New(wrap(s), o.Logger)
	c.owned = s
	return c, nil
}

// New returns a Client that uses t, which stays the caller's. A nil log logs
// nothing. Close the Client after use.
func New(t xpc.Transport, log *slog.Logger) *Client {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Client{t: t, log: log, procs: system{}}
}

// Close gives back what the Client holds, and closes the connection if [Open] made it:
// requests after that end with an error then.
func (c *Client) Close() error {
	c.closed.Store(true)
	c.drop()
	if c.owned == nil {
		return nil
	}
	return c.owned.Close()
}

// errNoName keeps the one request from ever being sent that would tear down a whole
// login session: routine 801 without a name (launchd-protocol.md 2.2).
var errNoName = errors.New("launchd: a bootout must name a job")

// call sends one request and turns launchd's refusal into an *Error about what.
func (c *Client) call(ctx context.Context, op string, what fmt.Stringer, routine uint64, msg xpc.Dict) (xpc.Dict, error) {
	if name, _ := msg.String("name"); routine == routineBootout && name == "" {
		return nil, errNoName
	}
	start := time.Now()
	reply, err := c.t.Call(ctx, routine, msg)
	if c.log.Enabled(ctx, slog.LevelDebug) {
		attrs := []slog.Attr{slog.String("op", op), slog.String("target", what.String()),
			slog.Uint64("routine", routine), slog.Duration("took", time.Since(start))}
		if err != nil {
			attrs = append(attrs, slog.Any("error", err))
		}
		c.log.LogAttrs(ctx, slog.LevelDebug, "launchd request", attrs...)
	}
	if err != nil {
		return nil, refused(op, what.String(), err)
	}
	return reply, nil
}

// refused gives err the operation and what it was about. A number that explains why
// an answer did not come is no refusal.
func refused(op, what string, err error) error {
	_, unknown := errors.AsType[*xpc.UnknownOutcome](err)
	if code, ok := errors.AsType[xpc.Errno](err); ok && !unknown {
		return &Error{Op: op, Target: what, Code: code}
	}
	return fmt.Errorf("%s %s: %w", op, what, err)
}
