package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hermes-gw/hermes-gw/xpc"
)

func TestRestart(t *testing.T) {
	f := newFake(t, oneJob().answers)
	c := newCall(f.path)
	if code := c.run("restart", jobLabel); code != exitOK {
		t.Fatalf("exit %d: %s", code, &c.stderr)
	}
	wantContains(t, c.stdout.String(), "restarted user/501/ai.hermes.gateway: pid 4194381 -> ", " ms (checks ", "request ")
	if c.stderr.Len() > 0 {
		t.Errorf("stderr: %s", &c.stderr)
	}
	if got := f.routines(true); !slices.Equal(got, []uint64{702}) {
		t.Errorf("requests that change something: %v", got)
	}
	if c.hangupIgnored != 1 {
		t.Errorf("SIGHUP was ignored %d times", c.hangupIgnored)
	}
}

// A loaded job can be disabled: it is restarted, and the user hears of it.
func TestRestartOfADisabledJob(t *testing.T) {
	f := newFake(t, oneJob().except(811, answer{reply: xpc.Dict{"loaded": true, "enabled": false}}))
	c := newCall(f.path)
	if code := c.run("restart", jobLabel); code != exitOK {
		t.Fatalf("exit %d: %s", code, &c.stderr)
	}
	wantContains(t, c.stdout.String(), "restarted user/501/ai.hermes.gateway")
	wantContains(t, c.stderr.String(), "disabled", "enable user/501/ai.hermes.gateway")
}

func TestRestartJSON(t *testing.T) {
	f := newFake(t, oneJob().answers)
	c := newCall(f.path)
	if code := c.run("restart", "--json", "user/501/"+jobLabel); code != exitOK {
		t.Fatalf("exit %d: %s", code, &c.stderr)
	}
	p := parseJSON(t, c.stdout.Bytes())
	if p.Version != 1 || p.Command != "restart" || p.ExitCode != 0 || len(p.Results) != 1 || p.Error != nil {
		t.Fatalf("%s", &c.stdout)
	}
	r := p.Results[0]
	if r.Target != "user/501/"+jobLabel || r.State != "restarted" || r.Method != "kickstart" || *r.OldPID != noSuchPID || *r.NewPID != os.Getpid() || r.Warnings == nil || r.Error != nil {
		t.Errorf("%s", &c.stdout)
	}
	for _, phase := range []string{"resolve", "request", "total"} {
		if ms, ok := r.Phases[phase]; !ok || ms <= 0 {
			t.Errorf("phase %s: %v", phase, ms)
		}
	}
}

// What is missing is exit 5, one line, and nothing was sent that changes anything.
func TestNotThere(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"restart ai.hermes.gatewax", "ai.hermes.gatewax"},
		{"restart user/501/ai.hermes.gatewax", "user/501/ai.hermes.gatewax"},
		{"restart gui/501/ai.hermes.gateway", "domain"},
		{"status ai.hermes.gatewax", "ai.hermes.gatewax"},
		{"stop ai.hermes.gatewax", "ai.hermes.gatewax"},
		{"stop user/501/ai.hermes.gatewax", "ai.hermes.gatewax"},
		{"start gui/501/ai.hermes.gateway", "domain"},
	} {
		f := newFake(t, oneJob().answers)
		c := newCall(f.path)
		if code := c.run(strings.Fields(test.args)...); code != exitNotThere {
			t.Errorf("%s: exit %d", test.args, code)
		}
		wantContains(t, c.oneLine(t), test.want)
		if got := f.routines(true); len(got) > 0 || c.hangupIgnored > 0 {
			t.Errorf("%s: sent %v", test.args, got)
		}
	}
}

// What took time is in the total, wherever the restart ended.
func TestFailedPhases(t *testing.T) {
	for _, name := range []string{"none", "user/501/none", "gui/501/" + jobLabel} {
		f := newFake(t, oneJob().answers)
		c := newCall(f.path)
		c.run("restart", "--json", name)
		ms := parseJSON(t, c.stdout.Bytes()).Results[0].Phases
		if ms["resolve"] <= 0 || ms["total"] < ms["resolve"] {
			t.Errorf("%s: %v", name, ms)
		}
	}
}

