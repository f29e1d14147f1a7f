package launchdsim

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/xpcwire"
)

// minRows is how many rows the table must have at least.
const minRows = 120

// TestConformance holds the model to launchd's known behaviour, row by row: in
// the row's state, the request gets the row's answer over the socket, and the job
// goes through the row's states. Each row runs in both request styles.
func TestConformance(t *testing.T) {
	rows, lines := readTable(t)
	t.Logf("%d rows, %d requests", lines, len(rows))
	if lines < minRows {
		t.Errorf("the table has %d rows, at least %d are wanted", lines, minRows)
	}
	for _, style := range []string{"number", "dictionary"} {
		for _, r := range rows {
			t.Run(r.name(style), func(t *testing.T) {
				t.Parallel()
				r.run(t, style)
			})
		}
	}
}

// Every routine that the model answers and every state that a job can be in
// stands in the table.
func TestConformanceCoverage(t *testing.T) {
	rows, _ := readTable(t)
	asked, shown := map[string]bool{}, map[string]bool{}
	for _, r := range rows {
		number, _, _ := strings.Cut(r.requests[len(r.requests)-1], " ")
		asked[number] = true
		for _, step := range r.next {
			shown[step] = true
		}
	}
	for number := range routines {
		if !asked[fmt.Sprint(number)] {
			t.Errorf("no row about routine %d", number)
		}
	}
	for number := range unsupported {
		if !asked[fmt.Sprint(number)] {
			t.Errorf("no row about routine %d", number)
		}
	}
	for _, s := range stateWords {
		if !shown[s] {
			t.Errorf("no row leads to state %q", s)
		}
	}
}

func (r row) run(t *testing.T, style string) {
	s := enter(t, r)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s:%d: %v", conformanceTable, r.line, r)
		}
	})
	loaded := int64(22) // the probe's answer
	if r.state != "spawning" {
		loaded = s.probe()
	}
	from := s.seen()
	for _, text := range r.requests[:len(r.requests)-1] {
		q := s.request(text, style)
		if d := q.c.call(q.number, q.args); code(d) != 0 || d["errors"] != nil {
			t.Fatalf("%s: %v", text, d)
		}
	}
	parked := s.parked()
	q := s.request(r.requests[len(r.requests)-1], style)
	q.send()
	var answer dict
	for _, step := range r.next {
		switch step {
		case "(answer)":
			answer = q.wait()
		case "(time)", "(let go)":
			// The answer comes before this, and the table says so, or not.
			if answer == nil {
				s.waitParked(parked, q)
			}
			if step == "(time)" {
				s.time()
			} else {
				s.letGo()
			}
		case "loaded":
			loaded = 22
		case "gone":
			loaded = 113
		case "no domain":
			loaded = 125
		default:
			var e Event
			if e, from = s.wait(from, step, func(e Event) bool { return e.Kind == "state" && e.Label == s.label }); e.To != step {
				t.Fatalf("state %q, want %q\n%s", e.To, step, s.history())
			}
		}
	}
	if answer == nil {
		answer = q.wait()
	}
	s.check(r.answer, answer, q)
	if r.waiting != "" {
		s.check(r.waiting, s.waiter.receive(), q)
	}
	// The probe is answered after all that the request did at once.
	if got := s.probe(); got != loaded {
		t.Errorf("a probe is answered %d now, want %d", got, loaded)
	}
	s.fixture.mu.Lock()
	defer s.fixture.mu.Unlock()
	for _, e := range s.events[from:] {
		if e.Kind == "state" {
			t.Errorf("unexpected state %q", e.To)
		}
	}
}

// probe is 708 without memory for its text.
func (s *situation) probe() int64 { return code(s.control.call(708, s.job())) }

