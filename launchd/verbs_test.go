package launchd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/hermes-gw/hermes-gw/internal/launchdsim"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// The verbs that sim_test.go does not show, on a real job.
func TestSimMoreVerbs(t *testing.T) {
	ctx := t.Context()
	e := embed(t, launchdsim.Options{TimeScale: 0.1})
	gui := e.target("").Domain
	a := e.load("a", sleeper, keepAlive)
	none, nowhere := e.target("none"), Target{GUI(os.Geteuid() + 1), "a"}

	if why, err := e.Blame(ctx, a); err != nil || why != "speculative" {
		t.Errorf("%q, %v", why, err)
	}
	attrs, err := e.Attributes(ctx, a)
	if pid, _ := attrs.Int64("pid"); err != nil || int(pid) != e.pid(a) || attrs["label"] != "a" {
		t.Errorf("%v, %v", attrs, err)
	}
	service, err := e.ListOwnJob(ctx, "a")
	if pid, _ := service.Int64("PID"); err != nil || int(pid) != e.pid(a) || service["Label"] != "a" {
		t.Errorf("%v, %v", service, err)
	}
	if v, err := e.Version(ctx); err != nil || !strings.Contains(v, "Bootstrapper Version") || strings.Contains(v, "\n") {
		t.Errorf("%q, %v", v, err)
	}

	// What is disabled.
	if list, err := e.Overrides(ctx, gui); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
	if err := errors.Join(e.SetEnabled(ctx, none, false), e.SetEnabled(ctx, a, true)); err != nil {
		t.Fatal(err)
	}
	if list, err := e.Overrides(ctx, gui); err != nil || !slices.Equal(list, []Override{{"a", true}, {"none", false}}) {
		t.Errorf("%v, %v", list, err)
	}
	if text, err := e.PrintDisabled(ctx, gui); err != nil || !strings.Contains(text, `"none" => disabled`) {
		t.Errorf("%s, %v", text, err)
	}
	if j, err := e.Inspect(ctx, a); err != nil || j.Disabled == nil || *j.Disabled {
		t.Errorf("%+v, %v", j, err)
	}
	text, err := e.PrintDomain(ctx, gui)
	if err != nil {
		t.Fatal(err)
	}
	info, err := ParseDomain(text)
	if err != nil || info.Domain != gui || info.Session != "Aqua" || len(info.Services) != 1 || info.Services[0].PID != e.pid(a) || len(info.Overrides) != 2 {
		t.Errorf("%+v, %v", info, err)
	}

	// The environment of jobs to come.
	for _, d := range []Domain{gui, User(os.Geteuid()), Own()} {
		if v, ok, err := e.Getenv(ctx, d, "GW"); v != "" || ok || err != nil {
			t.Errorf("%v: %q, %v, %v", d, v, ok, err)
		}
		if err := e.Setenv(ctx, d, map[string]string{"GW": "x=y z", "GW2": ""}); err != nil {
			t.Error(err)
		}
		for name, want := range map[string]string{"GW": "x=y z", "GW2": ""} {
			if v, ok, err := e.Getenv(ctx, d, name); v != want || !ok || err != nil {
				t.Errorf("%v: %s=%q, %v, %v", d, name, v, ok, err)
			}
		}
		if err := errors.Join(e.Unsetenv(ctx, d, "GW", "GW2", "GW3"), e.Unsetenv(ctx, d, "GW")); err != nil {
			t.Error(err)
		}
		for _, name := range []string{"GW", "GW2"} {
			if _, ok, err := e.Getenv(ctx, d, name); ok || err != nil {
				t.Errorf("%v: %s: %v, %v", d, name, ok, err)
			}
		}
	}
	for _, name := range []string{"", "A=B", "A\x00"} {
		_, _, err := e.Getenv(ctx, gui, name)
		for _, err := range []error{err, e.Setenv(ctx, gui, map[string]string{name: "x"}), e.Unsetenv(ctx, gui, "OK", name)} {
			if _, ok := errors.AsType[*SyntaxError](err); !ok {
				t.Errorf("%q: %v", name, err)
			}
		}
	}

	// launchctl's oldest verbs.
	pid := e.pid(a)
	if err := e.StartOwn(ctx, "a"); err != nil || e.pid(a) != pid {
		t.Errorf("%v, %d -> %d", err, pid, e.pid(a))
	}
	from := e.seen()
	if err := e.StopOwn(ctx, "a"); err != nil {
		t.Error(err)
	}
	e.wait(from, "the exit", func(ev launchdsim.Event) bool { return ev.Kind == "exit" && ev.PID == pid })
	e.wait(from, "KeepAlive", func(ev launchdsim.Event) bool { return ev.Kind == "spawn" && ev.Label == "a" })
	if err := e.RemoveOwn(ctx, "a"); err != nil {
		t.Error(err)
	}
	e.gone(a)
	b := e.load("b", sleeper, "")
	if err := e.StartOwn(ctx, "b"); err != nil || e.pid(b) == 0 {
		t.Errorf("%v, %d", err, e.pid(b))
	}
	if why, err := e.Blame(ctx, b); err != nil || !strings.Contains(why, "one-shot") && !strings.Contains(why, "legacy") {
		t.Errorf("%q, %v", why, err)
	}
	for _, err := range []error{e.StartOwn(ctx, "none"), e.StopOwn(ctx, "none"), e.RemoveOwn(ctx, "none")} {
		is(t, err, ErrNotLoaded)
	}
	_, err = e.ListOwnJob(ctx, "none")
	is(t, err, ErrNotLoaded)
	_, err = e.Blame(ctx, none)
	is(t, err, ErrNotLoaded)
	_, err = e.Blame(ctx, nowhere)
	is(t, err, ErrNoDomain)
	_, err = e.Attributes(ctx, none)
	is(t, err, ErrNotLoaded)
	_, err = e.Attributes(ctx, nowhere)
	is(t, err, ErrNoDomain)
	_, _, err = e.Getenv(ctx, nowhere.Domain, "A")
	is(t, err, ErrNoDomain)
	is(t, e.Setenv(ctx, nowhere.Domain, map[string]string{"A": "b"}), ErrNoDomain)
	_, err = e.Overrides(ctx, nowhere.Domain)
	is(t, err, ErrNoDomain)
	for _, bad := range []string{"", "a/b", "a\x00"} {
		_, err := e.ListOwnJob(ctx, bad)
		for _, err := range []error{err, e.StartOwn(ctx, bad), e.StopOwn(ctx, bad), e.RemoveOwn(ctx, bad)} {
			if _, ok := errors.AsType[*SyntaxError](err); !ok {
				t.Errorf("%q: %v", bad, err)
			}
		}
	}
}

