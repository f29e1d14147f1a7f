package hermesgw

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hermes-gw/hermes-gw/internal/proc"
	"github.com/hermes-gw/hermes-gw/launchd"
)

// stranger is a user who is neither this one nor root. Who is not root cannot give files away,
// and lets the installation be another's instead.
const stranger = 54321

// foreign makes the file at path that of another user than the returned install's.
func foreign(t *testing.T, in Install, path string) Install {
	t.Helper()
	if os.Geteuid() != 0 {
		in.UID = stranger
		return in
	}
	if err := os.Lchown(path, stranger, -1); err != nil {
		t.Fatal(err)
	}
	return in
}

// snapshot is what tells that a file was touched.
func snapshot(t *testing.T, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		var b []byte
		if info.Mode().IsRegular() {
			if b, err = os.ReadFile(path); err != nil {
				return err
			}
		}
		st := info.Sys().(*syscall.Stat_t)
		all[path] = fmt.Sprint(info.Mode(), info.Size(), info.ModTime().UnixNano(), st.Ino, st.Nlink, string(b))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// readers call everything that reads a home.
func readers(t *testing.T, in Install, home string) map[string]error {
	t.Helper()
	_, pid := readRecord(in, home, "gateway.pid")
	_, lock := readRecord(in, home, "gateway.lock")
	_, state := readState(in, home)
	_, beat := readHeartbeat(in, home)
	_, held := lockHeld(in, home)
	_, id := identify(t.Context(), in, home)
	_, st := status(t.Context(), in, home)
	_, host := hostGateway(in, dirs{GatewayLockDir: home})
	recentStarts(in, home, time.Minute, time.Now())
	LogTail(in, home, 5)
	tick(t.Context(), in, home, os.Getpid())
	wedged(t.Context(), in, home, os.Getpid(), time.Now())
	return map[string]error{"gateway.pid": pid, "gateway.lock": lock, "gateway_state.json": state, "state/gateway.heartbeat": beat,
		"lock": held, "identify": id, "status": st, "host-gateway.json": host}
}

var homeFiles = []string{"gateway.pid", "gateway.lock", "gateway_state.json", "state/gateway.heartbeat", "gateway-starts.log",
	"gateway.sock.path", "logs/gateway.log", "logs/gateway.error.log", "host-gateway.json"}

// Trap 31: nothing that lies in place of a file stops, crashes or fools a reader, and nothing is
// changed by reading. Traps 28 and 64 ask the same of files that are sound.
func TestDamagedFiles(t *testing.T) {
	mib := strings.Repeat("7", 1<<20)
	beat := []string{"state/gateway.heartbeat"}
	sound := map[string][]string{ // A heartbeat has neither kind nor home, and a state may be large.
		"1 MB": {"gateway_state.json"}, "start < 0": beat, "start text": beat, "start huge": beat,
		"another kind": beat, "another home": beat, "home relative": beat,
	}
	for name, text := range map[string]string{
		"empty": "", "blank": " \n", "truncated": `{"pid": 4711, "kind": "hermes-gat`, "bom alone": "\ufeff", "null": "null",
		"list": "[4711]", "text": `"4711"`, "not utf-8": "{\"pid\": 4711, \"x\": \"\xff\"}", "utf-16": "\xff\xfe{\x00}\x00",
		"1 MB": `{"pid": 4711, "kind": "hermes-gateway", "argv": ["` + mib + `"]}`, "1 MB of digits": mib, "deep": strings.Repeat(`{"a":`, 12000),
		"nul": "4711\x00", "no pid": "{}", "pid null": `{"pid": null}`, "pid text": `{"pid": "4711"}`, "pid float": `{"pid": 4711.5}`,
		"pid true": `{"pid": true}`, "pid 0": `{"pid": 0}`, "pid 1": `{"pid": 1}`, "pid -1": `{"pid": -1}`, "pid -4711": "-4711",
		"pid huge": `{"pid": 99999999999999999999}`, "pid 2^32+2": `{"pid": 4294967298}`, "pid +2": "+4711", "pid 1e3": `{"pid": 1e3}`,
		"start < 0": `{"pid": 4711, "start_time": -5, "role": "gateway"}`, "two values": `{"pid": 4711} {"pid": 4712}`,
		"start text": `{"pid": 4711, "start_time": "5", "role": "gateway"}`, "start huge": `{"pid": 4711, "start_time": 1e300, "role": "gateway"}`,
		"another kind": `{"pid": 4711, "kind": "hermes-serve", "role": "serve"}`, "another home": `{"pid": 4711, "hermes_home": "/Users/eve/.hermes"}`,
		"home relative": `{"pid": 4711, "hermes_home": "x"}`, "PID": `{"PID": 4711}`,
	} {
		t.Run(name, func(t *testing.T) {
			home := tempDir(t)
			in := Install{UID: os.Getuid(), AccountHome: home}
			for _, file := range homeFiles {
				write(t, filepath.Join(home, file), text)
			}
			before := snapshot(t, home)
			for what, err := range readers(t, in, home) {
				if err == nil && !slices.Contains(sound[name], what) && what != "lock" {
					t.Errorf("%s: no error", what)
				} else if err != nil && (len(err.Error()) > 1000 || strings.ContainsAny(err.Error(), "\x00\x1b")) {
					t.Errorf("%s: error of %d bytes: %.200q", what, len(err.Error()), err)
				}
			}
			if after := snapshot(t, home); fmt.Sprint(before) != fmt.Sprint(after) {
				t.Errorf("the files were changed:\n%v\n%v", before, after)
			}
		})
	}
}

// Trap 31, the other kinds of files.
func TestNoFiles(t *testing.T) {
	sound := `{"pid": 4711}`
	for name, place := range map[string]func(t *testing.T, in Install, path string) Install{
		"missing": func(t *testing.T, in Install, path string) Install { return in },
		"folder": func(t *testing.T, in Install, path string) Install {
			must(t, os.Mkdir(path, 0o700))
			return in
		},
		"pipe": func(t *testing.T, in Install, path string) Install {
			must(t, unix.Mkfifo(path, 0o600))
			return in
		},
		"link to one's own": func(t *testing.T, in Install, path string) Install {
			write(t, path+".real", sound)
			must(t, os.Symlink(path+".real", path))
			return in
		},
		"link to another's": func(t *testing.T, in Install, path string) Install {
			write(t, path+".real", sound)
			must(t, os.Symlink(path+".real", path))
			return foreign(t, in, path+".real")
		},
		"link to itself": func(t *testing.T, in Install, path string) Install {
			must(t, os.Symlink(filepath.Base(path), path))
			return in
		},
		"device": func(t *testing.T, in Install, path string) Install {
			must(t, os.Symlink("/dev/zero", path))
			return in
		},
		"another's": func(t *testing.T, in Install, path string) Install {
			write(t, path, sound)
			return foreign(t, in, path)
		},
		"unreadable": func(t *testing.T, in Install, path string) Install {
			if os.Geteuid() == 0 {
				t.Skip("root reads everything")
			}
			write(t, path, sound)
			must(t, os.Chmod(path, 0))
			return in
		},
		"root's, with another name": func(t *testing.T, in Install, path string) Install {
			if os.Geteuid() != 0 {
				t.Skip("only root makes files of root's")
			}
			write(t, path, sound)
			must(t, os.Link(path, path+".other"))
			in.UID = stranger
			return in
		},
	} {
		t.Run(name, func(t *testing.T) {
			home := tempDir(t)
			must(t, os.Mkdir(filepath.Join(home, "state"), 0o700))
			must(t, os.Mkdir(filepath.Join(home, "logs"), 0o700))
			in := Install{UID: os.Getuid(), AccountHome: home}
			for _, file := range homeFiles {
				in = place(t, in, filepath.Join(home, file))
			}
			var before map[string]string
			if name != "unreadable" {
				before = snapshot(t, home)
			}
			for what, err := range readers(t, in, home) {
				if missing := errors.Is(err, fs.ErrNotExist); err == nil && (what != "lock" || name != "missing") || missing != (name == "missing" && what != "lock") {
					t.Errorf("%s: %v", what, err)
				}
			}
			if before != nil && fmt.Sprint(before) != fmt.Sprint(snapshot(t, home)) {
				t.Error("the files were changed")
			}
			for _, path := range []string{"logs/gateway.log", "logs/gateway.error.log"} {
				if _, err := os.Lstat(filepath.Join(home, path)); err == nil && LogTail(in, home, 5) != nil {
					t.Errorf("LogTail shows %q", LogTail(in, home, 5))
				}
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A file of root's with one name is read: a launchd job that once ran as root leaves them.
func TestFilesOfRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root makes files of root's")
	}
	home := tempDir(t)
	write(t, filepath.Join(home, "gateway.lock"), `{"pid": 4711}`)
	if r, err := readRecord(Install{UID: stranger}, home, "gateway.lock"); err != nil || r.PID != 4711 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestReadRecord(t *testing.T) {
	home := tempDir(t)
	in := Install{UID: os.Getuid(), AccountHome: home}
	must(t, os.Symlink(home, home+"-link"))
	t.Cleanup(func() { os.Remove(home + "-link") })
	for text, want := range map[string]record{
		`{"pid":4711,"kind":"hermes-gateway","argv":["hermes","gateway","run",7],"start_time":179000000012,"hermes_home":"` + home + `"}`: {
			PID: 4711, Start: 179000000012, Kind: "hermes-gateway", Home: home, Argv: []string{"hermes", "gateway", "run"}},
		"\ufeff" + `{"pid":4711,"start_time":null,"hermes_home":"` + home + `-link/"}`: {PID: 4711, Home: home + "-link/"},
		"4711":           {PID: 4711},
		"\ufeff 4711 \n": {PID: 4711},
		`{"pid":4711,"start_time":5.4,"kind":7,"argv":{},"hermes_home":[]}`: {PID: 4711, Start: 5},
		`{"pid":4711,"hermes_home":"~"}`:                                    {PID: 4711, Home: "~"},
		`{"pid":1,"pid":4711}`:                                              {PID: 4711},
	} {
		write(t, filepath.Join(home, "gateway.pid"), text)
		got, err := readRecord(in, home, "gateway.pid")
		if err != nil || got.PID != want.PID || got.Start != want.Start || got.Kind != want.Kind || got.Home != want.Home || !slices.Equal(got.Argv, want.Argv) {
			t.Errorf("%s: %+v, %v, want %+v", text, got, err, want)
		}
	}
}

// Traps 26, 28 and 32: a pid alone names nobody.
func TestRecordNames(t *testing.T) {
	id := launchd.Identity{PID: 4711, Start: 1790000000123456}
	for _, c := range []struct {
		r    record
		want bool
	}{
		{record{PID: 4711, Start: 179000000012}, true},
		{record{PID: 4711, Start: 179000000011}, true},
		{record{PID: 4711, Start: 179000000013}, true},
		{record{PID: 4711, Start: 179000000010}, false},
		{record{PID: 4711, Start: 179000000014}, false},
		{record{PID: 4712, Start: 179000000012}, false},
		{record{PID: 4711}, false},
		{record{}, false},
	} {
		if got := c.r.names(id); got != c.want {
			t.Errorf("%+v names %+v: %v", c.r, id, got)
		}
	}
	if (record{PID: 4711, Start: 1}).names(launchd.Identity{PID: 4711}) {
		t.Error("a record names a process without a start time")
	}
	self := proc.Self()
	if r := (record{PID: self.PID, Start: (self.Start + 5000) / 10000}); !r.names(self) {
		t.Errorf("%+v does not name %+v", r, self)
	}
}

func TestReadState(t *testing.T) {
	home := tempDir(t)
	in := Install{UID: os.Getuid(), AccountHome: home}
	write(t, filepath.Join(home, "gateway_state.json"), `{"pid":4711,"kind":"hermes-gateway","start_time":179000000012,"hermes_home":"`+home+`",
		"gateway_state":"draining","exit_reason":"token=hunter2 \u001b[2J\u202e","restart_requested":true,"active_agents":2,
		"active_work":[{"kind":"chat","session":"secret-id","elapsed_s":12.5,"pid":77},{"kind":"cron","job_id":"x","elapsed_s":-1,"pid":0},7,{"elapsed_s":1e300}],
		"platforms":{"telegram":{"state":"connected","error_message":"message of somebody","needs_attention":false},
			"work:discord":{"state":"fatal","error_code":"discord-bot-token_lock","needs_attention":true},"bad":7,"\u001b]0;x":{}},
		"served_profiles":["work","Bad Name!",7,"default"],"code_sha":"0123abc","code_version":"1.2.3","updated_at":"2026-11-25T18:04:08.123456+00:00"}`)
	s, err := readState(in, home)
	if err != nil {
		t.Fatal(err)
	}
	want := runtimeState{
		record: s.record, State: "draining", ExitReason: `token=*** \x1b[2J\u202e`, RestartRequested: true,
		ActiveWork: []Work{{"chat", 12500 * time.Millisecond, 77}, {"cron", 0, 0}, {"", 2147483647 * time.Second, 0}},
		Platforms:  map[string]Platform{"telegram": {State: "connected"}, "work:discord": {"fatal", "discord-bot-token_lock", true}, `\x1b]0;x`: {}},
		Served:     []string{"work", "default"}, CodeSHA: "0123abc", CodeVersion: "1.2.3", UpdatedAt: time.Date(2026, 11, 25, 18, 4, 8, 123456000, time.UTC),
	}
	if s.PID != 4711 || s.Start != 179000000012 || s.Home != home {
		t.Errorf("record %+v", s.record)
	}
	if got, want := fmt.Sprintf("%+v", s), fmt.Sprintf("%+v", want); got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	for _, leaked := range []string{"secret-id", "job_id", "somebody", "hunter2", "\x1b", "\u202e"} {
		if strings.Contains(fmt.Sprintf("%+v", s), leaked) {
			t.Errorf("the state shows %q", leaked)
		}
	}
}

func TestWhen(t *testing.T) {
	want := time.Date(2026, 11, 25, 18, 4, 8, 500000000, time.UTC)
	for _, text := range []string{`"2026-11-25T18:04:08.500000+00:00"`, `"2026-11-25T18:04:08.5Z"`, `"2026-11-25T18:04:08.500000"`,
		`"2026-11-25 18:04:08.5"`, `"2026-11-25T20:04:08.500000+02:00"`, `" 2026-11-25T18:04:08.5 "`, fmt.Sprintf("%.6f", float64(want.UnixMicro())/1e6)} {
		if got := (fields{"t": []byte(text)}).when("t"); !got.Equal(want) {
			t.Errorf("%s is %v, want %v", text, got, want)
		}
	}
	for _, text := range []string{``, `null`, `true`, `"yesterday"`, `0`, `-1`, `5`, `1e300`, `[]`, `"2026-13-25T18:04:08"`} {
		if got := (fields{"t": []byte(text)}).when("t"); !got.IsZero() {
			t.Errorf("%s is %v, want none", text, got)
		}
	}
}

// Trap 45.
func TestRecentStarts(t *testing.T) {
	home := tempDir(t)
	in := Install{UID: os.Getuid()}
	now := time.Unix(1790000000, 500000000)
	write(t, filepath.Join(home, "gateway-starts.log"), "\ufeff1789999880.4\n1789999880.6\r\n\n garbage\n1789999990.123456\nnan\ninf\n1790000000.5\n1790000001.0")
	if got := recentStarts(in, home, 2*time.Minute, now); got != 4 {
		t.Errorf("%d starts in 2 minutes, want 4", got)
	}
	if got := recentStarts(in, home, time.Second, now); got != 2 {
		t.Errorf("%d starts in 1 second, want 2", got)
	}
	if got := recentStarts(in, tempDir(t), time.Second, now); got != 0 {
		t.Errorf("%d starts without a log", got)
	}
}

func TestHostGateway(t *testing.T) {
	account := tempDir(t)
	in := Install{UID: os.Getuid(), AccountHome: account}
	self := proc.Self()
	text := fmt.Sprintf(`{"role":"gateway","home":"/h","pid":%d,"createTime":%f,"host":"127.0.0.1","port":8642,"protocolVersion":1,"profiles":["default","work"]}`, self.PID, startEpoch(self))
	for folder, env := range map[string]dirs{
		".local/state/hermes/gateway-locks": {},
		"xdg/hermes/gateway-locks":          {StateHome: account + "/xdg"},
		"locks":                             {StateHome: account + "/xdg", GatewayLockDir: account + "/locks"},
	} {
		path := filepath.Join(account, folder, "host-gateway.json")
		write(t, path, text)
		r, err := hostGateway(in, env)
		if err != nil || r.PID != self.PID || r.Home != "/h" || !slices.Equal(r.Profiles, []string{"default", "work"}) || !r.names(self) {
			t.Errorf("%s: %+v, %v", folder, r, err)
		}
		other := r
		other.Start += 5
		if other.names(self) || (hostRecord{PID: self.PID}).names(self) {
			t.Error("a record names another process, or one without a start time")
		}
		must(t, os.Chmod(filepath.Dir(path), 0o777))
		if _, err := hostGateway(in, env); err == nil {
			t.Error("a record in a folder where others may write is believed")
		}
		must(t, os.Chmod(filepath.Dir(path), 0o700))
		for _, bad := range []string{`"protocolVersion":2`, `"protocolVersion":"1"`} {
			write(t, path, strings.Replace(text, `"protocolVersion":1`, bad, 1))
			if _, err := hostGateway(in, env); err == nil {
				t.Errorf("a record with %s is believed", bad)
			}
		}
		write(t, path, text)
		if _, err := hostGateway(foreign(t, in, filepath.Dir(path)), env); err == nil {
			t.Error("a record in another's folder is believed")
		}
	}
	if _, err := hostGateway(in, dirs{GatewayLockDir: "relative"}); err == nil {
		t.Error("a relative folder is believed")
	}
}

func TestLockHeld(t *testing.T) {
	home := tempDir(t)
	in := Install{UID: os.Getuid()}
	probe := func(want bool) {
		t.Helper()
		for range 2 {
			if held, err := lockHeld(in, home); err != nil || held != want {
				t.Errorf("held: %v, %v, want %v", held, err, want)
			}
		}
	}
	probe(false)
	if _, err := os.Stat(filepath.Join(home, "gateway.lock")); err == nil {
		t.Error("the probe made the lock file")
	}
	write(t, filepath.Join(home, "gateway.lock"), "x")
	probe(false)
	f, err := os.OpenFile(filepath.Join(home, "gateway.lock"), os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	must(t, unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB))
	probe(false) // somebody else who probes
	must(t, unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB))
	probe(true)
	must(t, unix.Flock(int(f.Fd()), unix.LOCK_UN))
	probe(false)
	// Nothing is left behind that a gateway could trip over.
	must(t, unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB))
}

func TestLogTail(t *testing.T) {
	home := tempDir(t)
	in := Install{UID: os.Getuid()}
	log, errlog := filepath.Join(home, "logs", "gateway.log"), filepath.Join(home, "logs", "gateway.error.log")
	want := func(lines int, want ...string) {
		t.Helper()
		if got := LogTail(in, home, lines); !slices.Equal(got, want) {
			t.Errorf("LogTail(%d):\n got %q\nwant %q", lines, got, want)
		}
	}
	want(5)
	write(t, log, "one\ntwo\r\nthree")
	want(2, "two", "three")
	want(9, "one", "two", "three")
	want(0)
	want(-1)
	write(t, errlog, "\n\n")
	want(1, "three")
	write(t, errlog, "a\n\x1b]0;title\x07\x1b[31mred\x1b[0m \u202egnp.exe \xff\x00\n\tindented \U0001f98a Ünïcode\n")
	want(2, `\x1b]0;title\a\x1b[31mred\x1b[0m \u202egnp.exe \xff\x00`, "    indented \U0001f98a Ünïcode")

	secrets := []string{"hunter2", "sk-abcdefghijklmnop1234", "123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsawX", "xoxb-1234567890-abcdefg", "s3cr3t"}
	write(t, errlog, strings.Join([]string{
		"2026-11-25 18:04:08 ERROR login failed password=" + secrets[0],
		"openai.AuthenticationError: Incorrect API key provided: '" + secrets[1] + "'.",
		"GET https://api.telegram.org/bot" + secrets[2] + "/getMe?x=" + secrets[0] + " 401",
		"InvalidToken('" + secrets[2] + "')",
		`{"slack": ["` + secrets[3] + `"], "token": "` + secrets[4] + `"}`,
		"Authorization: Bearer " + secrets[4],
		"proxy http://user:" + secrets[4] + "@proxy:3128/ refused",
	}, "\n"))
	tail := LogTail(in, home, 20)
	if len(tail) != 7 {
		t.Errorf("%d lines: %q", len(tail), tail)
	}
	for _, secret := range secrets {
		if strings.Contains(strings.Join(tail, "\n"), secret) {
			t.Errorf("LogTail shows %s:\n%s", secret, strings.Join(tail, "\n"))
		}
	}
	if !strings.HasPrefix(tail[0], "2026-11-25 18:04:08 ERROR login failed password=") {
		t.Errorf("LogTail hides too much: %q", tail[0])
	}

	// Only the end of a huge log is read, and no part of a line that begins before it.
	line := strings.Repeat("x", 99) + "\n"
	write(t, errlog, strings.Repeat(line, 20000)+"last\n")
	if tail := LogTail(in, home, 1e6); len(tail) != (maxTail-5)/100+1 || tail[0] != line[:99] || tail[len(tail)-1] != "last" {
		t.Errorf("%d lines, the first %q", len(tail), tail[:1])
	}
	write(t, errlog, "token="+strings.Repeat("s", 1<<20)+" then "+strings.Repeat("y ", 1000))
	if tail := LogTail(in, home, 5); len(tail) != 1 || strings.Contains(tail[0], "sss") || len(tail[0]) > maxShownText+4 {
		t.Errorf("a line larger than what is read: %.600q", tail)
	}
	write(t, errlog, strings.Repeat("s", 1<<20))
	must(t, os.Remove(log))
	want(5)
	must(t, os.Truncate(errlog, 0))
	f, err := os.OpenFile(errlog, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	_, err = f.WriteAt([]byte("end\n"), 8<<30) // sparse
	must(t, err)
	if tail := LogTail(in, home, 1); len(tail) > 1 || len(tail) == 1 && len(tail[0]) > maxShownText*4+4 {
		t.Errorf("a sparse log of 8 GiB: %d lines", len(tail))
	}
}

func TestShown(t *testing.T) {
	for in, want := range map[string]string{
		"plain text": "plain text", "Zoë \U0001f98a": "Zoë \U0001f98a", "a\tb\nc": `a\tb\nc`, "\x1b[2J": `\x1b[2J`, "\u202e\u2066": `\u202e\u2066`,
		"\xff": `\xff`, "\u0085": `\u0085`, "\ufffd": "\ufffd", "é€": "é…", "ééé": "éé…", "12345": "1234…",
	} {
		limit := 1000
		if strings.HasSuffix(want, "…") {
			limit = 4
		}
		if got := shown(in, limit); got != want {
			t.Errorf("shown(%q) = %q, want %q", in, got, want)
		}
	}
	if got := shown(strings.Repeat("\xff", 10), 4); got != `\xff\xff\xff\xff…` {
		t.Errorf("shown of invalid bytes: %q", got)
	}
}
