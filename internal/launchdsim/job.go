package launchdsim

import (
	"fmt"
	"syscall"
	"time"
)

// job is one loaded service. The server's lock guards all of it; every method
// here is called with the lock held, and none of them blocks.
type job struct {
	s   *Server
	d   *domain
	def *definition

	state  state
	proc   *process    // nil without one
	timer  *time.Timer // throttle or exit timeout, whichever state it is
	reason spawnReason // of the last spawn
	runs   int
	ended  bool               // it has run and exited at least once
	status syscall.WaitStatus // of the last exit

	spawned  time.Time // the last spawn, for the throttle; zero before the first
	skip     bool      // unthrottle: the next spawn skips the minimum runtime
	demanded bool      // it was started explicitly once

	crashes  int           // unsuccessful ends in a row
	pended   spawnReason   // a start that the domain's on-demand-only mode holds back
	penalty  bool          // in the penalty box: not started until unthrottled
	interval *time.Timer   // StartInterval
	pin      *codeIdentity // of the program when the job was loaded, see Options.PinCode

	stopWhenSpawned bool // a stop came while there was no pid yet
	removing        bool // booted out; it goes when its process has gone
	removed         bool

	// Requests that wait. Each is called once, with the lock held: the code is ok
	// or why there is nothing more to wait for.
	onSpawn  []func(errno) // the spawn attempt is over
	onExit   []func(errno) // the process is gone and KeepAlive was evaluated
	deferred []func()      // came while spawning; also run if the job is removed
}

// lingerAfter is how long a process may outlive SIGKILL before launchd calls it
// languishing. The real bound is not public.
const lingerAfter = 5 * time.Second

func (j *job) String() string { return j.d.String() + "/" + j.def.label }

func (j *job) pid() int {
	if j.proc == nil {
		return 0
	}
	return j.proc.pid
}

func (j *job) logf(level, format string, args ...any) {
	subject := j.String()
	if pid := j.pid(); pid != 0 {
		subject += fmt.Sprintf(" [%d]", pid)
	}
	j.s.journal.logf(subject, level, format, args...)
}

func (j *job) trace(e Event) {
	e.Domain, e.Label = j.d.String(), j.def.label
	j.s.journal.event(e)
}

// move takes the job along one edge of the table in state.go.
func (j *job) move(e event) {
	from := j.state
	j.state = from.next(e)
	j.logf("Notice", "service state: %s", j.state)
	j.trace(Event{Kind: "state", From: from.String(), To: j.state.String(), PID: j.pid()})
}

// start brings a process about. ok never comes back: the spawn happens elsewhere,
// so the answer to a start that goes well is 36, and who wants to know more waits
// on onSpawn. What forbids a start is checked in launchd's order.
func (j *job) start(why spawnReason, unthrottle bool) errno {
	if j.removing || j.d.gone.Load() {
		return tearingDown
	}
	if unthrottle {
		j.penalty = false
	}
	switch {
	case j.penalty:
		return cannotExecute
	case j.def.once && j.runs > 0:
		// Which number launchd gives here is not known.
		return cannotExecute
	case j.d.onDemandOnly && !why.demand():
		j.pended = why
		j.logf("Notice", "pending spawn, domain in on-demand-only mode: %s", j.def.label)
		return einprogress
	}
	switch j.state {
	case spawning:
		return einprogress
	case spawnScheduled:
		if !unthrottle {
			return einprogress
		}
		j.logf("Notice", "canceling throttled spawn")
		j.stopTimer()
		j.fireSpawn(ecanceled)
		j.reason = why
		j.launch(evTimer)
		return einprogress
	}
	j.reason = why
	if wait := j.throttled(); wait > 0 {
		j.logf("Notice", "Service only ran for %d seconds. Pushing respawn out by %d seconds.",
			int(time.Since(j.spawned).Seconds()), int(wait.Seconds()+0.5))
		j.move(evThrottle)
		j.after(wait, func() {
			j.launch(evTimer)
		})
		return einprogress
	}
	j.launch(evDemand)
	return einprogress
}

// launch takes the job to state spawning and asks the spawner for the process.
func (j *job) launch(e event) {
	j.skip = false
	j.pended = reasonNone
	j.logf("Notice", "internal event: WILL_SPAWN, code = 0")
	j.move(e)
	j.logf("Notice", "launching: %s", j.reason)
	j.s.live.Add(1)
	j.s.spawner.start(j.command(), func(p *process, err error) {
		j.s.mu.Lock()
		defer j.s.mu.Unlock()
		j.spawned = time.Now()
		if err != nil {
			j.failed(err)
			return
		}
		j.running(p)
		go j.reap(p)
	})
}