// waitParked waits until the server has put q aside. Nothing tells of that, so it
// is looked at.
func (s *situation) waitParked(before int, q *query) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); s.parked() <= before; runtime.Gosched() {
		select {
		case d := <-q.answer:
			s.t.Fatalf("answered %v before its time", d)
		default:
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("the request does not wait\n%s", s.history())
		}
	}
	select {
	case d := <-q.answer:
		s.t.Fatalf("answered %v before its time", d)
	default:
	}
}

// query is one request of a row.
type query struct {
	s      *situation
	c      *client
	number uint64
	args   dict
	text   *os.File // what the server prints into
	answer chan dict
}

// request reads a request in the table's notation.
func (s *situation) request(text, style string) *query {
	s.t.Helper()
	q := &query{s: s, c: s.dial(), answer: make(chan dict, 1)}
	number, rest, _ := strings.Cut(text, " ")
	var err error
	if q.number, err = strconv.ParseUint(number, 10, 64); err != nil {
		s.t.Fatal(err)
	}
	target, drop := dict{}, []string{}
	q.args = terms(s.t, s.expand(rest), "@-!+", func(mark byte, p *parser) {
		w := bareWord.FindString(p.rest)
		p.rest = p.rest[len(w):]
		switch string(mark) + w {
		case "@job":
			target = s.job()
		case "@domain":
			target = s.domain()
		case "@own":
			target = dict{"type": uint64(domainRequestor), "handle": uint64(0)}
		case "!root", "+root":
			q.become(mark == '+')
		default:
			drop = append(drop, w)
		}
	})
	for k, v := range target {
		if _, set := q.args[k]; !set {
			q.args[k] = v
		}
	}
	for _, k := range drop {
		delete(q.args, k)
	}
	q.lend("shmem", func(fd int) any { return xpcwire.Shmem{FD: fd, Size: 1 << 16} })
	q.lend("fd", func(fd int) any { return xpcwire.FD(fd) })
	if style == "dictionary" && q.number != 0 {
		subsystem := uint64(2)
		if q.number >= 800 {
			subsystem = 3
		}
		q.args["subsystem"], q.args["routine"] = subsystem, q.number
		q.number = 0
	}
	return q
}

func (s *situation) expand(text string) string {
	return os.Expand(text, func(name string) string {
		switch name {
		case "uid":
			return fmt.Sprint(os.Geteuid())
		case "stranger":
			return fmt.Sprint(os.Geteuid() + 1)
		case "pid":
			return fmt.Sprint(s.old)
		case "dir":
			return s.dir
		case "plist":
			return s.plist
		}
		s.t.Fatalf("no variable %q", name)
		return ""
	})
}

// become makes q's connection one of root, or of the server's own user who is not
// root. The server took note of its peer when it accepted the connection; a test
// cannot be both of them.
func (q *query) become(root bool) {
	q.c.call(708, dict{})
	q.s.Server.mu.Lock()
	defer q.s.Server.mu.Unlock()
	for c := range q.s.conns {
		if c.id == q.s.nconn {
			c.root = root
		}
	}
}

// lend replaces a bare key by an object that holds a file for the server's text.
func (q *query) lend(key string, object func(fd int) any) {
	if q.args[key] != true {
		return
	}
	file, err := os.CreateTemp(q.s.dir, "text")
	if err == nil && key == "shmem" {
		err = file.Truncate(1 << 16)
	}
	if err != nil {
		q.s.t.Fatal(err)
	}
	q.s.t.Cleanup(func() { file.Close() })
	q.text, q.args[key] = file, object(int(file.Fd()))
}

func (q *query) send() {
	q.c.send(q.number, q.args)
	q.c.c.SetReadDeadline(time.Now().Add(patience))
	go func() {
		defer close(q.answer)
		body, fds, err := q.c.c.ReadFrame()
		xpcwire.CloseAll(fds)
		if err != nil {
			return
		}
		if _, d, _, err := xpcwire.DecodeReply[dict](body, nil); err == nil {
			q.answer <- d
		}
	}()
}

