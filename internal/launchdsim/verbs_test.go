package launchdsim

import (
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hermes-gw/hermes-gw/internal/xpcwire"
)

func TestBootstrapRefusals(t *testing.T) {
	f := newFixture(t, Options{})
	c := f.dial()
	path := func(name, content string, mode os.FileMode) string {
		p := filepath.Join(f.dir, name)
		if err := os.WriteFile(p, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(p, mode); err != nil {
			t.Fatal(err)
		}
		return p
	}
	loaded := f.write("loaded", sleeper)
	c.load(loaded)
	off := f.write("off", sleeper)
	c.call(809, gui(dict{"names": []any{"off"}}))
	for _, test := range []struct {
		name, path string
		want       int64
	}{
		{"already loaded", loaded, 37},
		{"disabled", off, 119},
		{"disabled by its own key", f.write("off2", sleeper+`<key>Disabled</key><true/>`), 119},
		{"missing", filepath.Join(f.dir, "none.plist"), 5},
		{"relative", "a.plist", 5},
		{"not .plist", path("x.txt", "", 0o644), 5},
		{"a FIFO", f.fifo("f.plist"), 5},
		{"empty", path("empty.plist", "", 0o644), 109},
		{"OpenStep", path("open.plist", `{Label = a;}`, 0o644), 109},
		{"writable by others", path("mode.plist", "", 0o666), 122},
		{"no label", path("nolabel.plist", `<plist><dict/></plist>`, 0o644), 110},
		{"no program", f.write("noprogram", ""), 111},
		{"reserved label", path("r.plist", `<plist><dict><key>Label</key><string>a&lt;b</string></dict></plist>`, 0o644), 140},
		{"other session", f.write("bg", sleeper+`<key>LimitLoadToSessionType</key><string>Background</string>`), 134},
	} {
		d := c.call(800, gui(dict{"paths": []any{test.path}}))
		errors, _ := d["errors"].(dict)
		if code(d) != 0 || len(errors) != 1 || errors[test.path] != test.want {
			t.Errorf("%s: %v, want %d", test.name, d, test.want)
		}
	}

	// Only the paths that failed are named, and the others are loaded.
	fine := f.write("fine", sleeper)
	d := c.call(800, gui(dict{"paths": []any{fine, loaded}}))
	if errors, _ := d["errors"].(dict); len(errors) != 1 || errors[loaded] != int64(37) {
		t.Errorf("one of two: %v", d)
	}
	if d := c.call(708, gui(dict{"name": "fine"})); code(d) != 22 {
		t.Errorf("probe of a loaded job: %v, want 22", d)
	}
	if d := c.call(800, gui(nil)); len(d) != 0 {
		t.Errorf("no paths: %v, want an empty success", d)
	}
	if d := c.call(800, gui(dict{"paths": "x"})); code(d) != 22 {
		t.Errorf("paths of the wrong type: %v, want 22", d)
	}
	if d := c.call(800, gui(dict{"paths": []any{off}, "enable": true})); len(d) != 0 {
		t.Errorf("with enable: %v", d)
	}
}

func TestBootout(t *testing.T) {
	f := newFixture(t, Options{})
	c := f.dial()
	c.load(f.write("idle", sleeper))
	if d := c.call(801, gui(dict{"name": "idle"})); len(d) != 0 {
		t.Errorf("idle job: %v, want an empty success", d)
	}
	for name, want := range map[string]int64{"idle": 3, "": 3} {
		if d := c.call(801, gui(dict{"name": name})); code(d) != want {
			t.Errorf("bootout %q: %v, want %d", name, d, want)
		}
	}
	if d := c.call(801, gui(dict{"paths": []any{"/none.plist"}})); code(d) != 113 {
		t.Errorf("by an unknown path: %v, want 113", d)
	}
	if d := c.call(801, gui(dict{"name": int64(3)})); code(d) != 22 {
		t.Errorf("name of the wrong type: %v, want 22", d)
	}

	for _, test := range []struct {
		name string
		keys dict
		want func(dict) bool
	}{
		{"plain", dict{}, func(d dict) bool { return code(d) == 36 }},
		{"no-einprogress", dict{"no-einprogress": true}, func(d dict) bool { return len(d) == 0 }},
		{"wait", dict{"wait": true}, func(d dict) bool { _, isRight := d["monitor"].(xpcwire.MachSend); return isRight && len(d) == 1 }},
		{"both", dict{"wait": true, "no-einprogress": true}, func(d dict) bool { return len(d) == 0 }},
	} {
		from := f.seen()
		up, leave := f.fifo("up "+test.name), f.fifo("leave "+test.name)
		path := f.write("draining", sh(`trap "read x < '`+leave+`'; exit 0" TERM; echo up > '`+up+`'; while :; do sleep 0.05; done`)+atLoad)
		c.load(path)
		f.read(up)
		test.keys["name"] = "draining"
		if d := c.call(801, gui(test.keys)); !test.want(d) {
			t.Errorf("%s: %v", test.name, d)
		}
		// While it drains: 36 again, 5 for a bootstrap, 37 for a restart.
		if d := c.call(801, gui(dict{"name": "draining"})); code(d) != 36 {
			t.Errorf("%s: second bootout: %v, want 36", test.name, d)
		}
		if d := c.call(800, gui(dict{"paths": []any{path}})); fmt.Sprint(d) != fmt.Sprint(dict{"errors": dict{path: int64(5)}}) {
			t.Errorf("%s: bootstrap while draining: %v", test.name, d)
		}
		if d := c.call(702, gui(dict{"name": "draining", "kill": true})); code(d) != 37 {
			t.Errorf("%s: kickstart -k while draining: %v, want 37", test.name, d)
		}
		f.tell(leave)
		f.wait(from, "gone", func(e Event) bool { return e.Kind == "state" && e.From == "exited" && e.Label == "draining" })
		if d := c.call(708, gui(dict{"name": "draining"})); code(d) != 113 {
			t.Errorf("%s: afterwards: %v, want 113", test.name, d)
		}
	}
}

// Neither name nor paths removes the whole domain, as launchd does.
func TestBootoutOfADomain(t *testing.T) {
	f := newFixture(t, Options{})
	c := f.dial()
	c.load(f.write("a", sleeper+atLoad))
	pid := c.kick("a", nil)
	if d := c.call(801, gui(nil)); len(d) != 0 {
		t.Errorf("%v", d)
	}
	f.wait(0, "exit", func(e Event) bool { return e.Kind == "exit" && e.PID == pid })
	if d := c.call(708, gui(dict{"name": "a"})); code(d) != 125 {
		t.Errorf("afterwards: %v, want 125", d)
	}
}

// What a request says about its domain decides first.
func TestDomains(t *testing.T) {
	uid := uint64(os.Geteuid())
	for _, gone := range []bool{false, true} {
		f := newFixture(t, Options{NoGUI: gone, NoGUIError: 112})
		c := f.dial()
		missing := int64(22) // 708 without memory: loaded
		if gone {
			missing = 112
		} else {
			c.load(f.write("a", sleeper))
		}
		c.call(800, inDomain(domainUser, uid, dict{"paths": []any{f.write("b", sleeper)}}))
		own := "a"
		if gone {
			own = "b"
		}
		for _, test := range []struct {
			name string
			d    dict
			want int64
		}{
			{"gui", inDomain(domainGUI, uid, dict{"name": "a"}), missing},
			{"gui of somebody else", inDomain(domainGUI, uid+1, dict{"name": "a"}), 112},
			{"user", inDomain(domainUser, uid, dict{"name": "b"}), 22},
			{"user of somebody else", inDomain(domainUser, uid+1, dict{"name": "b"}), 112},
			{"requestor's user", inDomain(domainRequestorUser, 0, dict{"name": "b"}), 22},
			{"requestor's own", inDomain(domainRequestor, 0, dict{"name": own}), 22},
			{"system", inDomain(domainSystem, 0, dict{"name": "b"}), 113},
			{"login", inDomain(domainLogin, 1, dict{"name": "b"}), 112},
			{"pid", inDomain(domainPID, 0, dict{"name": "b"}), 112},
			{"unknown type", inDomain(99, 0, dict{"name": "b"}), 125},
			{"no type", dict{"handle": uid, "name": "b"}, 22},
			{"type of the wrong type", dict{"type": int64(8), "handle": uid, "name": "nope"}, 22},
			{"no name", inDomain(domainUser, uid, nil), 22},
			{"not loaded", inDomain(domainUser, uid, dict{"name": "nope"}), 113},
		} {
			if d := c.call(708, test.d); code(d) != test.want {
				t.Errorf("no gui %v: %s: %v, want %d", gone, test.name, d, test.want)
			}
		}
		for kind, want := range map[uint64]int64{3: 125, 4: 125, 5: 112, 8: 125, 99: 125} {
			if d := c.call(815, inDomain(kind, uid, nil)); code(d) != want {
				t.Errorf("list of type %d: %v, want %d", kind, d, want)
			}
		}
		d := c.call(815, inDomain(domainRequestor, 0, nil))
		services, _ := d["services"].(dict)
		if labels := slices.Collect(maps.Keys(services)); !slices.Equal(labels, []string{own}) {
			t.Errorf("no gui %v: own list: %v, want %s", gone, d, own)
		}
	}
}

func TestListAndAttributes(t *testing.T) {
	f := newFixture(t, Options{})
	c := f.dial()
	path := f.write("a", sleeper+atLoad)
	c.load(path)
	c.load(f.write("b", sh("exit 3")+atLoad))
	f.waitState(0, "b", exited)
	pid := int64(c.kick("a", nil))
	services := c.call(815, inDomain(domainRequestor, 0, nil))["services"].(dict)
	if got := services["a"].(dict); got["pid"] != pid || got["status"] != int64(0) {
		t.Errorf("a: %v", got)
	}
	if got := services["b"].(dict); got["pid"] != int64(0) || got["status"] != int64(3<<8) {
		t.Errorf("b: %v", got)
	}
	one := c.call(815, inDomain(domainRequestor, 0, dict{"name": "a"}))["service"].(dict)
	if one["PID"] != pid || one["Label"] != "a" || one["OnDemand"] != true || one["LastExitStatus"] != int64(0) {
		t.Errorf("list one: %v", one)
	}
	attrs := c.call(712, gui(dict{"name": "a"}))["attrs"].(dict)
	if attrs["pid"] != pid || attrs["label"] != "a" || attrs["path"] != path || attrs["program"] != "/bin/sleep" {
		t.Errorf("attributes: %v", attrs)
	}
	if attrs := c.call(712, dict{"pid": pid})["attrs"].(dict); attrs["label"] != "a" {
		t.Errorf("attributes by pid: %v", attrs)
	}
	text := c.print(828, gui(nil))
	for _, line := range []string{
		fmt.Sprintf("\n\t\t%8d      - \ta\n", pid),
		"\n\t\t       0      3 \tb\n",
		"\n\tservice count = 2\n",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("print of the domain lacks %q:\n%s", line, text)
		}
	}
	c.call(809, gui(dict{"names": []any{"b"}}))
	if text := c.print(828, gui(dict{"disabled": true})); text != "disabled services = {\n\t\"b\" => disabled\n}\n" {
		t.Errorf("disabled list: %q", text)
	}
	if d := c.call(811, gui(dict{"name": "b"})); d["loaded"] != true || d["enabled"] != false {
		t.Errorf("enabled?: %v", d)
	}
}