// running takes over the new process. Whoever waited for the spawn is answered
// before the program runs: launchd's reply comes in state xpcproxy.
func (j *job) running(p *process) {
	j.logf("Notice", "xpcproxy spawned with pid %d", p.pid)
	j.proc = p
	j.runs++
	j.logf("Notice", "internal event: SPAWNED, code = 0")
	j.move(evSpawned)
	j.trace(Event{Kind: "spawn", PID: p.pid})
	j.fireSpawn(ok)
	switch window := j.s.opts.SpawnWindow; {
	case p.stillborn:
	case window > 0:
		j.after(window, j.init)
	default:
		j.init()
	}
	if j.stopWhenSpawned {
		j.stopWhenSpawned = false
		j.end()
	}
	j.redeliver()
}

func (j *job) init() {
	j.logf("Notice", "internal event: SOURCE_ATTACH, code = 0")
	j.move(evInit)
	j.logf("Notice", "internal event: INIT, code = 0")
	j.logf("Notice", "Successfully spawned %s[%d] because %s", j.def.program, j.pid(), j.reason)
}

// end stops a process that is there and is not being stopped yet.
func (j *job) end() {
	if j.state == xpcproxy {
		j.logf("Notice", "aborting trampoline")
		j.stopTimer()
		j.killNow()
		return
	}
	j.terminate()
}

// failed is for a system that cannot make processes at all; a program that cannot
// be executed still gets a process, which exits with 78.
func (j *job) failed(err error) {
	defer j.s.live.Done()
	j.stopWhenSpawned = false
	j.move(evFailed)
	j.logf("Error", "could not spawn: %v", err)
	code := eio
	if j.removing {
		code = tearingDown
	}
	j.fireSpawn(code)
	if j.removing {
		j.remove()
	}
	j.redeliver()
	if !j.removed && j.state == notRunning && j.def.keepAlive.set() {
		j.reason = reasonRetry
		j.move(evThrottle)
		j.after(max(j.s.scaled(j.def.throttle), time.Second), func() {
			j.launch(evTimer)
		})
	}
}

// stop is what kickstart's kill and bootout do to the process: SIGTERM, the exit
// timeout, SIGKILL. The codes are launchd's own.
func (j *job) stop() errno {
	switch j.state {
	case spawnScheduled:
		j.stopTimer()
		j.move(evCancel)
		j.fireSpawn(ecanceled)
		return ecanceled
	case spawning:
		if j.stopWhenSpawned {
			return ealready
		}
		j.stopWhenSpawned = true
		return einprogress
	case xpcproxy:
		if j.s.opts.SpawnWindowDenies && !j.removing {
			return eperm
		}
		j.end()
		return ok
	case running:
		j.end()
		return ok
	case languishing:
		return ebusy
	}
	return ealready
}

// terminate sends SIGTERM and starts the exit timeout. The signal goes to the
// process alone, but to its whole group when the server itself is ending.
func (j *job) terminate() {
	j.signal(syscall.SIGTERM, j.s.closing)
	j.move(evStop)
	timeout := j.def.exitTimeout(j.d.key.kind)
	if timeout == 0 && j.s.closing {
		timeout = defaultExitTimeOut
	}
	if timeout == 0 {
		return
	}
	j.logf("Notice", "scheduling cleanup in %d sec after sending Terminated: 15", int(timeout.Seconds()))
	j.after(j.s.scaled(timeout), func() {
		j.logf("Error", "Service did not exit %d seconds after SIGTERM. Sending SIGKILL.", int(timeout.Seconds()))
		j.killNow()
	})
}

func (j *job) killNow() {
	j.signal(syscall.SIGKILL, j.s.closing)
	j.move(evAbort)
	j.after(j.s.scaled(lingerAfter), func() {
		j.move(evLinger)
		j.logf("Error", "service did not exit after SIGKILL, languishing")
	})
}

// signal cannot hit a stranger: the process is reaped under the same lock.
func (j *job) signal(sig syscall.Signal, group bool) errno {
	pid := j.pid()
	if pid == 0 {
		return esrch
	}
	j.trace(Event{Kind: "signal", PID: pid, Signal: int(sig)})
	to := pid
	if group {
		to = -pid
	}
	if err := syscall.Kill(to, sig); err != nil {
		return esrch
	}
	j.logf("Notice", "signaled service: %s", describeSignal(sig))
	return ok
}

