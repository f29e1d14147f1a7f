package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/hermes-gw/hermes-gw/internal/xpcwire"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// answer is what a fake launchd does with a request.
type answer struct {
	reply xpc.Dict
	raw   []byte // written instead, if set
	close bool   // the connection is closed instead
	hang  bool   // nothing is answered
}

func refuse(code int64) answer { return answer{reply: xpc.Dict{"error": code}} }

// request is one that a fake launchd read.
type request struct {
	routine uint64
	name    string
	msg     xpc.Dict
}

// fake is a launchd that answers as it is told.
type fake struct {
	path  string
	reply func(request) answer
	came  chan request // every request, for tests that wait for one

	mu   sync.Mutex
	seen []request
}

func newFake(t *testing.T, reply func(request) answer) *fake {
	t.Helper()
	dir, err := os.MkdirTemp("", "hgw")
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{path: filepath.Join(dir, "s"), reply: reply, came: make(chan request, 100)}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: f.path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	done := make(chan struct{})
	serving.Go(func() {
		for {
			c, err := l.AcceptUnix()
			if err != nil {
				return
			}
			serving.Go(func() { f.serve(c, done) })
		}
	})
	t.Cleanup(func() {
		close(done)
		l.Close()
		serving.Wait()
		os.RemoveAll(dir)
	})
	return f
}

func (f *fake) serve(u *net.UnixConn, done chan struct{}) {
	c := xpcwire.NewConn(u)
	defer c.Close()
	stop := context.AfterFunc(ended(done), func() { c.Close() })
	defer stop()
	for {
		body, fds, err := c.ReadFrame()
		if err != nil {
			return
		}
		r, msg, _, err := xpcwire.DecodeRequest[xpc.Dict](body, fds)
		xpcwire.CloseAll(fds)
		if err != nil {
			return
		}
		name, _ := msg.String("name")
		got := request{r.Routine, name, msg}
		f.mu.Lock()
		f.seen = append(f.seen, got)
		f.mu.Unlock()
		f.came <- got
		a := f.reply(got)
		switch {
		case a.close:
			return
		case a.hang:
			continue
		case a.raw == nil:
			if a.raw, _, err = xpcwire.AppendReply(nil, xpcwire.Reply{Magic: r.Magic}, a.reply); err != nil {
				return
			}
		}
		if _, err := c.Write(a.raw); err != nil {
			return
		}
	}
}

// ended is a context that ends with done.
func ended(done chan struct{}) context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-done
		cancel()
	}()
	return ctx
}

// requests returns the requests so far.
func (f *fake) requests() []request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]request(nil), f.seen...)
}

// routines lists the routines of the requests so far, those that only ask left out
// if changes is set.
func (f *fake) routines(changes bool) (list []uint64) {
	for _, r := range f.requests() {
		if !changes || !onlyAsks(r.routine) {
			list = append(list, r.routine)
		}
	}
	return list
}

// call is one run of the command in this process.
type call struct {
	env            environment
	signals        chan os.Signal
	hangups        chan os.Signal
	stdout, stderr bytes.Buffer
	hangupIgnored  int
}

func newCall(server string) *call {
	c := &call{signals: make(chan os.Signal), hangups: make(chan os.Signal)}
	c.env = environment{
		getenv: func(key string) string {
			if key == envLaunchd && server != "" {
				return "unix:" + server
			}
			return ""
		},
		euid:         501,
		home:         func(int) (string, error) { return "", errors.New("no home in this test") },
		executable:   os.Executable,
		consoleOwner: func() (int, error) { return 501, nil },
		buildVersion: func() string { return "v1.2.3" },
		terminal:     isTerminal,
		size:         windowSize,
		unread:       isUnread,
		signals:      func() <-chan os.Signal { return c.signals },
		hangups:      func() <-chan os.Signal { return c.hangups },
		ignoreHangup: func() { c.hangupIgnored++ },
		exit:         func(int) {},
	}
	return c
}

