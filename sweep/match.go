package sweep

import (
	"slices"
	"strings"
)

// Kind is what a process is to Hermes.
type Kind string

const (
	KindOther   Kind = "other"   // nothing of the gateway's, or not to be taken for it
	KindGateway Kind = "gateway" // runs the gateway
	// KindRestart is hermes gateway restart, which on macOS runs the gateway itself where
	// launchd does not.
	KindRestart Kind = "restart"
	KindWrapper Kind = "wrapper" // has the gateway as a child
)

// Match is what a [Matcher] says of an argv.
type Match struct {
	Kind       Kind
	Profile    string // "" is the default profile, or none was named
	Supervised bool   // --external-supervisor: somebody else starts it again
	Replace    bool   // --replace: it stops the instance that ran before it
	Reason     string // why it is what it is, in a few words
}

// Matcher tells the gateways of Hermes by their argv, token by token: a text that merely
// contains the words of a command line is no gateway. The zero value takes every profile.
//
// A gateway is an interpreter of Python that runs an entry point of Hermes (module
// hermes_cli.main, hermes_cli/main.py, the script hermes, gateway/run.py, hermes-gateway, or
// the bootstrap of python -c), or such a program itself, with the subcommand gateway run, or
// gateway alone. The options -p and --profile may stand anywhere. Editors, pagers, searches,
// shells, terminals, ssh, sudo and the like are none, whatever their arguments: they have the
// gateway as a child at most.
//
// Source of the rules: hermes_cli/gateway_process.py of NousResearch/hermes-agent, and the
// reports about it that testdata/match names.
type Matcher struct {
	// Profiles are those that are asked for, "" for the default one; nil takes all. Names are
	// equal or they are not: ops is not ops-2.
	Profiles []string
}

// Match takes time in proportion to argv.
func (m Matcher) Match(argv []string) Match {
	found := match(argv, 0)
	if found.Kind != KindOther && m.Profiles != nil && !slices.Contains(m.Profiles, found.Profile) {
		return Match{Kind: KindOther, Profile: found.Profile, Reason: "another profile"}
	}
	return found
}

func other(reason string) Match { return Match{Kind: KindOther, Reason: reason} }

const (
	maxWrapped = 8  // programs one before the other: sudo nohup uv run ...
	maxOptions = 32 // words of a wrapper's own before the command line
)

func match(argv []string, depth int) Match {
	if len(argv) == 0 || argv[0] == "" {
		return other("no program")
	}
	program := normal(strings.TrimPrefix(argv[0], "-")) // a login shell's argv[0] begins with one
	name := base(program)
	switch {
	case isTitle(program):
		return other("a title, not a program")
	case isPython(name):
		return matchPython(argv[1:], depth)
	case isEntryFile(program):
		return matchLauncher(argv[1:], "the program "+name, depth)
	case isGatewayFile(program) && !strings.Contains(program, " "): // else it is a title more likely
		return matchRun(argv[1:], "the program "+name)
	}
	if reason, wraps := wrapper(name); wraps {
		return matchWrapped(argv[1:], reason, depth)
	}
	if reason, known := never(name); known {
		return other(reason)
	}
	if name == "osascript" {
		return matchOsascript(argv[1:])
	}
	return other("not Hermes")
}

// matchPython reads the interpreter's own options (python(1)) up to what it runs.
func matchPython(args []string, depth int) Match {
	for i := 0; i < len(args); i++ {
		a := args[i]
		if a == "-" || a == "" {
			return other("Python reads its program from elsewhere")
		}
		if a == "--" {
			i++
			if i == len(args) {
				return other("Python without a program")
			}
			return matchScript(args[i], args[i+1:], depth)
		}
		if !strings.HasPrefix(a, "-") {
			return matchScript(a, args[i+1:], depth)
		}
		if strings.HasPrefix(a, "--") {
			if a == "--check-hash-based-pycs" || a == "--jit" {
				i++
			}
			continue
		}
		// Short options can stand together; the last one may take the rest, or the next word.
		for j, option := range a[1:] {
			if !strings.ContainsRune("mcWX", option) {
				continue
			}
			value, rest := a[j+2:], args[i+1:]
			if value == "" {
				if len(rest) == 0 {
					return other("Python without a program")
				}
				value, rest = rest[0], rest[1:]
				i++
			}
			switch option {
			case 'm':
				return matchModule(value, rest, depth)
			case 'c':
				return matchSource(value, rest, depth)
			}
			break // -W and -X took the word
		}
	}
	return other("Python without a program")
}

