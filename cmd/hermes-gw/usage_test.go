package main

import (
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/hermes-gw/hermes-gw/internal/spell"
)

// Every wrong command line is exit 2 and one line that names the mistake and a way out.
func TestUsageErrors(t *testing.T) {
	for _, test := range []struct {
		args string
		want []string
	}{
		{"", []string{"no verb", "hermes-gw help"}},
		{"restrat x", []string{`"restrat"`, "restart"}},
		{"stats", []string{`"stats"`, "Did you mean status?"}},
		{"frobnicate", []string{`"frobnicate"`, "restart, status, start, stop"}},
		{"reload", []string{"reload needs TARGET|LABEL", "hermes-gw help reload"}},
		{"restart --all x", []string{"--all", "hermes-gw help restart"}},
		{"restart --all -p x", []string{"--all", "hermes-gw help restart"}},
		{"restart --force-after 5s x", []string{"--force-after", "--graceful"}},
		{"restart --graceful=soon x", []string{"--graceful", `"soon"`, "10s"}},
		{"restart --wait perhaps x", []string{"--wait", `"perhaps"`, "ready"}},
		{"restart -p", []string{"profile"}},
		{"restart --jsno x", []string{"--jsno", "Did you mean --json?"}},
		{"restart -x y", []string{"-x"}},
		{"restart --plist p x", []string{"unknown flag --plist"}},
		{"restart --timeout", []string{"--timeout has no value", "10s"}},
		{"restart --timeout 5 x", []string{"--timeout", `"5"`, "10s"}},
		{"restart --timeout 0s x", []string{"--timeout", `"0s"`}},
		{"restart --timeout -1s x", []string{"--timeout"}},
		{"restart --uid bob x", []string{"--uid", `"bob"`, "501"}},
		{"restart --uid 4294967295 x", []string{"--uid"}},
		{"restart --uid -1 x", []string{"--uid"}},
		{"restart --json=perhaps x", []string{"--json", "true or false"}},
		{"--launchd", []string{"--launchd has no value", "unix:PATH"}},
		{"restart --launchd /tmp/s x", []string{"--launchd", `"/tmp/s"`, "unix:PATH"}},
		{"restart --launchd unix: x", []string{"unix:PATH"}},
		{"restart gui/501", []string{"gui/501", "no label"}},
		{"restart gui/bob/x", []string{`"bob"`}},
		{"restart gui/501/a/b", []string{"slash"}},
		{"restart gooey/501/x", []string{`"gooey"`}},
		{"restart /", []string{"/"}},
		{"restart ok gui/501/", []string{"gui/501/"}},
		{"status gui/501", []string{"no label"}},
		{"start a b", []string{`"b"`, "one TARGET|LABEL"}},
		{"stop", []string{"stop needs"}},
		{"version now", []string{"version takes no arguments", `"now"`}},
		{"help restrat", []string{"Did you mean restart?"}},
		{"help restart stop", []string{`"stop"`}},
		{"STATUS", []string{`"STATUS"`, "Did you mean status?"}},
		{"Restrat x", []string{"Did you mean restart?"}},
		{"help RESTART", []string{"Did you mean restart?"}},
		{"restart --DRY-RUN x", []string{"--DRY-RUN", "Did you mean --dry-run?"}},
		{"status --dry-rnu", []string{"--dry-rnu", "Did you mean --dry-run, which only restart has?"}},
		{"status -p work", []string{"unknown flag -p: only restart and logs have -p, --profile"}},
		{"stop -v x", []string{"unknown flag -v: only restart and reload have -v, --verbose"}},
		{"restart -P work", []string{"unknown flag -P", "Did you mean -p, --profile?"}},
		{"status -N 3", []string{"Did you mean -n, --lines, which only logs has?"}},
		{"status -j", []string{"unknown flag -j", "Did you mean --json?"}},
		{"status -json", []string{"unknown flag -json", "Did you mean --json?"}},
		{"restart --graceful 30s x", []string{"--graceful", `"30s"`, "Write --graceful=30s", "--"}},
		{"restart x --graceful 1m30s", []string{"Write --graceful=1m30s"}},
		{"restart --graceful 30 x", []string{"Write --graceful=30s"}},
		{"restart --dry-run false x", []string{"Write --dry-run=false"}},
		{"restart --all true", []string{"Write --all=true"}},
		{"logs -f false", []string{"Write --follow=false"}},
	} {
		t.Run(test.args, func(t *testing.T) {
			args := strings.Fields(test.args)
			c := newCall("")
			if code := c.run(args...); code != exitUsage {
				t.Errorf("exit %d, want %d", code, exitUsage)
			}
			line := c.oneLine(t)
			wantContains(t, line, test.want...)
			if strings.Contains(line, "..") {
				t.Errorf("too many dots: %s", line)
			}
			if c.stdout.Len() > 0 {
				t.Errorf("stdout: %s", &c.stdout)
			}

			c = newCall("")
			if code := c.run(append([]string{"--json"}, args...)...); code != exitUsage {
				t.Errorf("with --json: exit %d", code)
			}
			p := parseJSON(t, c.stdout.Bytes())
			if p.Version != schemaVersion || p.ExitCode != exitUsage || p.Error == nil || p.Error.Code != codeUsage || p.Results == nil {
				t.Errorf("JSON of a usage error: %s", &c.stdout)
			}
		})
	}
}

