package main

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/hermes-gw/hermes-gw/internal/spell"
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

// Names of the flags, as the verbs name them.
const (
	flagJSON    = "json"
	flagTimeout = "timeout"
	flagLaunchd = "launchd"
	flagUID     = "uid"
	flagPlist   = "plist"
	flagHelp    = "help"
	flagVersion = "version"
	flagDomain  = "domain"
	flagRules   = "rules"
	flagTree    = "tree"

	flagAll        = "all"
	flagProfile    = "profile"
	flagGraceful   = "graceful"
	flagForceAfter = "force-after"
	flagWait       = "wait"
	flagBootstrap  = "bootstrap"
	flagDryRun     = "dry-run"
	flagForce      = "force"
	flagVerbose    = "verbose"

	flagFollow = "follow"
	flagLines  = "lines"
)

// bind adds the named flags to a set. In usages the word in backquotes is the
// value's name, as pflag has it.
func (o *options) bind(set *pflag.FlagSet, names ...string) {
	for _, name := range names {
		switch name {
		case flagJSON:
			set.BoolVar(&o.json, name, o.json, "print one JSON object instead of text")
		case flagTimeout:
			set.Var((*positive)(&o.timeout), name, "give up after `DUR`, such as 10s or 2m")
		case flagLaunchd:
			set.StringVar(&o.launchd, name, o.launchd, "talk to the launchd at `unix:PATH`; else to $HERMES_GW_LAUNCHD, else to this Mac's")
		case flagUID:
			set.Var(&o.uid, name, "look for a bare LABEL among the jobs of user `N`; else of $SUDO_UID under sudo, else yours")
		case flagPlist:
			set.StringVar(&o.plist, name, o.plist, "load the job from `PATH`; else from LABEL.plist in the user's Library/LaunchAgents")
		case flagDomain:
			set.StringVar(&o.domain, name, o.domain, "the list is to be loaded into `DOMAIN`, such as gui/501 or system")
		case flagRules:
			set.BoolVar(&o.rules, name, o.rules, "list the rules")
		case flagTree:
			set.BoolVar(&o.tree, name, o.tree, "show which process is a child of which")
		case flagAll:
			set.BoolVar(&o.all, name, o.all, "every gateway of this installation, and then stop those that run beside launchd's")
		case flagProfile:
			set.StringArrayVarP(&o.profiles, name, "p", o.profiles, "the gateway of profile `P`; may be given more than once")
		case flagGraceful:
			set.Var(&o.graceful, name, "let the gateway finish its work first, for at most `DUR`; without DUR for almost the job's exit timeout")
			set.Lookup(name).NoOptDefVal = optionalAlone
		case flagForceAfter:
			set.Var((*positive)(&o.forceAfter), name, "with --graceful, stop what is still at work after `DUR`")
		case flagWait:
			set.StringVar(&o.wait, name, o.wait, "be done when the new process is `STATE`: spawned (as without this), ready or platforms")
		case flagBootstrap:
			set.BoolVar(&o.bootstrap, name, o.bootstrap, "load a gateway that is not loaded, from its property list")
		case flagDryRun:
			set.BoolVar(&o.dryRun, name, o.dryRun, "say what would be sent, signalled and spared, and do nothing")
		case flagForce:
			set.BoolVar(&o.force, name, o.force, "restart it although it was restarted 3 times in the last minute")
		case flagVerbose:
			set.BoolVarP(&o.verbose, name, "v", o.verbose, "print each step to stderr, also where no person reads")
		case flagFollow:
			set.BoolVarP(&o.follow, name, "f", o.follow, "go on with what is written from now on, until interrupted")
		case flagLines:
			set.VarP((*amount)(&o.lines), name, "n", "show the last `N` lines of each file; else 20")
		case flagHelp:
			set.BoolVarP(&o.help, name, "h", o.help, "print this page")
		case flagVersion:
			set.BoolVar(&o.version, name, o.version, "print the version")
		}
	}
}

// values says what a flag wants, for the line about a value that is none.
func values(flag string) string {
	switch flag {
	case flagTimeout, flagGraceful, flagForceAfter:
		return "a duration above zero, such as 10s or 2m"
	case flagWait:
		return "spawned, ready or platforms"
	case flagLines:
		return "a number of lines, such as 50"
	case flagProfile:
		return "a profile's name, such as work"
	case flagUID:
		return "a user id, such as 501"
	case flagLaunchd:
		return "unix:PATH"
	case flagPlist:
		return "a path"
	case flagDomain:
		return "a domain, such as gui/501"
	}
	return "true or false"
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
		return usage(page, "unknown flag -%s", unknown.GetSpecifiedName())
	case errors.As(err, &unknown):
		name := unknown.GetSpecifiedName()
		if like := spell.Nearest(name, flagNames(set)); like != "" {
			return usage("Did you mean --"+like+"? "+page, "unknown flag --%s", name)
		}
		return usage(page, "unknown flag --%s", name)
	case errors.As(err, &missing):
		name := missing.GetFlag().Name
		return usage("Give it "+values(name)+".", "--%s has no value", name)
	case errors.As(err, &invalid):
		name := invalid.GetFlag().Name
		return usage("Give it "+values(name)+".", "--%s does not take %q", name, invalid.GetValue())
	case errors.As(err, &syntax):
		return usage(page, "%q is not a flag", syntax.GetSpecifiedFlag())
	}
	return usage(page, "%v", err)
}

func flagNames(set *pflag.FlagSet) (names []string) {
	set.VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	return names
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
