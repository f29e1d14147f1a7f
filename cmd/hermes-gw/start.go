package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	hermesgw "github.com/hermes-gw/hermes-gw"
	"github.com/hermes-gw/hermes-gw/launchd"
)

// startTimeout is long enough for a start that nothing holds up.
const startTimeout = 30 * time.Second

type startResult struct {
	asked launchd.Target // its domain may be missing
	launchd.StartResult
	err error
}

func (r *startResult) exitCode() int      { return exitOf(r.Outcome) }
func (r *startResult) warnings() []string { return r.Warnings }

func (r *startResult) subject() string { return called(r.Target, r.asked) }

func (r *startResult) line() string {
	target := shown(r.subject())
	switch {
	case !r.Outcome.OK():
		return ""
	case r.WasRunning:
		return fmt.Sprintf("%s was running already: pid %d", target, r.PID)
	case r.Loaded:
		return fmt.Sprintf("loaded and started %s: pid %d", target, r.PID)
	}
	return fmt.Sprintf("started %s: pid %d", target, r.PID)
}

func (r *startResult) trouble() *problem { return explain(r.err) }

func (r *startResult) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Target     string          `json:"target"`
		State      launchd.Outcome `json:"state"`
		PID        *int            `json:"pid"`
		Loaded     bool            `json:"loaded_now"`
		WasRunning bool            `json:"was_running"`
		Warnings   []string        `json:"warnings"`
		Error      *problem        `json:"error,omitempty"`
	}{r.subject(), r.Outcome, pid(r.PID), r.Loaded, r.WasRunning, list(r.Warnings), r.trouble()})
}

func runStart(c *command) report {
	targets, uid, err := c.begin()
	if err != nil {
		return report{err: err}
	}
	r := &startResult{asked: targets[0]}
	r.StartResult, r.err = c.start(targets[0], uid)
	if r.err != nil && (r.Outcome == "" || r.Outcome.OK()) {
		r.Outcome = outcomeOf(r.err)
	}
	return report{results: []result{r}}
}

// start starts a job where it is loaded, else loads it where it belongs.
func (c *command) start(t launchd.Target, uid int) (launchd.StartResult, error) {
	ctx, cancel := c.within(startTimeout)
	defer cancel()
	path, err := c.givenPlist(t.Label)
	if err != nil {
		return launchd.StartResult{}, err
	}
	places, loaded, err := c.places(ctx, t, uid)
	if err != nil {
		return launchd.StartResult{Target: t}, err
	}
	if loaded {
		r, err := c.launchd.Start(ctx, places[0], "")
		if path != "" {
			r.Warnings = append(r.Warnings, "the job was loaded already, so --plist was not used")
		}
		return r, err
	}
	var r launchd.StartResult
	for i, place := range places {
		if path == "" {
			if path, err = c.usualPlist(place, uid); err != nil {
				return launchd.StartResult{Target: place, Outcome: launchd.OutcomeNotLoaded}, err
			}
		}
		before := r
		r, err = c.launchd.Start(ctx, place, path)
		if i > 0 {
			r.Warnings = append(r.Warnings, fmt.Sprintf("%s does not exist (no login at the screen), so the job went to %s",
				before.Target.Domain, place.Domain))
		}
		if r.Target = place; !errors.Is(err, launchd.ErrNoDomain) {
			break
		}
	}
	return r, err
}

// givenPlist checks the file of --plist, whether or not it will be needed: it is part
// of the command line.
func (c *command) givenPlist(label string) (string, error) {
	if c.opts.plist == "" {
		return "", nil
	}
	path, err := filepath.Abs(c.opts.plist)
	if err != nil {
		return "", err
	}
	return path, checkPlist(path, label)
}

// places returns where the job is loaded, or else where it should go: the domain that
// was named, if no other has it, or gui and then user, over ssh only user unless that user is logged in at
// the screen.
func (c *command) places(ctx context.Context, t launchd.Target, uid int) (places []launchd.Target, loaded bool, err error) {
	if !t.Domain.IsZero() {
		_, err = c.launchd.Job(ctx, t)
		if err == nil {
			return []launchd.Target{t}, true, nil
		}
		err = c.elsewhere(ctx, t, uid, err)
		e, other := errors.AsType[*launchd.ElsewhereError](err)
		if other && !apart(e) || !errors.Is(err, launchd.ErrNotLoaded) {
			return nil, false, err
		}
		return []launchd.Target{t}, false, nil
	}
	found, err := c.launchd.FindOne(ctx, t.Label, uid)
	switch {
	case err == nil:
		return []launchd.Target{found}, true, nil
	case !errors.Is(err, launchd.ErrNotLoaded):
		return nil, false, err
	}
	places = nil
	for _, d := range launchd.Places(c.surroundings(uid)) {
		places = append(places, launchd.Target{Domain: d, Label: t.Label})
	}
	return places, false, nil
}

// apart reports whether a job that is loaded elsewhere is another one: a daemon of the system's and
// an agent of a user's can share a label, but a home has one gateway.
func apart(e *launchd.ElsewhereError) bool {
	if hermesgw.IsGatewayLabel(e.Target.Label) || errors.Is(e.Err, launchd.ErrNoDomain) {
		return false
	}
	system := e.Target.Domain == launchd.System()
	return !slices.ContainsFunc(e.Found, func(t launchd.Target) bool { return system == (t.Domain == launchd.System()) })
}

// usualPlist checks and returns the file from which launchd itself loads the job at a
// login or, for system, at boot.
func (c *command) usualPlist(t launchd.Target, uid int) (string, error) {
	folder := "/Library/LaunchDaemons"
	if t.Domain != launchd.System() {
		if id, ok := domainUser(t.Domain); ok {
			uid = id
		}
		home, err := c.env.home(uid)
		if err != nil {
			return "", &plistError{path: t.Label + ".plist", problem: fmt.Sprintf("the home folder of user %d is not known: %v", uid, err),
				remedy: "Name the job's property list with --plist PATH."}
		}
		folder = filepath.Join(home, "Library", "LaunchAgents")
	}
	path := filepath.Join(folder, t.Label+".plist")
	err := checkPlist(path, t.Label)
	if e, ok := errors.AsType[*plistError](err); ok && errors.Is(err, fs.ErrNotExist) {
		e.problem = "the job is not loaded, and there is no such file to load it from"
	}
	return path, err
}

// domainUser is the uid of a gui or user domain.
func domainUser(d launchd.Domain) (uid int, ok bool) {
	kind, id, _ := strings.Cut(d.String(), "/")
	if kind != "gui" && kind != "user" {
		return 0, false
	}
	uid, err := strconv.Atoi(id)
	return uid, err == nil
}
