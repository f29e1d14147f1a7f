package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"

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
}

func (r *logResult) exitCode() int {
	if r.err != nil {
		return exitFailed
	}
	return exitOK
}
func (r *logResult) subject() string    { return r.job }
func (r *logResult) warnings() []string { return nil }
func (r *logResult) trouble() *problem  { return explain(r.err) }

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
		Target string   `json:"target"`
		Path   string   `json:"path"`
		Lines  []string `json:"lines"`
		Error  *problem `json:"error,omitempty"`
	}{r.job, r.log.Path, list(r.lines), r.trouble()})
}

// runLogs shows the last lines that a job wrote, and with --follow those that it writes.
func runLogs(c *command) report {
	o := hermesgw.RestartOptions{}
	var err error
	if o.Select, err = c.selection(); err != nil {
		return report{err: err}
	}
	uid, err := c.user()
	if err != nil {
		return report{err: err}
	}
	if err := c.connect(); err != nil {
		return report{err: err}
	}
	h, err := c.hermes(uid)
	if err != nil {
		return report{err: err}
	}
	ctx, cancel := c.within(askTimeout)
	defer cancel()
	jobs, err := h.Find(ctx, o.Select)
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
				err = fmt.Errorf("its property list names no file for its output")
			}
			r.results = append(r.results, &logResult{job: name, err: err})
		}
		for _, l := range files {
			one := &logResult{job: name, log: l, head: len(files) > 1 || len(jobs) > 1}
			one.lines, one.err = l.Tail(h.Install(), c.opts.lines)
			r.results = append(r.results, one)
		}
		logs = append(logs, files...)
	}
	if !c.opts.follow || c.opts.json {
		return r
	}
	r.print(c.verb.name, r.code(), false, c.stdout, c.stderr)
	hermesgw.Follow(c.ctx, h.Install(), logs, func(l hermesgw.Log, line string) {
		if len(logs) > 1 {
			line = l.Name + ": " + line
		}
		fmt.Fprintln(c.stdout, line)
	})
	c.printed = true // it was, above
	return r
}

// logsOf are the files that a job writes to.
func logsOf(j hermesgw.Gateway) (logs []hermesgw.Log) {
	if j.Home != "" {
		return hermesgw.Logs(j.Home)
	}
	if j.Plist == "" {
		return nil
	}
	p, err := launchd.ReadPlist(j.Plist)
	if err != nil {
		return nil
	}
	for _, path := range []string{p.StandardOutPath, p.StandardErrorPath} {
		if filepath.IsAbs(path) && (len(logs) == 0 || logs[0].Path != path) {
			logs = append(logs, hermesgw.Log{Name: filepath.Base(path), Path: path})
		}
	}
	return logs
}
