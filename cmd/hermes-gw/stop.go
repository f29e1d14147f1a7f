package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/xpc"
)

type stopResult struct {
	asked launchd.Target // its domain may be missing
	launchd.StopResult
	err error
}

func (r *stopResult) exitCode() int      { return exitOf(r.Outcome) }
func (r *stopResult) warnings() []string { return nil }

func (r *stopResult) subject() string { return called(r.Target, r.asked) }

func (r *stopResult) line() string {
	if !r.Outcome.OK() {
		return ""
	}
	head := "stopped " + shown(r.subject())
	if r.Old != 0 {
		head += fmt.Sprintf(": pid %d is gone", r.Old)
	}
	return head + "; " + r.note()
}

// note says how long a stop lasts.
func (r *stopResult) note() string {
	when := "login"
	if r.Target.Domain == launchd.System() {
		when = "boot"
	}
	return "the next " + when + " loads it again, as does hermes-gw start"
}

func (r *stopResult) trouble() *problem { return explain(r.err) }

func (r *stopResult) MarshalJSON() ([]byte, error) {
	note := ""
	if r.Outcome.OK() {
		note = r.note()
	}
	return json.Marshal(struct {
		Target string          `json:"target"`
		State  launchd.Outcome `json:"state"`
		OldPID *int            `json:"old_pid"`
		Note   string          `json:"note,omitempty"`
		Error  *problem        `json:"error,omitempty"`
	}{r.subject(), r.Outcome, pid(r.Old), note, r.trouble()})
}

func runStop(c *command) report {
	targets, uid, err := c.begin()
	if err != nil {
		return report{err: err}
	}
	r := &stopResult{asked: targets[0]}
	if r.Target, r.err = c.located(targets[0], uid); r.err == nil {
		ctx, cancel := c.ctx, func() {}
		if c.opts.timeout > 0 {
			ctx, cancel = c.within(0)
		}
		defer cancel()
		target := r.Target
		r.StopResult, r.err = c.launchd.Stop(ctx, target)
		r.Target = target
	}
	if r.err != nil && (r.Outcome == "" || r.Outcome.OK()) {
		r.Outcome = outcomeOf(r.err)
	}
	return report{results: []result{r}}
}

// located completes a bare label, and asks launchd about a full target too: what
// follows may wait for as long as the job's process takes to end, so a launchd that
// does not answer at all is noticed here.
func (c *command) located(t launchd.Target, uid int) (launchd.Target, error) {
	ctx, cancel := c.within(askTimeout)
	defer cancel()
	if t.Domain.IsZero() {
		found, err := c.launchd.FindOne(ctx, t.Label, uid)
		if e, ok := errors.AsType[*launchd.Error](err); ok && errors.Is(err, launchd.ErrDisabled) {
			// To enable it, as the advice would be, is the last thing meant here.
			err = &launchd.Error{Op: e.Op, Target: e.Target, Code: xpc.NoSuchService}
		}
		return found, err
	}
	_, err := c.launchd.Job(ctx, t)
	if err != nil {
		err = c.elsewhere(ctx, t, uid, err)
	}
	return t, err
}
