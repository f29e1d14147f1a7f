package launchdsim

import (
	"os"
	"sort"
	"syscall"
)

// service finds the job that a 7xx request means and runs f on it under the
// lock, once the job has settled.
func (r *request) service(f func(*job)) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	j, code := r.lookup()
	if code != ok {
		r.fail(code)
		return
	}
	r.onJob(j, f)
}

// onJob runs f on j once it has settled; a job that is removed meanwhile is gone
// for the request as for anybody else.
func (r *request) onJob(j *job, f func(*job)) {
	if j.state == spawning {
		j.logf("Debug", "Deferring IPC (%d) while service is spawning", r.routine)
	}
	j.settled(func() {
		if j.removed {
			r.fail(noService)
			return
		}
		f(j)
	})
}

// lookup finds the job by "pid", or by domain and "name". A pid in the request
// is looked at first, as launchd does.
func (r *request) lookup() (*job, errno) {
	if pid, set := r.args["pid"].(int64); set {
		for _, d := range r.s.domains {
			for _, j := range d.jobs {
				if pid > 0 && j.pid() == int(pid) {
					return j, ok
				}
			}
		}
		return nil, noService
	}
	d, code := r.domain()
	if code != ok {
		return nil, code
	}
	return r.named(d, noService)
}

// named finds the job "name" of d; missing is the answer when it is not there.
func (r *request) named(d *domain, missing errno) (*job, errno) {
	name, isText := r.string("name")
	if !isText {
		return nil, einval
	}
	if j := d.jobs[name]; j != nil {
		return j, ok
	}
	return nil, missing
}

// kickstart is routine 702. Its answer is the pid of the job's process: of the
// one that runs already if kill is not set, else of the one that follows.
func (r *request) kickstart() {
	r.service(func(j *job) {
		if j.d.key.kind == domainSystem && !r.root {
			r.fail(eperm)
			return
		}
		unthrottle := r.bool("unthrottle")
		if unthrottle {
			j.skip = true
		}
		j.demanded = true
		if r.bool("kill") && j.pid() != 0 {
			if code := j.stop(); code != ok {
				r.fail(code)
				return
			}
			// From here on the request is one without kill.
			j.onExit = append(j.onExit, func(code errno) { r.kickstarted(j, unthrottle, code) })
			return
		}
		r.kickstarted(j, unthrottle, ok)
	})
}

// kickstarted answers with the pid, as soon as there is one.
func (r *request) kickstarted(j *job, unthrottle bool, code errno) {
	switch {
	case code == tearingDown:
		// launchd turns its internal 124 into a success without a process.
		r.reply(dict{"pid": int64(0)})
	case code != ok:
		r.fail(code)
	case j.pid() != 0:
		r.reply(dict{"pid": int64(j.pid())})
	default:
		again := func(code errno) { r.kickstarted(j, unthrottle, code) }
		if j.state == spawning {
			j.onSpawn = append(j.onSpawn, again)
			return
		}
		if code := j.start(reasonDemand, unthrottle); code != einprogress {
			r.kickstarted(j, unthrottle, code)
			return
		}
		j.onSpawn = append(j.onSpawn, again)
	}
}

// blame is routine 707.
func (r *request) blame() {
	r.service(func(j *job) { r.reply(dict{"reason": j.reason.String()}) })
}

// printService is routine 708. A job that is loaded answers 22 to a request that
// brings no memory for the text, which makes a cheap probe.
func (r *request) printService() {
	r.service(func(j *job) {
		text := j.print()
		go r.replyText(text)
	})
}

// attributes is routine 712.
func (r *request) attributes() {
	r.service(func(j *job) {
		attrs := dict{
			"label":       j.def.label,
			"program":     j.def.program,
			"path":        j.def.path,
			"keep-alive":  j.def.keepAlive.set(),
			"run-at-load": j.def.runAtLoad,
		}
		if pid := j.pid(); pid != 0 {
			attrs["pid"] = int64(pid)
		}
		r.reply(dict{"attrs": attrs})
	})
}

// listEntry is a job in the reply of routine 815 for one job.
func (j *job) listEntry() dict {
	d := dict{
		"Label":          j.def.label,
		"OnDemand":       !j.def.keepAlive.always,
		"LastExitStatus": rawStatus(j.status),
		"Program":        j.def.program,
	}
	arguments := []any{}
	for _, a := range j.def.arguments {
		arguments = append(arguments, a)
	}
	d["ProgramArguments"] = arguments
	d["LimitLoadToSessionType"] = map[uint64]string{domainSystem: "System", domainUser: "Background", domainGUI: "Aqua"}[j.d.key.kind]
	for key, value := range map[string]string{"StandardInPath": j.def.stdin, "StandardOutPath": j.def.stdout, "StandardErrorPath": j.def.stderr} {
		if value != "" {
			d[key] = value
		}
	}
	if pid := j.pid(); pid != 0 {
		d["PID"] = int64(pid)
	}
	return d
}

// command is what the spawner needs to start the job.
func (j *job) command() command {
	c := command{
		program: j.def.program,
		argv:    j.def.arguments,
		dir:     j.def.dir,
		stdin:   j.def.stdin,
		stdout:  j.def.stdout,
		stderr:  j.def.stderr,
	}
	if c.dir == "" {
		c.dir = "/"
	}
	env := j.environment()
	for k, v := range env {
		c.env = append(c.env, k+"="+v)
	}
	sort.Strings(c.env)
	if j.violates() {
		j.logf("Error", "CODESIGNING code 4, Launch Constraint Violation: %s is not what it was when the job was loaded", j.def.program)
		return killedAtOnce
	}
	switch {
	case j.d.key.kind != domainSystem:
		c.as = j.s.as
	case os.Geteuid() == 0:
		c.as = j.def.as
	}
	return c.limited(j.def.limits)
}

// environment is what the job's process gets: launchd's own few variables, those
// that setenv put into the domain, the plist's.
func (j *job) environment() map[string]string {
	env := map[string]string{"PATH": defaultPath, "TMPDIR": os.TempDir()}
	for k, v := range j.s.login {
		env[k] = v
	}
	for k, v := range j.d.env {
		env[k] = v
	}
	for k, v := range j.def.env {
		env[k] = v
	}
	env["XPC_SERVICE_NAME"] = j.def.label
	env["XPC_FLAGS"] = "0x0"
	return env
}

// sendSignal is routine 812's effect.
func (j *job) sendSignal(number int64) errno {
	sig, known := darwinSignals[number]
	if !known {
		return einval
	}
	return j.signal(syscall.Signal(sig.host), false)
}
