package launchd

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// programRules are about what is run. A program that cannot be executed ends with 78
// (EX_CONFIG) before it begins: launchd-protocol.md 6.2, hermes.md 3 (78129).
var programRules = []rule{
	{"program-missing", "there is a Program or an argv", true, func(l *lint, report func(key, problem, fix string)) {
		p := &l.plist
		if p.Program == "" && len(p.ProgramArguments) == 0 && p.BundleProgram == "" && !l.isWrong("Program") && !l.isWrong("ProgramArguments") {
			report("ProgramArguments", "there is neither it nor Program, so there is nothing to run (111)", "Write the argv of the program")
		}
	}},
	{"program-relative", "the Program's path is absolute", true, func(l *lint, report func(key, problem, fix string)) {
		if p := l.plist.Program; p != "" && !filepath.IsAbs(p) {
			report("Program", quoted(p)+" is no absolute path, and launchd searches nowhere", "Write the whole path")
		}
	}},
	// execvp(3) searches a bare name in launchd's own, short PATH, whatever
	// EnvironmentVariables says; one with a slash is taken from the folder /.
	{"argument-relative", "argv[0] is absolute where there is no Program", false, func(l *lint, report func(key, problem, fix string)) {
		if a := l.plist.ProgramArguments; l.plist.Program == "" && len(a) > 0 && a[0] != "" && !filepath.IsAbs(a[0]) && !strings.Contains(a[0], " ") {
			report("ProgramArguments[0]", quoted(a[0])+" is looked for in launchd's own PATH, not in yours", "Write the whole path")
		}
	}},
	{"program-not-found", "the program is there", true, func(l *lint, report func(key, problem, fix string)) {
		key, path := l.program()
		if _, err := os.Stat(path); path != "" && os.IsNotExist(err) {
			if strings.Contains(path, " ") && key != "Program" {
				return // command-line says more
			}
			report(key, "there is no "+quoted(path), "Name a program that is there")
		}
	}},
	{"program-not-executable", "the program can be executed", true, func(l *lint, report func(key, problem, fix string)) {
		key, path := l.program()
		info, err := os.Stat(path)
		switch {
		case path == "" || err != nil:
		case info.IsDir():
			report(key, quoted(path)+" is a folder", "Name the executable in it")
		case info.Mode().Perm()&0o111 == 0:
			report(key, quoted(path)+" is not executable", "Run chmod +x on it, or name its interpreter first")
		}
	}},
	// Whoever can write it runs what they like as the job's user, root perhaps.
	{"program-writable", "nobody but its owner can write the program", false, func(l *lint, report func(key, problem, fix string)) {
		key, path := l.program()
		if info, err := os.Stat(path); path != "" && err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o002 != 0 {
			report(key, fmt.Sprintf("anybody can write %s (mode %04o), and so choose what the job runs", quoted(path), info.Mode().Perm()), "Run chmod o-w on it")
		}
	}},
	{"command-line", "each argument is an element of its own", true, func(l *lint, report func(key, problem, fix string)) {
		a := l.plist.ProgramArguments
		if l.plist.Program != "" || len(a) != 1 || !strings.Contains(a[0], " ") {
			return
		}
		if _, err := os.Stat(a[0]); err != nil {
			report("ProgramArguments[0]", "the whole command line is one string, and launchd takes it for the name of a program", "Write one string for each argument")
		}
	}},
	{"not-expanded", "nothing waits for a shell to expand it", false, func(l *lint, report func(key, problem, fix string)) {
		look := func(key, s string) {
			switch {
			case s == "~" || strings.HasPrefix(s, "~/"):
				report(key, "launchd does not expand ~", "Write the whole path")
			case strings.HasPrefix(s, "$HOME") || strings.HasPrefix(s, "${") || strings.HasPrefix(s, "$USER"):
				report(key, "launchd does not expand variables", "Write the value")
			}
		}
		p := &l.plist
		look("Program", p.Program)
		for i, a := range p.ProgramArguments {
			look(fmt.Sprintf("ProgramArguments[%d]", i), a)
		}
		for _, f := range l.folders() {
			look(f.key, f.path)
		}
		for _, name := range sortedKeys(p.EnvironmentVariables) {
			look("EnvironmentVariables."+name, p.EnvironmentVariables[name])
		}
	}},
	{"empty-argument", "no argument is empty by mistake", false, func(l *lint, report func(key, problem, fix string)) {
		for i, a := range l.plist.ProgramArguments {
			if a == "" {
				report(fmt.Sprintf("ProgramArguments[%d]", i), "it is empty, and the program gets an empty argument", "Remove it, unless that is meant")
			}
		}
	}},
}