// Not loaded and disabled is disabled, with the advice to enable it, however the job is
// named; for stop it is not loaded.
func TestDisabled(t *testing.T) {
	for args, want := range map[string]string{
		"restart off": "disabled", "restart user/501/off": "disabled",
		"start off": "disabled", "start user/501/off --plist PLIST": "disabled",
		"status off": "disabled", "status user/501/off": "disabled",
		"stop off": "not-loaded", "stop user/501/off": "not-loaded",
	} {
		plist := filepath.Join(t.TempDir(), "off.plist")
		if err := os.WriteFile(plist, []byte(goodXML("off")), 0o600); err != nil {
			t.Fatal(err)
		}
		j := oneJob()
		f := newFake(t, func(r request) answer {
			if kind, _ := r.msg.Uint64("type"); kind == typeUser && r.routine == 811 {
				return answer{reply: xpcDict("loaded", false, "enabled", false)}
			}
			return j.answers(r)
		})
		c := newCall(f.path)
		if code := c.run(append([]string{"--json"}, strings.Fields(strings.ReplaceAll(args, "PLIST", plist))...)...); code != exitNotThere {
			t.Errorf("%s: exit %d", args, code)
		}
		r := parseJSON(t, c.stdout.Bytes()).Results[0]
		if r.State != want || r.Error == nil || r.Error.Code != want {
			t.Errorf("%s: %s", args, &c.stdout)
		}
		line := c.oneLine(t)
		wantContains(t, line, "user/501/off")
		if enable := strings.Contains(line, "ctl enable user/501/off"); enable != (want == "disabled") {
			t.Errorf("%s: %s", args, line)
		}
		if got := f.routines(true); len(got) > 0 {
			t.Errorf("%s: sent %v", args, got)
		}
	}
}

// Results come in the order of the arguments, whatever order they end in.
func TestSeveral(t *testing.T) {
	labels := []string{"e", "d", "c", "b", "a"}
	j := &jobs{pids: map[string]int{}, next: os.Getpid()}
	for _, l := range labels {
		j.pids[l] = noSuchPID
	}
	f := newFake(t, j.answers)
	c := newCall(f.path)
	if code := c.run("restart", "e", "d", "user/501/c", "none", "b", "a", "user/501/e", "--json"); code != exitSome {
		t.Errorf("exit %d", code)
	}
	wantContains(t, c.oneLine(t), "none")
	var got []string
	for _, r := range parseJSON(t, c.stdout.Bytes()).Results {
		got = append(got, strings.TrimPrefix(r.Target, "user/501/")+"="+r.State)
	}
	want := []string{"e=restarted", "d=restarted", "c=restarted", "none=not-loaded", "b=restarted", "a=restarted"}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if n := len(f.routines(true)); n != len(labels) {
		t.Errorf("%d requests for %d jobs", n, len(labels))
	}
}

// tooLarge is the start of a frame that claims more than any frame may hold.
var tooLarge = []byte{1, 0, 0, 0x7f, 0, 0, 0, 0}