// Every error that a method documents, as launchd would give it, over the socket.
func TestSimDocumentedErrors(t *testing.T) {
	e := embed(t, launchdsim.Options{})
	x, gui := e.target("x"), e.target("x").Domain
	path := e.plist("x", sleeper, atLoad)
	const entitled, protected = 144, 150
	for _, v := range []struct {
		name    string
		routine uint64
		do      func(context.Context) error
		codes   []xpc.Errno
		loaded  xpc.Errno // another number for ErrNotLoaded
	}{
		{"kickstart", 702, func(ctx context.Context) error { _, err := e.Kickstart(ctx, x, KickstartOptions{}); return err }, []xpc.Errno{1, 36, 37, 112, 113, 125, entitled, 154, protected}, 0},
		{"blame", 707, func(ctx context.Context) error { _, err := e.Blame(ctx, x); return err }, []xpc.Errno{1, 3, 112, 113, 125}, 0},
		{"print", 708, func(ctx context.Context) error { _, err := e.Print(ctx, x); return err }, []xpc.Errno{1, 112, 113, 125}, 0},
		{"attributes", 712, func(ctx context.Context) error { _, err := e.Attributes(ctx, x); return err }, []xpc.Errno{1, 112, 113, 125}, 0},
		{"bootstrap", 800, func(ctx context.Context) error { return e.Bootstrap(ctx, gui, path) }, []xpc.Errno{1, 5, 17, 36, 37, 109, 111, 112, 119, 122, 124, 125, 134, protected}, 0},
		{"bootout", 801, func(ctx context.Context) error { return e.Bootout(ctx, x) }, []xpc.Errno{1, 3, 36, 112, 113, 125, protected}, 3},
		{"enable", 808, func(ctx context.Context) error { return e.SetEnabled(ctx, x, true) }, []xpc.Errno{1, 112, 125, 140, protected}, 0},
		{"disable", 809, func(ctx context.Context) error { return e.SetEnabled(ctx, x, false) }, []xpc.Errno{1, 112, 125, 140, protected}, 0},
		{"enabled", 811, func(ctx context.Context) error { _, _, err := e.Enabled(ctx, x); return err }, []xpc.Errno{112, 125}, 0},
		{"kill", 812, func(ctx context.Context) error { return e.Kill(ctx, x, syscall.SIGTERM) }, []xpc.Errno{1, 3, 22, 112, 113, 125}, 0},
		// Those that ask in another way when the first is refused, and read the answer.
		{"print", 0, func(ctx context.Context) error { _, err := e.Job(ctx, x); return err }, []xpc.Errno{1, 112, 113, 125}, 0},
		{"print", 0, func(ctx context.Context) error { _, err := e.Inspect(ctx, x); return err }, []xpc.Errno{1, 112, 113, 125}, 0},
		{"print", 828, func(ctx context.Context) error { _, err := e.List(ctx, gui); return err }, []xpc.Errno{1, 112, 125}, 0},
		{"print", 828, func(ctx context.Context) error { _, err := e.Overrides(ctx, gui); return err }, []xpc.Errno{1, 112, 125}, 0},
		{"find", 708, func(ctx context.Context) error { _, err := e.Find(ctx, "x", os.Geteuid()); return err }, []xpc.Errno{1, 113, entitled}, 0},
		{"find", 708, func(ctx context.Context) error { _, err := e.FindAll(ctx, "x", os.Geteuid()); return err }, []xpc.Errno{1, 113, entitled}, 0},
		{"find", 708, func(ctx context.Context) error { _, err := e.FindOne(ctx, "x", os.Geteuid()); return err }, []xpc.Errno{1, 113, entitled}, 0},
		{"start", 813, func(ctx context.Context) error { return e.StartOwn(ctx, "x") }, []xpc.Errno{1, 3, entitled}, 3},
		{"stop", 814, func(ctx context.Context) error { return e.StopOwn(ctx, "x") }, []xpc.Errno{1, 3, entitled}, 3},
		{"list", 815, func(ctx context.Context) error { _, err := e.ListOwn(ctx); return err }, []xpc.Errno{1, 112, 125}, 0},
		{"list", 815, func(ctx context.Context) error { _, err := e.ListOwnJob(ctx, "x"); return err }, []xpc.Errno{1, 112, 113, 125}, 0},
		{"remove", 816, func(ctx context.Context) error { return e.RemoveOwn(ctx, "x") }, []xpc.Errno{1, 3, entitled, protected}, 3},
		{"setenv", 819, func(ctx context.Context) error { return e.Setenv(ctx, gui, map[string]string{"A": "b"}) }, []xpc.Errno{1, 112, 125}, 0},
		{"unsetenv", 819, func(ctx context.Context) error { return e.Unsetenv(ctx, gui, "A") }, []xpc.Errno{1, 112, 125}, 0},
		{"getenv", 820, func(ctx context.Context) error { _, _, err := e.Getenv(ctx, gui, "A"); return err }, []xpc.Errno{1, 112, 125}, 0},
		{"print", 828, func(ctx context.Context) error { _, err := e.PrintDomain(ctx, gui); return err }, []xpc.Errno{1, 112, 125}, 0},
		{"print", 828, func(ctx context.Context) error { _, err := e.PrintDisabled(ctx, gui); return err }, []xpc.Errno{1, 112, 125}, 0},
		{"print", 828, func(ctx context.Context) error { _, err := e.Version(ctx); return err }, []xpc.Errno{1, 112, 125}, 0},
	} {
		for _, code := range v.codes {
			e.server.SetFaults(launchdsim.Fault{Kind: launchdsim.Fail, Routine: v.routine, Code: int64(code)})
			err := v.do(t.Context())
			refused, ok := errors.AsType[*Error](err)
			if !ok || refused.Op != v.name || refused.Code != code || !strings.HasPrefix(err.Error(), v.name+" ") || !strings.Contains(err.Error(), fmt.Sprintf("(%d)", code)) {
				t.Errorf("%s (%d), %d: %v", v.name, v.routine, code, err)
				continue
			}
			for sentinel, codes := range map[error][]xpc.Errno{
				ErrNotLoaded: {113, v.loaded}, ErrNoDomain: {112, 125}, ErrDisabled: {119}, ErrProtected: {150}, ErrNotEntitled: {144, 154}, fs.ErrPermission: {1, 144, 150, 154},
			} {
				if got, want := errors.Is(err, sentinel), slices.Contains(codes, code); got != want && code != 5 {
					t.Errorf("%s, %d is %v: %v", v.name, code, sentinel, got)
				}
			}
			if refused.Remedy() == "" {
				t.Errorf("%s, %d: no remedy", v.name, code)
			}
		}
	}
}

