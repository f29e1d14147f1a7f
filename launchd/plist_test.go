package launchd

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/launchdsim"
)

func readSample(t testing.TB, name string) *Plist {
	t.Helper()
	p, err := ReadPlist("testdata/plist/" + name + ".plist")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestReadPlist(t *testing.T) {
	got := readSample(t, "everything")
	got.read = nil // its own test is TestPlistKeepsForms
	want := &Plist{
		Label: "com.example.everything", Program: "/usr/bin/true", ProgramArguments: []string{"true", ""},
		Umask: ptr(Umask(0o27)), Nice: ptr(-5), ExitTimeOut: ptr(0),
		StartCalendarInterval: CalendarIntervals{{Minute: ptr(0), Hour: ptr(3)}, {Weekday: ptr(7)}},
		MachServices:          map[string]MachService{"com.example.a": {}, "com.example.b": {HideUntilCheckIn: true}, "com.example.c": {Off: true}},
		Sockets: map[string]Sockets{
			"http": {{SockServiceName: &StringOrInt{Int: 8080}, SockType: "stream"}},
			"both": {{SockServiceName: &StringOrInt{String: "ssh"}, Bonjour: []any{"ssh", "sftp-ssh"}}, {SockPathName: "/var/run/x", SockPathMode: ptr(0o666)}},
		},
		InetdCompatibility:     &InetdCompatibility{},
		KeepAlive:              &KeepAlive{PathState: map[string]bool{"/etc/x": true}, Crashed: ptr(false), Extra: map[string]any{"FutureCondition": "kept"}},
		LaunchEvents:           map[string]any{"com.apple.notifyd.matching": map[string]any{"x": map[string]any{"Notification": "y"}}},
		LimitLoadToSessionType: StringList{"Aqua"},
		HardResourceLimits:     &ResourceLimits{NumberOfFiles: ptr(1024)},
		Extra: map[string]any{"com.example.Unknown": map[string]any{
			"date": time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC), "data": []byte{0, 1, 2}, "real": 1.5,
			"large": uint64(math.MaxUint64), "list": []any{true, int64(-1)},
		}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if p := readSample(t, "hermes-2026-07"); !reflect.DeepEqual(p.KeepAlive, &KeepAlive{Always: true}) || *p.ThrottleInterval != 30 || *p.ExitTimeOut != 25 || !p.RunAtLoad {
		t.Errorf("%+v", p)
	}
}

// Reading and writing loses nothing.
func TestPlistRoundTrip(t *testing.T) {
	files, err := filepath.Glob("testdata/plist/*.plist")
	if err != nil || len(files) < 4 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		p, err := ReadPlist(file)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "x.plist")
		if err := p.WriteFile(path); err != nil {
			t.Fatal(file, err)
		}
		again, err := ReadPlist(path)
		if err != nil || !reflect.DeepEqual(again, p) {
			t.Errorf("%s: %v\ngot  %+v\nwant %+v", file, err, again, p)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o644 {
			t.Errorf("%v, %v", info, err)
		}
	}
}

// What is not changed is written as it was read, value by value, and what is changed is not.
func TestPlistKeepsForms(t *testing.T) {
	const odd = `<?xml version="1.0"?><plist version="1.0"><dict>
	<key>Label</key><string>x</string><key>Disabled</key><false/><key>RunAtLoad</key><false/><key>StartInterval</key><integer>0</integer>
	<key>WorkingDirectory</key><string></string><key>KeepAlive</key><dict/><key>Umask</key><string>022</string>
	<key>LimitLoadToSessionType</key><array><string>Aqua</string></array><key>WatchPaths</key><array/>
	<key>MachServices</key><dict><key>a</key><dict/><key>b</key><dict><key>HideUntilCheckIn</key><false/></dict></dict>
	<key>Sockets</key><dict><key>s</key><array><dict><key>SockServiceName</key><string></string></dict></array></dict>
	<key>inetdCompatibility</key><dict><key>Wait</key><false/></dict><key>Own</key><dict><key>CF$UID</key><integer>3</integer></dict>
	</dict></plist>`
	tree := func(b []byte) (d map[string]any) {
		t.Helper()
		d, err := decodePlist(b)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	files := map[string][]byte{"odd": []byte(odd)}
	for _, name := range []string{"everything", "hermes-2026-11", "hermes-2026-07", "hermes-2026-03"} {
		b, err := os.ReadFile("testdata/plist/" + name + ".plist")
		if err != nil {
			t.Fatal(err)
		}
		files[name] = b
	}
	for name, b := range files {
		p, err := ParsePlist(b)
		if err != nil {
			t.Fatal(name, err)
		}
		out, err := p.Encode()
		if err != nil {
			t.Fatal(name, err)
		}
		if got, want := tree(out), tree(b); !reflect.DeepEqual(got, want) {
			t.Errorf("%s\ngot  %v\nwant %v", name, got, want)
		}
	}
	p, err := ParsePlist([]byte(odd))
	if err != nil {
		t.Fatal(err)
	}
	p.KeepAlive, p.Umask, p.RunAtLoad, p.WorkingDirectory, p.Extra = &KeepAlive{Always: true}, nil, true, "/", nil
	out, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	want := tree([]byte(odd))
	want["KeepAlive"], want["RunAtLoad"], want["WorkingDirectory"] = true, true, "/"
	delete(want, "Umask")
	delete(want, "Own")
	if got := tree(out); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestParsePlistRefuses(t *testing.T) {
	dict := func(s string) string {
		return `<?xml version="1.0"?><plist version="1.0"><dict>` + s + `</dict></plist>`
	}
	for text, want := range map[string]string{
		"":                               "empty",
		" \n":                            "empty",
		"hello":                          "neither XML nor binary",
		"{ Label = x; }":                 "neither XML nor binary",
		`{"Label":"x"}`:                  "",
		"bplist00":                       "",
		"<plist><dict>":                  "",
		"<plist><dict/>":                 "unexpected EOF",
		"<plist><dict/></plist>x":        "a text stands where there can be none",
		"<plist><dict/></plist><plist/>": "outside of the one <plist>",
		"<plist><dict/><dict/></plist>":  "more than one value",
		"<plist></plist>":                "has no value",
		"<plist><dict><key>Program</key><key>Nice</key><integer>1</integer></dict></plist>": "a <key> without a value",
		"<plist><dict><key>Label</key></dict></plist>":                                      "a <key> without a value",
		"<plist><dict><string>x</string></dict></plist>":                                    "<string> without a <key>",
		"<plist><dict><key>Label</key><string>a<b>c</b></string></dict></plist>":            "<b> inside of <string>",
		"<plist><dict><key>Label</key>x<string>a</string></dict></plist>":                   "a text stands",
		"\xff\xfe<\x00p\x00":                                                                     "UTF-16",
		"<plist><array/></plist>":                                                                "it is an array, not a dictionary",
		dict("<key>Label</key><integer>1</integer>"):                                             "Label is an integer, not a string",
		dict("<key>KeepAlive</key><string>yes</string>"):                                         "KeepAlive is a string, not a boolean or a dictionary",
		dict("<key>KeepAlive</key><dict><key>Crashed</key><integer>1</integer></dict>"):          "KeepAlive.Crashed is an integer, not a boolean",
		dict("<key>ProgramArguments</key><array><string>a</string><integer>1</integer></array>"): "ProgramArguments[1] is an integer, not a string",
		dict("<key>ProgramArguments</key><string>a b</string>"):                                  "ProgramArguments is a string, not an array of strings",
		dict("<key>Nice</key><real>1.5</real>"):                                                  "Nice is a real, not an integer",
		dict("<key>Nice</key><integer>18446744073709551615</integer>"):                           "Nice is too large an integer",
		dict("<key>Umask</key><string>rw</string>"):                                              `Umask is "rw", not a file mode`,
		dict("<key>RunAtLoad</key><string>true</string>"):                                        "RunAtLoad is a string, not a boolean",
		dict("<key>EnvironmentVariables</key><dict><key>A</key><integer>1</integer></dict>"):     "EnvironmentVariables.A is an integer, not a string",
		dict("<key>StartCalendarInterval</key><array><string>x</string></array>"):                "StartCalendarInterval[0] is a string, not a dictionary",
		dict("<key>StartCalendarInterval</key><dict><key>Hour</key><string>3</string></dict>"):   "StartCalendarInterval.Hour is a string, not an integer",
		dict("<key>Sockets</key><dict><key>a</key><array><true/></array></dict>"):                "Sockets.a[0] is a boolean, not a dictionary",
		dict("<key>MachServices</key><dict><key>a</key><string>x</string></dict>"):               "MachServices.a is a string, not a boolean or a dictionary",
		dict("<key>LimitLoadToSessionType</key><true/>"):                                         "LimitLoadToSessionType is a boolean, not a string or an array of strings",
	} {
		p, err := ParsePlist([]byte(text))
		if err == nil || p != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80q: %+v, %v; want %q", text, p, err, want)
		}
	}
	if p, err := ParsePlist([]byte("\xef\xbb\xbf" + dict("<key>Label</key><string>bom</string>"))); err != nil || p.Label != "bom" {
		t.Errorf("%+v, %v", p, err)
	}
	for _, path := range []string{"testdata/none.plist", "testdata", t.TempDir()} {
		if _, err := ReadPlist(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Error(err)
		}
	}
	_, err := ReadPlist("testdata/none.plist")
	is(t, err, fs.ErrNotExist)
}

func TestPlistEncodeRefuses(t *testing.T) {
	for want, p := range map[string]*Plist{
		"Label has the character U+0007":                       {Label: "a\a"},
		"ProgramArguments[1] has the character U+000D":         {ProgramArguments: []string{"a", "b\r"}},
		"EnvironmentVariables.A is not valid UTF-8":            {EnvironmentVariables: map[string]string{"A": "\xff"}},
		"KeepAlive is always and has conditions":               {KeepAlive: &KeepAlive{Always: true, Crashed: ptr(true)}},
		"has the character U+FFFF":                             {Extra: map[string]any{"x": "\uffff"}},
		`the name of the key "a\x00" has the character U+0000`: {Extra: map[string]any{"a\x00": true}},
		"Label is in Extra":                                    {Extra: map[string]any{"Label": "b"}},
		"MachServices.m is off and has options":                {MachServices: map[string]MachService{"m": {Off: true, ResetAtClose: true}}},
	} {
		path := filepath.Join(t.TempDir(), "x.plist")
		if err := p.WriteFile(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %s", err, want)
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s: written", want)
		}
	}
}

// What launchd loads is what was written.
func TestSimPlist(t *testing.T) {
	e := embed(t, launchdsim.Options{TimeScale: 0.1})
	path := filepath.Join(e.dir, "written.plist")
	p := &Plist{
		Label: "written", ProgramArguments: []string{"/bin/sh", "-c", sleeper}, RunAtLoad: true, KeepAlive: &KeepAlive{SuccessfulExit: ptr(false)},
		ThrottleInterval: ptr(12), ExitTimeOut: ptr(7), WorkingDirectory: e.dir, EnvironmentVariables: map[string]string{"A": "b <&> c"},
	}
	if err := p.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	from := e.seen()
	if err := e.Bootstrap(t.Context(), e.target("written").Domain, path); err != nil {
		t.Fatal(err)
	}
	e.state(from, "written", "running")
	j, err := e.Inspect(t.Context(), e.target("written"))
	if err != nil || *j.MinimumRuntime != 12*time.Second || *j.ExitTimeout != 7*time.Second || !reflect.DeepEqual(j.Arguments, p.ProgramArguments) {
		t.Errorf("%+v, %v", j, err)
	}
	if text, err := e.Print(t.Context(), j.Target); err != nil || !strings.Contains(text, "A => b <&> c\n") {
		t.Errorf("%s, %v", text, err)
	}
}

// failing lets the n-th step of putting a file in place fail.
type failing struct {
	realFiles
	n int
}

var errInjected = errors.New("injected")

func (f *failing) fails() error {
	if f.n--; f.n == 0 {
		return errInjected
	}
	return nil
}

func (f *failing) create(dir, pattern string) (newFile, error) {
	if err := f.fails(); err != nil {
		return nil, err
	}
	file, err := f.realFiles.create(dir, pattern)
	return &failingFile{file, f}, err
}

func (f *failing) rename(from, to string) error {
	if err := f.fails(); err != nil {
		return err
	}
	return f.realFiles.rename(from, to)
}

func (f *failing) syncDir(string) error { return f.fails() }

type failingFile struct {
	newFile
	f *failing
}

func (w *failingFile) Write(b []byte) (int, error) {
	if err := w.f.fails(); err != nil {
		n, _ := w.newFile.Write(b[:len(b)/2]) // a full disk
		return n, err
	}
	return w.newFile.Write(b)
}
func (w *failingFile) Chmod(m fs.FileMode) error {
	if err := w.f.fails(); err != nil {
		return err
	}
	return w.newFile.Chmod(m)
}
func (w *failingFile) Sync() error {
	if err := w.f.fails(); err != nil {
		return err
	}
	return w.newFile.Sync()
}
func (w *failingFile) Close() error {
	err := w.newFile.Close()
	if injected := w.f.fails(); injected != nil {
		return injected
	}
	return err
}

// Whatever step fails, the old file is there, and nothing besides.
func TestReplaceFileFails(t *testing.T) {
	for n := 1; ; n++ {
		dir := t.TempDir()
		path := filepath.Join(dir, "x.plist")
		if err := os.WriteFile(path, []byte("old"), 0o640); err != nil {
			t.Fatal(err)
		}
		on := &failing{n: n}
		err := replaceFileBy(on, path, []byte("the new contents"), 0o644, -1)
		over := on.n > 0
		b, _ := os.ReadFile(path)
		files, _ := os.ReadDir(dir)
		want := "old"
		if err == nil {
			want = "the new contents" // a folder that cannot be synced included
		} else if !errors.Is(err, errInjected) || !strings.Contains(err.Error(), path) {
			t.Errorf("step %d: %v", n, err)
		}
		if string(b) != want || len(files) != 1 {
			t.Errorf("step %d: %q, %d files, %v", n, b, len(files), err)
		}
		if over {
			if n != 8 {
				t.Errorf("%d steps", n-1)
			}
			return
		}
	}
}

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	elsewhere := filepath.Join(dir, "elsewhere")
	if err := os.WriteFile(elsewhere, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link.plist")
	if err := os.Symlink(elsewhere, link); err != nil {
		t.Fatal(err)
	}
	p := &Plist{Label: "x"}
	if err := p.WriteFile(link); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(elsewhere); err != nil || string(b) != "mine" {
		t.Errorf("%q, %v", b, err)
	}
	if info, err := os.Lstat(link); err != nil || !info.Mode().IsRegular() {
		t.Errorf("%v, %v", info, err)
	}
	if err := p.WriteFile(dir); err == nil || !strings.Contains(err.Error(), "not a file") {
		t.Error(err)
	}
	fifo := filepath.Join(dir, "fifo.plist")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.WriteFile(fifo); err == nil || !strings.Contains(err.Error(), "not a file") {
		t.Error(err)
	}
	if err := p.WriteFile(filepath.Join(dir, strings.Repeat("x", 249)+".plist")); err != nil { // the longest name
		t.Error(err)
	}
	if err := p.WriteFile(filepath.Join(dir, "none", "x.plist")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if os.Geteuid() != 0 {
		closed := filepath.Join(dir, "closed")
		if err := os.Mkdir(closed, 0o500); err != nil {
			t.Fatal(err)
		}
		if err := p.WriteFile(filepath.Join(closed, "x.plist")); !errors.Is(err, syscall.EACCES) {
			t.Error(err)
		}
	}
}

func FuzzParsePlist(f *testing.F) {
	files, err := filepath.Glob("testdata/plist/*.plist")
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("bplist00\xd1\x01\x02ULabelQx\x08\x0b\x11\x00\x00\x00\x00\x00\x00\x01\x01\x00\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x13"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParsePlist(b)
		if err != nil {
			return
		}
		out, err := p.Encode()
		if err != nil {
			return // text that XML cannot hold
		}
		again, err := ParsePlist(out)
		if err != nil {
			t.Fatalf("%v of %s", err, out)
		}
		// Once more: some values have two forms (an umask, a real that is whole).
		out2, err := again.Encode()
		if err != nil || string(out2) != string(out) {
			t.Errorf("%v\n%s\n%s", err, out, out2)
		}
	})
}
