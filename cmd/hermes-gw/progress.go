package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hermes-gw/hermes-gw/launchd"
)

// quiet is how long nothing is said about a restart: most are over by then.
const quiet = 500 * time.Millisecond

// progress tells a person what is waited for. On a terminal it keeps one line up to date, which is
// gone when the report comes; on one that cannot do that (TERM=dumb), and with --verbose, it
// writes a line for each step. Anywhere else it says nothing.
type progress struct {
	w     io.Writer
	size  func(io.Writer) (columns, rows int)
	lines bool // a line for each step
	every *time.Ticker
	done  chan struct{}
	gone  chan struct{}

	mu    sync.Mutex
	start time.Time
	jobs  map[string]*waitedFor
	width int  // of the line that stands there
	over  bool // nothing more is written
}

// waitedFor is what a job waits for.
type waitedFor struct {
	since time.Time
	what  string // "" when it is done
}

// progress starts it.
func (c *command) progress() *progress {
	p := &progress{w: c.stderr, size: c.env.size, start: time.Now(), jobs: map[string]*waitedFor{}}
	person := !c.opts.json && c.env.terminal(c.stderr)
	switch {
	case c.opts.verbose:
		p.lines = true
	case !person:
		p.over = true
	case dumb(c.env.getenv(envTerm)):
		p.lines = true
	default:
		p.every, p.done, p.gone = time.NewTicker(100*time.Millisecond), make(chan struct{}), make(chan struct{})
		go p.keep()
	}
	return p
}

// dumb reports whether a terminal only prints what it is sent.
func dumb(term string) bool { return term == "" || term == "dumb" }

// event notes a step.
func (p *progress) event(e launchd.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return
	}
	what := stepWords(e)
	if e.Target.Domain.IsZero() { // the sweep's
		if p.lines {
			p.say("", what)
		}
		return
	}
	name := e.Target.String()
	job := p.jobs[name]
	if job == nil {
		job = &waitedFor{since: time.Now()}
		p.jobs[name] = job
	}
	if p.lines && what != "" {
		p.say(name, what)
	}
	switch e.Kind {
	case launchd.EventSpawned, launchd.EventReady:
		job.what = ""
	case launchd.EventRequested: // from now on launchd is at it
		job.what = "waits for launchd (" + e.Detail + ")"
	default:
		job.what = what
	}
}

// say writes a line.
func (p *progress) say(name, what string) {
	if name != "" {
		what = name + ": " + what
	}
	fmt.Fprintf(p.w, "hermes-gw: %s %s\n", took(time.Since(p.start)), shown(what))
}

// stepWords puts an event into words.
func stepWords(e launchd.Event) string {
	switch e.Kind {
	case launchd.EventRequested:
		return "asks launchd: " + e.Detail
	case launchd.EventSignaled:
		return fmt.Sprintf("process %d was sent %s", e.PID, e.Detail)
	case launchd.EventWaiting:
		return "waits for " + e.Detail
	case launchd.EventThrottled:
		return cmp.Or(e.Detail, "launchd holds the next start back")
	case launchd.EventExited:
		return fmt.Sprintf("process %d has exited", e.PID)
	case launchd.EventSpawned:
		return fmt.Sprintf("process %d is the job's now", e.PID)
	case launchd.EventReady:
		return fmt.Sprintf("process %d is ready", e.PID)
	}
	return string(e.Kind)
}

// keep keeps the line up to date.
func (p *progress) keep() {
	defer close(p.gone)
	for {
		select {
		case <-p.done:
			return
		case <-p.every.C:
		}
		p.mu.Lock()
		if time.Since(p.start) >= quiet && !p.over {
			p.put(p.text())
		}
		p.mu.Unlock()
	}
}

// text is the line: how many are done, and who has been waited for longest.
func (p *progress) text() string {
	var waiting []string
	for name, job := range p.jobs {
		if job.what != "" {
			waiting = append(waiting, name)
		}
	}
	if len(waiting) == 0 {
		return ""
	}
	slices.SortFunc(waiting, func(a, b string) int {
		return cmp.Or(p.jobs[a].since.Compare(p.jobs[b].since), strings.Compare(a, b))
	})
	job := p.jobs[waiting[0]]
	line := fmt.Sprintf("%s %s, %.0f s", shown(waiting[0]), shown(job.what), time.Since(job.since).Seconds())
	if all := len(p.jobs); all > 1 {
		line = fmt.Sprintf("%d of %d done; %s", all-len(waiting), all, line)
	}
	return line
}

// put replaces the line that stands there.
func (p *progress) put(line string) {
	most := 78
	if columns, _ := p.size(p.w); columns > 20 {
		most = columns - 2
	}
	if len(line) > most { // one that wraps cannot be taken back
		line = strings.ToValidUTF8(line[:most-3], "") + "..."
	}
	pad := max(p.width-len(line), 0)
	fmt.Fprintf(p.w, "\r%s%s", line, strings.Repeat(" ", pad))
	p.width = len(line)
}

// end takes the line away; nothing is written after it.
func (p *progress) end() {
	p.mu.Lock()
	over := p.over
	p.over = true
	if !over && p.width > 0 {
		p.put("")
		io.WriteString(p.w, "\r")
	}
	p.mu.Unlock()
	if !over && p.every != nil {
		p.every.Stop()
		close(p.done)
		<-p.gone
	}
}
