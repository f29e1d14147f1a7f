package launchd

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/plistfile"
)

// checkPlist looks at the property list as launchd will.
func (r *reload) checkPlist() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("reload %s: nothing was changed: %s: %w", r.t, r.o.Path, fmt.Errorf(format, args...))
	}
	if !filepath.IsAbs(r.o.Path) {
		return fmt.Errorf("reload %s: nothing was changed: property list %q: the path must be absolute", r.t, r.o.Path)
	}
	found, err := Lint(r.o.Path, LintOptions{Domain: r.t.Domain})
	if err != nil {
		return bad("%w", err)
	}
	for _, f := range found {
		if f.Fatal {
			return bad("%s", strings.TrimPrefix(f.String(), "error: "))
		}
		r.res.Warnings = append(r.res.Warnings, r.o.Path+": "+strings.TrimPrefix(f.String(), "warning: "))
	}
	b, _, err := plistfile.Read(r.o.Path)
	if err != nil {
		return bad("%w", err)
	}
	keys, err := decodePlist(b)
	if err != nil {
		return bad("%w", err)
	}
	if label, _ := keys["Label"].(string); label != r.t.Label {
		return bad("it is the property list of %s", printable(quoted(label)))
	}
	r.note.Digest = digest(b)
	r.disk = keys
	return nil
}

// savedDefinition is what the job is to be when the new definition cannot be loaded: the
// file on disk, as far as launchd does not say otherwise about the job that is loaded.
func (r *reload) savedDefinition() map[string]any {
	base := maps.Clone(r.disk)
	if r.o.Path != r.job.Path {
		base, _ = readKeys(r.job.Path) // as far as it can be read
	}
	return definitionOf(base, r.job, r.text)
}

// readKeys reads a property list.
func readKeys(path string) (map[string]any, error) {
	b, _, err := plistfile.Read(path)
	if err != nil {
		return nil, err
	}
	return decodePlist(b)
}

// definitionOf puts what launchd prints about a job (launchd-protocol.md 6.2) in place of
// what base has. What launchd does not print stays as base has it.
func definitionOf(base map[string]any, j Job, p definitionText) map[string]any {
	d := maps.Clone(base)
	if d == nil {
		d = map[string]any{}
	}
	set := func(key, value string) {
		if value == "" {
			delete(d, key)
		} else {
			d[key] = value
		}
	}
	d["Label"] = j.Target.Label
	inferred := slices.Contains(p.properties, "inferred program")
	switch {
	case len(j.Arguments) > 0:
		d["ProgramArguments"] = texts(j.Arguments)
		if inferred || j.Program == "" || base["Program"] == nil && j.Program == j.Arguments[0] {
			delete(d, "Program")
		} else {
			d["Program"] = j.Program
		}
	case j.Program != "":
		d["Program"] = j.Program
	}
	set("WorkingDirectory", p.fields["working directory"])
	set("StandardInPath", p.fields["stdin path"])
	set("StandardOutPath", p.fields["stdout path"])
	set("StandardErrorPath", p.fields["stderr path"])
	if env := maps.Clone(p.environment); env != nil {
		delete(env, "XPC_SERVICE_NAME") // launchd's own
		if len(env) > 0 {
			variables := map[string]any{}
			for k, v := range env {
				variables[k] = v
			}
			d["EnvironmentVariables"] = variables
		} else {
			delete(d, "EnvironmentVariables")
		}
	}
	if base := seconds(p.fields["base minimum runtime"]); base != nil { // without what crashes add
		d["ThrottleInterval"] = int64(*base / time.Second)
	} else if j.MinimumRuntime != nil {
		d["ThrottleInterval"] = int64(*j.MinimumRuntime / time.Second)
	}
	if j.ExitTimeout != nil {
		d["ExitTimeOut"] = int64(*j.ExitTimeout / time.Second)
	}
	if j.RunAtLoad != nil {
		d["RunAtLoad"] = *j.RunAtLoad
	}
	switch {
	case len(j.KeepAliveIf) > 0:
		d["KeepAlive"] = keepAliveIf(j.KeepAliveIf, d["KeepAlive"])
	case j.KeepAlive != nil && *j.KeepAlive:
		d["KeepAlive"] = true
	case p.properties != nil && d["KeepAlive"] == true:
		delete(d, "KeepAlive") // launchd would say so
	}
	return d
}

// keepAliveIf makes a KeepAlive of what launchd prints of its conditions. A path or a job
// that one is about cannot be told from that: those stay as base has them.
func keepAliveIf(printed map[string]bool, base any) map[string]any {
	conditions := map[string]any{}
	if m, ok := base.(map[string]any); ok {
		conditions = maps.Clone(m)
	}
	for name, key := range map[string]string{"successful exit": "SuccessfulExit", "after crash": "Crashed"} {
		if on, ok := printed[name]; ok {
			conditions[key] = on
		} else {
			delete(conditions, key)
		}
	}
	return conditions
}

// workerDefinition is the worker's job: it runs at once, and again for as long as it has
// not ended well.
func (r *reload) workerDefinition() map[string]any {
	d := map[string]any{
		"Label":             r.files.worker(r.t).Label,
		"ProgramArguments":  texts(slices.Concat(r.o.Program, []string{r.o.Address, r.t.String(), r.files.dir})),
		"RunAtLoad":         true,
		"KeepAlive":         map[string]any{"SuccessfulExit": false},
		"ThrottleInterval":  int64(workerThrottle),
		"StandardErrorPath": r.files.log(),
	}
	if r.t.Domain.kind == kindUser {
		// Without it a job is for the graphical session only: TN2083.
		d["LimitLoadToSessionType"] = "Background"
	}
	return d
}

// texts is an array as a property list has it.
func texts(list []string) []any {
	items := make([]any, len(list))
	for i, s := range list {
		items[i] = s
	}
	return items
}

// writePlist writes a property list that only its owner can read.
func (r *reload) writePlist(path string, d map[string]any) error {
	b, err := encodePlist(d)
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return r.files.replace(path, b, r.owner)
}
