// Command bench measures what a restart costs: with one request of this module, and with
// running launchctl.
//
//	go run ./bench [--method NAME]... [-n PAIRS] [--json] [--svg FILE] [--live] [--launchctl PATH] [--against FILE]
//
// Without --live it starts an embedded launchd, a model. With --live, on macOS, it asks the
// launchd of this Mac. In both it loads a throwaway job of its own, restarts that one and no
// other, and unloads it, up to eight times in a row. RESULTS.md says how to read the figures, and has some.
//
// It exits with 0; 1 if something failed, or rows differ from those of --against; 2 if the
// command line was not understood; 128+n if signal n interrupted it. It leaves nothing behind.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/gorun"
)

func main() {
	if exit, ok := role(os.Args[1:]); ok {
		os.Exit(exit)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	interruptible(cancel)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	cancel(nil)
	os.Exit(exitOf(err, os.Stderr))
}

// interruption is a signal that ended the run early.
type interruption struct{ signal syscall.Signal }

func (i interruption) Error() string { return "interrupted: " + i.signal.String() }

// usageError is a command line that was not understood.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func exitOf(err error, stderr io.Writer) int {
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return 0
	}
	fmt.Fprintln(stderr, "bench:", err)
	if stop, ok := errors.AsType[interruption](err); ok {
		return 128 + int(stop.signal)
	}
	if _, ok := errors.AsType[usageError](err); ok {
		return 2
	}
	return 1
}

// interruptible cancels on SIGINT, SIGTERM and SIGHUP, and when the `go run` that runs this
// ends. What comes later changes nothing: cleaning up is bounded and goes on.
func interruptible(cancel context.CancelCauseFunc) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(signals, syscall.SIGHUP)
	}
	// Taken and dropped: a reader that goes away is an error of the write.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	go func() {
		for s := range signals {
			cancel(interruption{s.(syscall.Signal)})
		}
	}()
	gone := gorun.Command()
	go func() {
		if gone() {
			cancel(interruption{syscall.SIGHUP})
		}
	}()
}

// options are the command line.
type options struct {
	setup
	methods []string
	pairs   int
	json    bool
	svg     string
	against string
}

// How many pairs are measured if nothing is said: with the embedded launchd about three minutes,
// with the one of a Mac, which needs a second before each restart, twenty. A machine that others
// share is faster in one half minute and slower in the next, and what a run did not see of that
// is not in its intervals.
const (
	usualPairs     = 1200
	usualPairsLive = 200
)

func parse(args []string, stderr io.Writer) (o options, err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Func("method", "measure only this `NAME`, a group's or a method's, such as Restart/xpc (may be repeated)", func(s string) error {
		o.methods = append(o.methods, s)
		return nil
	})
	flags.IntVar(&o.pairs, "n", usualPairs, fmt.Sprintf("measure this many `PAIRS` of restarts, and in proportion of the rest (with --live the default is %d)", usualPairsLive))
	flags.BoolVar(&o.json, "json", false, "print one JSON object instead of tables; times are in nanoseconds")
	flags.StringVar(&o.svg, "svg", "", "draw the distributions to `FILE`")
	flags.BoolVar(&o.live, "live", false, "ask the launchd of this Mac, with a throwaway job")
	flags.StringVar(&o.launchctl, "launchctl", "", "run the launchctl at `PATH`; else with --live macOS' own, without it a stand-in")
	flags.StringVar(&o.against, "against", "", "say which rows differ from those in `FILE`, which --json made")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return o, err
		}
		return o, usageError{errors.New("the command line was not understood")} // flag has said why
	}
	if o.live {
		said := false
		flags.Visit(func(f *flag.Flag) { said = said || f.Name == "n" })
		if !said {
			o.pairs = usualPairsLive
		}
	}
	switch {
	case flags.NArg() > 0:
		return o, usageError{fmt.Errorf("it takes no arguments, not %q", flags.Arg(0))}
	case o.pairs < 1 || o.pairs > 100_000:
		return o, usageError{fmt.Errorf("-n %d: give it 1 to 100000", o.pairs)}
	case o.live && runtime.GOOS != "darwin":
		return o, usageError{errors.New("--live asks the launchd of a Mac, and this is none")}
	}
	if o.launchctl != "" {
		if o.launchctl, err = filepath.Abs(o.launchctl); err != nil {
			return o, err
		}
		if info, err := os.Stat(o.launchctl); err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
			return o, usageError{fmt.Errorf("--launchctl %s: it is no program", o.launchctl)}
		}
	}
	return o, nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	var earlier *report
	if o.against != "" {
		if earlier, err = readReport(o.against); err != nil {
			return err
		}
	}
	bin, err := temporaryFolder()
	if err != nil {
		return err
	}
	defer os.RemoveAll(bin)
	e := look(ctx)
	fmt.Fprintln(stderr, "bench: building hermes-gw and the stand-in for launchctl")
	if err := build(ctx, bin); err != nil {
		return why(ctx, err)
	}
	r, err := measure(ctx, o, bin, e, stderr)
	if err != nil {
		return why(ctx, err)
	}
	return o.tell(r, earlier, stdout)
}

// why is the signal that made something fail, or the failure.
func why(ctx context.Context, err error) error {
	cause, ok := errors.AsType[interruption](context.Cause(ctx))
	if !ok {
		return err
	}
	if left, ok := errors.AsType[leftovers](err); ok {
		return fmt.Errorf("%w; %w", cause, left)
	}
	return fmt.Errorf("%w; everything was cleaned up", cause)
}

// measure measures one stretch after the other.
func measure(ctx context.Context, o options, bin string, e environment, stderr io.Writer) (*report, error) {
	start := time.Now()
	results := map[string]measured{}
	var first part
	list := shares(o.pairs)
	for n, rounds := range list {
		fmt.Fprintf(stderr, "bench: %d of %d\n", n, len(list))
		p, err := order{bin, o.live, o.launchctl, o.methods, rounds}.apart(ctx)
		if err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return nil, err
		}
		if n == 0 {
			first = p
		}
		for name, samples := range p.Samples {
			results[name] = append(results[name], samples)
		}
	}
	fmt.Fprintf(stderr, "bench: %d of %d\n", len(list), len(list))
	e.subject = first.Subject
	e.Load += ", in the end " + loadAverage()
	r := newReport(e, o.pairs+o.pairs%2, first.Groups, results)
	r.Took = time.Since(start).Seconds()
	return r, nil
}

func readReport(path string) (*report, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := &report{}
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("%s is no output of --json: %w", path, err)
	}
	return r, nil
}

// errApart says that a run differs from an earlier one.
var errApart = errors.New("not all intervals overlap with those of the earlier run")

func (o options) tell(r, earlier *report, stdout io.Writer) error {
	if o.svg != "" {
		f, err := os.Create(o.svg)
		if err != nil {
			return err
		}
		if err := errors.Join(r.svg(f), f.Close()); err != nil {
			return fmt.Errorf("--svg %s: %w", o.svg, err)
		}
	}
	print := r.text
	if o.json {
		print = r.json
	}
	if err := print(stdout); err != nil || earlier == nil {
		return err
	}
	differences := stdout
	if o.json {
		differences = os.Stderr
	}
	apart, err := r.against(earlier, differences)
	if err == nil && apart > 0 {
		err = errApart
	}
	return err
}