func TestKillSendsDarwinsSignals(t *testing.T) {
	f := newFixture(t, Options{})
	c := f.dial()
	up, got := f.fifo("up"), f.fifo("got")
	c.load(f.write("a", sh(`trap "echo usr1 > `+got+`; exit 7" USR1; echo up > `+up+`; while :; do sleep 0.05; done`)+atLoad))
	f.read(up)
	for signal, want := range map[any]int64{int64(0): 22, int64(32): 22, uint64(15): 22, nil: 22} {
		d := gui(dict{"name": "a"})
		if signal != nil {
			d["signal"] = signal
		}
		if d := c.call(812, d); code(d) != want {
			t.Errorf("signal %v: %v, want %d", signal, d, want)
		}
	}
	if d := c.call(812, gui(dict{"name": "a", "signal": int64(30)})); len(d) != 0 {
		t.Fatal(d)
	}
	if s := f.read(got); s != "usr1" {
		t.Errorf("the job saw %q", s)
	}
	f.waitState(0, "a", exited)
	if d := c.call(812, gui(dict{"name": "a", "signal": int64(15)})); code(d) != 3 {
		t.Errorf("not running: %v, want 3", d)
	}
	if d := c.call(812, gui(dict{"name": "none", "signal": int64(15)})); code(d) != 113 {
		t.Errorf("unknown: %v, want 113", d)
	}
}

