package launchdsim

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// situation is a state of the table brought about on a server of its own, with
// one job in it, called job.
type situation struct {
	*fixture
	plan
	control *client // for everything but the row's request
	plist   string
	label   string
	old     int           // the pid of the job's process when the row begins, 0 without one
	waiter  *client       // the connection of a request that waits already
	held    chan struct{} // closed: processes are reaped, or made, again
	leave   string        // FIFO that lets the job's process go
}

// plan is what a row's traits ask for, before there is a server.
type plan struct {
	opts         Options
	kind, handle uint64 // the job's domain
	keys         string // more plist keys
	program      func(*situation) string
	holdReaping  bool
	// broken writes another file in place of a sound plist.
	broken func(*situation)
}

func sleeps(*situation) string { return sleeper }

// holds answers SIGTERM by waiting for its permission to leave.
func holds(s *situation) string {
	return sh(`trap "read x < ` + s.leave + `; exit 0" TERM; echo up > ` + filepath.Join(s.dir, "up") + `; while :; do sleep 0.02; done`)
}

// ignores does not react to SIGTERM at all.
func ignores(s *situation) string {
	return sh(`trap "" TERM; echo up > ` + filepath.Join(s.dir, "up") + `; read x < ` + s.leave)
}

func exits(code string) func(*situation) string {
	return func(*situation) string { return sh("exit " + code) }
}

func key(name, value string) func(*plan) {
	return func(p *plan) { p.keys += "<key>" + name + "</key>" + value }
}

// file replaces the plist.
func file(mode os.FileMode, content string) func(*plan) {
	return func(p *plan) {
		p.broken = func(s *situation) {
			if err := os.WriteFile(s.plist, []byte(content), 0o600); err != nil {
				s.t.Fatal(err)
			}
			if err := os.Chmod(s.plist, mode); err != nil {
				s.t.Fatal(err)
			}
		}
	}
}

// traits are the words after a state in the table.
var traits = map[string]func(*plan){
	"holds":           func(p *plan) { p.program = holds },
	"ignores SIGTERM": func(p *plan) { p.program = ignores },
	"exits 3":         func(p *plan) { p.program = exits("3") },
	"exits 78":        func(p *plan) { p.program = exits("78") },
	"no program file": func(p *plan) {
		p.program = func(*situation) string { return "<key>Program</key><string>/nowhere/at/all</string>" }
	},
	"no program": func(p *plan) { p.program = func(*situation) string { return "" } },

	"keepalive":            key("KeepAlive", "<true/>"),
	"keepalive on failure": key("KeepAlive", "<dict><key>SuccessfulExit</key><false/></dict>"),
	"at load":              key("RunAtLoad", "<true/>"),
	"no throttle":          key("ThrottleInterval", "<integer>0</integer>"),
	"exit timeout 90":      key("ExitTimeOut", "<integer>90</integer>"),
	"disabled by its key":  key("Disabled", "<true/>"),
	"background":           key("LimitLoadToSessionType", "<string>Background</string>"),
	"logs":                 key("StandardOutPath", "<string>/dev/null</string>"),
	"unknown user":         key("UserName", "<string>nobody-at-all</string>"),

	"writable by all": file(0o666, ""),
	"empty":           file(0o600, ""),
	"OpenStep":        file(0o600, "{Label = job;}"),
	"no label":        file(0o600, "<plist><dict/></plist>"),
	"reserved label":  file(0o600, "<plist><dict><key>Label</key><string>a&lt;b</string></dict></plist>"),

	"user":   func(p *plan) { p.kind = domainUser },
	"system": func(p *plan) { p.kind, p.handle = domainSystem, 0 },
	"pid":    func(p *plan) { p.kind = domainPID },

	"window":     func(p *plan) { p.opts.SpawnWindow = time.Hour },
	"denies":     func(p *plan) { p.opts.SpawnWindowDenies = true },
	"old number": func(p *plan) { p.opts.AlreadyLoaded = 17 },
	"702 denied": func(p *plan) { p.opts.Deny = []uint64{702} },
	"no reaping": func(p *plan) { p.holdReaping = true },
}

