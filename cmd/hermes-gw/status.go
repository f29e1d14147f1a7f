package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// jobResult is one job as status shows it.
type jobResult struct {
	asked    launchd.Target // its domain may be missing
	job      launchd.Job
	disabled *bool // nil when launchd did not tell
	warning  string
	err      error
}

func (r *jobResult) warnings() []string {
	if r.warning == "" {
		return nil
	}
	return []string{r.warning}
}

func (r *jobResult) exitCode() int {
	if r.err != nil {
		return exitOf(outcomeOf(r.err))
	}
	return exitOK
}

func (r *jobResult) subject() string { return called(r.job.Target, r.asked) }

// state is launchd's word, or what follows from the pid where it gave none.
func (r *jobResult) state() string {
	switch {
	case r.err != nil:
		return string(outcomeOf(r.err))
	case r.job.State != "":
		return string(r.job.State)
	case r.job.Running():
		return "running"
	}
	return "not running"
}

func (r *jobResult) line() string {
	if r.err != nil {
		return ""
	}
	j := r.job
	parts := []string{shown(r.state())}
	if j.Running() {
		parts = append(parts, fmt.Sprintf("pid %d", j.PID))
	}
	if j.Runs != nil {
		parts = append(parts, fmt.Sprintf("runs %d", *j.Runs))
	}
	if last := j.LastExit.String(); last != "" {
		parts = append(parts, "last exit "+shown(last))
	}
	if r.disabled != nil && *r.disabled {
		parts = append(parts, "disabled")
	} else if r.disabled != nil {
		parts = append(parts, "enabled")
	}
	if j.Path != "" {
		parts = append(parts, shown(j.Path))
	}
	return shown(r.subject()) + ": " + strings.Join(parts, ", ")
}

func (r *jobResult) trouble() *problem { return explain(r.err) }

// MarshalJSON leaves out what launchd did not tell, and the arguments: they can hold
// secrets.
func (r *jobResult) MarshalJSON() ([]byte, error) {
	j := r.job
	return json.Marshal(struct {
		Target   string   `json:"target"`
		State    string   `json:"state"`
		PID      *int     `json:"pid"`
		Type     string   `json:"type,omitempty"`
		Path     string   `json:"path,omitempty"`
		Program  string   `json:"program,omitempty"`
		Runs     *int     `json:"runs,omitempty"`
		LastExit string   `json:"last_exit,omitempty"`
		Disabled *bool    `json:"disabled,omitempty"`
		Warnings []string `json:"warnings"`
		Error    *problem `json:"error,omitempty"`
	}{r.subject(), r.state(), pid(j.PID), j.Type, j.Path, j.Program, j.Runs, j.LastExit.String(), r.disabled, list(r.warnings()), r.trouble()})
}

func runStatus(c *command) report {
	targets, uid, err := c.begin()
	if err != nil {
		return report{err: err}
	}
	look := func() report {
		ctx, cancel := c.within(askTimeout)
		defer cancel()
		if len(targets) > 0 {
			return c.show(ctx, targets, uid)
		}
		return c.showFleet(ctx, uid)
	}
	if c.opts.watch {
		return c.watch(look)
	}
	return look()
}

// show asks about all targets at the same time. A label that two of the user's domains have
// is shown as the two jobs that it is.
func (c *command) show(ctx context.Context, targets []launchd.Target, uid int) (r report) {
	rows := make([][]*jobResult, len(targets))
	var all sync.WaitGroup
	for i, t := range targets {
		all.Go(func() { rows[i] = c.showOne(ctx, t, uid) })
	}
	all.Wait()
	for _, some := range rows {
		for _, one := range some {
			r.results = append(r.results, one)
		}
	}
	return r
}

func (c *command) showOne(ctx context.Context, t launchd.Target, uid int) (list []*jobResult) {
	found, err := c.find(ctx, t, uid)
	both := []launchd.Target{found}
	warning := ""
	if e, ok := errors.AsType[*launchd.AmbiguousError](err); ok {
		both, err, warning = e.Targets, nil, e.Error()
	}
	for _, found := range both {
		one := &jobResult{asked: t, err: err, warning: warning}
		if err == nil {
			one.err = c.look(ctx, one, found)
		}
		list = append(list, one)
		warning = "" // once
	}
	return list
}

func (c *command) look(ctx context.Context, r *jobResult, t launchd.Target) error {
	r.job.Target = t
	job, err := c.launchd.Inspect(ctx, t)
	if err != nil && !errors.Is(err, launchd.ErrNotLoaded) {
		return err
	}
	r.job = job
	r.job.Target = t
	r.disabled = job.Disabled
	if err != nil { // of a job that is not loaded nothing else tells
		if _, enabled, err := c.launchd.Enabled(ctx, t); err == nil {
			disabled := !enabled
			r.disabled = &disabled
		}
	}
	if err != nil && r.disabled != nil && *r.disabled { // as Find says of a bare label
		return &launchd.Error{Op: "find", Target: t.String(), Code: xpc.ServiceDisabled}
	}
	return err
}