func TestDeniedAndUnknownRoutines(t *testing.T) {
	f := newFixture(t, Options{Deny: []uint64{702, 9999}})
	c := f.dial()
	c.load(f.write("a", sleeper))
	for number, want := range map[uint64]int64{702: 144, 9999: 144, 798: 33, 899: 33, 708: 22} {
		if d := c.call(number, gui(dict{"name": "a"})); code(d) != want {
			t.Errorf("routine %d: %v, want %d", number, d, want)
		}
	}
	// The older style: the number stands in the dictionary.
	if d := c.call(0, gui(dict{"name": "a", "subsystem": uint64(2), "routine": uint64(708)})); code(d) != 22 {
		t.Errorf("routine in the dictionary: %v", d)
	}
}

// The pid is there before the trampoline finds out that the program cannot run.
func TestUnusableProgramsExitWith78(t *testing.T) {
	for name, keys := range map[string]string{
		"no program":     `<key>Program</key><string>/nowhere/at/all</string>`,
		"no log folder":  sleeper + `<key>StandardErrorPath</key><string>/nowhere/at/all</string>`,
		"no work folder": sleeper + `<key>WorkingDirectory</key><string>/nowhere/at/all</string>`,
	} {
		f := newFixture(t, Options{})
		c := f.dial()
		c.load(f.write("a", keys))
		if pid := c.kick("a", nil); pid == 0 {
			t.Errorf("%s: no pid", name)
		}
		exit, _ := f.wait(0, "exit", func(e Event) bool { return e.Kind == "exit" })
		if *exit.Status != 78<<8 {
			t.Errorf("%s: status %#x", name, *exit.Status)
		}
		if text := c.print(708, gui(dict{"name": "a"})); !strings.Contains(text, "\n\tlast exit code = 78: EX_CONFIG\n") {
			t.Errorf("%s:\n%s", name, text)
		}
	}
}

