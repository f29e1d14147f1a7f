package main

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// options are the flags of every verb.
type options struct {
	json    bool
	help    bool
	version bool
	timeout time.Duration
	launchd string
	uid     uid
	plist   string
	domain  string
	rules   bool
	tree    bool
	watch   bool

	// Of restart.
	all        bool
	profiles   []string
	graceful   optional
	forceAfter time.Duration
	wait       string
	bootstrap  bool
	dryRun     bool
	force      bool
	verbose    bool

	// Of logs.
	follow bool
	lines  int
}

// amount is a number of lines.
type amount int

func (a *amount) String() string { return strconv.Itoa(int(*a)) }
func (a *amount) Type() string   { return "N" }

func (a *amount) Set(s string) error {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return errors.New("not a number of lines")
	}
	*a = amount(n)
	return nil
}

// optional is a flag that can stand without its duration.
type optional struct {
	d   time.Duration
	set bool
}

func (o *optional) String() string { return "" }
func (o *optional) Type() string   { return "DUR" }

func (o *optional) Set(s string) error {
	o.set = true
	if s == optionalAlone {
		return nil
	}
	return (*positive)(&o.d).Set(s)
}

// optionalAlone is what pflag gives an optional flag that stands without a value.
const optionalAlone = "the job's own"

// text is a value that is not empty: an empty one is a shell's variable that is not set, and to go
// on without the flag would be about something else than was meant.
type text string

func (x *text) String() string { return string(*x) }
func (x *text) Type() string   { return "string" }

func (x *text) Set(s string) error {
	if strings.TrimSpace(s) == "" {
		return errors.New("empty")
	}
	*x = text(s)
	return nil
}

// texts are those of a flag that may be given more than once.
type texts []string

func (x *texts) String() string { return strings.Join(*x, ", ") }
func (x *texts) Type() string   { return "string" }

func (x *texts) Set(s string) error {
	var one text
	if err := one.Set(s); err != nil {
		return err
	}
	*x = append(*x, s)
	return nil
}

// uid is the --uid flag; set tells 0 from absent.
type uid struct {
	id  int
	set bool
}

func (u *uid) String() string {
	if !u.set {
		return ""
	}
	return strconv.Itoa(u.id)
}

func (u *uid) Set(s string) error {
	id, err := parseUID(s)
	if err != nil {
		return err
	}
	u.id, u.set = id, true
	return nil
}

func (u *uid) Type() string { return "N" }

// parseUID accepts what a uid_t can hold, but for the value that means "no user".
func parseUID(s string) (int, error) {
	id, err := strconv.ParseUint(s, 10, 32)
	if err != nil || id == math.MaxUint32 {
		return 0, errors.New("not a user id")
	}
	return int(id), nil
}

// positive is a duration above zero.
type positive time.Duration

func (p *positive) String() string { return time.Duration(*p).String() }
func (p *positive) Type() string   { return "DUR" }

func (p *positive) Set(s string) error {
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return errors.New("not a duration above zero")
	}
	*p = positive(d)
	return nil
}

// usageError is a command line that was not understood.
type usageError struct {
	problem string
	remedy  string
}

func (e *usageError) Error() string { return e.problem }

// Remedy says what to do about it.
func (e *usageError) Remedy() string { return e.remedy }

func usage(remedy, format string, args ...any) *usageError {
	return &usageError{problem: fmt.Sprintf(format, args...), remedy: remedy}
}

// newSet returns a set that reports by errors only.
func newSet(name string) *pflag.FlagSet {
	set := pflag.NewFlagSet(name, pflag.ContinueOnError)
	set.SortFlags = false
	set.Usage = func() {}
	return set
}

// parse reads args into set and puts pflag's errors into one line of ours.
func parse(set *pflag.FlagSet, args []string, page string) error {
	err := set.Parse(args)
	var unknown *pflag.NotExistError
	var missing *pflag.ValueRequiredError
	var invalid *pflag.InvalidValueError
	var syntax *pflag.InvalidSyntaxError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() != "":
		return unknownShort(set, unknown.GetSpecifiedName(), unknown.GetSpecifiedShortnames(), page)
	case errors.As(err, &unknown):
		return unknownLong(set, unknown.GetSpecifiedName(), page)
	case errors.As(err, &missing):
		name := missing.GetFlag().Name
		r, _ := findFlag(name)
		return usage("Give it "+r.wants+".", "--%s has no value", name)
	case errors.As(err, &invalid):
		return wrongValue(invalid.GetFlag().Name, invalid.GetValue())
	case errors.As(err, &syntax):
		return usage(page, "%q is not a flag", syntax.GetSpecifiedFlag())
	}
	return usage(page, "%v", err)
}

// wantsJSON looks for --json in a command line that could not be parsed.
func wantsJSON(args []string) bool {
	for _, a := range args {
		switch {
		case a == "--":
			return false
		case a == "--"+flagJSON:
			return true
		case strings.HasPrefix(a, "--"+flagJSON+"="):
			on, err := strconv.ParseBool(strings.TrimPrefix(a, "--"+flagJSON+"="))
			return err == nil && on
		}
	}
	return false
}