// A launchd that misbehaves is one line and exit 1 where nothing was at stake, exit 8
// where a change may have happened.
func TestBadServers(t *testing.T) {
	for _, test := range []struct {
		name    string
		routine uint64
		answer  answer
		args    string
		code    int
	}{
		{"closes", 708, answer{close: true}, "restart ai.hermes.gateway", exitFailed},
		{"closes", 0, answer{close: true}, "status", exitFailed},
		{"closes", 702, answer{close: true}, "restart ai.hermes.gateway --timeout 300ms", exitUnknown},
		{"too large", 708, answer{raw: tooLarge}, "restart ai.hermes.gateway", exitFailed},
		{"too large", 702, answer{raw: tooLarge}, "restart ai.hermes.gateway --timeout 300ms", exitUnknown},
		{"garbage", 708, answer{raw: []byte("\x0c\x00\x00\x00\x00\x00\x00\x00garbage!")}, "stop ai.hermes.gateway", exitFailed},
		{"hangs", 708, answer{hang: true}, "restart ai.hermes.gateway --timeout 100ms", exitFailed},
		{"hangs", 0, answer{hang: true}, "restart user/501/ai.hermes.gateway --timeout 100ms", exitFailed},
		{"hangs", 0, answer{hang: true}, "status user/501/ai.hermes.gateway --timeout 100ms", exitFailed},
		{"hangs", 0, answer{hang: true}, "stop user/501/ai.hermes.gateway --timeout 100ms", exitFailed},
		{"hangs", 702, answer{hang: true}, "restart ai.hermes.gateway --timeout 300ms", exitUnknown},
		{"hangs", 801, answer{hang: true}, "stop ai.hermes.gateway --timeout 300ms", exitUnknown},
		{"hangs", 702, answer{hang: true}, "start ai.hermes.gateway --timeout 300ms", exitUnknown},
	} {
		j := oneJob()
		reply := j.except(test.routine, test.answer)
		if test.routine == 0 { // to everything
			reply = func(request) answer { return test.answer }
		}
		f := newFake(t, reply)
		c := newCall(f.path)
		if code := c.run(strings.Fields(test.args)...); code != test.code {
			t.Errorf("%s at %d: %s: exit %d, want %d: %s", test.name, test.routine, test.args, code, test.code, &c.stderr)
		}
		line := c.oneLine(t)
		if !strings.HasSuffix(line, ".") {
			t.Errorf("%s at %d: no advice: %s", test.name, test.routine, line)
		}
		if c.stdout.Len() > 0 {
			t.Errorf("%s at %d: stdout: %s", test.name, test.routine, &c.stdout)
		}
	}
}

// A launchd that answers is not said to be dead because a job does not move, nor the
// other way round.
func TestTimeoutAdvice(t *testing.T) {
	const launchdDead, jobStuck = "Check that this launchd is alive", "launchd answers, but the job"
	stuck := oneJob()
	stuck.next = noSuchPID // a kickstart names the old process, for ever
	lingers := func(r request) answer {
		if r.routine == 801 {
			return answer{reply: xpcDict()}
		}
		return oneJob().answers(r) // still loaded
	}
	for _, test := range []struct {
		args, want, other string
		reply             func(request) answer
	}{
		{"restart user/501/ai.hermes.gateway", jobStuck, launchdDead, stuck.answers},
		{"restart ai.hermes.gateway", jobStuck, launchdDead, stuck.answers},
		{"stop user/501/ai.hermes.gateway", jobStuck, launchdDead, lingers},
		{"restart ai.hermes.gateway", launchdDead, jobStuck, oneJob().except(708, answer{hang: true})},
		{"restart user/501/ai.hermes.gateway", launchdDead, jobStuck, oneJob().except(712, answer{hang: true})},
		{"stop user/501/ai.hermes.gateway", launchdDead, jobStuck, oneJob().except(712, answer{hang: true})},
		{"status user/501/ai.hermes.gateway", launchdDead, jobStuck, oneJob().except(708, answer{hang: true})},
	} {
		f := newFake(t, test.reply)
		c := newCall(f.path)
		if code := c.run(append([]string{"--json", "--timeout", "500ms"}, strings.Fields(test.args)...)...); code != exitFailed {
			t.Errorf("%s: exit %d: %s", test.args, code, &c.stderr)
		}
		line := c.oneLine(t)
		wantContains(t, line, test.want)
		if strings.Contains(line, test.other) {
			t.Errorf("%s: %s", test.args, line)
		}
		if e := parseJSON(t, c.stdout.Bytes()).Results[0].Error; e == nil || e.Code != codeTimeout {
			t.Errorf("%s: %s", test.args, &c.stdout)
		}
	}
}

