package launchd

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// pathRules are about folders and the environment.
var pathRules = []rule{
	// launchd makes the file, not the folder; the job ends with 78 then
	// (NousResearch/hermes-agent#78129, #5589).
	{"output-folder-missing", "the folders of StandardOutPath and StandardErrorPath are there", true, func(l *lint, report func(key, problem, fix string)) {
		for _, o := range l.outputs() {
			if strings.HasPrefix(o.path, "/Volumes/") {
				continue // the next rule's; it may not be mounted now
			}
			if info, err := os.Stat(filepath.Dir(o.path)); filepath.IsAbs(o.path) && (os.IsNotExist(err) || err == nil && !info.IsDir()) {
				report(o.key, "there is no folder "+quoted(filepath.Dir(o.path))+", and launchd makes none: the job ends with 78 before it begins", "Make the folder")
			}
		}
	}},
	{"output-relative", "StandardOutPath and StandardErrorPath are absolute", false, func(l *lint, report func(key, problem, fix string)) {
		for _, o := range l.outputs() {
			if o.path != "" && !filepath.IsAbs(o.path) && !strings.HasPrefix(o.path, "~") && !strings.HasPrefix(o.path, "$") {
				report(o.key, "it is no absolute path: launchd takes it from the working directory, which is / unless set", "Write the whole path")
			}
		}
	}},
	// NousResearch/hermes-agent#78129: reported.
	{"output-volume", "logs are on the volume that the system starts from", false, func(l *lint, report func(key, problem, fix string)) {
		for _, o := range l.outputs() {
			if strings.HasPrefix(o.path, "/Volumes/") {
				report(o.key, "launchd itself opens it, and is reported to fail on another volume than the one the system starts from: the job ends with 78 then", "Log to your home folder")
			}
		}
	}},
	{"working-directory", "WorkingDirectory is there", true, func(l *lint, report func(key, problem, fix string)) {
		dir := l.plist.WorkingDirectory
		if dir == "" || strings.HasPrefix(dir, "~") || strings.HasPrefix(dir, "$") {
			return
		}
		info, err := os.Stat(dir)
		switch {
		case !filepath.IsAbs(dir):
			report("WorkingDirectory", "it is no absolute path", "Write the whole path")
		case os.IsNotExist(err):
			report("WorkingDirectory", "there is no "+quoted(dir)+", so that the job cannot start there", "Make the folder")
		case err == nil && !info.IsDir():
			report("WorkingDirectory", quoted(dir)+" is not a folder", "Name a folder")
		}
	}},
	{"watch-relative", "WatchPaths and QueueDirectories are absolute", false, func(l *lint, report func(key, problem, fix string)) {
		for _, f := range l.watched() {
			if !filepath.IsAbs(f.path) && !strings.HasPrefix(f.path, "~") && !strings.HasPrefix(f.path, "$") {
				report(f.key, quoted(f.path)+" is no absolute path, so that nothing is watched", "Write the whole path")
			}
		}
	}},
	// hermes.md 1.2: Hermes refuses such definitions.
	{"temporary-home", "HERMES_HOME is not in a temporary folder", false, func(l *lint, report func(key, problem, fix string)) {
		home := l.plist.EnvironmentVariables["HERMES_HOME"]
		for _, dir := range []string{"/tmp", "/var/tmp", "/private/tmp", "/private/var", "/var/folders"} {
			if home == dir || strings.HasPrefix(home, dir+"/") {
				report("EnvironmentVariables.HERMES_HOME", quoted(home)+" is in a temporary folder, which the system empties", "Use a folder that stays")
				return
			}
		}
	}},
	// dyld takes these away from programs that System Integrity Protection covers: dyld(1).
	{"dyld-variable", "no variable is taken away by dyld", false, func(l *lint, report func(key, problem, fix string)) {
		for _, name := range sortedKeys(l.plist.EnvironmentVariables) {
			if strings.HasPrefix(name, "DYLD_") {
				report("EnvironmentVariables."+name, "dyld ignores it for programs of the system, such as /bin/sh and /usr/bin/python3", "Build the path into the program")
			}
		}
	}},
	{"secret-variable", "no secret is in a file that all can read", false, func(l *lint, report func(key, problem, fix string)) {
		if l.info == nil || l.info.Mode().Perm()&0o044 == 0 {
			return
		}
		for _, name := range sortedKeys(l.plist.EnvironmentVariables) {
			if secretName(name) && l.plist.EnvironmentVariables[name] != "" {
				report("EnvironmentVariables."+name, "it looks like a secret, and every user of this Mac can read the file and launchctl print", "Let the program read it from a file of its own, with mode 0600")
			}
		}
	}},
}

// secretName reports whether a variable of that name holds a secret as a rule.
func secretName(name string) bool {
	for _, word := range strings.FieldsFunc(strings.ToUpper(name), func(r rune) bool { return r == '_' || r == '-' || r == '.' }) {
		switch word {
		case "TOKEN", "SECRET", "PASSWORD", "PASSWD", "APIKEY", "CREDENTIAL", "CREDENTIALS":
			return true
		}
	}
	upper := strings.ToUpper(name)
	return strings.HasSuffix(upper, "API_KEY") || strings.HasSuffix(upper, "ACCESS_KEY") || strings.HasSuffix(upper, "PRIVATE_KEY")
}

type namedPath struct{ key, path string }

func (l *lint) outputs() []namedPath {
	return []namedPath{{"StandardOutPath", l.plist.StandardOutPath}, {"StandardErrorPath", l.plist.StandardErrorPath}}
}

// folders lists the paths that are not arguments.
func (l *lint) folders() []namedPath {
	p := &l.plist
	return slices.Concat(l.outputs(), []namedPath{{"StandardInPath", p.StandardInPath}, {"WorkingDirectory", p.WorkingDirectory}, {"RootDirectory", p.RootDirectory}}, l.watched())
}

func (l *lint) watched() (list []namedPath) {
	for i, path := range l.plist.QueueDirectories {
		list = append(list, namedPath{fmt.Sprintf("QueueDirectories[%d]", i), path})
	}
	for i, path := range l.plist.WatchPaths {
		list = append(list, namedPath{fmt.Sprintf("WatchPaths[%d]", i), path})
	}
	return list
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