func TestUsageErrorsNeedNoBlank(t *testing.T) {
	for _, args := range [][]string{{"restart", ""}, {"restart", "a\nb"}, {"restart", "a\x00b"}, {"restart", "gui/501/\x1b[31m"}, {"\x1b[2J"}, {"restart", "\xff\xfe"}, {"restart", "--\x1b[2J", "x"}} {
		c := newCall("")
		if code := c.run(args...); code != exitUsage {
			t.Errorf("%q: exit %d", args, code)
		}
		if line := c.oneLine(t); strings.ContainsAny(line, "\x1b\x00") {
			t.Errorf("%q: the terminal gets %q", args, line)
		}
	}
}

// What is empty is a variable of the shell's that is not set: it stands for nothing else, least of all
// for the default gateway.
func TestEmptyWordsAreRefused(t *testing.T) {
	var lines [][]string
	for _, v := range verbs() {
		switch {
		case v.name == "completion" || v.opaque:
		case v.max != 0:
			lines = append(lines, []string{v.name, ""}, []string{v.name, "x", ""}, []string{v.name, "--", ""})
		}
		v.flagSet(&options{}).VisitAll(func(f *pflag.Flag) {
			if _, optional := f.Value.(*optional); f.NoOptDefVal != "" && !optional {
				return
			}
			for _, empty := range []string{"", " "} {
				args := []string{v.name, "--" + f.Name + "=" + empty}
				if v.min > 0 {
					args = append(args, "x")
				}
				lines = append(lines, args)
				if r, _ := findFlag(f.Name); r.short != "" {
					lines = append(lines, []string{v.name, "-" + r.short, empty})
				}
			}
		})
	}
	f := newFake(t, oneJob().answers)
	tried := map[string]bool{}
	for _, args := range lines {
		c := newCall(f.path)
		if code := c.run(args...); code != exitUsage {
			t.Errorf("%q: exit %d, %s%s", args, code, &c.stdout, &c.stderr)
		}
		c.oneLine(t)
		tried[strings.Join(args, " ")] = true
	}
	for _, line := range []string{"restart -p ", "logs -p ", "restart ", "status ", "start --plist= x", "restart --launchd="} {
		if !tried[line] {
			t.Errorf("%q was not tried", line)
		}
	}
	if n := len(f.requests()); n > 0 {
		t.Errorf("%d requests", n)
	}
}

