package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	hermesgw "github.com/hermes-gw/hermes-gw"
	"github.com/hermes-gw/hermes-gw/internal/probe"
)

// schemaVersion is the "version" of the JSON output. Fields may be added; a change
// of meaning or a removal raises it.
const schemaVersion = hermesgw.SchemaVersion

// report is what a verb hands back: its results in the order of the arguments, or
// what kept it from having any.
type report struct {
	results []result
	err     error    // nothing was done; results are empty
	text    string   // printed instead of results: a help page, a version
	fields  fields   // of JSON, besides the results
	warning string   // for stderr, about the whole
	after   []string // lines for stdout, after those of the results
	failed  bool     // something besides the results failed
	exit    int      // of a report without results and without err
	worst   bool     // the results lead to the exit code of the worst, not to that of some of several
}

// fields are additional top-level fields of the JSON object.
type fields struct {
	Release string `json:"release,omitempty"`
	Help    string `json:"help,omitempty"`
	Note    string `json:"note,omitempty"`
	Rules   []rule `json:"rules,omitempty"`

	Probe *probe.Report `json:"probe,omitempty"`
	// Of restart.
	DryRun   bool                    `json:"dry_run,omitempty"`
	Sweep    *hermesgw.SweepDocument `json:"sweep,omitempty"`
	Excluded []hermesgw.Excluded     `json:"excluded,omitempty"`
	Warnings []string                `json:"warnings,omitempty"`
}

// noted is a result of which people want to see more than its line when something is wrong.
type noted interface {
	notes() []string // lines for stderr
}

// result is what became of one job. It marshals to its JSON object.
type result interface {
	exitCode() int
	line() string       // one line for stdout, or ""
	warnings() []string // for stderr
	trouble() *problem  // for stderr, or nil
	subject() string    // the job's name
}

// document is the JSON object.
type document struct {
	Version  int      `json:"version"`
	Command  string   `json:"command"`
	ExitCode int      `json:"exit_code"`
	Results  []result `json:"results"`
	Error    *problem `json:"error,omitempty"`
	fields
}

// code is the exit code that the report alone leads to.
func (r report) code() int {
	if r.err != nil {
		return exitOf(outcomeOf(r.err))
	}
	if len(r.results) == 0 {
		return r.exit
	}
	codes := make([]int, len(r.results))
	for i, one := range r.results {
		codes[i] = one.exitCode()
	}
	if r.failed {
		codes = append(codes, exitFailed)
	}
	if r.worst {
		return slices.Max(codes)
	}
	return overall(codes)
}

// manner is how a report is printed.
type manner struct {
	json  bool
	ascii bool // text draws with ASCII only
}

// how is the manner of this run.
func (c *command) how() manner { return manner{c.opts.json, !c.env.unicode()} }

// document is the report as JSON has it.
func (r report) document(verb string, code int) document {
	doc := document{Version: schemaVersion, Command: verb, ExitCode: code, Results: r.results, fields: r.fields}
	if doc.Results == nil {
		doc.Results = []result{}
	}
	if r.err != nil {
		doc.Error = explain(r.err)
	}
	return doc
}

// print writes the report: results to stdout, what people must know to stderr.
// Nobody reading is no reason to stop, so write errors are not looked at.
func (r report) print(verb string, code int, how manner, stdout, stderr io.Writer) {
	if how.ascii {
		stderr = drawn{stderr}
		if !how.json {
			stdout = drawn{stdout}
		}
	}
	if how.json {
		var text bytes.Buffer
		enc := json.NewEncoder(&text)
		enc.SetEscapeHTML(false)
		enc.Encode(r.document(verb, code))
		stdout.Write(shownJSON(text.Bytes()))
	} else {
		io.WriteString(stdout, r.text)
		for _, one := range r.results {
			if line := one.line(); line != "" {
				fmt.Fprintln(stdout, line)
			}
		}
		for _, line := range r.after {
			fmt.Fprintln(stdout, line)
		}
	}
	if r.err != nil {
		complain(stderr, verb, "", explain(r.err))
	}
	if r.warning != "" {
		fmt.Fprintf(stderr, "hermes-gw: warning: %s\n", shown(r.warning))
	}
	for _, w := range r.fields.Warnings {
		fmt.Fprintf(stderr, "hermes-gw: warning: %s\n", shown(w))
	}
	for _, one := range r.results {
		for _, w := range one.warnings() {
			fmt.Fprintf(stderr, "hermes-gw: warning: %s: %s\n", shown(one.subject()), shown(w))
		}
		if p := one.trouble(); p != nil {
			complain(stderr, verb, one.subject(), p)
		}
		if more, ok := one.(noted); ok {
			for _, line := range more.notes() {
				fmt.Fprintln(stderr, "  "+line)
			}
		}
	}
}

// written notes the first error of a writer.
type written struct {
	io.Writer
	err error
}

func (w *written) Write(b []byte) (int, error) {
	n, err := w.Writer.Write(b)
	if w.err == nil {
		w.err = err
	}
	return n, err
}

// complain writes one line: what failed, on what, why, what to do.
func complain(w io.Writer, verb, subject string, p *problem) {
	line := strings.ReplaceAll(p.Message, "\n", "; ")
	if !strings.Contains(line, subject) {
		line = verb + " " + subject + ": " + line
	}
	if p.Remedy != "" {
		line += ". " + p.Remedy
	}
	fmt.Fprintln(w, "hermes-gw: "+shown(line))
}
