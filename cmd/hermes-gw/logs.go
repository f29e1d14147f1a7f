package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	hermesgw "github.com/hermes-gw/hermes-gw"
	"github.com/hermes-gw/hermes-gw/launchd"
)

// logResult is one file of logs.
type logResult struct {
	job   string
	log   hermesgw.Log
	lines []string
	err   error
	head  bool // say which file it is

	absent  bool // there is no such job
	warning string
}

func (r *logResult) exitCode() int {
	switch {
	case r.err == nil:
		return exitOK
	case r.absent:
		return exitNotThere
	}
	return exitOf(outcomeOf(r.err))
}
func (r *logResult) subject() string { return r.job }
func (r *logResult) warnings() []string {
	if r.warning == "" {
		return nil
	}
	return []string{r.warning}
}
func (r *logResult) trouble() *problem { return explain(r.err) }

func (r *logResult) line() string {
	if len(r.lines) == 0 {
		return ""
	}
	text := ""
	if r.head {
		text = "== " + shown(r.log.Path) + "\n"
	}
	for i, l := range r.lines {
		if i > 0 {
			text += "\n"
		}
		text += l
	}
	return text
}

func (r *logResult) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Target   string   `json:"target"`
		Path     string   `json:"path"`
		Lines    []string `json:"lines"`
		Warnings []string `json:"warnings"`
		Error    *problem `json:"error,omitempty"`
	}{r.job, r.log.Path, list(r.lines), list(r.warnings()), r.trouble()})
}

// runLogs shows the last lines that a job wrote, and with --follow those that it writes.
func runLogs(c *command) report {
	selected, err := c.selection()
	if err == nil && c.opts.follow && c.opts.json {
		err = usage("Leave one of them out.", "--%s goes on for ever, and --%s is one object", flagFollow, flagJSON)
	}
	if err != nil {
		return report{err: err}
	}
	h, err := c.installation()
	if err != nil {
		return report{err: err}
	}
	ctx, cancel := c.within(askTimeout)
	defer cancel()
	jobs, err := h.Find(ctx, selected)
	if err != nil {
		return report{err: err}
	}
	var r report
	var logs []hermesgw.Log
	for _, j := range jobs {
		name := called(j.Target, launchd.Target{Label: j.Label})
		files := logsOf(j)
		if len(files) == 0 {
			err := j.Problem
			if err == nil {
				err = &plistError{j.Plist, "it names no file for the job's output", "Give it StandardOutPath and StandardErrorPath, and load it with hermes-gw reload.", nil}
			}
			r.results = append(r.results, &logResult{job: name, err: err, absent: !j.Loaded()})
		}
		there := false
		for i := range files {
			l := &files[i]
			one := &logResult{job: name, head: len(files) > 1 || len(jobs) > 1}
			one.lines, one.err = l.Tail(h.Install(), c.opts.lines)
			one.log = *l
			there = there || one.err != nil || l.Written()
			r.results = append(r.results, one)
			if len(jobs) > 1 {
				l.Name = l.Path
			}
		}
		if !there && len(files) > 0 {
			r.results[len(r.results)-len(files)].(*logResult).warning = "nothing was written yet to " + pathsOf(files)
		}
		logs = append(logs, files...)
	}
	if !c.opts.follow || len(logs) == 0 {
		return r
	}
	c.interrupts.listened()
	if c.printNow(r); c.lost != nil {
		return r
	}
	reading, done := c.untilUnread()
	defer done()
	hermesgw.Follow(reading, h.Install(), logs, func(l hermesgw.Log, line string) {
		if len(logs) > 1 {
			line = l.Name + ": " + line
		}
		if _, err := fmt.Fprintln(c.stdout, line); err != nil {
			c.lose(err)
			done()
		}
	})
	return r
}

// sameFile reports whether two paths are of one file, which need not be there.
func sameFile(a, b string) bool {
	if a == b {
		return true
	}
	in, errA := os.Stat(filepath.Dir(a))
	also, errB := os.Stat(filepath.Dir(b))
	return errA == nil && errB == nil && filepath.Base(a) == filepath.Base(b) && os.SameFile(in, also)
}

func pathsOf(files []hermesgw.Log) string {
	paths := make([]string, len(files))
	for i, f := range files {
		paths[i] = f.Path
	}
	return strings.Join(paths, " and ")
}

// logsOf are the files that a job writes to: those in a gateway's home, and those that the property
// list names.
func logsOf(j hermesgw.Gateway) (logs []hermesgw.Log) {
	if j.Home != "" {
		logs = hermesgw.Logs(j.Home)
	}
	if j.Plist == "" {
		return logs
	}
	p, err := launchd.ReadPlist(j.Plist)
	if err != nil {
		return logs
	}
	for _, path := range []string{p.StandardOutPath, p.StandardErrorPath} {
		if filepath.IsAbs(path) && path != os.DevNull && !slices.ContainsFunc(logs, func(l hermesgw.Log) bool { return sameFile(l.Path, path) }) {
			logs = append(logs, hermesgw.Log{Name: filepath.Base(path), Path: path})
		}
	}
	return logs
}
