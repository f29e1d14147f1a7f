package main

import (
	"os"
	"path/filepath"
	"strings"

	"howett.net/plist"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/standin"
)

// shape is a generation of the LaunchAgent that Hermes writes.
type shape struct {
	name      string // of the demo's profile and, after the prefix, of the label
	processes string // the tree below launchd, outermost first
	depth     int    // how many processes that is
	keys      func(p paths, profile string) map[string]any
}

// labelPrefix is Hermes' own; a profile's name follows.
const labelPrefix = "ai.hermes.gateway-"

// shapes are what is installed in the field, oldest first.
var shapes = []shape{
	{
		name: "alone", processes: "gateway", depth: 1,
		// No ThrottleInterval and no ExitTimeOut: launchd's defaults.
		keys: func(p paths, profile string) map[string]any {
			return map[string]any{
				"ProgramArguments": p.gateway(profile),
				"KeepAlive":        map[string]any{"SuccessfulExit": false},
			}
		},
	},
	{
		name: "wrapped", processes: "wrapper > gateway", depth: 2,
		keys: func(p paths, profile string) map[string]any {
			return map[string]any{
				"ProgramArguments": p.wrapper(profile),
				"KeepAlive":        true,
				"ThrottleInterval": 30,
				"ExitTimeOut":      25,
			}
		},
	},
	{
		name: "newest", processes: "sh > wrapper > gateway", depth: 3,
		// Hermes starts its wrapper through osascript, which waits for a shell
		// command. sh waits here; without the exit it would become the wrapper.
		keys: func(p paths, profile string) map[string]any {
			command := quoted(p.wrapper(profile)) +
				" >> " + quoted([]string{p.log(profile, "gateway.log")}) +
				" 2>> " + quoted([]string{p.log(profile, "gateway.error.log")}) + "; exit $?"
			return map[string]any{
				"ProgramArguments":       []string{"/bin/sh", "-c", command},
				"KeepAlive":              map[string]any{"SuccessfulExit": false},
				"ThrottleInterval":       30,
				"ExitTimeOut":            60,
				"LimitLoadToSessionType": []string{"Aqua", "Background"},
			}
		},
	},
}

func (s shape) label() string { return labelPrefix + s.name }

// paths are the demo's files, all below one temporary folder.
type paths struct {
	top    string
	bin    string // the programs it builds
	root   string // HERMES_HOME of the default profile
	agents string // LaunchAgents
	socket string // of the embedded launchd
	trace  string // a FIFO that the embedded launchd writes its trace to
	log    func(profile, name string) string
	watch  string // the socket on which gateways report
}

func layOut(top string) paths {
	root := filepath.Join(top, "hermes")
	return paths{
		top: top, bin: filepath.Join(top, "bin"), root: root,
		agents: filepath.Join(top, "LaunchAgents"),
		socket: filepath.Join(top, "launchd.sock"), trace: filepath.Join(top, "trace"),
		watch: filepath.Join(top, "watch.sock"),
		log: func(profile, name string) string {
			return filepath.Join(root, "profiles", profile, "logs", name)
		},
	}
}

// home is the profile's HERMES_HOME.
func (p paths) home(profile string) string { return filepath.Join(p.root, "profiles", profile) }

func (p paths) plist(s shape) string { return filepath.Join(p.agents, s.label()+".plist") }

func (p paths) gateway(profile string) []string {
	return []string{filepath.Join(p.bin, "hermes"), "--profile", profile, "gateway", "run", "--external-supervisor"}
}

func (p paths) wrapper(profile string) []string {
	return append([]string{filepath.Join(p.bin, "hermes"), "stderr-timestamp",
		"--error-log", p.log(profile, "gateway.error.log"), "--"}, p.gateway(profile)...)
}

// writePlist writes the job's property list with the keys that all generations
// share, and its home.
func (p paths) writePlist(s shape) error {
	if err := os.MkdirAll(filepath.Dir(p.log(s.name, "")), 0o700); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(p.home(s.name), "logs"), 0o700); err != nil {
		return err
	}
	// No sockets and no heartbeat: on macOS the paths would be too long, and the demo shows
	// nothing with them.
	quiet := standin.Behaviour{Control: standin.Off, NoTick: true, Heartbeat: -1}
	if err := standin.WriteBehaviour(p.home(s.name), quiet); err != nil {
		return err
	}
	keys := s.keys(p, s.name)
	keys["Label"] = s.label()
	keys["RunAtLoad"] = true
	keys["WorkingDirectory"] = p.home(s.name)
	keys["StandardOutPath"] = p.log(s.name, "gateway.log")
	keys["StandardErrorPath"] = p.log(s.name, "gateway.error.log")
	keys["EnvironmentVariables"] = map[string]string{
		"PATH":                    os.Getenv("PATH"),
		"HERMES_HOME":             p.home(s.name),
		"HERMES_SUPERVISED_CHILD": "1",
		"HERMES_DEMO_WATCH":       p.watch, // the only key that no Hermes has
	}
	data, err := plist.MarshalIndent(keys, plist.XMLFormat, "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(p.plist(s), data, 0o644)
}

// quoted writes words for a POSIX shell.
func quoted(words []string) string {
	var b strings.Builder
	for i, w := range words {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString("'" + strings.ReplaceAll(w, "'", `'\''`) + "'")
	}
	return b.String()
}