func TestEnvironmentFolderAndFiles(t *testing.T) {
	f := newFixture(t, Options{})
	c := f.dial()
	if d := c.call(819, gui(dict{"envvars": dict{"FROM_DOMAIN": "d e", "GONE": nil}})); len(d) != 0 {
		t.Fatal(d)
	}
	if d := c.call(820, gui(dict{"envvar": "FROM_DOMAIN"})); d["value"] != "d e" {
		t.Errorf("getenv: %v", d)
	}
	if d := c.call(820, gui(dict{"envvar": "GONE"})); code(d) != 3 {
		t.Errorf("getenv of nothing: %v", d)
	}
	out, errs := filepath.Join(f.dir, "out"), filepath.Join(f.dir, "err")
	c.load(f.write("com.example.env", sh(`pwd; echo "$FROM_PLIST|$FROM_DOMAIN|$XPC_SERVICE_NAME"; ps -o pgid= -p $$ | tr -d ' '; echo $$; echo oops >&2; cat`)+
		`<key>WorkingDirectory</key><string>/usr</string>
		<key>EnvironmentVariables</key><dict><key>FROM_PLIST</key><string>p</string></dict>
		<key>StandardOutPath</key><string>`+out+`</string><key>StandardErrorPath</key><string>`+errs+`</string>`+atLoad))
	exit, _ := f.wait(0, "exit", func(e Event) bool { return e.Kind == "exit" })
	text, _ := os.ReadFile(out)
	if want := fmt.Sprintf("/usr\np|d e|com.example.env\n%d\n%d\n", exit.PID, exit.PID); string(text) != want {
		t.Errorf("output %q, want %q", text, want)
	}
	if text, _ := os.ReadFile(errs); string(text) != "oops\n" {
		t.Errorf("errors %q", text)
	}
}