func TestNoServer(t *testing.T) {
	dir, err := os.MkdirTemp("", "hgw")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	served := newFake(t, oneJob().answers).path
	left := filepath.Join(dir, "left")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: left, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	const start, name, shorter = "Start a launchd there, or name another", "Name the socket of a launchd", "Name a shorter path"
	for _, test := range []struct{ path, timeout, code, problem, remedy string }{
		{filepath.Join(dir, "missing"), "10s", codeConnection, "no such socket", start},
		{filepath.Join(dir, "no", "folder"), "10s", codeConnection, "no such socket", start},
		{left, "10s", codeConnection, left, start},
		{file, "10s", codeConnection, "a file, not a socket", name},
		{dir, "10s", codeConnection, "a folder, not a socket", name},
		{filepath.Join(file, "below"), "10s", codeConnection, "below", name},
		{"/" + strings.Repeat("x", 300), "10s", codeConnection, "301 bytes", shorter},
		{filepath.Join(dir, strings.Repeat("x", 120)), "10s", codeConnection, "bytes", shorter},
		{served, "1ns", codeTimeout, "the time is up", "longer with --timeout"},
	} {
		c := newCall(test.path)
		if code := c.run("restart", jobLabel, "--timeout", test.timeout); code != exitFailed {
			t.Errorf("%s: exit %d", test.path, code)
		}
		line := c.oneLine(t)
		wantContains(t, line, test.path, test.problem, test.remedy)
		for _, remedy := range []string{start, name, shorter} {
			if remedy != test.remedy && strings.Contains(line, remedy) {
				t.Errorf("advice for something else: %s", line)
			}
		}
		if named := strings.Contains(line, "--launchd unix:PATH or HERMES_GW_LAUNCHD."); named != (test.code == codeConnection) {
			t.Errorf("where to name a launchd: %s", line)
		}
		c = newCall(test.path)
		c.run("restart", jobLabel, "--json", "--timeout", test.timeout)
		if p := parseJSON(t, c.stdout.Bytes()); p.Error == nil || p.Error.Code != test.code || p.ExitCode != exitFailed {
			t.Errorf("%s: %s", test.path, &c.stdout)
		}
	}
}

// Trap 55: the uid of a bare label: --uid, else SUDO_UID for root only, else the caller's.
func TestUID(t *testing.T) {
	for _, test := range []struct {
		euid int
		sudo string
		args []string
		want uint64
	}{
		{501, "", nil, 501},
		{501, "502", nil, 501},
		{0, "502", nil, 502},
		{0, "", nil, 0},
		{0, "502", []string{"--uid", "0"}, 0},
		{501, "", []string{"--uid=503"}, 503},
	} {
		f := newFake(t, func(request) answer { return refuse(113) })
		c := newCall(f.path)
		getenv := c.env.getenv
		c.env.euid = test.euid
		c.env.getenv = func(key string) string {
			if key == "SUDO_UID" {
				return test.sudo
			}
			return getenv(key)
		}
		c.run(append(test.args, "restart", "some.label")...)
		if handle, _ := (<-f.came).msg.Uint64("handle"); handle != test.want {
			t.Errorf("%+v: asked for uid %d", test, handle)
		}
	}
	c := newCall("")
	c.env.euid = 0
	c.env.getenv = func(string) string { return "bob" }
	if code := c.run("restart", "x"); code != exitUsage {
		t.Errorf("SUDO_UID=bob: exit %d", code)
	}
	wantContains(t, c.oneLine(t), "SUDO_UID", `"bob"`, "--uid")
}

