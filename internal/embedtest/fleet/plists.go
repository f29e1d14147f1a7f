package fleet

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"

	"howett.net/plist"
)

// Generation is a generation of the property lists that Hermes wrote (hermes.md 1.2).
type Generation int

// The generations, of which all are in the field.
const (
	Newest Generation = iota // osascript > wrapper > gateway; KeepAlive SuccessfulExit=false, throttle 30, exit timeout 60
	Middle                   // wrapper > gateway; KeepAlive true, throttle 30, exit timeout 25
	Oldest                   // gateway; KeepAlive SuccessfulExit=false, launchd's own throttle and exit timeout
)

// Generations are all three.
var Generations = []Generation{Newest, Middle, Oldest}

func (g Generation) String() string {
	return [...]string{"newest", "middle", "oldest"}[g]
}

// bootstrap is the program of python -c in the newest generation: several lines. Hermes'
// launchers put the module's name in place of MODULE.
const bootstrap = `import runpy
import sys
sys.path.insert(0, "/opt/hermes checkout")
runpy.run_module("MODULE", run_name="__main__")
`

func bootstrapOf(module string) []string {
	return []string{"-I", "-c", strings.ReplaceAll(bootstrap, "MODULE", module)}
}

// keys are what a generation has of its own.
func (f *Fleet) keys(generation Generation, g Gateway) map[string]any {
	python, logs := f.Program("python3"), filepath.Join(g.Home, "logs")
	run := []string{"gateway", "run"}
	if g.Profile != Default {
		run = append([]string{"--profile", g.Profile}, run...)
	}
	errorLog := filepath.Join(logs, "gateway.error.log")
	switch generation {
	case Oldest:
		return map[string]any{
			"ProgramArguments": join([]string{python, "-m", "hermes_cli.main"}, run),
			"KeepAlive":        map[string]any{"SuccessfulExit": false},
		}
	case Middle:
		return map[string]any{
			"ProgramArguments": join(
				[]string{python, "-m", "hermes_cli.stderr_timestamp", "--error-log", errorLog, "--"},
				[]string{python, "-m", "hermes_cli.main"}, run, []string{"--external-supervisor"}),
			"KeepAlive":        true,
			"ThrottleInterval": 30,
			"ExitTimeOut":      25,
		}
	}
	NeedsShell(f.t)
	command := "exec " + quoted(join(
		[]string{python}, bootstrapOf("hermes_cli.stderr_timestamp"), []string{"--error-log", errorLog, "--"},
		[]string{python}, bootstrapOf("hermes_cli.main"), run, []string{"--external-supervisor"})) +
		" >> " + quoted([]string{filepath.Join(logs, "gateway.log")}) + " 2>> " + quoted([]string{errorLog})
	return map[string]any{
		"ProgramArguments":       []string{f.Program("osascript"), "-l", "JavaScript", "-e", script(command)},
		"KeepAlive":              map[string]any{"SuccessfulExit": false},
		"ThrottleInterval":       30,
		"ExitTimeOut":            60,
		"LimitLoadToSessionType": []string{"Aqua", "Background"},
	}
}

// script is what Hermes has osascript run, in short: a shell command, and its wait status
// made an exit code.
func script(command string) string {
	text, err := json.Marshal(command)
	if err != nil {
		panic(err) // a string
	}
	return "ObjC.import('stdlib');\n" +
		"const status = $.system(" + string(text) + ");\n" +
		"const signal = status & 0x7f;\n" +
		"$.exit(signal ? 128 + signal : (status >> 8) & 0xff);\n"
}

// writePlist writes the property list with the keys that all generations share.
func (f *Fleet) writePlist(g Gateway, p Profile) error {
	keys := f.keys(p.Plist, g)
	keys["Label"] = g.Label
	keys["RunAtLoad"] = true
	keys["WorkingDirectory"] = g.Home
	keys["StandardOutPath"] = filepath.Join(g.Home, "logs", "gateway.log")
	keys["StandardErrorPath"] = filepath.Join(g.Home, "logs", "gateway.error.log")
	keys["EnvironmentVariables"] = map[string]string{
		"PATH":                    os.Getenv("PATH"),
		"HERMES_HOME":             g.Home,
		"HERMES_SUPERVISED_CHILD": "1",
		"TMPDIR":                  f.tmp(), // Hermes has launchd's; a test's sockets must not stay
	}
	for name, value := range p.Keys {
		if value == nil {
			delete(keys, name)
		} else {
			keys[name] = value
		}
	}
	data, err := plist.MarshalIndent(keys, plist.XMLFormat, "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(g.Plist, data, 0o644)
}

// SetKeys changes keys of a profile's property list on disk; nil takes one away. What is
// loaded stays as it is.
func (f *Fleet) SetKeys(profile string, change map[string]any) {
	f.t.Helper()
	p := f.profiles[profile]
	keys := map[string]any{}
	for name, value := range p.Keys {
		keys[name] = value
	}
	for name, value := range change {
		keys[name] = value
	}
	p.Keys = keys
	f.profiles[profile] = p
	f.must(f.writePlist(f.Gateway(profile), p))
}

func join(lists ...[]string) (all []string) {
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

// quoted writes words for a POSIX shell.
func quoted(words []string) string {
	var list []string
	for _, w := range words {
		list = append(list, "'"+strings.ReplaceAll(w, "'", `'\''`)+"'")
	}
	return strings.Join(list, " ")
}
