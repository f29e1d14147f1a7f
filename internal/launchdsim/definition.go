package launchdsim

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/plistfile"
)

// definition is a job as its property list describes it. Keys that the model
// does not act on stay in raw.
type definition struct {
	path      string
	label     string
	program   string // what is executed
	inferred  bool   // program comes from ProgramArguments[0]
	arguments []string
	env       map[string]string
	dir       string
	stdin     string
	stdout    string
	stderr    string

	runAtLoad bool
	keepAlive keepAlive
	throttle  time.Duration // minimum runtime
	exitAfter time.Duration // SIGTERM to SIGKILL; 0 is no limit
	abandon   bool          // AbandonProcessGroup
	disabled  bool
	once      bool          // LaunchOnlyOnce
	interval  time.Duration // StartInterval; 0 is none
	backOff   bool          // exponential throttling, see throttle.go
	sessions  []string      // LimitLoadToSessionType; none: no limit
	limits    string        // shell commands for Umask and the resource limits, see limits.go
	as        *syscall.Credential
	raw       map[string]any
}

// Defaults when the key is absent. ExitTimeOut: launchd.plist(5) says 20, but
// print output and launchd.log show 5 since macOS 12 at least.
const (
	defaultThrottle    = 10 * time.Second
	defaultExitTimeOut = 5 * time.Second
	// A gui domain clamps ExitTimeOut (reported of macOS in NousResearch/hermes-agent#119598:
	// 215 and 90 became 60).
	maxGUIExitTimeOut = 60 * time.Second
)

// LoadError says that a property list could not be loaded.
type LoadError struct {
	Path string
	Code int64 // launchd's number
}

func (e *LoadError) Error() string {
	return fmt.Sprintf("load %s: launchd error %d", e.Path, e.Code)
}

// readDefinition reads a property list as bootstrap does. What is refused with 5
// (EIO) and what with another number follows the causes that users reported.
func (s *Server) readDefinition(path string) (*definition, errno) {
	if !filepath.IsAbs(path) || filepath.Ext(path) != ".plist" {
		return nil, eio
	}
	data, info, err := plistfile.Read(path)
	if err != nil {
		return nil, eio
	}
	owner, known := info.Sys().(*syscall.Stat_t)
	if !known || (owner.Uid != 0 && int(owner.Uid) != s.uid) || info.Mode().Perm()&0o022 != 0 {
		return nil, badOwner
	}
	return parseDefinition(path, data)
}

// parseDefinition takes XML and binary property lists.
func parseDefinition(path string, data []byte) (*definition, errno) {
	var raw map[string]any
	if err := plistfile.Decode(data, &raw); err != nil || raw == nil {
		return nil, badPlist
	}
	d := &definition{path: path, raw: raw, throttle: defaultThrottle, exitAfter: defaultExitTimeOut}
	d.label = text(raw["Label"])
	switch {
	case d.label == "" || strings.ContainsAny(d.label, "\x00/"):
		return nil, badLabel
	case strings.Contains(d.label, "<"):
		return nil, reservedName
	}
	d.arguments = texts(raw["ProgramArguments"])
	d.program = text(raw["Program"])
	if d.program == "" {
		if len(d.arguments) == 0 {
			return nil, badProgram
		}
		d.program, d.inferred = d.arguments[0], true
	}
	if len(d.arguments) == 0 {
		d.arguments = []string{d.program}
	}
	d.dir = text(raw["WorkingDirectory"])
	d.stdin, d.stdout, d.stderr = text(raw["StandardInPath"]), text(raw["StandardOutPath"]), text(raw["StandardErrorPath"])
	if vars, isDict := raw["EnvironmentVariables"].(map[string]any); isDict {
		d.env = map[string]string{}
		for k, v := range vars {
			if s, isText := v.(string); isText && k != "" && !strings.ContainsAny(k, "=\x00") && !strings.Contains(s, "\x00") {
				d.env[k] = s
			}
		}
	}
	d.runAtLoad, _ = raw["RunAtLoad"].(bool)
	d.abandon, _ = raw["AbandonProcessGroup"].(bool)
	d.disabled, _ = raw["Disabled"].(bool)
	d.keepAlive = parseKeepAlive(raw["KeepAlive"])
	if n, set := seconds(raw["ThrottleInterval"]); set {
		d.throttle = n
	}
	if n, set := seconds(raw["ExitTimeOut"]); set {
		d.exitAfter = n
	}
	d.once, _ = raw["LaunchOnlyOnce"].(bool)
	d.interval, _ = seconds(raw["StartInterval"])
	d.backOff, _ = raw[exponentialKey].(bool)
	d.limits = limitCommands(raw)
	var code errno
	if d.as, code = account(raw); code != ok {
		return nil, code
	}
	d.sessions = texts(raw["LimitLoadToSessionType"])
	if one := text(raw["LimitLoadToSessionType"]); one != "" {
		d.sessions = []string{one}
	}
	return d, ok
}

// text, texts and seconds read a value of the right type; launchd ignores a key
// whose value is of another one.
func text(v any) string {
	s, _ := v.(string)
	return s
}

func texts(v any) []string {
	items, _ := v.([]any)
	var out []string
	for _, item := range items {
		s, isText := item.(string)
		if !isText {
			return nil
		}
		out = append(out, s)
	}
	return out
}

func seconds(v any) (time.Duration, bool) {
	const most = 1 << 31 // keeps the product within a Duration
	switch n := v.(type) {
	case uint64:
		return time.Duration(min(n, most)) * time.Second, true
	case int64:
		if n >= 0 {
			return time.Duration(min(n, most)) * time.Second, true
		}
	}
	return 0, false
}

// account reads UserName and GroupName, which only count in the system domain
// (launchd.plist(5)); a name that does not exist is refused everywhere.
func account(raw map[string]any) (*syscall.Credential, errno) {
	name, group := text(raw["UserName"]), text(raw["GroupName"])
	if name == "" && group == "" {
		return nil, ok
	}
	as := syscall.Credential{Uid: uint32(os.Geteuid()), Gid: uint32(os.Getegid())}
	if name != "" {
		u, err := user.Lookup(name)
		if err != nil {
			return nil, noUser
		}
		as.Uid, as.Gid = number(u.Uid), number(u.Gid)
	}
	if group != "" {
		g, err := user.LookupGroup(group)
		if err != nil {
			return nil, noGroup
		}
		as.Gid = number(g.Gid)
	}
	return &as, ok
}

func number(id string) uint32 {
	n, _ := strconv.ParseUint(id, 10, 32)
	return uint32(n)
}

// allowedIn says whether the definition may be loaded into a domain of the given
// kind. gui is an Aqua session, user/UID the Background one. A plist without
// LimitLoadToSessionType loads anywhere; Apple's TN2083 says that such an agent
// belongs to Aqua alone, but no source shows a refusal.
func (d *definition) allowedIn(kind uint64) bool {
	if len(d.sessions) == 0 {
		return true
	}
	want := map[uint64]string{domainSystem: "System", domainUser: "Background", domainGUI: "Aqua"}[kind]
	for _, s := range d.sessions {
		if s == want {
			return true
		}
	}
	return false
}

// exitTimeout is the live exit timeout in a domain of the given kind.
func (d *definition) exitTimeout(kind uint64) time.Duration {
	if kind == domainGUI {
		return min(d.exitAfter, maxGUIExitTimeOut)
	}
	return d.exitAfter
}