// Where a job goes that is loaded nowhere, and from which file.
func TestStartLoads(t *testing.T) {
	home := t.TempDir()
	agents := filepath.Join(home, "Library", "LaunchAgents")
	if err := os.MkdirAll(agents, 0o700); err != nil {
		t.Fatal(err)
	}
	usual := filepath.Join(agents, jobLabel+".plist")
	other := filepath.Join(home, "other.plist")
	for _, path := range []string{usual, other} {
		if err := os.WriteFile(path, []byte(goodXML(jobLabel)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name    string
		args    []string
		ssh     bool
		console int
		noGUI   bool
		want    uint64 // domain type
		path    string
	}{
		{"at the screen", []string{jobLabel}, false, 501, false, typeGUI, usual},
		{"over ssh, nobody at the screen", []string{jobLabel}, true, 0, false, typeUser, usual},
		{"over ssh, at the screen too", []string{jobLabel}, true, 501, false, typeGUI, usual},
		{"no graphical session", []string{jobLabel}, false, 501, true, typeUser, usual},
		{"named domain", []string{"user/501/" + jobLabel}, false, 501, false, typeUser, usual},
		{"named file", []string{jobLabel, "--plist", other}, false, 501, false, typeGUI, other},
	} {
		t.Run(test.name, func(t *testing.T) {
			var mu sync.Mutex
			loaded := uint64(0)
			f := newFake(t, func(r request) answer {
				mu.Lock()
				defer mu.Unlock()
				kind, _ := r.msg.Uint64("type")
				switch {
				case test.noGUI && kind == typeGUI:
					return refuse(125)
				case r.routine == 800:
					loaded = kind
					return answer{reply: xpcDict()}
				case kind != loaded:
					return refuse(113)
				case r.routine == 702:
					return answer{reply: xpcDict("pid", int64(os.Getpid()))}
				}
				return refuse(22)
			})
			c := newCall(f.path)
			getenv := c.env.getenv
			c.env.getenv = func(key string) string {
				if key == "SSH_CONNECTION" && test.ssh {
					return "::1 1 ::1 22"
				}
				return getenv(key)
			}
			c.env.consoleOwner = func() (int, error) { return test.console, nil }
			c.env.home = func(int) (string, error) { return home, nil }
			if code := c.run(append([]string{"start", "--json"}, test.args...)...); code != exitOK {
				t.Fatalf("exit %d: %s", code, &c.stderr)
			}
			if got := f.routines(true); !slices.Equal(got, []uint64{800, 702}) {
				t.Errorf("requests: %v", got)
			}
			if loaded != test.want {
				t.Errorf("loaded into a domain of type %d, want %d", loaded, test.want)
			}
			for _, r := range f.requests() {
				if paths, _ := r.msg.Slice("paths"); r.routine == 800 && (len(paths) != 1 || paths[0] != test.path) {
					t.Errorf("loaded %v", paths)
				}
			}
			if p := parseJSON(t, c.stdout.Bytes()); test.noGUI != (len(p.Results[0].Warnings) == 1) {
				t.Errorf("warnings: %s", &c.stdout)
			}
		})
	}
}

// A start without a good property list sends nothing.
func TestStartBadPlist(t *testing.T) {
	home := t.TempDir()
	broken := filepath.Join(home, "broken.plist")
	if err := os.WriteFile(broken, []byte("<plist><dict>"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"new.label"}, exitNotThere, "not loaded"},
		{[]string{"new.label"}, exitNotThere, filepath.Join(home, "Library", "LaunchAgents", "new.label.plist")},
		{[]string{"new.label", "--plist", filepath.Join(home, "none.plist")}, exitFailed, "no such file"},
		{[]string{"new.label", "--plist", broken}, exitFailed, "not a property list"},
		{[]string{jobLabel, "--plist", broken}, exitFailed, "not a property list"},
	} {
		f := newFake(t, oneJob().answers)
		c := newCall(f.path)
		c.env.home = func(int) (string, error) { return home, nil }
		if code := c.run(append([]string{"start"}, test.args...)...); code != test.code {
			t.Errorf("%q: exit %d, want %d", test.args, code, test.code)
		}
		wantContains(t, c.oneLine(t), test.want)
		if got := f.routines(true); len(got) > 0 {
			t.Errorf("%q: sent %v", test.args, got)
		}
	}
}

func TestStop(t *testing.T) {
	f := newFake(t, oneJob().answers)
	c := newCall(f.path)
	if code := c.run("stop", jobLabel); code != exitOK {
		t.Fatalf("exit %d: %s", code, &c.stderr)
	}
	wantContains(t, c.stdout.String(), "stopped user/501/ai.hermes.gateway", "the next login loads it again")
	if got := f.routines(true); !slices.Equal(got, []uint64{801}) {
		t.Errorf("requests: %v", got)
	}
}

func TestStatus(t *testing.T) {
	f := newFake(t, oneJob().answers)
	c := newCall(f.path)
	if code := c.run("status", jobLabel, "--json"); code != exitOK {
		t.Fatalf("exit %d: %s", code, &c.stderr)
	}
	p := parseJSON(t, c.stdout.Bytes())
	if r := p.Results[0]; r.State != "running" || *r.PID != noSuchPID || r.Path != "(submitted by tests.1)" || r.Disabled == nil || *r.Disabled {
		t.Errorf("%s", &c.stdout)
	}
	if got := f.routines(true); len(got) > 0 || c.hangupIgnored > 0 {
		t.Errorf("status changed something: %v", got)
	}
}

// An interrupted question: nothing is sent, the exit code is the signal's, and SIGHUP
// was never ignored.
func TestInterruptedBefore(t *testing.T) {
	for s, code := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143} {
		f := newFake(t, oneJob().except(708, answer{hang: true}))
		c := newCall(f.path)
		go func() {
			<-f.came
			c.signals <- s
		}()
		if got := c.run("restart", jobLabel, "--json"); got != code {
			t.Errorf("%v: exit %d", s, got)
		}
		p := parseJSON(t, c.stdout.Bytes())
		if p.ExitCode != code || p.Results[0].State != "failed" || p.Results[0].Error.Code != codeInterrupted {
			t.Errorf("%v: %s", s, &c.stdout)
		}
		if got := f.routines(true); len(got) > 0 || c.hangupIgnored > 0 {
			t.Errorf("%v: sent %v", s, got)
		}
	}
}

