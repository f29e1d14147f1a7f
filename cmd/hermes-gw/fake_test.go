package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
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

// routines lists the routines of the requests so far, those that only ask left out
// if changes is set.
func (f *fake) routines(changes bool) (list []uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.seen {
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
	stdout, stderr bytes.Buffer
	hangupIgnored  int
	exits          chan int // codes of exits at once
}

func newCall(server string) *call {
	c := &call{signals: make(chan os.Signal), exits: make(chan int, 1)}
	c.env = environment{
		getenv: func(key string) string {
			if key == envLaunchd && server != "" {
				return "unix:" + server
			}
			return ""
		},
		euid:         501,
		home:         func(int) (string, error) { return "", errors.New("no home in this test") },
		consoleOwner: func() (int, error) { return 501, nil },
		buildVersion: func() string { return "v1.2.3" },
		signals:      func() <-chan os.Signal { return c.signals },
		ignoreHangup: func() { c.hangupIgnored++ },
		exit:         func(code int) { c.exits <- code },
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

// job is a fake launchd's only job: loaded in user/501, with a pid that a kickstart
// changes.
type job struct {
	mu  sync.Mutex
	pid int64
}

const jobLabel = "ai.hermes.gateway"

// answers is a well-behaved launchd for this job. The pids are those of processes that
// cannot exist, but for the test's own, which the command looks at.
func (j *job) answers(r request) answer {
	j.mu.Lock()
	defer j.mu.Unlock()
	kind, _ := r.msg.Uint64("type")
	switch {
	case kind == 8 && r.routine != 828:
		return refuse(125)
	case r.routine == 828:
		return refuse(22)
	case r.name != jobLabel:
		return refuse(113)
	}
	switch r.routine {
	case 702:
		j.pid = int64(os.Getpid())
		return answer{reply: xpc.Dict{"pid": j.pid}}
	case 708:
		return refuse(22)
	case 712:
		return answer{reply: xpc.Dict{"attrs": xpc.Dict{"label": jobLabel, "pid": j.pid, "path": "/p.plist"}}}
	case 811:
		return answer{reply: xpc.Dict{"loaded": true, "enabled": true}}
	}
	return refuse(33)
}

func isSignal(code int, s syscall.Signal) bool { return code == 128+int(s) }

func contains(list []uint64, n uint64) bool { return slices.Contains(list, n) }
