package launchd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/hermes-gw/hermes-gw/xpc"
)

// What each method sends: the keys, their types and the routine, from
// launchd-protocol.md sections 1.1 and 2.
func TestRequests(t *testing.T) {
	ctx := t.Context()
	with := func(more xpc.Dict) xpc.Dict {
		d := xpc.Dict{"type": uint64(8), "handle": uint64(501), "name": "ai.hermes.gateway"}
		for k, v := range more {
			d[k] = v
		}
		return d
	}
	for _, c := range []struct {
		name    string
		do      func(*Client)
		routine uint64
		msg     xpc.Dict
	}{
		{"start", func(c *Client) { c.Kickstart(ctx, target, KickstartOptions{}) }, 702, with(nil)},
		{"kill", func(c *Client) { c.Kickstart(ctx, target, KickstartOptions{Kill: true}) }, 702, with(xpc.Dict{"kill": true})},
		{"unthrottle", func(c *Client) { c.Kickstart(ctx, target, KickstartOptions{Unthrottle: true}) }, 702, with(xpc.Dict{"unthrottle": true})},
		{"suspended", func(c *Client) { c.Kickstart(ctx, target, KickstartOptions{Suspended: true}) }, 702, with(xpc.Dict{"suspended": true})},
		{"bootstrap", func(c *Client) { c.Bootstrap(ctx, GUI(501), "/a", "/b") }, 800,
			xpc.Dict{"type": uint64(8), "handle": uint64(501), "paths": []any{"/a", "/b"}, "by-cli": true}},
		{"bootout", func(c *Client) { c.Bootout(ctx, target) }, 801, with(nil)},
		{"list own", func(c *Client) { c.ListOwn(ctx) }, 815, xpc.Dict{"type": uint64(7), "handle": uint64(0)}},
		{"job", func(c *Client) { c.Job(ctx, target) }, 712, with(nil)},
		{"enable", func(c *Client) { c.SetEnabled(ctx, target, true) }, 808, with(xpc.Dict{"names": []any{"ai.hermes.gateway"}})},
		{"disable", func(c *Client) { c.SetEnabled(ctx, target, false) }, 809, with(xpc.Dict{"names": []any{"ai.hermes.gateway"}})},
		{"enabled", func(c *Client) { c.Enabled(ctx, target) }, 811, with(xpc.Dict{"default-enabled": true})},
		{"signal", func(c *Client) { c.Kill(ctx, target, syscall.SIGUSR1) }, 812, with(xpc.Dict{"signal": int64(30)})},
		{"print", func(c *Client) { c.Print(ctx, target) }, 708, with(xpc.Dict{"shmem": 1 << 20})},
		{"print domain", func(c *Client) { c.PrintDomain(ctx, GUI(501)) }, 828,
			xpc.Dict{"type": uint64(8), "handle": uint64(501), "shmem": 1 << 20}},
		{"list", func(c *Client) { c.List(ctx, System()) }, 828, xpc.Dict{"type": uint64(1), "handle": uint64(0), "shmem": 1 << 20}},
		{"print disabled", func(c *Client) { c.PrintDisabled(ctx, GUI(501)) }, 828,
			xpc.Dict{"type": uint64(8), "handle": uint64(501), "disabled": true, "shmem": 1 << 20}},
		{"overrides", func(c *Client) { c.Overrides(ctx, User(501)) }, 828,
			xpc.Dict{"type": uint64(2), "handle": uint64(501), "disabled": true, "shmem": 1 << 20}},
		{"version", func(c *Client) { c.Version(ctx) }, 828, xpc.Dict{"type": uint64(1), "handle": uint64(0), "version": true, "shmem": 1 << 20}},
		{"blame", func(c *Client) { c.Blame(ctx, target) }, 707, with(nil)},
		{"attributes", func(c *Client) { c.Attributes(ctx, target) }, 712, with(nil)},
		{"start own", func(c *Client) { c.StartOwn(ctx, "x") }, 813, xpc.Dict{"type": uint64(7), "handle": uint64(0), "name": "x"}},
		{"stop own", func(c *Client) { c.StopOwn(ctx, "x") }, 814, xpc.Dict{"type": uint64(7), "handle": uint64(0), "name": "x"}},
		{"list own job", func(c *Client) { c.ListOwnJob(ctx, "x") }, 815, xpc.Dict{"type": uint64(7), "handle": uint64(0), "name": "x"}},
		{"remove own", func(c *Client) { c.RemoveOwn(ctx, "x") }, 816, xpc.Dict{"type": uint64(7), "handle": uint64(0), "name": "x"}},
		{"setenv", func(c *Client) { c.Setenv(ctx, Own(), map[string]string{"A": "b", "C": ""}) }, 819,
			xpc.Dict{"type": uint64(7), "handle": uint64(0), "envvars": xpc.Dict{"A": "b", "C": ""}}},
		{"unsetenv", func(c *Client) { c.Unsetenv(ctx, System(), "A", "B") }, 819,
			xpc.Dict{"type": uint64(1), "handle": uint64(0), "envvars": xpc.Dict{"A": nil, "B": nil}}},
		{"getenv", func(c *Client) { c.Getenv(ctx, GUI(501), "A") }, 820, xpc.Dict{"type": uint64(8), "handle": uint64(501), "envvar": "A"}},
		{"find", func(c *Client) { c.Find(ctx, "x", 501) }, 708, xpc.Dict{"type": uint64(8), "handle": uint64(501), "name": "x"}},
	} {
		var got []sent
		client := New(transport(func(_ context.Context, routine uint64, msg xpc.Dict) (xpc.Dict, error) {
			if s, ok := msg["shmem"].(*xpc.Shmem); ok {
				msg["shmem"] = len(s.Bytes())
			}
			got = append(got, sent{routine, msg})
			return xpc.Dict{"attrs": xpc.Dict{}}, nil
		}), nil)
		c.do(client)
		if len(got) != 1 || got[0].Routine != c.routine || !reflect.DeepEqual(got[0].Msg, c.msg) {
			t.Errorf("%s sent %v\nwant %d %v", c.name, got, c.routine, c.msg)
		}
	}
}

