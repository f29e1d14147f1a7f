package main

import (
	"slices"
	"strings"

	"github.com/hermes-gw/hermes-gw/internal/spell"
)

// example is one line of a help page.
type example struct{ line, does string }

// verb is one row of the table of verbs: parsing, help and suggestions all come
// from it.
type verb struct {
	name     string
	args     string // as in the usage line
	min, max int    // how many arguments; max < 0: any number
	summary  string
	examples []example
	text     string        // paragraphs, at most 79 columns
	table    func() string // that ends the text; made when it is shown, not at each start
	flags    []string
	opaque   bool // what follows the first argument is not ours to read
	run      func(*command) report
}

// verbs is the table. It is a function because the verb help reads it.
func verbs() []verb {
	return []verb{
		{
			name: "restart", args: "[TARGET|LABEL...]", min: 0, max: -1,
			summary: "replace a job's process with one request",
			examples: []example{
				{"hermes-gw restart", "the gateway of HERMES_HOME, or of the default profile"},
				{"hermes-gw restart --all", "every gateway of this installation"},
				{"hermes-gw restart -p work --graceful=30s", "the gateway of a profile, after it has finished its work"},
				{"hermes-gw restart ai.hermes.gateway-work --wait ready", "by label, and wait until it says that it runs"},
				{"hermes-gw restart gui/501/org.example.agent --json", "any job, for a program"},
				{"hermes-gw restart --all --dry-run", "what would be sent, signalled and spared"},
			},
			text: `launchd itself stops the old process (SIGTERM, the job's exit timeout, SIGKILL)
and starts the new one. The job stays loaded all the time, so it comes back even
when this command, its terminal or its caller ends meanwhile. The command is done
when launchd names a process that is not the old one.

Several jobs are restarted at the same time and reported in the order given.
Without --timeout each may take its exit timeout and throttle interval and 10 s.
A second restart of the same job waits for the first. More than 3 in a minute are
refused without --force.

With --all, gateways of this installation that launchd does not manage are stopped
afterwards, if a job of the same home has taken over: SIGTERM, 10 s, SIGKILL. The
caller and what it runs in, and whatever launchd manages, are never signalled.

--graceful sends SIGUSR1 to the gateway itself, never to its wrapper. One that is
still at work in the end is left alone, unless --force-after is given. One whose
event loop is stuck is not asked.

` + targetText,
			flags: []string{flagProfile, flagAll, flagGraceful, flagForceAfter, flagWait, flagBootstrap, flagDryRun, flagForce, flagVerbose,
				flagTimeout, flagUID, flagLaunchd, flagJSON, flagHelp},
			run: runRestart,
		},
		{
			name: "status", args: "[TARGET|LABEL...]", min: 0, max: -1,
			summary: "show jobs: state, pid, runs, last exit, plist",
			examples: []example{
				{"hermes-gw status", "every gateway of this installation"},
				{"hermes-gw status --watch", "the same, and again whenever something changes"},
				{"hermes-gw status ai.hermes.gateway --json", "one job, for a program"},
			},
			text: `Without arguments it shows the gateways of this installation, and whatever else
bears a gateway's label: its profile, what launchd says of it (and in brackets
what the gateway says of itself), the processes from the job's down to the
gateway's, for how long the job's has been running, how often it was started, how
it last ended, and whether launchd has what the property list says: current,
stale (hermes-gw reload loads it), gone, or only there, when it is not loaded.

It only asks; nothing is changed. It gives up after 10 s, or --timeout. With --watch
it goes on until Ctrl-C: a terminal is redrawn every second, a pipe or a file gets
the whole again (with --json one line) when something but the time has changed.

TARGET is DOMAIN/LABEL as launchctl writes it: gui/501/ai.hermes.gateway,
user/501/ai.hermes.gateway, system/org.example.daemon. A bare LABEL is looked for
in gui/UID and user/UID, then in system; one that gui/UID and user/UID both have
is shown twice, with a warning.`,
			flags: []string{flagWatch, flagTimeout, flagUID, flagLaunchd, flagJSON, flagHelp},
			run:   runStatus,
		},
		{
			name: "start", args: "TARGET|LABEL", min: 1, max: 1,
			summary: "load a job if need be and start it",
			examples: []example{
				{"hermes-gw start ai.hermes.gateway", "load and start a job from ~/Library/LaunchAgents"},
				{"hermes-gw start gui/501/ai.hermes.gateway --plist ./gateway.plist", "from another file"},
			},
			text: `A job that is loaded is started without waiting for its throttle interval; one
that runs is left alone. A job that is not loaded is loaded from its property
list, which is checked first. The command gives up after 30 s, or --timeout.

A label that is loaded nowhere goes to gui/UID, over ssh to user/UID unless that
user is logged in at the screen. One named as DOMAIN/LABEL goes to that domain
only.

` + targetText,
			flags: []string{flagPlist, flagTimeout, flagUID, flagLaunchd, flagJSON, flagHelp},
			run:   runStart,
		},
		{
			name: "stop", args: "TARGET|LABEL", min: 1, max: 1,
			summary: "unload a job until the next login or start",
			examples: []example{
				{"hermes-gw stop ai.hermes.gateway", "stop it until the next login"},
			},
			text: `The job is unloaded, because a KeepAlive job that is only stopped comes back at
once, and the command waits until it is gone: at most its exit timeout and 5 s, or
--timeout. The next login loads it again from its property list, as does
hermes-gw start.

` + targetText,
			flags: []string{flagTimeout, flagUID, flagLaunchd, flagJSON, flagHelp},
			run:   runStop,
		},
		{
			name: "reload", args: "TARGET|LABEL", min: 1, max: 1,
			summary: "load a changed property list, with nobody's death in between",
			examples: []example{
				{"hermes-gw reload ai.hermes.gateway", "after its property list changed"},
				{"hermes-gw reload gui/501/ai.hermes.gateway --plist ./new.plist", "from another file"},
			},
			text: `A restart keeps the definition that launchd has. A reload unloads the job and loads
its property list again. In between the job does not exist, so launchd itself runs
a worker that carries both out: whoever dies meanwhile, this command or the worker,
it goes on. The property list is checked first, and if anything is wrong nothing is
touched. A list that launchd refuses all the same is given up for the old one.

The worker keeps its notes in ~/Library/Application Support/hermes-gw.

` + targetText,
			flags: []string{flagPlist, flagVerbose, flagTimeout, flagUID, flagLaunchd, flagJSON, flagHelp},
			run:   runReload,
		},
		{
			name: "ps", max: 0,
			summary: "show the processes of gateways, and who starts them",
			examples: []example{
				{"hermes-gw ps", "every gateway of yours"},
				{"hermes-gw ps --tree", "with the wrappers that they run in"},
				{"hermes-gw ps --json", "for a program"},
			},
			text: `A gateway is told by its arguments, word by word. MANAGED BY is the job that it
belongs to, or "manual" for one that launchd knows nothing of, or "?" where launchd
could not be asked. Arguments that look like secrets are not shown. It only asks.`,
			flags: []string{flagTree, flagTimeout, flagUID, flagLaunchd, flagJSON, flagHelp},
			run:   runPS,
		},
		{
			name: "logs", args: "[TARGET|LABEL]", min: 0, max: 1,
			summary: "show the last lines that a gateway or another job wrote",
			examples: []example{
				{"hermes-gw logs", "of the gateway of HERMES_HOME, or of the default profile"},
				{"hermes-gw logs -p work -f", "what a profile's gateway writes, as it does"},
				{"hermes-gw logs org.example.agent -n 100", "of any job whose property list names files"},
			},
			text: `Of a gateway these are logs/gateway.log and logs/gateway.error.log in its home; of
another job the files that its property list names. Control characters are
escaped, and what looks like a secret is ***.`,
			flags: []string{flagProfile, flagLines, flagFollow, flagTimeout, flagUID, flagLaunchd, flagJSON, flagHelp},
			run:   runLogs,
		},
		{
			name: "doctor", max: 0,
			summary: "find what is wrong with the gateways, and the command that mends it",
			examples: []example{
				{"hermes-gw doctor", "what is wrong, and the command that mends it"},
				{"hermes-gw doctor --json", "for a program"},
			},
			text: `It looks for gateways that are not loaded, disabled, in the wrong domain or in two,
not as their property list says by now, parked, throttled or flapping, for a second
gateway of the same home, for logs that cannot be written or read, for programs that
were replaced, and for what lint calls an error. The word in brackets names the
finding. It only asks. The exit code is 1 if something is wrong.`,
			flags: []string{flagTimeout, flagUID, flagLaunchd, flagJSON, flagHelp},
			run:   runDoctor,
		},
		{
			name: "lint", args: "FILE...", min: 0, max: -1,
			summary: "find what launchd would refuse or ignore in a property list",
			examples: []example{
				{"hermes-gw lint ~/Library/LaunchAgents/ai.hermes.gateway.plist", "one line for each thing that is wrong"},
				{"hermes-gw lint ~/Library/LaunchAgents --json", "a whole folder, for a program"},
				{"hermes-gw lint --rules", "what is looked for"},
			},
			text: `An error is what launchd refuses, or what keeps the job from running; a warning is
what launchd ignores, or what surprises. The word in brackets at the end names the
rule. The exit code is 1 if there is an error in any of the files, else 0.

Where the list is to be loaded is told by its folder (LaunchAgents, LaunchDaemons),
or by --domain.`,
			flags: []string{flagDomain, flagRules, flagJSON, flagHelp},
			run:   runLint,
		},
		{
			name: "ctl", args: "[SUBCOMMAND [ARGUMENT...]]", min: 0, max: -1,
			summary: "launchctl's own words, without running launchctl",
			examples: []example{
				{"hermes-gw ctl kickstart -kp gui/501/ai.hermes.gateway", "as launchctl kickstart -kp"},
				{"hermes-gw ctl print gui/501/ai.hermes.gateway", "as launchctl print"},
			},
			text: `Arguments, output and exit codes are launchctl's, so that a script changes by one
word: the exit code is launchd's number, 64 for a wrong command line, and not one
of the codes below. Flags of hermes-gw stand before SUBCOMMAND. What hermes-gw
knows better goes to a line of its own on stderr.

A whole domain is never booted out: that ends the login session. On a terminal, what
print, print-disabled and getenv show has its control characters written out; a
pipe or a file gets launchd's text as it is.

Subcommands:`,
			table:  ctlTable,
			flags:  []string{flagTimeout, flagLaunchd, flagHelp},
			opaque: true,
			run:    runCtl,
		},
		{
			name: "probe", max: 0,
			summary: "ask this Mac's launchd what is not known of it",
			examples: []example{
				{"hermes-gw probe", "a report to paste into an issue"},
				{"hermes-gw probe --json", "for a program"},
			},
			text: `What launchd's private interface does is known from public sources, and some of
it is open: whether it takes a kickstart from a program without Apple's
entitlement, for one. This asks, by means of throwaway jobs that are loaded,
started, stopped and unloaded. They run this program, which then merely waits.
It takes about 15 s, and each question has its own time limit; the whole gives up
after 3 min, or --timeout.

Only jobs with a label hermes-gw.probe.XXXXXXXX are touched, whose property lists
lie in ~/Library/Application Support/hermes-gw/probe. Everything is undone, also
after SIGINT, SIGTERM or SIGHUP; what a killed probe leaves, the next one removes.

The report names no user, home or machine, and of jobs only what launchd says of
the throwaway ones. The exit code is 0 if every question was answered or could
not be asked, 3 if some were not answered.`,
			flags: []string{flagTimeout, flagLaunchd, flagJSON, flagHelp},
			run:   runProbe,
		},
		{
			name: "version", max: 0,
			summary:  "print the version",
			examples: []example{{"hermes-gw version", ""}},
			flags:    []string{flagJSON, flagHelp},
			run:      runVersion,
		},
		{
			name: "completion", args: "bash|zsh|fish", min: 1, max: 1,
			summary: "print what makes a shell complete verbs, flags, labels and profiles",
			examples: []example{
				{"hermes-gw completion fish | source", "in ~/.config/fish/config.fish"},
				{"source <(hermes-gw completion bash)", "in ~/.bashrc"},
				{"source <(hermes-gw completion zsh)", "in ~/.zshrc, after compinit"},
			},
			text: `The script asks hermes-gw itself at each Tab: for labels, targets and profiles as
they are then. That takes at most a second, and changes nothing. macOS' own bash
(3.2) reads no <(...) in source: eval "$(hermes-gw completion bash)" does it there.`,
			flags: []string{flagHelp},
			run:   runCompletion,
		},
		{
			name: "help", args: "[VERB|TOPIC]", max: 1,
			summary: "print this, a verb's page, or a topic's",
			examples: []example{
				{"hermes-gw help restart", "the same as hermes-gw restart --help"},
				{"hermes-gw help exit-codes", "what a script needs to know"},
			},
			flags: []string{flagJSON, flagHelp},
			run:   runHelp,
		},
	}
}