func TestParseSignal(t *testing.T) {
	for s, want := range map[string]Signal{"TERM": 15, "SIGTERM": 15, "sigterm": 15, "15": 15, "1": 1, "31": 31, "usr1": 30, "EMT": 7, "INFO": 29, "SIGKILL": 9} {
		if got, err := ParseSignal(s); err != nil || got != want {
			t.Errorf("%s: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "0", "32", "-1", "015", "+1", "SIG", "TERMINATE", "SIG15", "15 ", "1.0", "\x00"} {
		if got, err := ParseSignal(s); err == nil || got != 0 {
			t.Errorf("%q: %v", s, got)
		}
	}
	for n := Signal(1); n <= 31; n++ {
		if again, err := ParseSignal(n.String()); err != nil || again != n {
			t.Errorf("%v: %v, %v", n, again, err)
		}
		if e := exitSignalWords(n.describe()); e != (Exit{Kind: ExitSignaled, Signal: n}) {
			t.Errorf("%s: %+v", n.describe(), e)
		}
	}
	if s := Signal(99).String(); s != "signal 99" {
		t.Error(s)
	}
	var _ os.Signal = Signal(15)
}

func TestExits(t *testing.T) {
	for words, want := range map[string]Exit{
		"0": {Kind: ExitCode}, "78: EX_CONFIG": {Kind: ExitCode, Code: 78, Words: "78: EX_CONFIG"}, "(never exited)": {Kind: ExitNever},
		"255": {Kind: ExitCode, Code: 255}, "256": {Words: "256"}, "-5": {Words: "-5"},
		"(abandoned)": {Words: "(abandoned)"}, "(failed reap)": {Words: "(failed reap)"}, "never exited": {Words: "never exited"},
	} {
		got := exitCodeWords(words)
		if got != want || got.String() != words || got.Failed() != (got.Code != 0) {
			t.Errorf("%s: %+v", words, got)
		}
	}
	for words, want := range map[string]Exit{
		"Terminated: 15": {Kind: ExitSignaled, Signal: 15}, "Beendet: 15": {Kind: ExitSignaled, Signal: 15, Words: "Beendet: 15"},
		"Killed: 99": {Words: "Killed: 99"}, "x": {Words: "x"}, "": {},
	} {
		if got := exitSignalWords(words); got != want || got.String() != words {
			t.Errorf("%q: %+v", words, got)
		}
	}
	if s := (Exit{}).String(); s != "" || (Exit{}).Failed() {
		t.Errorf("%q", s)
	}
}

func TestStates(t *testing.T) {
	n := 0
	for _, s := range []State{StateNotRunning, StateSpawnScheduled, StateSpawning, StateXPCProxy, StateRunning, StateSIGTERMed, StateSIGKILLed, StateLanguishing, StateExited} {
		if !s.Known() || s.Stopping() != (s == StateSIGTERMed || s == StateSIGKILLed || s == StateLanguishing || s == StateExited) {
			t.Error(s)
		}
		n++
	}
	if n != 9 || State("waiting").Known() || State("").Known() {
		t.Error("the nine states")
	}
}