// An interrupted change is unknown, after one look.
func TestInterruptedAfter(t *testing.T) {
	f := newFake(t, oneJob().except(702, answer{hang: true}))
	c := newCall(f.path)
	go func() {
		for r := range f.came {
			if r.routine == 702 {
				c.signals <- syscall.SIGINT
				return
			}
		}
	}()
	if code := c.run("restart", jobLabel, "--json"); code != exitInterrupted {
		t.Errorf("exit %d", code)
	}
	if p := parseJSON(t, c.stdout.Bytes()); p.ExitCode != exitInterrupted || p.Results[0].State != "unknown" || p.Results[0].Error.Code != codeInterrupted {
		t.Errorf("%s", &c.stdout)
	}
	wantContains(t, c.oneLine(t), "interrupted", "hermes-gw status")
	all := f.routines(false)
	if sent := slices.Index(all, 702); !slices.Contains(all[sent:], 712) {
		t.Errorf("no look after the request: %v", all)
	}
	if got := f.routines(true); !slices.Equal(got, []uint64{702}) {
		t.Errorf("requests that change something: %v", got)
	}
}

// transport counts what gets through to it.
type transport map[uint64]int

func (t transport) Call(_ context.Context, routine uint64, _ xpc.Dict) (xpc.Dict, error) {
	t[routine]++
	return nil, nil
}

// Whatever the library is about to do, after the first signal only questions get out.
func TestGate(t *testing.T) {
	sent := transport{}
	ignored := 0
	in := &interrupts{ignoreHangup: func() { ignored++ }}
	g := gate{sent, in}
	for _, after := range []bool{false, true} {
		for routine := uint64(700); routine < 850; routine++ {
			asks := slices.Contains([]uint64{707, 708, 712, 811, 815, 820, 828}, routine)
			before := sent[routine]
			_, err := g.Call(t.Context(), routine, nil)
			refused := after && !asks
			if refused != errors.Is(err, errInterrupted) || refused != (sent[routine] == before) {
				t.Errorf("%d, interrupted %v: %v", routine, after, err)
			}
		}
		in.note(syscall.SIGINT)
	}
	if ignored != 1 {
		t.Errorf("SIGHUP ignored %d times", ignored)
	}
	sent, ignored = transport{}, 0
	g = gate{sent, &interrupts{ignoreHangup: func() { ignored++ }}}
	g.Call(t.Context(), 708, nil)
	if ignored != 0 {
		t.Error("a question ignores SIGHUP")
	}
}

// What goes on until it is interrupted prints nothing before signals are taken over: whoever saw its
// output can end it with the exit code of an interruption.
func TestListensBeforeItGoesOn(t *testing.T) {
	home := t.TempDir()
	logs := filepath.Join(home, ".hermes", "logs")
	if err := os.MkdirAll(logs, 0o700); err != nil {
		t.Fatal(err)
	}
	appendTo(t, filepath.Join(logs, "gateway.log"), "one\n")
	for _, args := range [][]string{{"status", "--watch", jobLabel}, {"logs", "-f", jobLabel}} {
		c := newCall(newFake(t, oneJob().answers).path)
		c.env.home = func(int) (string, error) { return home, nil }
		out, early := newFlowing(), false
		c.env.signals = func() <-chan os.Signal {
			select {
			case <-out.wrote():
				early = true
			case <-time.After(300 * time.Millisecond): // in which it would have printed
			}
			return c.signals
		}
		code := make(chan int)
		go func() { code <- run(t.Context(), c.env, args, out, &c.stderr) }()
		out.until(t, func(s string) bool { return s != "" })
		c.signals <- syscall.SIGINT
		if got := <-code; got != exitInterrupted || early {
			t.Errorf("%v: exit %d, printed before: %v: %s", args, got, early, &c.stderr)
		}
	}
}