// Requests for different jobs do not wait for each other, and one that waits is
// answered when the server ends.
func TestCloseAnswersWhoWaitsAndLeavesNothing(t *testing.T) {
	f := newFixture(t, Options{TimeScale: 0.05})
	c, other := f.dial(), f.dial()
	up := f.fifo("up")
	c.load(f.write("stubborn", sh(`trap "" TERM; sleep 1000 & echo $! > `+up+`; while :; do sleep 0.05; done`)+atLoad+`<key>ExitTimeOut</key><integer>20</integer>`))
	c.load(f.write("b", sleeper+atLoad))
	var child int
	fmt.Sscan(f.read(up), &child)
	leader := c.kick("stubborn", nil)
	c.send(702, gui(dict{"name": "stubborn", "kill": true}))
	f.waitState(0, "stubborn", sigtermed)
	other.kick("b", dict{"kill": true, "unthrottle": true})
	closed := make(chan struct{})
	go func() { f.Close(); close(closed) }()
	if d := c.receive(); d["pid"] != int64(0) || len(d) != 1 {
		t.Errorf("the request that waited: %v, want pid 0", d)
	}
	<-closed
	if alive(leader) {
		t.Errorf("the job's process %d is left", leader)
	}
	if runs(child) {
		t.Errorf("the job's child %d is left", child)
	}
	if _, err := net.Dial("unix", f.socket); err == nil {
		t.Error("the socket still answers")
	}
}

func TestMalformedFrameEndsOnlyItsConnection(t *testing.T) {
	f := newFixture(t, Options{})
	c := f.dial()
	c.load(f.write("a", sleeper))
	for _, bad := range [][]byte{
		{4, 0, 0, 0, 1, 2, 3, 4},
		{0xff, 0xff, 0xff, 0xff},
		append([]byte{20, 0, 0, 0}, make([]byte, 20)...),
	} {
		hostile := f.dial()
		hostile.c.Write(bad)
		if n, err := hostile.c.UnixConn.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("%x was answered", bad)
		}
	}
	if d := c.call(708, gui(dict{"name": "a"})); code(d) != 22 {
		t.Errorf("the good connection: %v", d)
	}
}

// Every state of launchd-protocol section 6.1 is in the table, each can be left,
// and every one can be reached.
func TestTransitionTable(t *testing.T) {
	reached := map[state]bool{notRunning: true}
	for from, edges := range transitions {
		if len(edges) == 0 {
			t.Errorf("%s cannot be left", from)
		}
		for e, to := range edges {
			reached[to] = true
			if got := from.next(e); got != to {
				t.Errorf("%s + %s = %s", from, e, got)
			}
		}
	}
	if len(reached) != 9 || len(transitions) != 9 {
		t.Errorf("%d states reached, %d left; want 9", len(reached), len(transitions))
	}
	defer func() {
		if recover() == nil {
			t.Error("an impossible event passed")
		}
	}()
	notRunning.next(evExited)
}
