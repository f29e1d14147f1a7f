package launchd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// verify is what [RestartOptions].Verify adds to a restart, about the new process.
func (r *restart) verify(ctx context.Context, pid int) error {
	j, text, err := r.c.definition(ctx, r.t)
	if errors.Is(err, ErrContradiction) || errors.Is(err, ErrUnshared) || isRefusal(err) && !errors.Is(err, ErrNotLoaded) {
		return nil // launchd does not tell
	}
	if err != nil {
		return err
	}
	if j.PID != pid {
		return fmt.Errorf("launchd names process %d", j.PID)
	}
	switch j.State {
	case StateSpawning, StateXPCProxy:
		return errors.New("it has not executed its program yet")
	case StateRunning:
	default:
		if j.State.Stopping() {
			return errors.New("it is being stopped")
		}
	}
	if r.verified == 0 { // the first new process: launchd's last exit is the old one's
		if r.res.Old > 0 {
			r.oldEnded(j)
		}
		r.checkDefinition(j, text)
	}
	return nil
}

// oldEnded takes the exit that launchd remembers for the old process'.
func (r *restart) oldEnded(j Job) {
	r.res.OldExit = j.LastExit
	if e := j.LastExit; e.Kind != ExitSignaled || e.Signal != sigkill {
		return
	}
	limit := "its exit timeout"
	if j.ExitTimeout != nil {
		limit = fmt.Sprintf("its exit timeout (%v)", *j.ExitTimeout)
	}
	r.warn("The old process %d was killed by SIGKILL: as a rule because it did not exit within %s.", r.res.Old, limit)
}

// checkDefinition warns of a property list that is not what launchd goes by.
func (r *restart) checkDefinition(j Job, text definitionText) {
	if !strings.HasPrefix(j.Path, "/") {
		return
	}
	if _, err := os.Stat(j.Path); errors.Is(err, fs.ErrNotExist) {
		r.warn("The job's property list %s is gone: the job runs by what launchd has, and the next login does not load it again.", printable(j.Path))
		return
	}
	disk, err := readKeys(j.Path)
	if err != nil {
		return
	}
	if keys := staleKeys(disk, j, text); len(keys) > 0 {
		r.warn("The property list %s has changed since it was loaded (%s), and a restart does not load it: hermes-gw reload %s does.",
			printable(j.Path), strings.Join(keys, ", "), printable(r.t.String()))
	}
}

// Stale compares the property list that a loaded job is from with what launchd tells of
// the job's definition (708), and returns the keys that differ, sorted: a restart goes by
// launchd's, and only [Client.Reload] loads the file. A list that is gone or cannot be read
// is an error that wraps fs.ErrNotExist or says why. Keys that launchd does not print are
// not compared, so no keys does not say that nothing changed.
//
// Errors: those of [Client.Print].
func (c *Client) Stale(ctx context.Context, t Target) (keys []string, err error) {
	j, text, err := c.definition(ctx, t)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(j.Path, "/") {
		return nil, fmt.Errorf("compare %s with its property list: it has none (%s): %w", t, clip(j.Path), fs.ErrNotExist)
	}
	disk, err := readKeys(j.Path)
	if err != nil {
		return nil, fmt.Errorf("compare %s with its property list %s: %w", t, printable(j.Path), err)
	}
	return staleKeys(disk, j, text), nil
}

// definition reads the print text of a job, with what it tells of the definition.
func (c *Client) definition(ctx context.Context, t Target) (Job, definitionText, error) {
	text, err := c.Print(ctx, t)
	if err != nil {
		return Job{}, definitionText{}, err
	}
	p, err := readPrinted(text)
	if err != nil {
		return Job{}, definitionText{}, fmt.Errorf("print %s: %w", t, err)
	}
	return p.job(t)
}

