package launchdsim

import (
	"os"
	"path/filepath"
	"strings"
)

// bootstrap is routine 800: "paths" names property lists, or folders of them.
// Without paths it is an empty success. The reply's "errors" holds the paths that
// were refused, and only those.
func (r *request) bootstrap() {
	r.s.mu.Lock()
	d, code := r.writable()
	if code == ok && d.gone.Load() {
		code = tearingDown
	}
	r.s.mu.Unlock()
	if code != ok {
		r.fail(code)
		return
	}
	paths, code := r.strings("paths")
	if code != ok {
		r.fail(code)
		return
	}
	failed := dict{}
	for _, path := range paths {
		if r.bool("enable") {
			r.s.enableAt(d, path)
		}
		for p, code := range r.s.bootstrapPath(d, path) {
			failed[p] = int64(code)
		}
	}
	if len(failed) == 0 {
		r.reply(dict{})
		return
	}
	r.reply(dict{"errors": failed})
}

// strings reads an array of strings, or the keys of a dictionary, which some
// clients send; no key at all is no strings.
func (r *request) strings(key string) ([]string, errno) {
	switch v := r.args[key].(type) {
	case nil:
		if _, null := r.args[key]; null {
			return nil, einval
		}
		return nil, ok
	case []any:
		out := make([]string, 0, len(v))
		for _, item := range v {
			s, isText := item.(string)
			if !isText {
				return nil, einval
			}
			out = append(out, s)
		}
		return out, ok
	case dict:
		out := make([]string, 0, len(v))
		for k := range v {
			out = append(out, k)
		}
		return out, ok
	}
	return nil, einval
}

// bootstrapPath loads what path names and returns what was refused. Files are
// read without the lock.
func (s *Server) bootstrapPath(d *domain, path string) map[string]errno {
	files := []string{path}
	if info, err := os.Stat(path); err == nil && info.IsDir() && filepath.IsAbs(path) {
		files, _ = filepath.Glob(filepath.Join(escapeGlob(path), "*.plist"))
	}
	failed := map[string]errno{}
	for _, file := range files {
		def, code := s.readDefinition(file)
		if code == ok {
			s.mu.Lock()
			code = s.load(d, def)
			s.mu.Unlock()
		}
		if code != ok {
			failed[file] = code
			s.journal.logf(d.String(), "Error", "Bootstrap of %s failed: %d", file, code)
		}
	}
	return failed
}

func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

// enableAt is bootstrap's "enable" (launchctl load -w): the override is written
// before the job is loaded.
func (s *Server) enableAt(d *domain, path string) {
	if def, code := s.readDefinition(path); code == ok {
		s.mu.Lock()
		d.overrides[def.label] = true
		s.mu.Unlock()
	}
}

// load adds a job to d and starts it if its definition says so.
func (s *Server) load(d *domain, def *definition) errno {
	switch old := d.jobs[def.label]; {
	case d.gone.Load():
		return tearingDown
	case old != nil && old.removing:
		// Still draining after a bootout: users see 5 until its process has gone.
		return eio
	case old != nil:
		return errno(s.opts.AlreadyLoaded)
	case !d.enabledIn(def.label, !def.disabled):
		return disabled
	case !def.allowedIn(d.key.kind):
		return wrongSession
	}
	j := &job{s: s, d: d, def: def}
	if s.opts.PinCode {
		j.pin = identify(def.program)
	}
	d.jobs[def.label], d.inOrder = j, nil
	j.logf("Notice", "loaded from %s", def.path)
	if def.runAtLoad || def.keepAlive.atLoad() {
		j.start(reasonSpeculative, false)
	}
	if def.interval > 0 {
		j.everyInterval()
	}
	return ok
}

// bootout is routine 801. By name the answer is 3 if there is no such job and 36
// while its process ends; "no-einprogress" turns the 36 into an empty success;
// "wait" alone turns it into a reply with a "monitor" right, which on macOS dies
// when the job is gone and here means nothing. By path it is 113 and the same.
// With neither the whole domain goes, as in launchd.
func (r *request) bootout() {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	d, code := r.writable()
	if code != ok {
		r.fail(code)
		return
	}
	paths, code := r.strings("paths")
	if code != ok {
		r.fail(code)
		return
	}
	_, byName := r.args["name"]
	switch {
	case byName:
		j, code := r.named(d, esrch)
		if code == ok {
			code = j.bootOut()
		}
		r.bootedOut(code)
	case len(paths) > 0:
		worst := ok
		for _, path := range paths {
			if code := r.bootoutPath(d, path); code != ok {
				worst = code
			}
		}
		r.bootedOut(worst)
	default:
		r.s.journal.logf(d.String(), "Error", "bootout of the whole domain")
		r.s.teardown(d)
		r.fail(ok)
	}
}

func (r *request) bootoutPath(d *domain, path string) errno {
	for label, j := range d.jobs {
		if j.def.path == path {
			if r.bool("disable") {
				d.overrides[label] = false
			}
			return j.bootOut()
		}
	}
	return noService
}

func (r *request) bootedOut(code errno) {
	switch {
	case code == einprogress && r.bool("no-einprogress"):
		r.fail(ok)
	case code == einprogress && r.bool("wait"):
		r.reply(dict{"monitor": monitorRight})
	default:
		r.fail(code)
	}
}

// onDemandOnlyOn and onDemandOnlyOff are routines 806 and 807. The end of the mode
// grants the starts that it held back.
func (r *request) onDemandOnlyOn()  { r.setOnDemandOnly(true) }
func (r *request) onDemandOnlyOff() { r.setOnDemandOnly(false) }

