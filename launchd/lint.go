package launchd

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unicode"

	"github.com/hermes-gw/hermes-gw/internal/plistfile"
)

// Finding is one thing that is wrong with a property list.
type Finding struct {
	Rule    string // which rule found it; these names do not change
	Key     string // "KeepAlive.Crashed"; "" for the file itself
	Problem string // what is wrong and why it matters
	Fix     string // what to write instead
	// Fatal: launchd refuses the list, or the job cannot run. Otherwise launchd ignores
	// what is written, or does something that surprises.
	Fatal bool
}

// String returns "error: KeepAlive.Crashed: PROBLEM. FIX [RULE]" on one line.
func (f Finding) String() string {
	kind, key := "warning", ""
	if f.Fatal {
		kind = "error"
	}
	if f.Key != "" {
		key = f.Key + ": "
	}
	return fmt.Sprintf("%s: %s%s. %s. [%s]", kind, key, f.Problem, f.Fix, f.Rule)
}

// LintOptions say where a property list is to be loaded. With the zero value the folder of
// the file tells: LaunchDaemons is for system, LaunchAgents for a graphical session; without
// such a folder the rules that depend on it are silent.
type LintOptions struct {
	Domain Domain // such as gui/501, system
}

// Lint finds what launchd would refuse or silently ignore in the property list at path, in
// the order of the rules of [LintRules]. Programs, folders and users are looked for on this
// machine. The error says that the file could not be looked at.
func Lint(path string, o LintOptions) ([]Finding, error) {
	l := &lint{path: path, domain: o.Domain}
	if l.domain.IsZero() {
		l.domain, l.agent = domainOf(path)
	} else {
		l.agent = l.domain.kind != kindSystem
	}
	var err error
	if l.info, err = os.Lstat(path); err != nil {
		return nil, fmt.Errorf("lint: %w", err)
	}
	if l.info.Mode()&fs.ModeSymlink != 0 {
		if l.info, err = os.Stat(path); err != nil {
			return nil, fmt.Errorf("lint: %w", err)
		}
	}
	if l.info.Mode().IsRegular() {
		if l.text, _, err = plistfile.Read(path); errors.Is(err, fs.ErrPermission) {
			return nil, fmt.Errorf("lint %s: %w", printable(path), err)
		} else if err != nil {
			l.unread = err
		} else {
			l.read()
		}
	}
	return l.run(), nil
}

// Lint is the function of that name for a list that is not in a file: the rules about the
// file are silent.
func (p *Plist) Lint(o LintOptions) []Finding {
	l := &lint{domain: o.Domain, agent: !o.Domain.IsZero() && o.Domain.kind != kindSystem}
	d, err := p.encode()
	if err != nil { // what the list cannot hold; Encode says it
		d = encodeStruct(reflect.ValueOf(p).Elem())
	}
	l.take(d)
	return l.run()
}

// Rule is one thing that [Lint] looks for.
type Rule struct {
	ID      string // Finding.Rule; it never changes
	Summary string // one line
}

// LintRules lists the rules in the order of their findings.
func LintRules() (list []Rule) {
	for _, r := range allRules() {
		list = append(list, Rule{r.id, r.summary})
	}
	return list
}

// rule is a row of the table of rules. check reports what it finds.
type rule struct {
	id, summary string
	fatal       bool
	check       func(l *lint, report func(key, problem, fix string))
}

// allRules is the table. Sources stand at the checks.
func allRules() []rule {
	return slices.Concat(fileRules, labelRules, keyRules, programRules, keepAliveRules, timeRules, pathRules, placeRules, otherRules)
}

// lint is a property list under examination.
type lint struct {
	path   string      // "" when it is not in a file
	info   fs.FileInfo // nil likewise
	text   []byte
	unread error // why text could not be read or decoded

	domain Domain // zero when it is not known
	agent  bool   // for a user's domain

	keys  map[string]any // nil when there is no dictionary
	plist Plist          // as far as the values are of the right kinds
	wrong []*valueError  // the others
}

// read decodes the text.
func (l *lint) read() {
	keys, err := decodePlist(l.text)
	if err != nil {
		l.unread = err
		return
	}
	l.take(keys)
}

// take reads key by key, so that a wrong one does not hide the others.
func (l *lint) take(keys map[string]any) {
	l.keys = keys
	for key, v := range keys {
		err := decodeStruct("", map[string]any{key: v}, reflect.ValueOf(new(Plist)).Elem())
		if bad, ok := errors.AsType[*valueError](err); ok {
			l.wrong = append(l.wrong, bad)
			continue
		}
		decodeStruct("", map[string]any{key: v}, reflect.ValueOf(&l.plist).Elem())
	}
	slices.SortFunc(l.wrong, func(a, b *valueError) int { return strings.Compare(a.Key, b.Key) })
}

func (l *lint) run() (found []Finding) {
	for _, r := range allRules() {
		if l.keys == nil && r.check != nil && !aboutFile(r.id) {
			continue
		}
		r.check(l, func(key, problem, fix string) {
			found = append(found, Finding{Rule: r.id, Key: printable(key), Problem: printable(problem), Fix: printable(fix), Fatal: r.fatal})
		})
	}
	return found
}

// aboutFile reports whether a rule says something about a file that is no property list.
func aboutFile(id string) bool {
	return slices.ContainsFunc(fileRules, func(r rule) bool { return r.id == id })
}

// domainOf tells by its folder where launchd loads a file.
func domainOf(path string) (d Domain, agent bool) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return Domain{}, false
	}
	switch filepath.Base(filepath.Dir(abs)) {
	case "LaunchDaemons":
		return System(), false
	case "LaunchAgents":
		uid := os.Geteuid()
		if info, err := os.Stat(filepath.Dir(abs)); err == nil {
			if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Uid != 0 {
				uid = int(stat.Uid)
			}
		}
		return GUI(uid), true
	}
	return Domain{}, false
}

// printable makes text from elsewhere (a file, a label, launchd's words) fit for a terminal:
// it stays on one line, and neither controls the terminal nor changes the order in which
// its characters are shown, as U+202E does.
func printable(s string) string {
	if s = strings.ToValidUTF8(s, "\ufffd"); !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return s
	}
	quoted := strconv.Quote(s)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}

// quoted is a value of the file in a sentence.
func quoted(s string) string { return `"` + cmp.Or(clip(s), "") + `"` }
