// Command hermes stands in for Hermes where a restart is tested: its gateway with all
// files, sockets, signals and exit codes that a restarter can see, and the programs that
// Hermes puts around it.
//
//	hermes [-p NAME] gateway run [--external-supervisor] [--replace]
//	hermes gateway restart|stop|status         (is there, and does nothing)
//	hermes stderr-timestamp --error-log FILE -- COMMAND...
//	python3 [-I] [-X utf8] -m hermes_cli.main|-c BOOTSTRAP ARGS...
//	python3 -m hermes_cli.stderr_timestamp|-c BOOTSTRAP --error-log FILE -- COMMAND...
//	osascript -l JavaScript -e SCRIPT          ($.system("COMMAND"), as in Hermes' property list)
//
// The last three are this program under another name. Package standin says how it is
// told what to do.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/standin"
)

func main() { os.Exit(run(os.Args)) }

func run(argv []string) int {
	if len(argv) > 3 && argv[1] == startOrphan {
		return start(argv[2], argv[3:])
	}
	if len(argv) == 3 && argv[1] == callCommand {
		return call(argv[2])
	}
	if os.Getenv(standin.EnvSit) != "" {
		return sit(standin.RoleOther)
	}
	name, args := filepath.Base(argv[0]), argv[1:]
	switch {
	case name == "osascript":
		return osascript(args)
	case strings.HasPrefix(strings.ToLower(name), "python"):
		args = behindPython(args)
	}
	args, profile := cutProfile(args)
	words := slices.DeleteFunc(slices.Clone(args), func(a string) bool { return strings.HasPrefix(a, "-") })
	switch {
	case len(args) >= 4 && args[0] == "stderr-timestamp" && args[1] == "--error-log" && args[3] == "--":
		// The command's own arguments must stay whole.
		i := slices.Index(argv, "--")
		return wrap(args[2], argv[i+1:])
	case len(words) > 0 && words[0] == "gateway" && (len(words) == 1 || words[1] == "run"):
		return runGateway(homeOf(profile))
	case len(words) > 1 && words[0] == "gateway":
		return sit(standin.RoleOther)
	case len(args) > 0 && args[0] == roleOrphan:
		return sit(standin.RoleOrphan)
	case len(args) > 2 && args[0] == asAccount:
		i := slices.Index(argv, asAccount)
		return runAsAccount(argv[i+1], argv[i+2:])
	case len(args) > 0 && args[0] == probe:
		fmt.Println(probe)
		return 0
	}
	fmt.Fprintln(os.Stderr, "hermes (a stand-in): use `gateway run` or `stderr-timestamp --error-log FILE -- COMMAND...`")
	return 2
}

// Subcommands that only tests use.
const (
	roleOrphan  = "standin-orphan"  // a child that the gateway leaves behind
	startOrphan = "standin-start"   // PROGRAM ARGV...: starts it and ends, so that init is its parent
	callCommand = "standin-call"    // CALL, in JSON: runs its command and tells how that ended
	asAccount   = "standin-account" // FILE COMMAND...: becomes it, with FILE as /etc/passwd
	probe       = "standin-probe"   // says so
)

// behindPython gives Hermes' arguments behind the interpreter's own.
func behindPython(args []string) []string {
	for len(args) > 0 {
		a := args[0]
		args = args[1:]
		switch {
		case a == "-X" || a == "-W":
			args = args[min(1, len(args)):]
		case (a == "-c" || a == "-m") && len(args) > 0:
			return entry(args[0], args[1:])
		case !strings.HasPrefix(a, "-"):
			return entry(a, args)
		}
	}
	return nil
}

// entry tells the two modules apart: in the text of -c, the name of -m or a path.
func entry(module string, args []string) []string {
	if strings.Contains(module, "stderr_timestamp") {
		return append([]string{"stderr-timestamp"}, args...)
	}
	return args
}

// cutProfile takes -p X, --profile X, -p=X and --profile=X out, wherever they stand
// before a --.
func cutProfile(args []string) (rest []string, profile string) {
	for i := 0; i < len(args); i++ {
		name, value, joined := strings.Cut(args[i], "=")
		switch {
		case name == "--":
			return append(rest, args[i:]...), profile
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

// homeOf is the home of a profile: HERMES_HOME is its own already, or the root's.
func homeOf(profile string) string {
	home := os.Getenv("HERMES_HOME")
	if home == "" {
		home = filepath.Join(os.Getenv("HOME"), ".hermes")
	}
	if profile == "" || profile == "default" {
		return home
	}
	if filepath.Base(home) == profile && filepath.Base(filepath.Dir(home)) == "profiles" {
		return home
	}
	return filepath.Join(home, "profiles", profile)
}