func matchModule(module string, args []string, depth int) Match {
	switch strings.ToLower(module) {
	case "hermes_cli.main":
		return matchEntry(args, "module hermes_cli.main")
	case "hermes_cli.stderr_timestamp":
		return matchBehind(args, depth)
	}
	return other("another module")
}

func matchScript(script string, args []string, depth int) Match {
	path := normal(script)
	switch {
	case isEntryFile(path):
		return matchLauncher(args, "the script "+base(path), depth)
	case isGatewayFile(path):
		return matchRun(args, "the script "+base(path))
	case ends(path, "hermes_cli/stderr_timestamp.py"):
		return matchBehind(args, depth)
	}
	return other("another script")
}

// matchSource is python -c: a bootstrap of Hermes, which runs one of its modules in this very
// process, or a watcher, whose arguments begin with a pid and a whole command line
// (hermes-agent #107002, #123109).
func matchSource(source string, args []string, depth int) Match {
	entry := bootstrapped(source)
	if entry == "" {
		return other("another program of python -c")
	}
	if own, ok := assignedArgs(source); ok { // the arguments are part of the source (#124318)
		args = own
	}
	switch {
	case strings.EqualFold(entry, "hermes_cli.main"), ends(normal(entry), "hermes_cli/main.py"):
		return matchLauncher(args, "the bootstrap of python -c", depth)
	case strings.EqualFold(entry, "hermes_cli.stderr_timestamp"):
		return matchBehind(args, depth)
	}
	return other("another module")
}

// matchLauncher reads the arguments of the command hermes, which is a launcher in newer
// installations: --run-module M makes it run another module.
// Source: hermes_cli/_launchers.py of hermes-agent, _launcher_script.
func matchLauncher(args []string, reason string, depth int) Match {
	if len(args) > 1 && args[0] == "--run-module" {
		return matchModule(args[1], args[2:], depth)
	}
	return matchEntry(args, reason)
}

// matchBehind is the wrapper that stamps times on the gateway's errors: the command line is
// what follows --.
func matchBehind(args []string, depth int) Match {
	i := slices.Index(args, "--")
	if i < 0 {
		return other("a wrapper of nothing")
	}
	return matchWrapped(args[i+1:], "the wrapper of its errors", depth)
}

// matchWrapped is a program that runs another: it is no gateway itself.
func matchWrapped(args []string, reason string, depth int) Match {
	if depth < maxWrapped {
		for i := range min(len(args), maxOptions) {
			if inner := match(args[i:], depth+maxWrapped); inner.Kind == KindGateway || inner.Kind == KindRestart || inner.Kind == KindWrapper {
				inner.Kind, inner.Reason = KindWrapper, reason
				return inner
			}
			if name := base(normal(args[i])); !strings.HasPrefix(args[i], "-") {
				_, wraps := wrapper(name)
				if _, known := never(name); known && !wraps {
					break // what follows is that program's
				}
			}
		}
	}
	return other(reason)
}

// matchOsascript is the program of the newest property lists: a script of JavaScript that
// has a shell run the wrapper. Its text tells no more than that.
func matchOsascript(args []string) Match {
	for _, a := range args {
		text := strings.ToLower(a)
		if strings.Contains(text, "hermes") && strings.Contains(text, "gateway") {
			return Match{Kind: KindWrapper, Reason: "osascript around the gateway", Supervised: strings.Contains(text, "--external-supervisor")}
		}
	}
	return other("another script of osascript")
}

// matchEntry reads the arguments of Hermes' command line.
func matchEntry(args []string, reason string) Match {
	rest, profile := cutProfile(args)
	words := positional(afterOptions(rest))
	if len(words) == 0 || words[0] != "gateway" {
		return other("Hermes, but not its gateway")
	}
	if asksHelp(rest) {
		return other("help")
	}
	m := Match{Kind: KindGateway, Profile: profile, Reason: reason}
	m.Supervised, m.Replace = slices.Contains(rest, "--external-supervisor"), slices.Contains(rest, "--replace")
	if len(words) > 1 {
		switch words[1] {
		case "run":
		case "restart":
			m.Kind = KindRestart
		default:
			return other("gateway " + words[1] + ", which is no gateway")
		}
	}
	return m
}