// Behind -- stands a job, whatever it is called, and what belongs to another flag or stands in front is
// no value.
func TestValueBehindBlank(t *testing.T) {
	for _, line := range []string{
		"restart --graceful -- 30s", "restart 30s --graceful", "restart --graceful=5s 30s", "restart --graceful x30s", "restart --graceful --force-after 30s x",
		"status --json falsehood", "restart -p 30s x", "restart --graceful gui/501/30s",
	} {
		if err := (&command{env: newCall("").env}).parse(strings.Fields(line)); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// A flag that could not be parsed must not hide --json.
func TestWantsJSON(t *testing.T) {
	for line, want := range map[string]bool{
		"restart --bogus --json x": true, "restart --json=true --bogus": true, "restart --bogus": false,
		"restart --json=false --bogus": false, "restart -- --json": false,
	} {
		if got := wantsJSON(strings.Fields(line)); got != want {
			t.Errorf("%s: %v", line, got)
		}
	}
}

// Each page starts with examples, and names every flag of its verb and every exit code.
func TestHelpPages(t *testing.T) {
	overview := newCall("")
	if code := overview.run("help"); code != exitOK {
		t.Fatalf("exit %d", code)
	}
	for _, args := range [][]string{{"-h"}, {"--help"}} {
		c := newCall("")
		if code := c.run(args...); code != exitOK || c.stderr.Len() > 0 || c.stdout.String() != overview.stdout.String() {
			t.Errorf("%q is not the overview: exit %d\n%s%s", args, code, &c.stdout, &c.stderr)
		}
	}
	for _, v := range verbs() {
		wantContains(t, overview.stdout.String(), "\n  "+v.name)
		var pages []string
		ways := [][]string{{"help", v.name}, {v.name, "--help"}, {v.name, "-h"}, {"-h", v.name}}
		if !v.opaque { // else what follows is launchctl's
			ways = append(ways, []string{v.name, "some", "-h", "thing"})
		}
		for _, args := range ways {
			c := newCall("")
			if code := c.run(args...); code != exitOK || c.stderr.Len() > 0 {
				t.Errorf("%q: exit %d, stderr %s", args, code, &c.stderr)
			}
			pages = append(pages, c.stdout.String())
		}
		page := pages[0]
		for i := range pages {
			if pages[i] != page {
				t.Errorf("%s: pages %d and 0 differ", v.name, i)
			}
		}
		title, rest, _ := strings.Cut(page, "\n\n")
		if strings.Contains(title, "\n") || !strings.HasPrefix(rest, "Examples:\n  hermes-gw ") {
			t.Errorf("%s does not start with its examples:\n%s", v.name, page)
		}
		wantContains(t, page, "\nUsage:\n  hermes-gw "+v.name)
		v.flagSet(&options{}).VisitAll(func(f *pflag.Flag) { wantContains(t, page, "--"+f.Name) })
		for _, row := range exitTable() {
			for _, text := range []string{page, overview.stdout.String()} {
				wantContains(t, text, row.meaning)
			}
		}
		for _, line := range strings.Split(page, "\n") {
			if len(line) > 120 {
				t.Errorf("%s: a line of %d: %s", v.name, len(line), line)
			}
		}
	}
	for _, row := range exitTable() {
		for _, o := range row.outcomes {
			if o != outcomeUsage && !strings.Contains(row.meaning, string(o)) {
				t.Errorf("exit code %d does not name %s", row.code, o)
			}
		}
	}
}

func TestHelpJSON(t *testing.T) {
	for _, test := range []struct{ args, text, command string }{
		{"help --json", "help", "help"},
		{"--json help", "help", "help"},
		{"--help --json", "help", "help"},
		{"help restart --json", "help restart", "help"},
		{"restart --help --json", "help restart", "restart"},
	} {
		text, c := newCall(""), newCall("")
		text.run(strings.Fields(test.text)...)
		if code := c.run(strings.Fields(test.args)...); code != exitOK || c.stderr.Len() > 0 {
			t.Fatalf("%s: exit %d: %s", test.args, code, &c.stderr)
		}
		if p := parseJSON(t, c.stdout.Bytes()); p.Help != text.stdout.String() || p.Command != test.command {
			t.Errorf("%s: %s", test.args, &c.stdout)
		}
	}
}

func TestVersion(t *testing.T) {
	for _, args := range [][]string{{"version"}, {"--version"}} {
		c := newCall("")
		if code := c.run(args...); code != exitOK || c.stdout.String() != "hermes-gw v1.2.3\n" {
			t.Errorf("%q: exit %d, %q", args, code, &c.stdout)
		}
	}
	c := newCall("")
	c.run("version", "--json")
	wantContains(t, c.stdout.String(), `"release":"v1.2.3"`, `"command":"version"`, `"results":[]`)
}

func TestNearest(t *testing.T) {
	for word, want := range map[string]string{
		"restrat": "restart", "restar": "restart", "stat": "start", "stopp": "stop", "hlep": "help", "x": "", "": "", "kickstart": "",
		strings.Repeat("r", 1000): "",
	} {
		if got := spell.Nearest(word, verbNames()); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}
