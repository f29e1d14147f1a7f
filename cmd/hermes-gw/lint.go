package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/hermes-gw/hermes-gw/launchd"
)

// lintResult is one file as lint shows it.
type lintResult struct {
	path  string
	found []launchd.Finding
	err   error
}

func (r *lintResult) warnings() []string { return nil }
func (r *lintResult) subject() string    { return r.path }
func (r *lintResult) trouble() *problem  { return explain(r.err) }

func (r *lintResult) exitCode() int {
	if r.err != nil || r.fatal() > 0 {
		return exitFailed
	}
	return exitOK
}

func (r *lintResult) fatal() (n int) {
	for _, f := range r.found {
		if f.Fatal {
			n++
		}
	}
	return n
}

// line is one line a finding, or that there is none.
func (r *lintResult) line() string {
	if r.err != nil {
		return ""
	}
	if len(r.found) == 0 {
		return shown(r.path) + ": OK"
	}
	lines := make([]string, len(r.found))
	for i, f := range r.found {
		lines[i] = shown(r.path) + ": " + shown(f.String())
	}
	return strings.Join(lines, "\n")
}

// finding is a finding in JSON.
type finding struct {
	Rule    string `json:"rule"`
	Key     string `json:"key,omitempty"`
	Problem string `json:"problem"`
	Fix     string `json:"fix"`
	Fatal   bool   `json:"fatal"`
}

func (r *lintResult) MarshalJSON() ([]byte, error) {
	found := make([]finding, len(r.found))
	for i, f := range r.found {
		found[i] = finding(f)
	}
	return json.Marshal(struct {
		Path     string    `json:"path"`
		Findings []finding `json:"findings"`
		Error    *problem  `json:"error,omitempty"`
	}{r.path, found, r.trouble()})
}

func runLint(c *command) report {
	switch {
	case c.opts.rules && len(c.args) > 0:
		return report{err: usage("To check files, leave --rules out.", "lint --rules takes no FILE, not %q", c.args[0])}
	case c.opts.rules:
		return lintRules()
	case len(c.args) == 0:
		return report{err: usage(c.verb.page(), "lint needs FILE")}
	}
	var o launchd.LintOptions
	if c.opts.domain != "" {
		d, err := launchd.ParseDomainTarget(c.opts.domain)
		if err != nil {
			return report{err: err}
		}
		o.Domain = d
	}
	r := report{worst: true}
	for _, path := range c.args {
		for _, file := range plistsIn(path) {
			one := &lintResult{path: file}
			if one.found, one.err = launchd.Lint(file, o); one.err != nil {
				one.err = &plistError{file, fmt.Sprintf("it cannot be read: %v", pathless(one.err)), "Name a property list, or a folder of them.", one.err}
			}
			r.results = append(r.results, one)
		}
	}
	return r
}

// pathless is what went wrong with a file, without its name.
func pathless(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

// rule is a rule in JSON.
type rule struct {
	ID      string `json:"id"`
	Summary string `json:"summary"`
}

// lintRules lists what is looked for.
func lintRules() (r report) {
	var b strings.Builder
	for _, one := range launchd.LintRules() {
		fmt.Fprintf(&b, "%-24s %s\n", one.ID, one.Summary)
		r.fields.Rules = append(r.fields.Rules, rule{one.ID, one.Summary})
	}
	r.text = b.String()
	return r
}

// plistsIn returns the property lists of a folder, or the path itself. An empty folder is
// looked at as a file, which says what it is.
func plistsIn(path string) []string {
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		return []string{path}
	}
	entries, _ := os.ReadDir(path)
	var files []string
	for _, e := range entries {
		if filepath.Ext(e.Name()) == ".plist" {
			files = append(files, filepath.Join(path, e.Name()))
		}
	}
	if files == nil {
		return []string{path}
	}
	return files
}
