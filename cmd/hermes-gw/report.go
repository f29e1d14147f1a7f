package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/hermes-gw/hermes-gw/internal/probe"
)

// schemaVersion is the "version" of the JSON output. Fields may be added; a change
// of meaning or a removal raises it.
const schemaVersion = 1

// report is what a verb hands back: its results in the order of the arguments, or
// what kept it from having any.
type report struct {
	results []result
	err     error  // nothing was done; results are empty
	text    string // printed instead of results: a help page, a version
	fields  fields // of JSON, besides the results
	warning string // for stderr, about the whole
	exit    int    // of a report without results and without err
}

// fields are additional top-level fields of the JSON object.
type fields struct {
	Release string `json:"release,omitempty"`
	Help    string `json:"help,omitempty"`
	Note    string `json:"note,omitempty"`

	Probe *probe.Report `json:"probe,omitempty"`
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
	return overall(codes)
}

// print writes the report: results to stdout, what people must know to stderr.
// Nobody reading is no reason to stop, so write errors are not looked at.
func (r report) print(verb string, code int, asJSON bool, stdout, stderr io.Writer) {
	if asJSON {
		doc := document{Version: schemaVersion, Command: verb, ExitCode: code, Results: r.results, fields: r.fields}
		if doc.Results == nil {
			doc.Results = []result{}
		}
		if r.err != nil {
			doc.Error = explain(r.err)
		}
		enc := json.NewEncoder(stdout)
		enc.SetEscapeHTML(false)
		enc.Encode(doc)
	} else {
		io.WriteString(stdout, r.text)
		for _, one := range r.results {
			if line := one.line(); line != "" {
				fmt.Fprintln(stdout, line)
			}
		}
	}
	if r.err != nil {
		complain(stderr, verb, "", explain(r.err))
	}
	if r.warning != "" {
		fmt.Fprintf(stderr, "hermes-gw: warning: %s\n", shown(r.warning))
	}
	for _, one := range r.results {
		for _, w := range one.warnings() {
			fmt.Fprintf(stderr, "hermes-gw: warning: %s: %s\n", shown(one.subject()), shown(w))
		}
		if p := one.trouble(); p != nil {
			complain(stderr, verb, one.subject(), p)
		}
	}
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
