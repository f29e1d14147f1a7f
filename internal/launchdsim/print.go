package launchdsim

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// page builds print's text: tab-indented blocks of "key = value".
type page struct {
	b     strings.Builder
	depth int
}

func (p *page) line(format string, args ...any) {
	p.b.WriteString(strings.Repeat("\t", p.depth))
	fmt.Fprintf(&p.b, format, args...)
	p.b.WriteByte('\n')
}

// row writes a row of the services block: two numbers, right-aligned in 8 and 6 columns, and
// the label. There can be thousands, so it does without fmt.
func (p *page) row(j *job) {
	var number [20]byte
	p.b.WriteString("\t\t")
	p.right(8, strconv.AppendInt(number[:0], int64(j.pid()), 10))
	p.b.WriteByte(' ')
	p.right(6, j.appendLastStatus(number[:0]))
	p.b.WriteString(" \t")
	p.b.WriteString(j.def.label)
	p.b.WriteByte('\n')
}

func (p *page) right(width int, s []byte) {
	const spaces = "        "
	p.b.WriteString(spaces[:max(0, width-len(s))])
	p.b.Write(s)
}

func (p *page) blank() { p.b.WriteByte('\n') }

func (p *page) open(title string) {
	p.line("%s = {", title)
	p.depth++
}

func (p *page) close() {
	p.depth--
	p.line("}")
}

func (p *page) pairs(title string, m map[string]string) {
	p.open(title)
	for _, k := range slices.Sorted(maps.Keys(m)) {
		p.line("%s => %s", k, m[k])
	}
	p.close()
	p.blank()
}

func (p *page) optional(key, value string) {
	if value != "" {
		p.line("%s = %s", key, value)
	}
}

// print gives routine 708's text, fields in the order of the printing code of
// launchd 26.1. It shows the plist's values, whatever the time scale.
func (j *job) print() string {
	var p page
	def, pid := j.def, j.pid()
	p.open(j.String())
	active := 0
	if pid != 0 {
		active = 1
	}
	p.line("active count = %d", active)
	p.line("path = %s", def.path)
	kind := "LaunchAgent"
	if j.d.key.kind == domainSystem {
		kind = "LaunchDaemon"
	}
	p.line("type = %s", kind)
	p.line("state = %s", j.state)
	p.blank()
	p.line("program = %s", def.program)
	p.open("arguments")
	for _, a := range def.arguments {
		p.line("%s", a)
	}
	p.close()
	p.blank()
	p.optional("working directory", def.dir)
	p.optional("stdin path", def.stdin)
	p.optional("stdout path", def.stdout)
	p.optional("stderr path", def.stderr)
	p.pairs("inherited environment", j.d.env)
	p.pairs("default environment", map[string]string{"PATH": defaultPath})
	env := maps.Clone(def.env)
	if env == nil {
		env = map[string]string{}
	}
	env["XPC_SERVICE_NAME"] = def.label
	p.pairs("environment", env)
	switch j.d.key.kind {
	case domainGUI:
		p.line("domain = %s [%d]", j.d, j.s.opts.ASID)
		p.line("asid = %d", j.s.opts.ASID)
	default:
		p.line("domain = %s", j.d)
	}
	p.line("minimum runtime = %d", int(j.minimumRuntime()/time.Second))
	p.line("base minimum runtime = %d", int(def.throttle/time.Second))
	p.line("exit timeout = %d", int(def.exitTimeout(j.d.key.kind)/time.Second))
	p.line("runs = %d", j.runs)
	if def.backOff || j.crashes > 0 {
		p.line("successive crashes = %d", j.crashes)
	}
	if pid != 0 {
		p.line("pid = %d", pid)
		p.line("immediate reason = %s", j.reason)
		p.line("forks = 0")
		p.line("execs = 1")
		p.line("initialized = 1")
		p.line("trampolined = 1")
		p.line("started suspended = 0")
		p.line("proxy started suspended = 0")
	}
	if j.pended != reasonNone {
		p.line("pended nondemand spawn = %s", j.pended)
	}
	p.line("%s", describeLastExit(j))
	p.blank()
	if rows := def.keepAlive.semaphores(); len(rows) > 0 {
		p.open("semaphores")
		for _, row := range rows {
			p.line("%s", row)
		}
		p.close()
		p.blank()
	}
	p.line("spawn type = daemon (3)")
	p.line("jetsam priority = 40")
	p.line("jetsam memory limit (active) = (unlimited)")
	p.line("jetsam memory limit (inactive) = (unlimited)")
	p.line("jetsamproperties category = daemon")
	p.line("jetsam thread limit = 32")
	p.line("cpumon = default")
	if def.interval > 0 {
		p.line("run interval = %d seconds", int(def.interval/time.Second))
	}
	p.blank()
	p.line("properties = %s", strings.Join(j.properties(), " | "))
	p.close()
	return p.b.String()
}