func (q *query) wait() dict {
	q.s.t.Helper()
	d, answered := <-q.answer
	if !answered {
		q.s.t.Fatalf("no answer\n%s", q.s.history())
	}
	return d
}

// check compares an answer with the table's notation of it: "ok" is an empty
// dictionary, a number an error and nothing else. Otherwise there is a term for
// each key; "key.inner" looks into a dictionary without listing it, !key.inner
// says that it is not there; ~"line" is a line of the text that was printed.
func (s *situation) check(want string, got dict, q *query) {
	s.t.Helper()
	listed := map[string]bool{}
	wrong := func(format string, args ...any) {
		s.t.Helper()
		s.t.Errorf("answer %v: %s, want %s", got, fmt.Sprintf(format, args...), want)
	}
	switch n, err := strconv.ParseInt(want, 10, 64); {
	case err == nil:
		want = fmt.Sprintf("error=%di", n)
	case want == "ok":
		want = ""
	}
	for path, pattern := range terms(s.t, s.expand(want), "~!", func(mark byte, p *parser) {
		if mark == '~' {
			line := p.quoted()
			if text := q.printed(got); !strings.Contains("\n"+text, "\n"+line+"\n") {
				wrong("no line %q in\n%s", line, text)
			}
			listed["bytes-written"] = true
			return
		}
		path := strings.Fields(p.rest)[0]
		p.rest = p.rest[len(path):]
		if v, there := lookup(got, path); there {
			wrong("%s is %v", path, v)
		}
	}) {
		top, _, _ := strings.Cut(path, ".")
		listed[top] = true
		if v, there := lookup(got, path); !there || !s.matches(pattern, v) {
			wrong("%s is %#v", path, v)
		}
	}
	for k := range got {
		if !listed[k] {
			wrong("key %q", k)
		}
	}
}

func lookup(d dict, path string) (any, bool) {
	first, rest, deeper := strings.Cut(path, ".")
	v, there := d[first]
	if !deeper {
		return v, there
	}
	inner, _ := v.(dict)
	return lookup(inner, rest)
}

// matches compares a value with the table's; words stand for types and processes.
func (s *situation) matches(want, got any) bool {
	switch want := want.(type) {
	case word:
		switch want {
		case "old":
			return s.old != 0 && got == int64(s.old)
		case "new":
			pid := s.lastSpawn()
			return pid != 0 && pid != s.old && got == int64(pid)
		case "first": // a process that was there in between
			pid, isInt := got.(int64)
			return isInt && pid != 0 && pid != int64(s.old)
		}
		return fmt.Sprintf("%T", got) == map[word]string{"int64": "int64", "uint64": "uint64", "string": "string", "bool": "bool",
			"dict": "launchdsim.dict", "array": "[]interface {}", "mach-send": "xpcwire.MachSend"}[want]
	case dict:
		d, isDict := got.(dict)
		if !isDict || len(d) != len(want) {
			return false
		}
		for k, v := range want {
			if inner, there := d[k]; !there || !s.matches(v, inner) {
				return false
			}
		}
		return true
	case []any:
		a, isArray := got.([]any)
		if !isArray || len(a) != len(want) {
			return false
		}
		for i, v := range want {
			if !s.matches(v, a[i]) {
				return false
			}
		}
		return true
	}
	return got == want
}

// lastSpawn returns the pid of the newest process, 0 if there was none yet.
func (f *fixture) lastSpawn() (pid int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.events {
		if e.Kind == "spawn" {
			pid = e.PID
		}
	}
	return pid
}

// printed returns the text that the answer says was written.
func (q *query) printed(answer dict) string {
	n, isUint := answer["bytes-written"].(uint64)
	if !isUint || q.text == nil {
		q.s.t.Errorf("nothing printed: %v", answer)
		return ""
	}
	text := make([]byte, n)
	if _, err := q.text.ReadAt(text, 0); err != nil {
		q.s.t.Error(err)
	}
	return string(text)
}