// reap waits for the end of p and handles it.
func (j *job) reap(p *process) {
	p.wait()
	if j.s.beforeReap != nil {
		j.s.beforeReap()
	}
	j.s.mu.Lock()
	// The dead leader still holds its pid, so the group is certainly its own.
	if !j.def.abandon {
		syscall.Kill(-p.pid, syscall.SIGTERM)
	}
	status := p.reap()
	j.gone(status)
	closing := j.s.closing
	j.s.mu.Unlock()
	if closing && !j.def.abandon {
		p.endGroup(min(j.s.scaled(defaultExitTimeOut), defaultExitTimeOut))
	}
	j.s.live.Done()
}

// gone is the exit path: KeepAlive is evaluated first, and whoever waited for the
// exit looks at what came of it.
func (j *job) gone(status syscall.WaitStatus) {
	raw := int(status)
	stopped := j.state == sigtermed || j.state == sigkilled || j.state == languishing
	by := ""
	if stopped && status.Signaled() {
		by = fmt.Sprintf(" | sent by launchd[%d]", j.s.pid)
	}
	j.logf("Notice", "service exited: dirty = 0, supported pressured-exit = 0")
	j.logf("Notice", "exited due to %s%s, ran for %dms", describeExit(status), by, time.Since(j.spawned).Milliseconds())
	j.trace(Event{Kind: "exit", PID: j.pid(), Status: &raw})
	j.stopTimer()
	j.countCrash(status, stopped)
	j.ended, j.status = true, status
	j.proc = nil
	j.move(evExited)
	j.logf("Notice", "internal event: EXITED, code = 0")
	j.move(evCleaned)
	waiting := j.onExit
	j.onExit = nil
	if j.removing {
		j.remove()
	} else if again, why := j.def.keepAlive.afterExit(status); again && (j.demanded || !j.def.keepAlive.afterDemand) {
		j.start(why, false)
	}
	for _, f := range waiting {
		if j.removed {
			f(tearingDown)
		} else {
			f(ok)
		}
	}
}

// bootOut removes the job, now or when its process has gone: 36 says later.
func (j *job) bootOut() errno {
	if j.removing {
		return einprogress
	}
	j.removing = true
	j.stop()
	if j.state == notRunning {
		j.remove()
		return ok
	}
	return einprogress
}

// tearDown is bootOut for the end of the domain.
func (j *job) tearDown() { j.bootOut() }

func (j *job) remove() {
	j.removed = true
	if j.interval != nil {
		j.interval.Stop()
	}
	if j.d.jobs[j.def.label] == j {
		delete(j.d.jobs, j.def.label)
		j.d.inOrder = nil
	}
	j.logf("Notice", "removing service")
	j.fireSpawn(tearingDown)
}

func (j *job) fireSpawn(code errno) {
	waiting := j.onSpawn
	j.onSpawn = nil
	for _, f := range waiting {
		f(code)
	}
}

// settled runs f now, or after the spawn if the job is spawning: launchd parks
// messages to a service then.
func (j *job) settled(f func()) {
	if j.state == spawning {
		j.deferred = append(j.deferred, f)
		return
	}
	f()
}

// redeliver runs the requests that came while the job was spawning.
func (j *job) redeliver() {
	waiting := j.deferred
	j.deferred = nil
	for _, f := range waiting {
		f()
	}
}

// after runs f under the lock, unless stopTimer came first.
func (j *job) after(d time.Duration, f func()) {
	var t *time.Timer
	t = time.AfterFunc(d, func() {
		j.s.mu.Lock()
		defer j.s.mu.Unlock()
		if j.timer == t {
			j.timer = nil
			f()
		}
	})
	j.timer = t
}

func (j *job) stopTimer() {
	if j.timer != nil {
		j.timer.Stop()
		j.timer = nil
	}
}

// everyInterval is StartInterval: an explicit start every so often, left out while
// the job runs.
func (j *job) everyInterval() {
	j.interval = time.AfterFunc(j.s.scaled(j.def.interval), func() {
		j.s.mu.Lock()
		defer j.s.mu.Unlock()
		if j.removing || j.d.gone.Load() {
			return
		}
		if j.state == notRunning {
			j.start(reasonInterval, false)
		}
		j.everyInterval()
	})
}