func (j *job) properties() (words []string) {
	for _, property := range []struct {
		word string
		set  bool
	}{
		{"keepalive", j.def.keepAlive.always},
		{"runatload", j.def.runAtLoad},
		{"abandon process group", j.def.abandon},
		{"penalty box", j.penalty},
		{"launch only once", j.def.once},
		{"inferred program", j.def.inferred},
		{"has spawn constraint", j.pin != nil},
		{"exponential throttling", j.def.backOff},
	} {
		if property.set {
			words = append(words, property.word)
		}
	}
	return words
}

// printDomain is routine 828.
func (r *request) printDomain() {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	var text string
	switch d, code := r.domain(); {
	case code != ok:
		r.fail(code)
		return
	case r.bool("version"):
		text = "Darwin Bootstrapper Version 7.0.0: the embedded launchd of hermes-gw\n"
	case r.bool("disabled"):
		var p page
		d.printDisabled(&p)
		text = p.b.String()
	default:
		text = d.print()
	}
	go r.replyText(text)
}

// print gives routine 828's text.
func (d *domain) print() string {
	var p page
	active := 0
	for _, j := range d.jobs {
		if j.pid() != 0 {
			active++
		}
	}
	p.open(d.String())
	session := "Background"
	switch d.key.kind {
	case domainSystem:
		session = "System"
		p.line("type = system")
		p.line("handle = 0")
	case domainPID:
		p.line("type = pid")
		p.line("handle = %d", d.key.id)
	case domainUser:
		p.line("type = user")
		p.line("handle = %d", d.key.id)
	default:
		session = "Aqua"
		p.line("type = login")
		p.line("handle = %d", d.s.opts.ASID)
	}
	p.line("active count = %d", active+1)
	p.line("service count = %d", len(d.jobs))
	p.line("active service count = %d", active)
	p.line("creator = launchdsim[%d]", d.s.pid)
	p.line("creator euid = %d", d.s.uid)
	p.line("session = %s", session)
	p.open("security context")
	p.line("uid = %d", max(d.key.id, 0))
	p.line("asid = %d", d.s.opts.ASID)
	p.close()
	p.blank()
	p.open("services")
	rows := d.sorted()
	p.b.Grow(64 * len(rows))
	for _, j := range rows {
		p.row(j)
	}
	p.close()
	p.blank()
	p.open("unmanaged processes")
	p.close()
	p.blank()
	p.open("endpoints")
	p.close()
	p.blank()
	d.printDisabled(&p)
	p.blank()
	p.line("properties = ")
	p.close()
	return p.b.String()
}

func (d *domain) printDisabled(p *page) {
	p.open("disabled services")
	for _, label := range slices.Sorted(maps.Keys(d.overrides)) {
		word := "disabled"
		if d.overrides[label] {
			word = "enabled"
		}
		p.line("%q => %s", label, word)
	}
	p.close()
}

// appendLastStatus appends the middle column of a services row: "-" for a job that never
// exited, an exit code, a negative signal.
func (j *job) appendLastStatus(b []byte) []byte {
	switch {
	case !j.ended:
		return append(b, '-')
	case j.status.Signaled():
		return strconv.AppendInt(b, -int64(darwinNumber(j.status.Signal())), 10)
	}
	return strconv.AppendInt(b, int64(j.status.ExitStatus()), 10)
}
