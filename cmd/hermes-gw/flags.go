package main

import (
	"strings"

	"github.com/spf13/pflag"

	hermesgw "github.com/hermes-gw/hermes-gw"
	"github.com/hermes-gw/hermes-gw/internal/spell"
)

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
	flagWatch   = "watch"

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

// flagRow is one row of the table of flags.
type flagRow struct {
	name, short string
	value       string // what help calls its value; "" for a switch
	does        string // what help says
	wants       string // what a value is, for the line about one that is none
	words       []string
	completes   completes // what its value is for the shell
	to          func(*options) any
}

// flagTable is the one table of flags: parsing, help, suggestions and completion come from it.
// Which verbs have a flag is told by the table of verbs.
func flagTable() []flagRow {
	const duration = "a duration above zero, such as 10s or 2m"
	return []flagRow{
		{name: flagAll, does: "every gateway of this installation, and then stop those that run beside launchd's",
			to: func(o *options) any { return &o.all }},
		{name: flagProfile, short: "p", value: "P", does: "the gateway of profile P; may be given more than once",
			wants: "a profile's name, such as work", completes: completesProfile, to: func(o *options) any { return &o.profiles }},
		{name: flagGraceful, value: "DUR", does: "let the gateway finish its work first, for at most DUR; without DUR for almost the job's exit timeout",
			wants: duration, to: func(o *options) any { return &o.graceful }},
		{name: flagForceAfter, value: "DUR", does: "with --graceful, stop what is still at work after DUR",
			wants: duration, to: func(o *options) any { return (*positive)(&o.forceAfter) }},
		{name: flagWait, value: "STATE", does: "be done when the new process is STATE: spawned (as without this), ready or platforms",
			wants: "spawned, ready or platforms", words: waitWords(), to: func(o *options) any { return &o.wait }},
		{name: flagBootstrap, does: "load a gateway that is not loaded, from its property list; DOMAIN/LABEL into that domain only",
			to: func(o *options) any { return &o.bootstrap }},
		{name: flagDryRun, does: "say what would be sent, signalled and spared, and do nothing",
			to: func(o *options) any { return &o.dryRun }},
		{name: flagForce, does: "restart it although it was restarted 3 times in the last minute",
			to: func(o *options) any { return &o.force }},
		{name: flagPlist, value: "PATH", does: "load the job from PATH; else from LABEL.plist in the user's Library/LaunchAgents",
			wants: "a path", completes: completesFile, to: func(o *options) any { return &o.plist }},
		{name: flagWatch, does: "show it again whenever something changes, until interrupted",
			to: func(o *options) any { return &o.watch }},
		{name: flagTree, does: "show which process is a child of which",
			to: func(o *options) any { return &o.tree }},
		{name: flagLines, short: "n", value: "N", does: "show the last N lines of each file; else 20",
			wants: "a number of lines, such as 50", to: func(o *options) any { return (*amount)(&o.lines) }},
		{name: flagFollow, short: "f", does: "go on with what is written from now on, until interrupted",
			to: func(o *options) any { return &o.follow }},
		{name: flagDomain, value: "DOMAIN", does: "the list is to be loaded into DOMAIN, such as gui/501 or system",
			wants: "a domain, such as gui/501", completes: completesDomain, to: func(o *options) any { return &o.domain }},
		{name: flagRules, does: "list the rules",
			to: func(o *options) any { return &o.rules }},
		{name: flagVerbose, short: "v", does: "print each step to stderr, also where no person reads",
			to: func(o *options) any { return &o.verbose }},
		{name: flagTimeout, value: "DUR", does: "give up after DUR, such as 10s or 2m",
			wants: duration, to: func(o *options) any { return (*positive)(&o.timeout) }},
		{name: flagUID, value: "N", does: "look for a bare LABEL among the jobs of user N; else of $SUDO_UID under sudo, else yours",
			wants: "a user id, such as 501", to: func(o *options) any { return &o.uid }},
		{name: flagLaunchd, value: "unix:PATH", does: "talk to the launchd at unix:PATH; else to $HERMES_GW_LAUNCHD, else to this Mac's",
			wants: "unix:PATH", to: func(o *options) any { return &o.launchd }},
		{name: flagJSON, does: "print one JSON object instead of text",
			to: func(o *options) any { return &o.json }},
		{name: flagHelp, short: "h", does: "print this page",
			to: func(o *options) any { return &o.help }},
		{name: flagVersion, does: "print the version",
			to: func(o *options) any { return &o.version }},
	}
}

// globalFlags may stand before the verb.
var globalFlags = []string{flagHelp, flagVersion, flagTimeout, flagUID, flagLaunchd, flagJSON}

func waitWords() (words []string) {
	for _, w := range waits {
		words = append(words, string(w))
	}
	return words
}

var waits = []hermesgw.Wait{hermesgw.WaitSpawned, hermesgw.WaitReady, hermesgw.WaitPlatforms}

// findFlag returns the row of a flag.
func findFlag(name string) (flagRow, bool) {
	for _, r := range flagTable() {
		if r.name == name {
			return r, true
		}
	}
	return flagRow{}, false
}

// bind adds the named flags to a set, in the order of the table. What was set before stays.
func (o *options) bind(set *pflag.FlagSet, names ...string) {
	named := map[string]bool{}
	for _, name := range names {
		named[name] = true
	}
	for _, r := range flagTable() {
		if !named[r.name] {
			continue
		}
		switch to := r.to(o).(type) {
		case *bool:
			set.BoolVarP(to, r.name, r.short, *to, r.does)
		case *string:
			set.VarP((*text)(to), r.name, r.short, r.does)
		case *[]string:
			set.VarP((*texts)(to), r.name, r.short, r.does)
		case pflag.Value:
			set.VarP(to, r.name, r.short, r.does)
			if _, ok := to.(*optional); ok {
				set.Lookup(r.name).NoOptDefVal = optionalAlone
			}
		}
	}
}

// usage is the flag as help writes it: -p, --profile P.
func (r flagRow) usage() string {
	text := "--" + r.name
	if r.short != "" {
		text = "-" + r.short + ", " + text
	}
	switch r.to(&options{}).(type) {
	case *optional:
		return text + "[=" + r.value + "]"
	default:
		return strings.TrimSpace(text + " " + r.value)
	}
}

// wrongValue is about a value that the flag does not take.
func wrongValue(name, value string) error {
	r, _ := findFlag(name)
	wants := r.wants
	if wants == "" {
		wants = "true or false"
	}
	remedy := "Give it " + wants + "."
	if strings.TrimSpace(value) == "" {
		remedy = "Give it " + wants + ", or leave it out: a variable of the shell's may not be set."
	}
	if like := spell.Nearest(value, r.words); like != "" {
		remedy = "Did you mean " + like + "? " + remedy
	}
	return usage(remedy, "--%s does not take %q", name, value)
}