const targetText = `TARGET is DOMAIN/LABEL as launchctl writes it: gui/501/ai.hermes.gateway,
user/501/ai.hermes.gateway, system/org.example.daemon. A bare LABEL is looked for
in gui/UID and user/UID, then in system; one that gui/UID and user/UID both have
names no job, so say which.`

func verbNames() (names []string) {
	for _, v := range verbs() {
		names = append(names, v.name)
	}
	return names
}

// findVerb returns the verb of that name, or an error that names the nearest.
func findVerb(name string) (verb, error) {
	for _, v := range verbs() {
		if v.name == name {
			return v, nil
		}
	}
	if name == completeVerb {
		return verb{name: completeVerb, max: -1, opaque: true, run: runComplete}, nil
	}
	remedy := "The verbs are " + strings.Join(verbNames(), ", ") + "."
	if like := spell.Nearest(name, verbNames()); like != "" {
		remedy = "Did you mean " + like + "? " + remedy
	}
	return verb{}, usage(remedy, "unknown verb %q", name)
}

// page is where a wrong use of the verb sends its reader.
func (v verb) page() string { return "See hermes-gw help " + v.name + "." }

// checkArgs holds the number of arguments against the table.
func (v verb) checkArgs(args []string) error {
	switch empty := slices.Index(args, ""); {
	case empty >= 0 && !v.opaque:
		return usage("Leave it out, or say what is meant: a variable of the shell's may not be set.", "argument %d of %s is empty", empty+1, v.name)
	case len(args) < v.min:
		return usage(v.page(), "%s needs %s", v.name, strings.TrimSuffix(v.args, "..."))
	case v.max == 0 && len(args) > 0:
		return usage(v.page(), "%s takes no arguments, not %q", v.name, args[0])
	case v.max > 0 && len(args) > v.max:
		return usage(v.page(), "%s takes one %s, not also %q", v.name, strings.Trim(v.args, "[]"), args[v.max])
	}
	return nil
}
