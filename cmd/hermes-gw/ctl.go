package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/hermes-gw/hermes-gw/internal/spell"
	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// ctl does what launchctl does, in launchctl's words: arguments, output, streams and exit
// codes, so that a script changes by one word. What launchctl says is taken from
// Procursus launchctl (1.2.0) and from transcripts of macOS 13 to 26.

// Exit codes of launchctl besides launchd's own numbers: Procursus launchctl, launchctl.c.
const ctlUsage = 64 // sysexits.h, EX_USAGE; launchctl itself gives 1, launchd's "not permitted", to an unknown subcommand

// ctlVerb is one of launchctl's subcommands. run returns the exit code.
type ctlVerb struct {
	name, args string
	summary    string
	min, max   int // arguments; max < 0: any number
	run        func(x *ctl) int
}

// ctlVerbs is a function because help reads it.
func ctlVerbs() []ctlVerb {
	return []ctlVerb{
		{"bootstrap", "<domain-target> <service-path>...", "loads jobs into a domain", 1, -1, (*ctl).bootstrap},
		{"bootout", "<service-target> | <domain-target> <service-path>...", "unloads jobs from a domain", 1, -1, (*ctl).bootout},
		{"enable", "<service-target>", "lets a job be loaded", 1, 1, (*ctl).enable},
		{"disable", "<service-target>", "keeps a job from being loaded", 1, 1, (*ctl).disable},
		{"kickstart", "[-kpsu] <service-target>", "starts a job; -k restarts it, -p prints its pid", 1, -1, (*ctl).kickstart},
		{"kill", "<signal-name|signal-number> <service-target>", "sends a signal to a job's process", 2, 2, (*ctl).kill},
		{"blame", "<service-target>", "prints why a job was started", 1, 1, (*ctl).blame},
		{"print", "<domain-target> | <service-target>", "prints what launchd knows", 1, 1, (*ctl).print},
		{"print-disabled", "<domain-target>", "prints which jobs are enabled or disabled", 1, 1, (*ctl).printDisabled},
		{"list", "[service-name]", "lists the jobs of one's own domain", 0, 1, (*ctl).list},
		{"start", "<service-name>", "starts a job of one's own domain", 1, 1, (*ctl).start},
		{"stop", "<service-name>", "stops the process of a job of one's own domain", 1, 1, (*ctl).stop},
		{"remove", "<service-name>", "unloads a job of one's own domain", 1, 1, (*ctl).remove},
		{"getenv", "<key>", "prints a variable of one's own domain", 1, 1, (*ctl).getenv},
		{"setenv", "<<key> <value>, ...>", "sets variables of one's own domain", 2, -1, (*ctl).setenv},
		{"unsetenv", "<key, ...>", "removes variables of one's own domain", 1, -1, (*ctl).unsetenv},
		{"error", "[posix|mach|bootstrap] <code>", "says what a number means", 1, 2, (*ctl).error},
		{"version", "", "prints launchd's version", 0, 0, (*ctl).version},
		{"help", "[subcommand]", "prints this", 0, 1, (*ctl).help},
	}
}

// notOffered are launchctl's other subcommands, and what to use instead.
var notOffered = []struct{ name, instead string }{
	{"load", "use bootstrap <domain-target> <service-path>"},
	{"unload", "use bootout <service-target>"},
	{"submit", "write a property list and use bootstrap"},
	{"attach", ""}, {"debug", ""}, {"uncache", ""}, {"bsexec", ""}, {"asuser", ""},
	{"procinfo", ""}, {"hostinfo", ""}, {"resolveport", ""}, {"limit", ""}, {"runstats", ""}, {"examine", ""}, {"config", ""},
	{"dumpstate", "use print <domain-target>"}, {"dump-xsc", ""}, {"dumpjpcategory", ""}, {"plist", ""},
	{"print-cache", ""}, {"reboot", ""}, {"enter-rem", ""}, {"enter-rem-dev", ""}, {"userswitch", ""}, {"managerpid", ""}, {"manageruid", ""}, {"managername", ""}, {"variant", "use version"},
	// Gone from newer systems, where launchctl(1) still lists some of them.
	{"bootshell", ""}, {"singleuser", ""}, {"shutdown", ""}, {"getrusage", ""}, {"log", ""}, {"umask", ""},
	{"bslist", "use print <domain-target>"}, {"bstree", "use print <domain-target>"}, {"export", "use getenv <key>"},
}

// ctl is one run of a subcommand.
type ctl struct {
	*command
	verb    ctlVerb
	args    []string
	advised []string // what was said already
}

func runCtl(c *command) report {
	if len(c.args) == 0 { // launchctl says what there is, and that is no error
		c.args = []string{"help"}
	}
	name := c.args[0]
	for _, v := range ctlVerbs() {
		if v.name != name {
			continue
		}
		x := &ctl{command: c, verb: v, args: c.args[1:]}
		if len(x.args) < v.min || v.max >= 0 && len(x.args) > v.max {
			return report{exit: x.usage()}
		}
		if v.name != "help" && v.name != "error" {
			if err := c.connect(); err != nil {
				return report{err: err}
			}
		}
		if c.opts.timeout > 0 { // launchctl waits for as long as launchd takes
			ctx, cancel := c.within(0)
			defer cancel()
			c.ctx = ctx
		}
		return report{exit: v.run(x)}
	}
	fmt.Fprintf(c.stderr, "Unrecognized subcommand: %s\n", shown(name))
	for _, n := range notOffered {
		if n.name == name {
			line := "hermes-gw: launchctl has " + name + ", and hermes-gw ctl does not"
			if n.instead != "" {
				line += ": " + n.instead
			}
			fmt.Fprintln(c.stderr, line+".")
			return report{exit: ctlUsage}
		}
	}
	var names []string
	for _, v := range ctlVerbs() {
		names = append(names, v.name)
	}
	if like := spell.Nearest(name, names); like != "" {
		fmt.Fprintf(c.stderr, "hermes-gw: did you mean %s?\n", like)
	} else {
		fmt.Fprintln(c.stderr, "hermes-gw: hermes-gw ctl help lists the subcommands.")
	}
	return report{exit: ctlUsage}
}