// staleKeys returns the keys whose values on disk are not those that launchd prints. It
// errs on the side of no difference: what it finds is told to people on every restart.
func staleKeys(disk map[string]any, j Job, text definitionText) (keys []string) {
	differs := func(key string, yes bool) {
		if yes {
			keys = append(keys, key)
		}
	}
	word := func(key string) string { s, _ := disk[key].(string); return s }

	program, arguments := word("Program"), listed(disk["ProgramArguments"])
	differs("ProgramArguments", j.Arguments != nil && arguments != nil && oneLined(arguments...) && !slices.Equal(j.Arguments, arguments))
	if program == "" && len(arguments) > 0 && filepath.IsAbs(arguments[0]) {
		program = arguments[0]
	}
	differs("Program", j.Program != "" && program != "" && j.Program != program)
	for key, field := range map[string]string{
		"WorkingDirectory": "working directory", "StandardInPath": "stdin path",
		"StandardOutPath": "stdout path", "StandardErrorPath": "stderr path",
	} {
		differs(key, oneLined(word(key)) && text.fields[field] != word(key))
	}

	// launchd may have variables of its own there.
	variables, _ := disk["EnvironmentVariables"].(map[string]any)
	other := false
	for name, value := range variables {
		v, isText := value.(string)
		other = other || isText && oneLined(name, v) && text.environment != nil && text.environment[name] != v
	}
	differs("EnvironmentVariables", other)

	runtime := j.MinimumRuntime
	if base := seconds(text.fields["base minimum runtime"]); base != nil { // without what crashes add
		runtime = base
	}
	throttle, set := interval(disk["ThrottleInterval"])
	if !set {
		throttle = assumedMinRun
	}
	differs("ThrottleInterval", runtime != nil && throttle > 0 && *runtime != throttle)
	// Of a list without it the default counts, which changed over time, and a graphical
	// domain gives less than the list says (hermes.md section 1).
	exit, set := interval(disk["ExitTimeOut"])
	differs("ExitTimeOut", j.ExitTimeout != nil && set && *j.ExitTimeout != exit && !(*j.ExitTimeout > 0 && *j.ExitTimeout < exit))

	conditions, conditional := disk["KeepAlive"].(map[string]any)
	always, _ := disk["KeepAlive"].(bool)
	atLoad, _ := disk["RunAtLoad"].(bool)
	if j.RunAtLoad != nil { // a KeepAlive can imply it
		differs("RunAtLoad", *j.RunAtLoad != atLoad && !(*j.RunAtLoad && (always || conditional)))
	}
	if _, old := disk["OnDemand"]; text.properties != nil && !old {
		kept := slices.Contains(text.properties, "keepalive")
		switch {
		case !conditional:
			differs("KeepAlive", kept != always || len(j.KeepAliveIf) > 0)
		case len(j.KeepAliveIf) > 0:
			other := false
			for name, key := range map[string]string{"successful exit": "SuccessfulExit", "after crash": "Crashed"} {
				printed, isPrinted := j.KeepAliveIf[name]
				want, isSet := conditions[key].(bool)
				other = other || isPrinted != isSet || printed != want
			}
			differs("KeepAlive", other)
		}
	}
	slices.Sort(keys)
	return keys
}

// oneLined reports whether texts stand in launchd's text as they are: it does not escape
// what it prints.
func oneLined(texts ...string) bool {
	return !slices.ContainsFunc(texts, func(s string) bool {
		return strings.ContainsAny(s, "\n\r\x00") || strings.TrimSpace(s) != s
	})
}

// listed reads an array of strings; nil if it is none.
func listed(v any) []string {
	items, _ := v.([]any)
	var texts []string
	for _, item := range items {
		s, isText := item.(string)
		if !isText {
			return nil
		}
		texts = append(texts, s)
	}
	return texts
}

// interval reads a number of seconds.
func interval(v any) (time.Duration, bool) {
	switch n := v.(type) {
	case int64:
		return time.Duration(n) * time.Second, true
	case uint64:
		return time.Duration(min(n, 1<<31)) * time.Second, true
	}
	return 0, false
}