// A target that is not one is never sent.
func TestRequestsRefuseBadTargets(t *testing.T) {
	c, log := answering(xpc.Dict{}, nil)
	ctx := t.Context()
	for _, bad := range []Target{{}, {Domain: GUI(1)}, {Label: "x"}, {GUI(1), "a/b"}, {GUI(1), "a\x00"}, {GUI(-1), "x"}} {
		_, err1 := c.Kickstart(ctx, bad, KickstartOptions{})
		err2 := c.Bootout(ctx, bad)
		_, err3 := c.Job(ctx, bad)
		_, err4 := c.Print(ctx, bad)
		err5 := c.SetEnabled(ctx, bad, true)
		_, _, err6 := c.Enabled(ctx, bad)
		err7 := c.Kill(ctx, bad, syscall.SIGTERM)
		_, err8 := c.Restart(ctx, bad, RestartOptions{})
		_, err9 := c.Start(ctx, bad, "/p")
		_, err10 := c.Stop(ctx, bad)
		for i, err := range []error{err1, err2, err3, err4, err5, err6, err7, err8, err9, err10} {
			var syntax *SyntaxError
			if !errors.As(err, &syntax) {
				t.Errorf("%d, %#v: %v", i+1, bad, err)
			}
		}
	}
	for _, err := range []error{
		c.Bootstrap(ctx, Domain{}, "/p"),
		func() error { _, err := c.PrintDomain(ctx, Domain{}); return err }(),
		func() error { _, err := c.Find(ctx, "", 501); return err }(),
		func() error { _, err := c.Find(ctx, "x", -1); return err }(),
	} {
		var syntax *SyntaxError
		if !errors.As(err, &syntax) {
			t.Error(err)
		}
	}
	if err := c.Bootstrap(ctx, GUI(1)); err == nil {
		t.Error("a bootstrap without paths")
	}
	// Nothing to set is nothing to send.
	if err := errors.Join(c.Setenv(ctx, GUI(1), nil), c.Unsetenv(ctx, GUI(1))); err != nil {
		t.Error(err)
	}
	if err := c.Setenv(ctx, Domain{}, nil); err == nil {
		t.Error("the zero domain")
	}
	if len(*log) != 0 {
		t.Errorf("sent %v", *log)
	}
}

