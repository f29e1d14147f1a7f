package launchd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// lintCase is a file and where it is to be loaded.
type lintCase struct {
	name   string // of the file; label.plist unless set
	keys   string // XML in the root dictionary; "LABEL" and "DIR" stand for the label and the file's folder
	text   string // instead of all that
	mode   fs.FileMode
	domain Domain
	change func(t *testing.T, path string)
}

const (
	lintLabel = "com.example.agent"
	lintBase  = "<key>Label</key><string>com.example.agent</string><key>ProgramArguments</key><array><string>/bin/sh</string><string>-c</string><string>true</string></array><key>RunAtLoad</key><true/>"
)

// with adds keys to a list that is good.
func with(keys string) lintCase { return lintCase{keys: lintBase + keys} }

func argv(items string) lintCase {
	return lintCase{keys: "<key>Label</key><string>com.example.agent</string><key>RunAtLoad</key><true/><key>ProgramArguments</key><array>" + items + "</array>"}
}

func (c lintCase) in(d Domain) lintCase { c.domain = d; return c }

func (c lintCase) run(t *testing.T) []Finding {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	name := c.name
	if name == "" {
		name = lintLabel + ".plist"
	}
	path := filepath.Join(dir, name)
	text := c.text
	if c.keys != "" {
		text = `<?xml version="1.0" encoding="UTF-8"?><plist version="1.0"><dict>` + strings.ReplaceAll(c.keys, "DIR", dir) + `</dict></plist>`
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if c.mode != 0 {
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
	}
	if c.change != nil {
		c.change(t, path)
	}
	found, err := Lint(path, LintOptions{Domain: c.domain})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func key(name, value string) string { return "<key>" + name + "</key>" + value }

func text(s string) string { return "<string>" + s + "</string>" }

func num(n string) string { return "<integer>" + n + "</integer>" }

// chmods makes files beside the list.
func chmods(name string, mode fs.FileMode) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		file := filepath.Join(filepath.Dir(path), name)
		if err := os.WriteFile(file, []byte("#!/bin/sh\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
	}
}

func chown(uid int) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		if os.Geteuid() == 0 {
			if err := os.Chown(path, uid, -1); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Each rule finds what it is for, and is silent about what is right.
func TestLintRules(t *testing.T) {
	me := os.Geteuid()
	gui, background := GUI(me), User(me)
	alive := key("KeepAlive", "<true/>")
	other := 12345 // the owner of a file that root makes, who is not me
	cases := map[string]struct {
		bad, good lintCase
		key       string
	}{
		"file-kind":         {lintCase{keys: lintBase, change: func(t *testing.T, p string) { os.Remove(p); os.Mkdir(p, 0o755) }}, with(""), ""},
		"file-name":         {lintCase{name: "agent.xml", keys: lintBase}, with(""), ""},
		"file-owner":        {lintCase{keys: lintBase, domain: GUI(other + 1), change: chown(other)}, with("").in(gui), ""},
		"file-mode":         {lintCase{keys: lintBase, mode: 0o664}, with(""), ""},
		"folder-mode":       {lintCase{keys: lintBase, change: func(t *testing.T, p string) { os.Chmod(filepath.Dir(p), 0o777) }}, with(""), ""},
		"format":            {lintCase{text: "{ Label = x; }"}, with(""), ""},
		"duplicate-key":     {with(key("Nice", num("1")) + key("Nice", num("2"))), with(key("Nice", num("1"))), "Nice"},
		"label-missing":     {lintCase{keys: key("ProgramArguments", "<array>"+text("/bin/sh")+"</array>") + key("RunAtLoad", "<true/>")}, with(""), "Label"},
		"label-characters":  {lintCase{name: "x.plist", keys: strings.Replace(lintBase, lintLabel, "a&lt;b", 1)}, with(""), "Label"},
		"label-file-name":   {lintCase{name: "x.plist", keys: lintBase}, with(""), "Label"},
		"unknown-key":       {with(key("Keepalive", "<true/>")), with(alive), "Keepalive"},
		"wrong-type":        {with(key("Nice", text("5"))), with(key("Nice", num("5"))), "Nice"},
		"retired-key":       {with(key("OnDemand", "<false/>")), with(alive), "OnDemand"},
		"control-character": {with(key("WatchPaths", "<array>"+text("/a&#13;")+"</array>")), with(key("WatchPaths", "<array>"+text("/a&#9;")+"</array>")), "WatchPaths[0]"},
		"program-missing":   {lintCase{keys: key("Label", text(lintLabel)) + key("RunAtLoad", "<true/>")}, with(""), "ProgramArguments"},
		"program-relative":  {with(key("Program", text("bin/sh"))), with(key("Program", text("/bin/sh"))), "Program"},
		"argument-relative": {argv(text("sh")), argv(text("/bin/sh")), "ProgramArguments[0]"},
		"program-not-found": {argv(text("DIR/none")), argv(text("/bin/sh")), "ProgramArguments[0]"},
		"program-not-executable": {
			func() lintCase { c := argv(text("DIR/run")); c.change = chmods("run", 0o644); return c }(),
			func() lintCase { c := argv(text("DIR/run")); c.change = chmods("run", 0o755); return c }(), "ProgramArguments[0]"},
		"program-writable": {
			func() lintCase { c := argv(text("DIR/run")); c.change = chmods("run", 0o757); return c }(),
			func() lintCase { c := argv(text("DIR/run")); c.change = chmods("run", 0o775); return c }(), "ProgramArguments[0]"},
		"command-line":            {argv(text("/bin/sh -c true")), argv(text("/bin/sh") + text("-c true")), "ProgramArguments[0]"},
		"not-expanded":            {argv(text("/bin/sh") + text("~/x")), argv(text("/bin/sh") + text("a~/x")), "ProgramArguments[1]"},
		"empty-argument":          {argv(text("/bin/sh") + text("")), argv(text("/bin/sh") + text(" ")), "ProgramArguments[1]"},
		"keepalive-crashed-false": {with(key("KeepAlive", "<dict>"+key("Crashed", "<false/>")+"</dict>")), with(key("KeepAlive", "<dict>"+key("Crashed", "<true/>")+"</dict>")), "KeepAlive.Crashed"},
		"keepalive-after-success": {with(key("KeepAlive", "<dict>"+key("SuccessfulExit", "<true/>")+"</dict>")), with(key("KeepAlive", "<dict>"+key("SuccessfulExit", "<false/>")+"</dict>")), "KeepAlive.SuccessfulExit"},
		"keepalive-empty":         {with(key("KeepAlive", "<dict/>")), with(key("KeepAlive", "<false/>")), "KeepAlive"},
		"keepalive-once":          {with(alive + key("LaunchOnlyOnce", "<true/>")), with(key("LaunchOnlyOnce", "<true/>")), "LaunchOnlyOnce"},
		"keepalive-schedule":      {with(alive + key("StartInterval", num("60"))), with(key("StartInterval", num("60"))), "KeepAlive"},
		"keepalive-replace":       {lintCase{keys: argv(text("/bin/sh")+text("--replace")).keys + alive}, argv(text("/bin/sh") + text("--replace")), "ProgramArguments[1]"},
		"never-starts":            {lintCase{keys: strings.Replace(lintBase, "<key>RunAtLoad</key><true/>", "", 1)}, with(""), "RunAtLoad"},
		"throttle-short":          {with(key("ThrottleInterval", num("9"))), with(key("ThrottleInterval", num("10"))), "ThrottleInterval"},
		"throttle-long":           {with(key("ThrottleInterval", num("61"))), with(key("ThrottleInterval", num("60"))), "ThrottleInterval"},
		"exit-timeout-clamped":    {with(key("ExitTimeOut", num("61"))).in(gui), with(key("ExitTimeOut", num("61"))).in(background), "ExitTimeOut"},
		"exit-timeout-unbounded":  {with(key("ExitTimeOut", num("0"))), with(key("ExitTimeOut", num("1"))), "ExitTimeOut"},
		"negative":                {with(key("ExitTimeOut", num("-1"))), with(key("ExitTimeOut", num("1"))), "ExitTimeOut"},
		"interval-zero":           {with(key("StartInterval", num("0"))), with(key("StartInterval", num("1"))), "StartInterval"},
		"calendar-range": {with(key("StartCalendarInterval", "<dict>"+key("Minute", num("60"))+"</dict>")),
			with(key("StartCalendarInterval", "<dict>"+key("Minute", num("59"))+"</dict>")), "StartCalendarInterval.Minute"},
		"calendar-every-minute": {with(key("StartCalendarInterval", "<array><dict>"+key("Hour", num("3"))+"</dict></array>")),
			with(key("StartCalendarInterval", "<array><dict>"+key("Minute", num("0"))+"</dict></array>")), "StartCalendarInterval[0]"},
		"output-folder-missing": {with(key("StandardOutPath", text("DIR/none/log"))), with(key("StandardOutPath", text("DIR/log"))), "StandardOutPath"},
		"output-relative":       {with(key("StandardErrorPath", text("log"))), with(key("StandardErrorPath", text("DIR/log"))), "StandardErrorPath"},
		"output-volume":         {with(key("StandardErrorPath", text("/Volumes/x/log"))), with(key("StandardErrorPath", text("DIR/log"))), "StandardErrorPath"},
		"working-directory":     {with(key("WorkingDirectory", text("DIR/none"))), with(key("WorkingDirectory", text("DIR"))), "WorkingDirectory"},
		"watch-relative":        {with(key("QueueDirectories", "<array>"+text("x")+"</array>")), with(key("QueueDirectories", "<array>"+text("/x")+"</array>")), "QueueDirectories[0]"},
		"temporary-home":        {with(key("EnvironmentVariables", "<dict>"+key("HERMES_HOME", text("/tmp/h"))+"</dict>")), with(key("EnvironmentVariables", "<dict>"+key("HERMES_HOME", text("/tmpfoo"))+"</dict>")), "EnvironmentVariables.HERMES_HOME"},
		"dyld-variable":         {with(key("EnvironmentVariables", "<dict>"+key("DYLD_LIBRARY_PATH", text("/x"))+"</dict>")), with(key("EnvironmentVariables", "<dict>"+key("PATH", text("/x"))+"</dict>")), "EnvironmentVariables.DYLD_LIBRARY_PATH"},
		"secret-variable": {with(key("EnvironmentVariables", "<dict>"+key("BOT_TOKEN", text("x"))+"</dict>")),
			lintCase{keys: lintBase + key("EnvironmentVariables", "<dict>"+key("BOT_TOKEN", text("x"))+"</dict>"), mode: 0o600}, "EnvironmentVariables.BOT_TOKEN"},
		"session-unknown": {with(key("LimitLoadToSessionType", text("aqua"))), with(key("LimitLoadToSessionType", text("Aqua"))), "LimitLoadToSessionType"},
		"session-domain":  {with(key("LimitLoadToSessionType", text("Aqua"))).in(background), with(key("LimitLoadToSessionType", text("Aqua"))).in(gui), "LimitLoadToSessionType"},
		"session-array": {with(key("LimitLoadToSessionType", "<array>"+text("Background")+"</array>")).in(background),
			with(key("LimitLoadToSessionType", text("Background"))).in(background), "LimitLoadToSessionType"},
		"agent-user":    {with(key("UserName", text("root"))).in(gui), with(key("UserName", text("root"))), "UserName"},
		"user-unknown":  {with(key("UserName", text("no-such-user"))), with(key("UserName", text("root"))), "UserName"},
		"group-unknown": {with(key("GroupName", text("no-such-group"))), with(""), "GroupName"},
		"disabled-key":  {with(key("Disabled", "<true/>")), with(key("Disabled", "<false/>")), "Disabled"},
		"umask-decimal": {with(key("Umask", num("22"))), with(key("Umask", text("022"))), "Umask"},
		"nice-range":    {with(key("Nice", num("21"))), with(key("Nice", num("-20"))), "Nice"},
		"process-type":  {with(key("ProcessType", text("background"))), with(key("ProcessType", text("Background"))), "ProcessType"},
		"socket-empty": {with(key("Sockets", "<dict>"+key("a", "<dict/>")+"</dict>")),
			with(key("Sockets", "<dict>"+key("a", "<dict>"+key("SockServiceName", text("http"))+"</dict>")+"</dict>")), "Sockets.a[0]"},
		"inetd-sockets": {with(key("inetdCompatibility", "<dict>"+key("Wait", "<false/>")+"</dict>")),
			with(key("Sockets", "<dict>"+key("a", "<dict>"+key("SockServiceName", text("http"))+"</dict>")+"</dict>") + key("inetdCompatibility", "<dict>"+key("Wait", "<false/>")+"</dict>")), "inetdCompatibility"},
	}
	rules := allRules()
	if len(rules) < 25 || len(cases) != len(rules) {
		t.Errorf("%d rules, %d cases", len(rules), len(cases))
	}
	for _, r := range rules {
		c, ok := cases[r.id]
		if !ok {
			t.Errorf("%s has no case", r.id)
			continue
		}
		if r.id == "file-owner" && me != 0 {
			c.bad.domain = GUI(me + 1) // the file is mine
		}
		found := c.bad.run(t)
		if len(found) != 1 || found[0].Rule != r.id || found[0].Key != c.key || found[0].Fatal != r.fatal || found[0].Problem == "" || found[0].Fix == "" {
			t.Errorf("%s: the bad one gives %v", r.id, found)
		}
		for _, f := range c.good.run(t) {
			t.Errorf("%s: the good one gives %v", r.id, f)
		}
		for _, f := range found {
			if strings.HasSuffix(f.Problem, ".") || strings.HasSuffix(f.Fix, ".") || strings.ContainsAny(f.String(), "\n\r\x1b") {
				t.Errorf("%s: %q", r.id, f)
			}
		}
	}
	ids := map[string]bool{}
	for _, r := range LintRules() {
		if ids[r.ID] || r.Summary == "" || r.ID != strings.ToLower(r.ID) || strings.ContainsAny(r.ID, " _.") {
			t.Errorf("%+v", r)
		}
		ids[r.ID] = true
	}
}

// The three generations of Hermes' lists have no fault but what Hermes itself mended.
func TestLintHermes(t *testing.T) {
	for name, want := range map[string][]string{"hermes-2026-11": nil, "hermes-2026-07": nil, "hermes-2026-03": {"keepalive-replace"}} {
		p := readSample(t, name)
		// What is not on this machine is not the list's fault.
		p.WorkingDirectory, p.StandardOutPath, p.StandardErrorPath = "", "", ""
		p.ProgramArguments[0] = "/bin/sh"
		var got []string
		for _, f := range p.Lint(LintOptions{Domain: GUI(501)}) {
			got = append(got, f.Rule)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestLintCannotLook(t *testing.T) {
	dir := t.TempDir()
	if _, err := Lint(filepath.Join(dir, "none.plist"), LintOptions{}); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if err := os.Symlink("nowhere", filepath.Join(dir, "link.plist")); err != nil {
		t.Fatal(err)
	}
	if _, err := Lint(filepath.Join(dir, "link.plist"), LintOptions{}); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if os.Geteuid() != 0 {
		closed := filepath.Join(dir, "closed.plist")
		if err := os.WriteFile(closed, []byte("x"), 0); err != nil {
			t.Fatal(err)
		}
		if _, err := Lint(closed, LintOptions{}); !errors.Is(err, fs.ErrPermission) {
			t.Error(err)
		}
	}
}

// The folder tells where a file is to be loaded.
func TestLintFolder(t *testing.T) {
	dir := t.TempDir()
	for name, want := range map[string]Domain{"LaunchAgents": GUI(os.Geteuid()), "LaunchDaemons": System(), "other": {}} {
		if d, agent := domainOf(filepath.Join(dir, name, "x.plist")); d != want || agent != (name == "LaunchAgents") {
			t.Errorf("%s: %v, %v", name, d, agent)
		}
	}
}

// Several faults do not hide each other, and keep the order of the rules.
func TestLintSeveral(t *testing.T) {
	c := with(key("Nice", text("x")) + key("KeepAlive", "<dict>"+key("Crashed", text("no"))+"</dict>") + key("Umask", num("22")) + key("StartIntervall", num("5")) +
		key("Sockets", "<dict>"+key("a", "<dict>"+key("SockServiceName", text("http"))+key("SockPort", num("1"))+"</dict>")+"</dict>"))
	var got []string
	for _, f := range c.run(t) {
		got = append(got, f.Rule+" "+f.Key)
	}
	want := []string{"unknown-key Sockets.a[0].SockPort", "unknown-key StartIntervall", "wrong-type KeepAlive.Crashed", "wrong-type Nice", "umask-decimal Umask"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	// The nearest name is offered.
	for bad, near := range map[string]string{"StartIntervall": "StartInterval", "keepalive": "KeepAlive", "ProgramArgument": "ProgramArguments", "Runatload": "RunAtLoad"} {
		found := with(key(bad, num("5"))).run(t)
		if len(found) != 1 || !strings.Contains(found[0].Fix, "Write "+near+" ") {
			t.Errorf("%s: %v", bad, found)
		}
	}
}

// Controls, and what changes the order or the look of what stands beside it, show as what
// they are; a script that is read from right to left stays as it is.
func TestPrintable(t *testing.T) {
	for _, r := range "\x00\a\b\t\n\r\x1b\x7f\u0085\u009b\u00ad\u061c\u200b\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff\U000e0001\U000e0041" {
		s := "a" + string(r) + "b"
		if got := printable(s); strings.ContainsRune(got, r) || !strings.HasPrefix(got, `a\`) || !strings.HasSuffix(got, "b") {
			t.Errorf("%q: %q", s, got)
		}
	}
	for s, want := range map[string]string{
		"": "", `a "b" \c`: `a "b" \c`, "Grüße, 日本語, שלום, 🙂": "Grüße, 日本語, שלום, 🙂", "a\xffb": "a\ufffdb",
		"\u202e\"x\"": `\u202e"x"`,
	} {
		if got := printable(s); got != want {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
	}
	e := &Error{Op: opBootstrap, Target: "gui/501/\u202etxt", Path: "/p\u2066.plist", Code: 5}
	if strings.ContainsAny(e.Error()+e.Remedy(), "\u202e\u2066") {
		t.Errorf("%q, %q", e, e.Remedy())
	}
	a := &AmbiguousError{Targets: []Target{{GUI(501), "\u202ex"}, {User(501), "\u202ex"}}}
	if strings.Contains(a.Error()+a.Remedy(), "\u202e") {
		t.Errorf("%q, %q", a, a.Remedy())
	}
}

// Nothing that a file holds reaches a terminal as it is.
func TestLintHostileText(t *testing.T) {
	p := &Plist{Label: "a", ProgramArguments: []string{"/bin/sh", "~/\x1b[2J"}, RunAtLoad: true, Extra: map[string]any{"\x1b]0;x\a\n": true, "Label\u202e": true},
		EnvironmentVariables: map[string]string{"A_TOKEN\r": "x"}, ProcessType: "x\ny"}
	for _, f := range p.Lint(LintOptions{}) {
		if strings.ContainsAny(f.String(), "\x1b\a\n\r\u202e\u2066") {
			t.Errorf("%q", f)
		}
	}
}

// A secret's value is never shown.
func TestLintShowsNoSecret(t *testing.T) {
	const canary = "hunter2"
	for _, f := range with(key("EnvironmentVariables", "<dict>"+key("API_KEY", text(canary))+key("B_PASSWORD", text(canary))+"</dict>")).run(t) {
		if strings.Contains(fmt.Sprint(f), canary) {
			t.Error(f)
		}
	}
}

// Every key of the manual has a field, and every field a key that the manual, or Apple's own
// lists, have.
func TestPlistKeys(t *testing.T) {
	manual := strings.Fields(`Label Disabled UserName GroupName inetdCompatibility LimitLoadToHosts LimitLoadFromHosts LimitLoadToSessionType
		LimitLoadToHardware LimitLoadFromHardware Program BundleProgram ProgramArguments EnableGlobbing EnableTransactions EnablePressuredExit
		OnDemand ServiceIPC KeepAlive RunAtLoad RootDirectory WorkingDirectory EnvironmentVariables Umask TimeOut ExitTimeOut ThrottleInterval
		InitGroups WatchPaths QueueDirectories StartOnMount StartInterval StartCalendarInterval StandardInPath StandardOutPath StandardErrorPath
		Debug WaitForDebugger SoftResourceLimits HardResourceLimits Nice ProcessType AbandonProcessGroup LowPriorityIO LowPriorityBackgroundIO
		MaterializeDatalessFiles LaunchOnlyOnce MachServices Sockets LaunchEvents HopefullyExitsLast HopefullyExitsFirst SessionCreate LegacyTimers
		AssociatedBundleIdentifiers SpawnConstraint`)
	undocumented := []string{"LimitLoadToBootMode", "LimitLoadToVariant", "POSIXSpawnType"}
	var fields []string
	for _, f := range keyFields(reflect.TypeFor[Plist]()) {
		fields = append(fields, f.key)
	}
	want := slices.Concat(manual, undocumented)
	slices.Sort(want)
	slices.Sort(fields)
	if !slices.Equal(fields, want) {
		t.Errorf("got  %v\nwant %v", fields, want)
	}
}

func FuzzLint(f *testing.F) {
	for _, name := range []string{"everything", "hermes-2026-11", "hermes-2026-03"} {
		b, err := os.ReadFile("testdata/plist/" + name + ".plist")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	path := filepath.Join(f.TempDir(), "x.plist")
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		found, err := Lint(path, LintOptions{Domain: GUI(501)})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			if s := f.String(); strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) || len(s) > 4096 {
				t.Errorf("%q", s)
			}
		}
	})
}