// matchRun reads the arguments of a program that is the gateway.
func matchRun(args []string, reason string) Match {
	rest, profile := cutProfile(args)
	if asksHelp(rest) {
		return other("help")
	}
	if words := positional(rest); len(words) > 0 && words[0] != "run" {
		return other("gateway " + words[0] + ", which is no gateway")
	}
	return Match{Kind: KindGateway, Profile: profile, Reason: reason,
		Supervised: slices.Contains(rest, "--external-supervisor"), Replace: slices.Contains(rest, "--replace")}
}

func asksHelp(args []string) bool {
	return slices.Contains(args, "--help") || slices.Contains(args, "-h") || slices.Contains(args, "--version")
}

// positional returns the words that are no options, in lower case: two are enough.
func positional(args []string) (words []string) {
	for _, a := range args {
		if len(words) == 2 {
			break
		}
		if a != "" && !strings.HasPrefix(a, "-") {
			words = append(words, strings.ToLower(a))
		}
	}
	return words
}

// afterOptions drops Hermes' options before the subcommand. An option that is no known flag
// takes the next word: hermes -s gateway, hermes -z gateway and hermes --resume gateway are
// chats, not the gateway. So an option that is new to us can hide a gateway, never make one.
func afterOptions(args []string) []string {
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case a == "--" || !strings.HasPrefix(a, "-") && a != "":
			return args[i:]
		case a != "" && !strings.Contains(a, "=") && !slices.Contains(flags, a):
			i++
		}
	}
	return nil
}

// flags are Hermes' options that take no value.
// Source: hermes_cli/_parser.py and hermes_cli/subcommands/gateway.py of hermes-agent.
var flags = []string{
	"-w", "--worktree", "--accept-hooks", "--yolo", "--pass-session-id", "--ignore-user-config", "--ignore-rules", "--safe-mode", "--no-restore-cwd",
	"--tui", "--cli", "--dev", "-v", "-vv", "--verbose", "-q", "--quiet", "-h", "--help", "-V", "--version", "--replace", "--force", "--external-supervisor",
}

// cutProfile takes -p X, --profile X, -p=X and --profile=X out, wherever they stand.
func cutProfile(args []string) (rest []string, profile string) {
	for i := 0; i < len(args); i++ {
		name, value, joined := strings.Cut(args[i], "=")
		switch {
		case name != "-p" && name != "--profile":
			rest = append(rest, args[i])
		case joined:
			profile = value
		case i+1 < len(args):
			i++
			profile = args[i]
		}
	}
	return rest, profile
}

// isEntryFile reports whether a path is Hermes' command.
func isEntryFile(path string) bool {
	return base(path) == "hermes" || ends(path, "hermes_cli/main.py")
}

// isGatewayFile reports whether a path is the gateway and nothing else.
func isGatewayFile(path string) bool {
	return ends(path, "gateway/run.py") || base(path) == "hermes-gateway" || base(path) == "desktop-gateway.py"
}

// isTitle reports whether argv[0] is a text that a process put there, with a command line in
// it: a path may have spaces, but none before a slash that begins another.
func isTitle(program string) bool {
	return strings.Contains(program, " /") || !strings.HasPrefix(program, "/") && !strings.Contains(program, ":") && strings.Contains(program, " ")
}

// ends reports whether path is tail, or ends with it behind a slash.
func ends(path, tail string) bool { return path == tail || strings.HasSuffix(path, "/"+tail) }

// isPython reports whether name is python, python3, python3.12, python3.13t (free-threaded),
// python3-intel64 (python.org's), pythonw or pypy3.
func isPython(name string) bool {
	name = strings.TrimSuffix(name, "-intel64")
	for _, prefix := range []string{"pythonw", "python", "pypy"} {
		if version, ok := strings.CutPrefix(name, prefix); ok {
			if rest := strings.TrimSuffix(version, "t"); rest != "" {
				version = rest
			}
			return strings.Trim(version, "0123456789.") == ""
		}
	}
	return false
}

// normal is a path as it is compared: lower case, slashes.
func normal(path string) string {
	return strings.ReplaceAll(strings.ToLower(path), `\`, "/")
}

func base(path string) string {
	return strings.TrimSuffix(path[strings.LastIndexByte(path, '/')+1:], ".exe")
}