// program returns the executable and the key that names it; path is "" when it is not
// absolute.
func (l *lint) program() (key, path string) {
	switch p := &l.plist; {
	case p.Program != "":
		key, path = "Program", p.Program
	case len(p.ProgramArguments) > 0:
		key, path = "ProgramArguments[0]", p.ProgramArguments[0]
	}
	if !filepath.IsAbs(path) {
		return key, ""
	}
	return key, path
}

// keepAliveRules are about being started again.
var keepAliveRules = []rule{
	// ryantm/agenix#372: restarted after every clean exit.
	{"keepalive-crashed-false", "KeepAlive.Crashed is not false", false, func(l *lint, report func(key, problem, fix string)) {
		if k := l.plist.KeepAlive; k != nil && k.Crashed != nil && !*k.Crashed {
			report("KeepAlive.Crashed", "false starts the job again after every end that is no crash, a clean exit too", "Use SuccessfulExit = false to start it again after failures only")
		}
	}},
	// buildkite/homebrew-buildkite#12: written by mistake for false.
	{"keepalive-after-success", "KeepAlive.SuccessfulExit is not true alone", false, func(l *lint, report func(key, problem, fix string)) {
		if k := l.plist.KeepAlive; k != nil && k.SuccessfulExit != nil && *k.SuccessfulExit && k.Crashed == nil {
			report("KeepAlive.SuccessfulExit", "true starts the job again after exit 0 only: a failure ends it for good", "Use false to start it again after failures")
		}
	}},
	{"keepalive-empty", "KeepAlive has a condition", false, func(l *lint, report func(key, problem, fix string)) {
		if d, ok := l.keys["KeepAlive"].(map[string]any); ok && len(d) == 0 {
			report("KeepAlive", "there is no condition in it, so it keeps nothing alive", "Write true, or a condition")
		}
	}},
	{"keepalive-once", "KeepAlive and LaunchOnlyOnce are not together", false, func(l *lint, report func(key, problem, fix string)) {
		if l.plist.KeepAlive.always() && l.plist.LaunchOnlyOnce {
			report("LaunchOnlyOnce", "with it launchd does not start the job again, whatever KeepAlive says", "Remove one of the two")
		}
	}},
	{"keepalive-schedule", "a job that is kept alive has no schedule", false, func(l *lint, report func(key, problem, fix string)) {
		p := &l.plist
		if p.KeepAlive != nil && p.KeepAlive.Always && (p.StartInterval > 0 || len(p.StartCalendarInterval) > 0) {
			report("KeepAlive", "the job always runs, so that its schedule never starts it", "Remove the schedule or KeepAlive")
		}
	}},
	// NousResearch/hermes-agent#21549, #57739: each start takes over from the last.
	{"keepalive-replace", "a job that is kept alive does not replace itself", false, func(l *lint, report func(key, problem, fix string)) {
		for i, a := range l.plist.ProgramArguments {
			if a == "--replace" && l.plist.KeepAlive.always() {
				report(fmt.Sprintf("ProgramArguments[%d]", i), "--replace stops the instance that runs, and KeepAlive starts that again: they stop each other for ever", "Remove --replace: launchd runs one instance")
			}
		}
	}},
	{"never-starts", "something starts the job", false, func(l *lint, report func(key, problem, fix string)) {
		p := &l.plist
		if !p.RunAtLoad && p.KeepAlive == nil && p.StartInterval == 0 && len(p.StartCalendarInterval) == 0 && !p.StartOnMount &&
			len(p.WatchPaths) == 0 && len(p.QueueDirectories) == 0 && len(p.MachServices) == 0 && len(p.Sockets) == 0 && len(p.LaunchEvents) == 0 && len(l.wrong) == 0 {
			report("RunAtLoad", "nothing starts the job but a kickstart: it is loaded, and does not run", "Set RunAtLoad, unless that is meant")
		}
	}},
}

// always reports whether there is a KeepAlive that does anything.
func (k *KeepAlive) always() bool {
	return k != nil && (k.Always || k.SuccessfulExit != nil || k.Crashed != nil || len(k.PathState) > 0 || len(k.OtherJobEnabled) > 0)
}
