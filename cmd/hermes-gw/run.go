package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"syscall"
	"time"

	"github.com/hermes-gw/hermes-gw/launchd"
)

// usualLines is how many lines of a log are shown.
const usualLines = 20

// command is one run of a verb.
type command struct {
	ctx        context.Context
	env        environment
	verb       verb
	opts       options
	args       []string
	interrupts *interrupts
	launchd    *launchd.Client // nil until connect
	closers    []io.Closer

	stdout, stderr io.Writer
	printed        bool  // the report was written before the verb ended
	lost           error // why stdout cannot be written
}

// run is the whole program but for its process: it returns the exit code.
func run(ctx context.Context, env environment, args []string, stdout, stderr io.Writer) int {
	in := &interrupts{ignoreHangup: env.ignoreHangup, exit: env.exit}
	ctx, stop := in.watch(ctx, env.signals)
	defer stop()
	c := &command{opts: options{lines: usualLines}, ctx: ctx, env: env, interrupts: in, stdout: stdout, stderr: stderr}
	if err := c.parse(args); err != nil {
		c.opts.json = c.opts.json || wantsJSON(args)
		return c.finish(report{err: err})
	}
	return c.finish(c.verb.run(c))
}

// parse finds the verb, its flags and its arguments. Flags may stand before the verb.
func (c *command) parse(args []string) error {
	const page = "See hermes-gw help."
	global := newSet("hermes-gw")
	global.SetInterspersed(false)
	c.opts.bind(global, globalFlags...)
	if err := parse(global, args, page); err != nil {
		return err
	}
	args = global.Args()
	switch {
	case c.opts.version:
		args = append([]string{"version"}, args...)
	case len(args) == 0 && c.opts.help:
		c.opts.help = false // the overview is meant, not the page of help
		args = []string{"help"}
	case len(args) == 0:
		return usage(page, "no verb given")
	}
	v, err := findVerb(args[0])
	if err != nil {
		return err
	}
	c.verb = v
	set := v.flagSet(&c.opts)
	if err := parse(set, args[1:], v.page()); err != nil {
		return err
	}
	if !v.opaque {
		if err := valueBehindBlank(set, args[1:]); err != nil {
			return err
		}
	}
	c.args = set.Args()
	if c.opts.json && !slices.Contains(v.flags, flagJSON) { // it stood before the verb
		return usage(v.page(), "%s has no --json", v.name)
	}
	if c.opts.help {
		c.verb.run = func(c *command) report { return helpReport(v.helpPage()) }
		return nil
	}
	return v.checkArgs(c.args)
}

// finish prints the report, if that was not done already, and returns its exit code.
func (c *command) finish(r report) int {
	for _, closer := range c.closers {
		closer.Close()
	}
	return c.printNow(r)
}

// printNow prints the report once, however often it is called.
func (c *command) printNow(r report) int {
	code := r.code()
	if s := c.interrupts.by(); s != nil {
		code = signalExit(s)
	}
	if !c.printed {
		c.printed = true
		out := &written{Writer: c.stdout}
		r.print(c.verb.name, code, c.how(), out, c.stderr)
		c.lose(out.err)
	}
	return code
}

// lose tells once that stdout cannot be written, if err says so.
func (c *command) lose(err error) {
	if err == nil || c.lost != nil {
		return
	}
	c.lost = err
	if !errors.Is(err, syscall.EPIPE) { // of a reader that went away nobody needs to be told
		fmt.Fprintf(c.stderr, "hermes-gw: warning: the report could not be written: %v\n", pathless(err))
	}
}

// within bounds a context by --timeout, or by what the verb takes for long enough.
func (c *command) within(usual time.Duration) (context.Context, context.CancelFunc) {
	if c.opts.timeout > 0 {
		usual = c.opts.timeout
	}
	return context.WithTimeout(c.ctx, usual)
}