// states are the first words of a row. Each has traits of its own and what it does
// once the plist is written.
var states = map[string]struct {
	traits []func(*plan)
	enter  func(*situation)
}{
	"not loaded": {nil, func(*situation) {}},
	"no gui":     {[]func(*plan){func(p *plan) { p.opts.NoGUI = true }}, func(*situation) {}},
	"no gui, 112": {[]func(*plan){func(p *plan) { p.opts.NoGUI, p.opts.NoGUIError = true, 112 }},
		func(*situation) {}},
	"never ran": {nil, (*situation).load},
	"ran": {nil, func(s *situation) {
		s.kickstart()
		s.signal(9)
		s.waitState(0, s.label, exited)
		s.old = 0
	}},
	"ran out": {nil, func(s *situation) { // by itself
		s.load()
		s.must(702, s.job())
		s.waitState(0, s.label, exited)
	}},
	"spawn scheduled": {nil, func(s *situation) { // by KeepAlive
		s.kickstart()
		s.signal(9)
		s.waitState(0, s.label, spawnScheduled)
		s.old = 0
	}},
	"spawn awaited": {nil, func(s *situation) { // by a request that waits
		s.kickstart()
		s.signal(9)
		_, from := s.waitState(0, s.label, exited)
		s.old = 0
		s.waits(nil)
		s.waitState(from, s.label, spawnScheduled)
	}},
	"penalty box": {nil, func(s *situation) {
		s.load()
		s.SetPenaltyBox(fmt.Sprintf("gui/%d", os.Geteuid()), s.label, true)
	}},
	"pended": {[]func(*plan){func(p *plan) { p.opts.OnDemandOnly = true }, traits["at load"]}, (*situation).load},
	"spawning": {nil, func(s *situation) {
		s.load()
		s.spawner.work <- func() { <-s.held }
		s.waits(nil)
		s.waitState(0, s.label, spawning)
	}},
	"xpcproxy": {[]func(*plan){traits["window"]}, (*situation).kickstart},
	"running":  {nil, (*situation).kickstart},
	"SIGTERMed": {[]func(*plan){traits["holds"]}, func(s *situation) {
		s.kickstart()
		s.waits(dict{"kill": true, "unthrottle": true})
		s.waitState(0, s.label, sigtermed)
	}},
	"removing": {[]func(*plan){traits["holds"]}, func(s *situation) {
		s.kickstart()
		s.must(801, s.job(), dict{"no-einprogress": true})
		s.waitState(0, s.label, sigtermed)
	}},
	"SIGKILLed": {[]func(*plan){traits["no reaping"]}, (*situation).kill},
	"languishing": {[]func(*plan){traits["no reaping"]}, func(s *situation) {
		s.kill()
		s.time()
		s.waitState(0, s.label, languishing)
	}},
	"domain tearing down": {[]func(*plan){traits["holds"]}, func(s *situation) {
		s.kickstart()
		s.must(801, s.domain())
		s.waitState(0, s.label, sigtermed)
	}},
	"domain gone": {nil, func(s *situation) {
		s.load()
		s.must(801, s.domain())
	}},
}

// enter brings r's state about.
func enter(t *testing.T, r row) *situation {
	t.Helper()
	base, known := states[r.state]
	if !known {
		t.Fatalf("no state %q", r.state)
	}
	// The timers of a row never run out by themselves.
	p := plan{opts: Options{TimeScale: 1000}, kind: domainGUI, handle: uint64(os.Geteuid()), program: sleeps}
	for _, apply := range base.traits {
		apply(&p)
	}
	for _, name := range r.traits {
		apply, known := traits[name]
		if !known {
			t.Fatalf("no trait %q", name)
		}
		apply(&p)
	}
	s := &situation{fixture: newFixture(t, p.opts), plan: p, label: "job", held: make(chan struct{})}
	s.leave = s.fifo("leave")
	s.fifo("up")
	if p.holdReaping {
		s.Server.mu.Lock()
		s.beforeReap = func() { <-s.held }
		s.Server.mu.Unlock()
	}
	if p.kind == domainPID {
		s.adoptDomain()
	}
	t.Cleanup(func() {
		s.unhold()
		s.tells[s.leave].WriteString(strings.Repeat("now\n", 8))
		s.Close() // while the FIFO is still open
	})
	s.control = s.dial()
	s.plist = s.write(s.label, p.program(s)+p.keys)
	if p.broken != nil {
		p.broken(s)
	}
	base.enter(s)
	return s
}