// usage says how the subcommand is called.
func (x *ctl) usage() int {
	fmt.Fprintf(x.stderr, "Usage: hermes-gw ctl %s\n", strings.TrimSpace(x.verb.name+" "+x.verb.args))
	return ctlUsage
}

// badTarget is what launchctl says of a target that is none.
func (x *ctl) badTarget(err error) int {
	fmt.Fprintln(x.stderr, "Unrecognized target specifier. <service-target> takes a form of <domain-target>/<service-id>.")
	fmt.Fprintln(x.stderr, "Please refer to `man launchctl` for explanation of the <domain-target> specifiers.")
	if err != nil {
		fmt.Fprintf(x.stderr, "hermes-gw: %s\n", shown(err.Error()))
	}
	return x.usage()
}

// service reads a service target.
func (x *ctl) service(s string) (t launchd.Target, exit int) {
	t, err := launchd.ParseTarget(s)
	if err != nil {
		return t, x.badTarget(err)
	}
	return t, 0
}

// domain reads a domain target. launchctl takes a slash behind it.
func (x *ctl) domain(s string) (d launchd.Domain, exit int) {
	d, err := launchd.ParseDomainTarget(strings.TrimSuffix(s, "/"))
	if err != nil {
		return d, x.badTarget(err)
	}
	return d, 0
}

// failed ends a subcommand by an error. say is launchctl's own line about a number that has
// none for every subcommand, or "".
func (x *ctl) failed(err error, what fmt.Stringer, say func(code xpc.Errno) string) int {
	if _, malformed := errors.AsType[*launchd.SyntaxError](err); malformed {
		fmt.Fprintf(x.stderr, "hermes-gw: %s\n", shown(err.Error()))
		return x.usage()
	}
	e, refused := errors.AsType[*launchd.Error](err)
	if !refused {
		complain(x.stderr, "ctl "+x.verb.name, "", explain(err))
		return exitOf(outcomeOf(err))
	}
	switch line := say(e.Code); {
	case e.Code == xpc.NoSuchDomain:
		fmt.Fprintf(x.stderr, "Could not find domain for %s\n", domainWords(what))
	case e.Code == xpc.NoSuchService:
		if t, ok := what.(launchd.Target); ok {
			fmt.Fprintf(x.stderr, "Could not find service \"%s\" in domain for %s\n", shown(t.Label), domainWords(what))
		} else {
			fmt.Fprintln(x.stderr, "Could not find service.")
		}
	case line != "":
		fmt.Fprintln(x.stderr, line)
	}
	x.advise(e)
	return int(e.Code)
}

// advise adds what launchctl does not know, on a line of its own, which is said once.
func (x *ctl) advise(e *launchd.Error) {
	line := ""
	if len(e.Found) > 0 {
		line = e.Found[0].Problem + ". "
	}
	if line += e.Remedy(); line != "" && !slices.Contains(x.advised, line) {
		x.advised = append(x.advised, line)
		fmt.Fprintf(x.stderr, "hermes-gw: %s\n", shown(line))
	}
}

// domainWords is how launchctl names a domain in its errors: Procursus launchctl, launchctl.c.
func domainWords(what fmt.Stringer) string {
	name := what.String()
	if t, ok := what.(launchd.Target); ok {
		name = t.Domain.String()
	}
	if name == launchd.Own().String() {
		return "port" // its bootstrap port: iamkroot/trakt-scrobbler#83, macOS 10.15, and many more
	}
	kind, id, numbered := strings.Cut(name, "/")
	if !numbered {
		return name
	}
	switch kind {
	case "user":
		return "uid: " + id
	case "session":
		return "asid: " + id
	case "gui":
		return "user gui: " + id
	}
	return kind + ": " + id
}

// nothing is for a number that launchctl says nothing about.
func nothing(xpc.Errno) string { return "" }

// line is launchctl's usual form.
func line(what string) func(xpc.Errno) string {
	return func(code xpc.Errno) string { return fmt.Sprintf("%s: %d: %v", what, int32(code), code) }
}

// richer is what launchctl adds for whoever is not root.
func (x *ctl) richer() {
	if x.env.euid != 0 {
		fmt.Fprintln(x.stderr, "Try re-running the command as root for richer errors.")
	}
}

func (x *ctl) help() int {
	if len(x.args) == 1 {
		for _, v := range ctlVerbs() {
			if v.name == x.args[0] {
				fmt.Fprintf(x.stdout, "Usage: hermes-gw ctl %s\n", strings.TrimSpace(v.name+" "+v.args))
				return 0
			}
		}
		return x.usage()
	}
	fmt.Fprintln(x.stdout, "Usage: hermes-gw ctl <subcommand> ... | help [subcommand]\n\nSubcommands:")
	io.WriteString(x.stdout, ctlTable())
	return 0
}

// ctlTable lists the subcommands for help pages.
func ctlTable() string {
	var b strings.Builder
	for _, v := range ctlVerbs() {
		fmt.Fprintf(&b, "  %-15s %s\n", v.name, v.summary)
	}
	return b.String()
}