func TestSecondSignal(t *testing.T) {
	exits := make(chan int, 1)
	in := &interrupts{exit: func(code int) { exits <- code }}
	signals := make(chan os.Signal)
	ctx, stop := in.watch(t.Context(), func() <-chan os.Signal { return signals })
	defer stop()
	signals <- syscall.SIGINT
	<-ctx.Done()
	select {
	case code := <-exits:
		t.Fatalf("the first signal ended the process with %d", code)
	default:
	}
	signals <- syscall.SIGTERM
	if code := <-exits; code != exitTerminated {
		t.Errorf("exit %d", code)
	}
}

// locked is a writer that can be read while it is written to.
type locked struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// A caller inside one of several jobs: that one is asked for last, after the report.
func TestInside(t *testing.T) {
	j := &jobs{pids: map[string]int{"mine": os.Getpid(), "a": noSuchPID, "b": noSuchPID}, next: os.Getppid()}
	var stdout locked
	before := make(chan string, 1)
	f := newFake(t, func(r request) answer {
		if r.routine == 702 && r.name == "mine" {
			before <- stdout.String()
		}
		return j.answers(r)
	})
	c := newCall(f.path)
	c.env.exit = func(int) {}
	code := run(t.Context(), c.env, []string{"restart", "mine", "a", "b", "--json"}, &stdout, &c.stderr)
	if code != exitRequested {
		t.Errorf("exit %d: %s", code, &c.stderr)
	}
	var order []string
	for _, r := range f.requests() {
		if r.routine == 702 {
			order = append(order, r.name)
		}
	}
	if len(order) != 3 || order[2] != "mine" {
		t.Errorf("order of requests: %v", order)
	}
	reported := <-before
	if reported != stdout.String() {
		t.Errorf("the report before the request:\n%s\nat the end:\n%s", reported, stdout.String())
	}
	p := parseJSON(t, []byte(reported))
	if p.ExitCode != exitRequested || p.Results[0].State != "requested" || p.Results[1].State != "restarted" || p.Results[2].State != "restarted" {
		t.Errorf("%s", reported)
	}
	if ms := p.Results[0].Phases; ms["resolve"] <= 0 || ms["total"] < ms["resolve"] {
		t.Errorf("phases before the request: %v", ms)
	}
}

// An interruption while the last one waits for the others: it is never asked for, and
// there is one report.
func TestInsideInterrupted(t *testing.T) {
	j := &jobs{pids: map[string]int{"mine": os.Getpid(), "a": noSuchPID}, next: os.Getppid()}
	f := newFake(t, j.except(702, answer{hang: true}))
	c := newCall(f.path)
	go func() {
		kickstart, mine := false, false
		for r := range f.came {
			kickstart = kickstart || r.routine == 702
			mine = mine || r.routine == 712 && r.name == "mine"
			if kickstart && mine {
				c.signals <- syscall.SIGTERM
				return
			}
		}
	}()
	if code := c.run("restart", "mine", "a", "--json"); code != exitTerminated {
		t.Errorf("exit %d", code)
	}
	for _, r := range f.requests() {
		if r.routine == 702 && r.name != "a" {
			t.Errorf("asked for %s", r.name)
		}
	}
	p := parseJSON(t, c.stdout.Bytes())
	if p.Results[0].State != "failed" || p.Results[1].State != "unknown" {
		t.Errorf("%s", &c.stdout)
	}
	if lines := strings.Count(c.stderr.String(), "\n"); lines != 2 {
		t.Errorf("%d lines for two jobs:\n%s", lines, &c.stderr)
	}
}

// Writers that fail change nothing.
type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, syscall.EPIPE }

func TestBrokenOutput(t *testing.T) {
	f := newFake(t, oneJob().answers)
	c := newCall(f.path)
	if code := run(t.Context(), c.env, []string{"restart", jobLabel}, broken{}, broken{}); code != exitOK {
		t.Errorf("exit %d", code)
	}
	if got := f.routines(true); !slices.Equal(got, []uint64{702}) {
		t.Errorf("requests: %v", got)
	}
}