func (r *request) setOnDemandOnly(on bool) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	d, code := r.writable()
	if code == ok {
		d.onDemandOnly = on
		for _, j := range d.jobs {
			if why := j.pended; !on && why != reasonNone {
				j.pended = reasonNone
				j.start(why, false)
			}
		}
	}
	r.fail(code)
}

// enable and disable are routines 808 and 809: "names" is an array of labels,
// launchctl also sends "name", which does not matter. A label that was refused
// stands in the reply with its number (older systems: in a dictionary "errors").
func (r *request) enable()  { r.setEnabled(true) }
func (r *request) disable() { r.setEnabled(false) }

func (r *request) setEnabled(on bool) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	d, code := r.writable()
	if code != ok {
		r.fail(code)
		return
	}
	if code := d.overridable(); code != ok {
		r.fail(code)
		return
	}
	names, code := r.strings("names")
	if code == ok && names == nil {
		code = einval
	}
	if code != ok {
		r.fail(code)
		return
	}
	failed := dict{}
	for _, name := range names {
		if name == "" || strings.Contains(name, "<") {
			failed[name] = int64(reservedName)
			continue
		}
		d.overrides[name] = on
	}
	r.reply(failed)
}

// enabled is routine 811.
func (r *request) enabled() {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	d, code := r.domain()
	if code == ok {
		code = d.overridable()
	}
	if code != ok {
		r.fail(code)
		return
	}
	name, isText := r.string("name")
	if !isText {
		r.fail(einval)
		return
	}
	byDefault := true
	if v, set := r.args["default-enabled"].(bool); set {
		byDefault = v
	}
	_, loaded := d.jobs[name]
	r.reply(dict{"loaded": loaded, "enabled": d.enabledIn(name, byDefault)})
}

// kill is routine 812: a signal, and no more than that.
func (r *request) kill() {
	r.withNamed(noService, func(j *job) {
		number, isInt := r.args["signal"].(int64)
		if !isInt {
			r.fail(einval)
			return
		}
		r.onJob(j, func(j *job) { r.fail(j.sendSignal(number)) })
	})
}

// legacyStart and legacyStop are routines 813 and 814. That a start or stop is
// already under way counts as success.
func (r *request) legacyStart() {
	r.withNamed(esrch, func(j *job) {
		j.demanded = true
		code := ok
		if j.pid() == 0 {
			code = j.start(reasonLegacyStart, false)
		}
		r.folded(code, einprogress, ealready)
	})
}

func (r *request) legacyStop() {
	r.withNamed(esrch, func(j *job) { r.folded(j.stop(), einprogress, ealready, ecanceled) })
}

// remove is routine 816, bootout's older sibling.
func (r *request) remove() {
	r.withNamed(esrch, func(j *job) { r.folded(j.bootOut(), einprogress) })
}

// withNamed runs f on the job of a domain request, under the lock.
func (r *request) withNamed(missing errno, f func(*job)) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	d, code := r.writable()
	var j *job
	if code == ok {
		j, code = r.named(d, missing)
	}
	if code != ok {
		r.fail(code)
		return
	}
	f(j)
}

// folded answers with code, or with success if it is one of harmless.
func (r *request) folded(code errno, harmless ...errno) {
	for _, h := range harmless {
		if code == h {
			code = ok
		}
	}
	r.fail(code)
}

// list is routine 815. It answers for one's own domain (type 7) and, for type 1
// and 6, for that one; other types are refused each in its own way, as seen on
// macOS 11.
func (r *request) list() {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	kind, _ := r.args["type"].(uint64)
	if _, isHandle := r.args["handle"].(uint64); !isHandle {
		kind = 0 // no domain at all, which is 22 whatever the type
	}
	var code errno
	switch kind {
	case domainLogin, domainSession, domainGUI:
		code = domainRefuses
	case domainPID:
		code = noDomain
	case domainUser:
		if !r.root {
			code = eperm
		}
	}
	var d *domain
	if code == ok {
		d, code = r.domain()
	}
	if code != ok {
		r.fail(code)
		return
	}
	if _, one := r.args["name"]; one {
		j, code := r.named(d, noService)
		if code != ok {
			r.fail(code)
			return
		}
		r.reply(dict{"service": j.listEntry()})
		return
	}
	services := make(dict, len(d.jobs))
	for label, j := range d.jobs {
		services[label] = dict{"pid": int64(j.pid()), "status": rawStatus(j.status)}
	}
	r.reply(dict{"services": services})
}

// setenv is routine 819: "envvars" maps names to strings, or to null for unset.
func (r *request) setenv() {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	d, code := r.writable()
	vars, isDict := r.args["envvars"].(dict)
	if code == ok && !isDict {
		code = einval
	}
	for k, v := range vars {
		_, isText := v.(string)
		if k == "" || strings.Contains(k, "=") || (v != nil && !isText) {
			code = einval
		}
	}
	if code != ok {
		r.fail(code)
		return
	}
	for k, v := range vars {
		if v == nil {
			delete(d.env, k)
		} else {
			d.env[k] = v.(string)
		}
	}
	r.fail(ok)
}

// getenv is routine 820.
func (r *request) getenv() {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	d, code := r.domain()
	name, isText := r.string("envvar")
	if code == ok && !isText {
		code = einval
	}
	if code != ok {
		r.fail(code)
		return
	}
	if v, set := d.env[name]; set {
		r.reply(dict{"value": v})
		return
	}
	r.fail(esrch)
}