func (c *call) run(args ...string) int {
	return run(context.Background(), c.env, args, &c.stdout, &c.stderr)
}

// oneLine fails unless stderr is one line without a stack trace, and returns it.
func (c *call) oneLine(t *testing.T) string {
	t.Helper()
	return oneLine(t, c.stderr.String())
}

func oneLine(t *testing.T, s string) string {
	t.Helper()
	line, rest, ended := strings.Cut(s, "\n")
	if !ended || rest != "" || !strings.HasPrefix(line, "hermes-gw: ") || strings.Contains(s, "goroutine ") {
		t.Fatalf("stderr is not one clear line:\n%s", s)
	}
	return line
}

// parsed is the JSON output as other programs see it.
type parsed struct {
	Version  int
	Command  string
	ExitCode int `json:"exit_code"`
	Results  []struct {
		Target, State, Method, Note string
		PID                         *int
		OldPID                      *int               `json:"old_pid"`
		NewPID                      *int               `json:"new_pid"`
		Phases                      map[string]float64 `json:"phases_ms"`
		Warnings                    []string
		Path                        string
		Runs                        *int
		Disabled                    *bool
		LastExit                    string `json:"last_exit"`
		Error                       *problem
	}
	Error *problem
	Help  string
	Note  string
}

func parseJSON(t *testing.T, b []byte) (p parsed) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(b))
	if err := d.Decode(&p); err != nil {
		t.Fatalf("stdout is not JSON: %v\n%s", err, b)
	}
	if d.More() {
		t.Fatalf("more than one JSON value:\n%s", b)
	}
	return p
}

func wantContains(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%q is missing in:\n%s", w, text)
		}
	}
}

// noSuchPID is above every system's largest pid.
const noSuchPID = 1<<22 + 77

// jobs are the jobs of a fake launchd, all in user/501, by label: their pids. A
// kickstart that kills puts the pid in next in place of any.
type jobs struct {
	mu   sync.Mutex
	pids map[string]int
	next int
}

const jobLabel = "ai.hermes.gateway"

func oneJob() *jobs { return &jobs{pids: map[string]int{jobLabel: noSuchPID}, next: os.Getpid()} }

// The domain types of gui and user (launchd-protocol.md section 3).
const (
	typeUser = 2
	typeGUI  = 8
)

// answers is a launchd without a graphical session that shows no text, so that facts
// come from attributes.
func (j *jobs) answers(r request) answer {
	j.mu.Lock()
	defer j.mu.Unlock()
	kind, _ := r.msg.Uint64("type")
	pid, loaded := j.pids[r.name]
	switch {
	case kind == typeGUI:
		return refuse(125)
	case r.routine == 800:
		return answer{reply: xpc.Dict{}}
	case kind != typeUser || !loaded:
		return refuse(113)
	}
	switch r.routine {
	case 702:
		if kill, _ := r.msg.Bool("kill"); kill {
			j.pids[r.name] = j.next
		}
		return answer{reply: xpc.Dict{"pid": int64(j.pids[r.name])}}
	case 708:
		return refuse(22)
	case 712:
		return answer{reply: xpc.Dict{"attrs": xpc.Dict{"label": r.name, "pid": int64(pid), "path": "(submitted by tests.1)"}}}
	case 801:
		delete(j.pids, r.name)
		return answer{reply: xpc.Dict{}}
	case 811:
		return answer{reply: xpc.Dict{"loaded": true, "enabled": true}}
	}
	return refuse(33)
}

// except answers one routine in another way.
func (j *jobs) except(routine uint64, a answer) func(request) answer {
	return func(r request) answer {
		if r.routine == routine {
			return a
		}
		return j.answers(r)
	}
}

// xpcDict makes a dictionary of key, value pairs.
func xpcDict(pairs ...any) xpc.Dict {
	d := xpc.Dict{}
	for i := 0; i < len(pairs); i += 2 {
		d[pairs[i].(string)] = pairs[i+1]
	}
	return d
}