// adoptDomain makes the process whose domain the job lives in.
func (s *situation) adoptDomain() {
	owner := exec.Command("/bin/sleep", "1000")
	if err := owner.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.handle = uint64(owner.Process.Pid)
	s.t.Cleanup(func() {
		owner.Process.Kill()
		owner.Wait()
	})
}

func (s *situation) domain() dict { return dict{"type": s.kind, "handle": s.handle} }

func (s *situation) job() dict { return dict{"type": s.kind, "handle": s.handle, "name": s.label} }

// must sends a request that has to succeed.
func (s *situation) must(number uint64, d dict, more ...dict) dict {
	s.t.Helper()
	for _, m := range more {
		for k, v := range m {
			d[k] = v
		}
	}
	reply := s.control.call(number, d)
	if code(reply) != 0 || reply["errors"] != nil {
		s.t.Fatalf("on the way to the state: %d %v: %v", number, d, reply)
	}
	return reply
}

func (s *situation) load() {
	s.t.Helper()
	if s.kind == domainSystem && os.Geteuid() != 0 {
		// Nobody but root may do this by a request.
		s.Server.mu.Lock()
		d := s.domains[domainKey{domainSystem, 0}]
		s.Server.mu.Unlock()
		if failed := s.bootstrapPath(d, s.plist); len(failed) > 0 {
			s.t.Fatal(failed)
		}
		return
	}
	s.must(800, s.domain(), dict{"paths": []any{s.plist}})
}

// kickstart loads the job and starts it, and waits until its program is ready.
func (s *situation) kickstart() {
	s.t.Helper()
	s.load()
	pid, _ := s.must(702, s.job())["pid"].(int64)
	s.old = int(pid)
	if strings.Contains(s.program(s), "echo up") {
		s.read(filepath.Join(s.dir, "up"))
	}
}

func (s *situation) signal(number int64) {
	s.t.Helper()
	s.must(812, s.job(), dict{"signal": number})
}

// kill brings the job from running to SIGKILLed by a request that waits on.
func (s *situation) kill() {
	s.t.Helper()
	s.kickstart()
	s.waits(dict{"kill": true, "unthrottle": true})
	s.waitState(0, s.label, sigtermed)
	s.time()
	s.waitState(0, s.label, sigkilled)
}

// waits sends a kickstart that is not answered yet.
func (s *situation) waits(more dict) {
	s.t.Helper()
	s.waiter = s.dial()
	d := s.job()
	for k, v := range more {
		d[k] = v
	}
	s.waiter.send(702, d)
}

// find returns the job, nil if it is not loaded. The caller holds the lock.
func (s *situation) find() *job {
	for _, d := range s.domains {
		if j := d.jobs[s.label]; j != nil {
			return j
		}
	}
	return nil
}

// time lets the job's timer run out: the throttle, the exit timeout, the bound on
// SIGKILL, the spawn window, whichever it is.
func (s *situation) time() {
	s.t.Helper()
	s.Server.mu.Lock()
	defer s.Server.mu.Unlock()
	j := s.find()
	if j == nil || j.timer == nil {
		s.t.Fatal("no timer runs")
	}
	j.timer.Reset(0)
}

// letGo lets the process end, or come about.
func (s *situation) letGo() {
	s.t.Helper()
	s.tell(s.leave)
	s.unhold()
}

func (s *situation) unhold() {
	select {
	case <-s.held:
	default:
		close(s.held)
	}
}

// parked returns how many requests wait on the job.
func (s *situation) parked() int {
	s.Server.mu.Lock()
	defer s.Server.mu.Unlock()
	j := s.find()
	if j == nil {
		return 0
	}
	return len(j.onSpawn) + len(j.onExit) + len(j.deferred)
}
