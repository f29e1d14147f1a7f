package launchd

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hermes-gw/hermes-gw/xpc"
)

// kind is a domain type as it goes over the wire. The numbers are those that
// launchctl sends: Procursus launchctl, xpc_helper.c (1, 4, 5) and launchk's
// DomainType (1 to 8); 8 for gui is also in the captures of xspawn on macOS 26.6.1.
type kind uint64

const (
	kindSystem  kind = 1 // handle 0
	kindUser    kind = 2 // handle uid
	kindLogin   kind = 3 // handle audit session id
	kindSession kind = 4 // handle audit session id
	kindPID     kind = 5 // handle pid
	kindOwn     kind = 7 // the domain whose bootstrap port the caller has; handle 0; has no name
	kindGUI     kind = 8 // handle uid
)

// kinds lists the domains that have a name, in the order of help texts.
var kinds = [...]struct {
	kind   kind
	word   string
	id     string // what the number is, "" for none
	max    uint64
	lowest uint64
}{
	{kindGUI, "gui", "user id", maxID, 0},
	{kindUser, "user", "user id", maxID, 0},
	{kindSystem, "system", "", 0, 0},
	{kindLogin, "login", "audit session id", maxID, 0},
	{kindSession, "session", "audit session id", maxID, 0},
	{kindPID, "pid", "process id", 1<<31 - 1, 1},
}

// maxID is the largest user or audit session id: both are 32 bits wide, and all
// ones means "none" (xnu: KAUTH_UID_NONE, AU_DEFAUDITSID).
const maxID = 1<<32 - 2

// Domain is a launchd domain: system, gui/UID, user/UID, login/ASID, session/ASID
// or pid/PID. Domains are comparable. The zero Domain is invalid.
type Domain struct {
	kind kind
	id   uint32
}

// System returns the domain of the system's daemons.
func System() Domain { return Domain{kind: kindSystem} }

// GUI returns the domain of a user's graphical session. A uid that cannot be one
// gives the zero Domain, here and below.
func GUI(uid int) Domain { return numbered(kindGUI, uid) }

// User returns the background domain of a user, which exists without a login too.
func User(uid int) Domain { return numbered(kindUser, uid) }

// Login returns the domain of a login session by its audit session id.
func Login(asid int) Domain { return numbered(kindLogin, asid) }

// Session returns the domain of an audit session by its id.
func Session(asid int) Domain { return numbered(kindSession, asid) }

// PID returns the domain of a process, which holds its private services. pid is
// at least 1.
func PID(pid int) Domain { return numbered(kindPID, pid) }

// Own returns the domain whose bootstrap port this process has, which launchctl's oldest
// verbs are about: over ssh it is not the graphical session. It has no name that parses.
func Own() Domain { return Domain{kind: kindOwn} }

func numbered(k kind, id int) Domain {
	for i := range kinds {
		if kinds[i].kind == k && id >= 0 && uint64(id) >= kinds[i].lowest && uint64(id) <= kinds[i].max {
			return Domain{kind: k, id: uint32(id)}
		}
	}
	return Domain{}
}

// IsZero reports whether d is the zero, invalid Domain.
func (d Domain) IsZero() bool { return d == Domain{} }

// String returns d as launchctl writes it: "system", "gui/501". The zero Domain
// gives "invalid domain", which does not parse.
func (d Domain) String() string {
	for i := range kinds {
		if kinds[i].kind == d.kind {
			if kinds[i].id == "" {
				return kinds[i].word
			}
			return kinds[i].word + "/" + strconv.FormatUint(uint64(d.id), 10)
		}
	}
	if d.kind == kindOwn {
		return "own domain"
	}
	return "invalid domain"
}

// dict returns a request that addresses d. Every routine takes type and handle as
// uint64 and answers 22 to anything else (launchd-protocol.md 1.1 and 3).
func (d Domain) dict() xpc.Dict {
	return xpc.Dict{"type": uint64(d.kind), "handle": uint64(d.id)}
}

// user returns whose jobs the domain holds, if it is a user's.
func (d Domain) user() (uid int, ok bool) {
	return int(d.id), d.kind == kindGUI || d.kind == kindUser
}

func (d Domain) check() error {
	if d.IsZero() {
		return &SyntaxError{What: "domain", Problem: "is not set", Example: "gui/501"}
	}
	return nil
}

// Target is one job in one domain. Targets are comparable. The zero Target is
// invalid.
type Target struct {
	Domain Domain // where
	Label  string // the job's name there
}

// String returns t as launchctl writes it: "gui/501/ai.hermes.gateway",
// "system/com.example.daemon".
func (t Target) String() string { return t.Domain.String() + "/" + t.Label }

func (t Target) dict() xpc.Dict {
	d := t.Domain.dict()
	d["name"] = t.Label
	return d
}

func (t Target) check() error {
	if err := t.Domain.check(); err != nil {
		return err
	}
	if problem := labelProblem(t.Label); problem != "" {
		return &SyntaxError{What: "label", Input: t.Label, Problem: problem, Example: "ai.hermes.gateway"}
	}
	return nil
}

// SyntaxError says that a target, a domain or a label is malformed. Nothing was
// sent to launchd.
type SyntaxError struct {
	What    string // "target", "domain", "label", "user id", "signal", "variable name" or "launchd address"
	Input   string // as it was given
	Problem string // "has no label"
	Example string // a correct one
}