// What launchctl's oldest verbs take for a success, and nothing else.
func TestOwnVerbsFold(t *testing.T) {
	start := func(c *Client) error { return c.StartOwn(t.Context(), "x") }
	stop := func(c *Client) error { return c.StopOwn(t.Context(), "x") }
	remove := func(c *Client) error { return c.RemoveOwn(t.Context(), "x") }
	for _, v := range []struct {
		name  string
		do    func(*Client) error
		folds []xpc.Errno
	}{{"start", start, []xpc.Errno{36, 37}}, {"stop", stop, []xpc.Errno{36, 37, 89}}, {"remove", remove, nil}} {
		for code := xpc.Errno(1); code < 160; code++ {
			c, _ := answering(nil, code)
			if err := v.do(c); (err == nil) != slices.Contains(v.folds, code) || err != nil && !errors.Is(err, code) {
				t.Errorf("%s, %d: %v", v.name, int32(code), err)
			}
		}
		c, _ := answering(nil, &xpc.UnknownOutcome{Routine: 813, Err: xpc.EALREADY})
		if err := v.do(c); err == nil {
			t.Errorf("%s: a lost answer is a success", v.name)
		}
	}
}

// The request that would unload a whole domain cannot leave the package, whoever makes it.
func TestBootoutAlwaysNames(t *testing.T) {
	c, log := answering(xpc.Dict{}, nil)
	for _, msg := range []xpc.Dict{GUI(501).dict(), {"name": ""}, {"name": 7, "paths": []any{"/p"}}, nil} {
		if _, err := c.call(t.Context(), "bootout", target, routineBootout, msg); !errors.Is(err, errNoName) {
			t.Errorf("%v: %v", msg, err)
		}
	}
	if len(*log) != 0 {
		t.Errorf("sent %v", *log)
	}
}

func TestReplies(t *testing.T) {
	ctx := t.Context()
	c, _ := answering(xpc.Dict{"pid": int64(77)}, nil)
	if pid, err := c.Kickstart(ctx, target, KickstartOptions{}); pid != 77 || err != nil {
		t.Error(pid, err)
	}
	for _, odd := range []any{nil, int64(0), int64(-1), int64(1 << 31), uint64(5), "5"} {
		c, _ := answering(xpc.Dict{"pid": odd}, nil)
		if pid, err := c.Kickstart(ctx, target, KickstartOptions{}); pid != 0 || err != nil {
			t.Error(odd, pid, err)
		}
	}

	c, _ = answering(xpc.Dict{"loaded": true, "enabled": false}, nil)
	if loaded, enabled, err := c.Enabled(ctx, target); !loaded || enabled || err != nil {
		t.Error(loaded, enabled, err)
	}

	c, _ = answering(xpc.Dict{"attrs": xpc.Dict{"label": "x", "pid": int64(9), "path": "/p", "program": "/b", "keep-alive": false, "run-at-load": true}}, nil)
	want := Job{Target: target, PID: 9, Path: "/p", Program: "/b", KeepAlive: ptr(false), RunAtLoad: ptr(true)}
	if j, err := c.Job(ctx, target); err != nil || !reflect.DeepEqual(j, want) {
		t.Errorf("%+v, %v", j, err)
	}
	c, _ = answering(xpc.Dict{"attrs": xpc.Dict{"pid": "9", "keep-alive": int64(1)}}, nil)
	if j, err := c.Job(ctx, target); err != nil || !reflect.DeepEqual(j, Job{Target: target}) {
		t.Errorf("%+v, %v", j, err)
	}

	c, _ = answering(xpc.Dict{"services": xpc.Dict{
		"b": xpc.Dict{"pid": int64(0), "status": int64(3840)},
		"a": xpc.Dict{"pid": int64(12), "status": int64(15)},
		"c": xpc.Dict{}, "d": "nonsense",
	}}, nil)
	list, err := c.ListOwn(ctx)
	if wantList := []ListEntry{{"a", 12, Exit{Kind: ExitSignaled, Signal: 15}}, {"b", 0, Exit{Kind: ExitCode, Code: 15}}, {"c", 0, Exit{}}, {"d", 0, Exit{}}}; err != nil || !reflect.DeepEqual(list, wantList) {
		t.Errorf("%+v, %v", list, err)
	}
}