// Error reads `target "gui/501" has no label; expected something like gui/501/ai.hermes.gateway`.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%s %q %s; expected something like %s", e.What, e.Input, e.Problem, e.Example)
}

// ParseDomainTarget reads a domain as launchctl writes it. It is strict where launchctl
// guesses: numbers are plain decimal without sign or leading zeros, and nothing
// may follow. The error is a *[SyntaxError].
func ParseDomainTarget(s string) (Domain, error) {
	d, rest, problem := cutDomain(s)
	if problem == "" && rest != "" {
		problem = "has more than a domain"
		if rest == "/" {
			problem = "ends with a slash"
		}
	}
	if problem != "" {
		return Domain{}, &SyntaxError{What: "domain", Input: s, Problem: problem, Example: example(s, false)}
	}
	return d, nil
}

// ParseTarget reads a target as launchctl writes it, with the strictness of
// [ParseDomainTarget]. A label is valid UTF-8 without control characters and slashes:
// launchctl cuts what it gets at each slash (Procursus launchctl, xpc_helper.c),
// so a label with one cannot be addressed. The error is a *[SyntaxError].
func ParseTarget(s string) (Target, error) {
	d, rest, problem := cutDomain(s)
	label, ok := strings.CutPrefix(rest, "/")
	switch {
	case problem != "":
	case !ok:
		problem = "has no label"
	case label == "":
		problem = "ends with a slash instead of a label"
	default:
		if p := labelProblem(label); p != "" {
			problem = "has a label that " + p
		}
	}
	if problem != "" {
		return Target{}, &SyntaxError{What: "target", Input: s, Problem: problem, Example: example(s, true)}
	}
	return Target{Domain: d, Label: label}, nil
}

// cutDomain reads the domain at the start of s and returns what follows it: "" or
// something that begins with a slash.
func cutDomain(s string) (d Domain, rest, problem string) {
	word, rest, _ := strings.Cut(s, "/")
	for i := range kinds {
		k := &kinds[i]
		if k.word != word {
			continue
		}
		if k.id == "" {
			return Domain{kind: k.kind}, s[len(word):], ""
		}
		digits, _, _ := strings.Cut(rest, "/")
		id, problem := number(digits, k.lowest, k.max)
		if problem != "" {
			return Domain{}, "", fmt.Sprintf("has no valid %s: %q %s", k.id, digits, problem)
		}
		return Domain{kind: k.kind, id: id}, rest[len(digits):], ""
	}
	switch {
	case s == "":
		return Domain{}, "", "is empty"
	case !strings.Contains(s, "/"):
		return Domain{}, "", "names no domain (gui, user, system, login, session or pid)"
	}
	return Domain{}, "", fmt.Sprintf("begins with %q, which is not a kind of domain (gui, user, system, login, session or pid)", word)
}

func number(s string, lowest, highest uint64) (uint32, string) {
	switch {
	case s == "":
		return 0, "is missing"
	case strings.Trim(s, "0123456789") != "":
		return 0, "is not a plain decimal number"
	case len(s) > 1 && s[0] == '0':
		return 0, "has a leading zero"
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n > highest {
		return 0, fmt.Sprintf("is above %d", highest)
	}
	if n < lowest {
		return 0, fmt.Sprintf("is below %d", lowest)
	}
	return uint32(n), ""
}

func labelProblem(label string) string {
	switch {
	case label == "":
		return "is empty"
	case !utf8.ValidString(label):
		return "is not valid UTF-8"
	case strings.Contains(label, "/"):
		return "contains a slash"
	case strings.ContainsFunc(label, unicode.IsControl):
		return "contains a control character"
	}
	return ""
}

// example returns a correct domain or target that resembles the wrong input s.
func example(s string, withLabel bool) string {
	word, _, _ := strings.Cut(s, "/")
	domain := "gui/501"
	for i := range kinds {
		if kinds[i].word == word {
			if domain = word; kinds[i].id != "" {
				domain += "/501"
			}
		}
	}
	if withLabel {
		return domain + "/ai.hermes.gateway"
	}
	return domain
}

// MarshalText implements [encoding.TextMarshaler]. The zero Domain and [Own] are errors.
func (d Domain) MarshalText() ([]byte, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	if d.kind == kindOwn {
		return nil, &SyntaxError{What: "domain", Input: d.String(), Problem: "has no name", Example: "gui/501"}
	}
	return []byte(d.String()), nil
}

// UnmarshalText implements [encoding.TextUnmarshaler] by [ParseDomainTarget].
func (d *Domain) UnmarshalText(text []byte) error {
	v, err := ParseDomainTarget(string(text))
	if err == nil {
		*d = v
	}
	return err
}

// MarshalText implements [encoding.TextMarshaler]. A Target that would not parse
// again is an error.
func (t Target) MarshalText() ([]byte, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	if _, err := t.Domain.MarshalText(); err != nil {
		return nil, err
	}
	return []byte(t.String()), nil
}

// UnmarshalText implements [encoding.TextUnmarshaler] by [ParseTarget].
func (t *Target) UnmarshalText(text []byte) error {
	v, err := ParseTarget(string(text))
	if err == nil {
		*t = v
	}
	return err
}