// A success that lacks what it must hold is libxpc's 118, not a zero value.
func TestBadReplies(t *testing.T) {
	ctx := t.Context()
	for name, do := range map[string]func(*Client) error{
		"enabled":      func(c *Client) error { _, _, err := c.Enabled(ctx, target); return err },
		"print":        func(c *Client) error { _, err := c.Print(ctx, target); return err },
		"print domain": func(c *Client) error { _, err := c.List(ctx, GUI(1)); return err },
		"list":         func(c *Client) error { _, err := c.ListOwn(ctx); return err },
		"attributes":   func(c *Client) error { _, err := c.attributes(ctx, target); return err },
	} {
		for _, reply := range []xpc.Dict{nil, {}, {"loaded": int64(1), "enabled": true, "bytes-written": int64(3), "services": "x", "attrs": []any{}}} {
			c, _ := answering(reply, nil)
			if err := do(c); !errors.Is(err, xpc.BadResponse) {
				t.Errorf("%s, %v: %v", name, reply, err)
			}
		}
	}
}

func TestBootstrapErrors(t *testing.T) {
	ctx := t.Context()
	for _, c := range []struct {
		name  string
		reply xpc.Dict
		want  []string
	}{
		{"none", xpc.Dict{"errors": xpc.Dict{}, "bootstrap-error": int64(0)}, nil},
		{"one", xpc.Dict{"errors": xpc.Dict{"/b": int64(119)}}, []string{"bootstrap gui/501 /b: Service is disabled (119)"}},
		{"two in order", xpc.Dict{"errors": xpc.Dict{"/b": int64(119), "/a": int64(5), "/0": int64(109)}, "bootstrap-error": int64(133)},
			[]string{"bootstrap gui/501 /a: Input/output error (5)", "bootstrap gui/501 /b: Service is disabled (119)", "bootstrap gui/501 /0: "}},
		{"overall", xpc.Dict{"bootstrap-error": int64(125)}, []string{"bootstrap gui/501: Domain does not support"}},
		{"both", xpc.Dict{"errors": xpc.Dict{"/a": int64(5)}, "bootstrap-error": int64(5)}, []string{"bootstrap gui/501 /a: Input/output error (5)"}},
		{"out of range", xpc.Dict{"errors": xpc.Dict{"/a": int64(1) << 40}}, []string{"(118)"}},
		{"zero is none", xpc.Dict{"errors": xpc.Dict{"/a": int64(0)}}, nil},
		{"only 133", xpc.Dict{"bootstrap-error": int64(133)}, []string{"(133)"}},
	} {
		client, _ := answering(c.reply, nil)
		err := client.Bootstrap(ctx, GUI(501), "/a", "/b")
		var lines []string
		if err != nil {
			lines = strings.Split(err.Error(), "\n")
		}
		ok := len(lines) == len(c.want)
		for i := range lines {
			ok = ok && strings.Contains(lines[i], c.want[i])
		}
		if !ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	// A refusal of the whole request names the plist when there is only one.
	client, _ := answering(nil, xpc.EIO)
	if err := client.Bootstrap(ctx, GUI(501), "/a"); err == nil || err.Error() != "bootstrap gui/501 /a: Input/output error (5): the file cannot be read: no such file or directory" {
		t.Error(err)
	}
	client, _ = answering(xpc.Dict{"errors": xpc.Dict{"/a": int64(17)}}, nil)
	if err := client.Bootstrap(ctx, GUI(501), "/a"); !errors.Is(err, ErrAlreadyLoaded) {
		t.Error(err)
	}
}

func TestSetEnabledErrors(t *testing.T) {
	for _, reply := range []xpc.Dict{{target.Label: int64(140)}, {"errors": xpc.Dict{target.Label: int64(140)}}} {
		c, _ := answering(reply, nil)
		if err := c.SetEnabled(t.Context(), target, false); err == nil || err.Error() != "disable gui/501/ai.hermes.gateway: Service name is reserved or invalid (140)" {
			t.Error(err)
		}
	}
	c, _ := answering(xpc.Dict{target.Label: int64(0), "errors": xpc.Dict{"other": int64(5)}}, nil)
	if err := c.SetEnabled(t.Context(), target, true); err != nil {
		t.Error(err)
	}
}

// The memory grows until the text fits, and the text is whole.
func TestPrintGrows(t *testing.T) {
	for _, length := range []int{0, 100, 1<<20 - 1, 1 << 20, 5 << 20, 16<<20 - 1} {
		text := strings.Repeat("x", length)
		calls := 0
		c := New(transport(func(_ context.Context, _ uint64, msg xpc.Dict) (xpc.Dict, error) {
			calls++
			return writeText(msg, text)
		}), nil)
		got, err := c.Print(t.Context(), target)
		if err != nil || got != text || calls > 3 {
			t.Errorf("%d bytes: got %d, %v after %d calls", length, len(got), err, calls)
		}
	}
	for _, written := range []uint64{1 << 20, 16 << 20, 1 << 63} {
		calls := 0
		c := New(transport(func(context.Context, uint64, xpc.Dict) (xpc.Dict, error) {
			calls++
			return xpc.Dict{"bytes-written": max(written, 16<<20)}, nil
		}), nil)
		if got, err := c.Print(t.Context(), target); err == nil || !strings.Contains(err.Error(), "longer than 16 MiB") || calls != 3 {
			t.Errorf("%d: %d bytes, %v after %d calls", written, len(got), err, calls)
		}
	}
	c := New(transport(func(_ context.Context, _ uint64, msg xpc.Dict) (xpc.Dict, error) {
		return writeText(msg, "a\n\x00\x00")
	}), nil)
	if got, err := c.Print(t.Context(), target); got != "a\n" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// Memory is used again, but never after a request whose end is not known, and Close gives
// it back.
func TestPrintMemory(t *testing.T) {
	var used []*xpc.Shmem
	texts := []string{"a long text\n", "short\n"}
	fail := false
	c := New(transport(func(_ context.Context, _ uint64, msg xpc.Dict) (xpc.Dict, error) {
		used = append(used, msg["shmem"].(*xpc.Shmem))
		if fail {
			return nil, &xpc.UnknownOutcome{Err: context.Canceled}
		}
		return writeText(msg, texts[len(used)%2])
	}), nil)
	for i := range 4 {
		if got, err := c.Print(t.Context(), target); err != nil || got != texts[(i+1)%2] {
			t.Errorf("%q, %v", got, err)
		}
	}
	if used[1] != used[0] || used[3] != used[0] {
		t.Error("new memory for each text")
	}
	fail = true
	c.Print(t.Context(), target)
	if used[4].Bytes() != nil {
		t.Error("the memory of a lost request is kept")
	}
	fail = false
	c.Print(t.Context(), target)
	if used[5] == used[4] {
		t.Error("the memory of a lost request is used again")
	}
	if err := c.Close(); err != nil || used[5].Bytes() != nil {
		t.Errorf("memory is left after Close, %v", err)
	}
	if _, err := c.Print(t.Context(), target); err != nil || used[6].Bytes() != nil { // the transport is not the client's
		t.Errorf("memory is kept after Close, %v", err)
	}
}

func TestJobSources(t *testing.T) {
	ctx := t.Context()
	// 712 refused, whatever the number: 708.
	for _, code := range []xpc.Errno{1, 22, 33, 113, 144} {
		m, c := newModel(t, 5)
		m.refuse = map[uint64]xpc.Errno{712: code}
		if j, err := c.Job(ctx, target); err != nil || j.State != "running" || j.PID != 5 {
			t.Errorf("%d: %+v, %v", code, j, err)
		}
		m.refuse[708] = 113
		if _, err := c.Job(ctx, target); !errors.Is(err, ErrNotLoaded) {
			t.Error(err)
		}
	}
	// A connection that fails is no refusal.
	c, log := answering(nil, io.ErrUnexpectedEOF)
	if _, err := c.Job(ctx, target); !errors.Is(err, io.ErrUnexpectedEOF) || len(*log) != 1 {
		t.Error(err, *log)
	}

	// Inspect is the other way round.
	m, c := newModel(t, 5)
	if j, err := c.Inspect(ctx, target); err != nil || j.State != "running" || j.Path != "" || j.Disabled == nil || *j.Disabled || len(m.log) != 2 {
		t.Errorf("%+v, %v", j, err)
	}
	m.refuse = map[uint64]xpc.Errno{708: 144}
	if j, err := c.Inspect(ctx, target); err != nil || j.PID != 5 || j.Path != "/p" {
		t.Errorf("%+v, %v", j, err)
	}
	m.refuse[712] = 1
	if _, err := c.Inspect(ctx, target); !errors.Is(err, ErrNotEntitled) {
		t.Error(err)
	}
	m.refuse = nil
	m.is("not running\n\tpid = 1\n\targuments = {") // a forged line
	if j, err := c.Inspect(ctx, target); err != nil || j.PID != 5 {
		t.Errorf("%+v, %v", j, err)
	}
	m.loaded = false
	m.log = nil
	if _, err := c.Inspect(ctx, target); !errors.Is(err, ErrNotLoaded) || len(m.log) != 1 {
		t.Error(err, m.log)
	}
}

func TestFind(t *testing.T) {
	type domains map[string]xpc.Errno // answers; absent is 113
	for _, c := range []struct {
		name string
		is   domains
		want string
		err  error
	}{
		{"gui", domains{"8/501": 22, "2/501": 22, "1/0": 22}, "gui/501/x", nil},
		{"user", domains{"2/501": 22}, "user/501/x", nil},
		{"system", domains{"1/0": 22}, "system/x", nil},
		{"success counts", domains{"2/501": 0}, "user/501/x", nil},
		{"no gui, 125", domains{"8/501": 125, "2/501": 22}, "user/501/x", nil},
		{"no gui, 112", domains{"8/501": 112, "1/0": 22}, "system/x", nil},
		{"found after a refusal", domains{"8/501": 1, "2/501": 144, "1/0": 22}, "system/x", nil},
		{"nowhere", domains{}, "", ErrNotLoaded},
		{"no domains", domains{"8/501": 125, "2/501": 112, "1/0": 113}, "", ErrNotLoaded},
		{"refused", domains{"8/501": 144}, "", ErrNotEntitled},
		{"refused last", domains{"1/0": 1}, "", fs.ErrPermission},
	} {
		client := New(transport(func(_ context.Context, routine uint64, msg xpc.Dict) (xpc.Dict, error) {
			kind, _ := msg.Uint64("type")
			handle, _ := msg.Uint64("handle")
			key := map[uint64]string{8: "8/", 2: "2/", 1: "1/"}[kind] + map[uint64]string{501: "501", 0: "0"}[handle]
			code, known := c.is[key]
			switch {
			case !known:
				code = 113
			case code == 0:
				return xpc.Dict{}, nil
			}
			return nil, code
		}), nil)
		got, err := client.Find(t.Context(), "x", 501)
		if c.err == nil && (err != nil || got.String() != c.want) || c.err != nil && (!errors.Is(err, c.err) || got != Target{}) {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
		if c.err == ErrNotLoaded {
			for _, word := range []string{"x", "gui/501", "user/501", "system"} {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%s: %v does not name %s", c.name, err, word)
				}
			}
		}
	}
	c, log := answering(nil, io.ErrUnexpectedEOF)
	if _, err := c.Find(t.Context(), "x", 501); !errors.Is(err, io.ErrUnexpectedEOF) || len(*log) != 1 {
		t.Error(err, *log)
	}
}

// Darwin's numbers, from xnu's bsd/sys/signal.h, against this system's names.
func TestSignalNumbers(t *testing.T) {
	for sig, want := range map[syscall.Signal]Signal{
		syscall.SIGHUP: 1, syscall.SIGKILL: 9, syscall.SIGBUS: 10, syscall.SIGSYS: 12, syscall.SIGTERM: 15, syscall.SIGURG: 16,
		syscall.SIGSTOP: 17, syscall.SIGTSTP: 18, syscall.SIGCONT: 19, syscall.SIGCHLD: 20, syscall.SIGIO: 23,
		syscall.SIGUSR1: 30, syscall.SIGUSR2: 31,
	} {
		if n, ok := darwinSignal(sig); !ok || n != want {
			t.Errorf("%v: %d, %v; want %d", sig, n, ok, want)
		}
	}
	seen := map[Signal]bool{}
	for _, n := range darwinSignals {
		if n < 1 || n > 31 || seen[n] {
			t.Errorf("%d stands there twice or is out of range", n)
		}
		seen[n] = true
	}
	if len(seen) != 29 { // all but SIGEMT and SIGINFO
		t.Errorf("%d signals", len(seen))
	}
	c, log := answering(xpc.Dict{}, nil)
	bad := []syscall.Signal{0, -1, 32, 64}
	if runtime.GOOS == "linux" {
		bad = append(bad, 16, 30) // SIGSTKFLT, SIGPWR
	}
	for _, sig := range bad {
		if err := c.Kill(t.Context(), target, sig); err == nil {
			t.Errorf("signal %d was sent", int(sig))
		}
	}
	if len(*log) != 0 {
		t.Errorf("sent %v", *log)
	}
}

func TestErrors(t *testing.T) {
	all := []error{ErrNotLoaded, ErrNoDomain, ErrDisabled, ErrAlreadyLoaded, ErrStopping, ErrProtected, ErrNotEntitled, fs.ErrNotExist, fs.ErrPermission, fs.ErrExist}
	for _, c := range []struct {
		op   string
		code xpc.Errno
		is   []error
	}{
		{"kickstart", 113, []error{ErrNotLoaded, fs.ErrNotExist}},
		{"bootout", 3, []error{ErrNotLoaded, fs.ErrNotExist}},
		{"kill", 3, []error{fs.ErrNotExist}},
		{"kickstart", 112, []error{ErrNoDomain, fs.ErrNotExist}},
		{"kickstart", 125, []error{ErrNoDomain}},
		{"bootstrap", 119, []error{ErrDisabled}},
		{"bootstrap", 37, []error{ErrAlreadyLoaded}},
		{"bootstrap", 17, []error{ErrAlreadyLoaded, fs.ErrExist}},
		{"kickstart", 17, []error{fs.ErrExist}},
		{"kickstart", 37, []error{ErrStopping}},
		{"bootout", 36, []error{ErrStopping}},
		{"bootstrap", 36, []error{ErrStopping}},
		{"kickstart", 150, []error{ErrProtected, fs.ErrPermission}},
		{"kickstart", 144, []error{ErrNotEntitled, fs.ErrPermission}},
		{"kickstart", 154, []error{ErrNotEntitled, fs.ErrPermission}},
		{"kickstart", 1, []error{fs.ErrPermission}},
		{"kickstart", 5, nil},
	} {
		var err error = &Error{Op: c.op, Target: "gui/501/x", Code: c.code}
		for _, sentinel := range all {
			want := false
			for _, s := range c.is {
				want = want || s == sentinel
			}
			if got := errors.Is(err, sentinel); got != want {
				t.Errorf("%s %d is %v: %v", c.op, c.code, sentinel, got)
			}
		}
		if !errors.Is(err, c.code) {
			t.Errorf("%v is not its number", err)
		}
	}
	err := &Error{Op: "kickstart", Target: "gui/501/x", Code: 113}
	if err.Error() != "kickstart gui/501/x: Could not find specified service (113)" {
		t.Error(err)
	}
}

// A number inside a lost answer says why it was lost; launchd refused nothing.
func TestLostAnswerIsNoRefusal(t *testing.T) {
	c, _ := answering(nil, &xpc.UnknownOutcome{Routine: 702, Err: xpc.EPIPE})
	_, err := c.Kickstart(t.Context(), target, KickstartOptions{})
	var unknown *xpc.UnknownOutcome
	if isRefusal(err) || !errors.As(err, &unknown) || !strings.HasPrefix(err.Error(), "kickstart gui/501/ai.hermes.gateway: ") {
		t.Error(err)
	}
}

func TestLog(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	m, _ := newModel(t, 5, names(6))
	c := New(m, log)
	c.Print(t.Context(), target)
	m.loaded = false
	c.Kickstart(t.Context(), target, KickstartOptions{})
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 {
		t.Fatal(out.String())
	}
	for i, want := range []struct {
		op      string
		routine float64
		failed  bool
	}{{"print", 708, false}, {"kickstart", 702, true}} {
		var line map[string]any
		if err := json.Unmarshal([]byte(lines[i]), &line); err != nil {
			t.Fatal(err)
		}
		_, failed := line["error"]
		_, took := line["took"]
		if line["level"] != "DEBUG" || line["op"] != want.op || line["routine"] != want.routine || line["target"] != target.String() || failed != want.failed || !took || len(line) > 8 {
			t.Errorf("%v", line)
		}
	}
}

func TestOpen(t *testing.T) {
	ctx := t.Context()
	tr := transport(func(context.Context, uint64, xpc.Dict) (xpc.Dict, error) { return nil, xpc.NoSuchService })
	c, err := Open(ctx, Options{Transport: tr, Address: "unix:/nowhere"}) // the transport comes first
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Kickstart(ctx, target, KickstartOptions{}); !errors.Is(err, ErrNotLoaded) {
		t.Error(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	for _, address := range []string{"unix:", "/path", "tcp:localhost:1", "unix", "UNIX:/x"} {
		if _, err := Open(ctx, Options{Address: address}); err == nil || !strings.Contains(err.Error(), "unix:PATH") {
			t.Errorf("%q: %v", address, err)
		}
	}
	if _, err := Open(ctx, Options{Address: "unix:" + t.TempDir() + "/none"}); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if runtime.GOOS == "linux" {
		if _, err := Open(ctx, Options{}); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "embedded launchd") {
			t.Error(err)
		}
	}
}
