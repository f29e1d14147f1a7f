package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
)

// completed are lines as they are typed, and what they are after Tab.
func completed(f *fleet.Fleet, dir string) [][2]string {
	work := f.Gateway("work")
	return [][2]string{
		{"hermes-gw rest", "hermes-gw restart "},
		{"hermes-gw restart --dry", "hermes-gw restart --dry-run "},
		{"hermes-gw restart " + work.Label[:len(work.Label)-2], "hermes-gw restart " + work.Label + " "},
		{"hermes-gw restart " + work.Target.String()[:len(work.Target.String())-2], "hermes-gw restart " + work.Target.String() + " "},
		{"hermes-gw logs -p wo", "hermes-gw logs -p work "},
		{"hermes-gw restart --profile=wo", "hermes-gw restart --profile=work "},
		{"hermes-gw restart --wait pl", "hermes-gw restart --wait platforms "},
		{"hermes-gw restart --wait=re", "hermes-gw restart --wait=ready "},
		{"hermes-gw start ai.hermes.gateway-of", "hermes-gw start ai.hermes.gateway-off "},
		{"hermes-gw ctl kicks", "hermes-gw ctl kickstart "},
		{"hermes-gw ctl print " + work.Target.String()[:len(work.Target.String())-3], "hermes-gw ctl print " + work.Target.String() + " "},
		{"hermes-gw help exi", "hermes-gw help exit-codes "},
		{"hermes-gw completion ba", "hermes-gw completion bash "},
		{"hermes-gw lint " + dir + "/some", "hermes-gw lint " + dir + "/somebody.plist "},
		{"hermes-gw --json --uid 501 sto", "hermes-gw --json --uid 501 stop "},
		{"hermes-gw doctor gui", "hermes-gw doctor gui"},
	}
}

// completionFleet has a profile that is loaded and one that is not.
func completionFleet(t *testing.T) (f *fleet.Fleet, dir string) {
	t.Helper()
	f = fleet.New(t, fleet.Options{Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Oldest}, {Name: "off", Plist: fleet.Oldest, Unloaded: true}}})
	dir = filepath.Join(f.Dir, "lists")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "somebody.plist"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return f, dir
}

// shell skips the test where a shell is missing.
func shell(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed here: %v", name, err)
	}
	return path
}

// Each line is typed into a real, interactive shell, and Tab after it. A key then shows what the
// line has become.
func TestCompletionInShells(t *testing.T) {
	t.Parallel()
	f, dir := completionFleet(t)
	f.Prepare() // skips the test as a whole, where that is to be
	const setup = "PS1='rea''dy> '\n"
	for _, test := range []struct {
		shell string
		line  func(rc string) string
		rc    string
	}{
		{"bash", func(rc string) string { return "exec bash --noprofile --rcfile " + rc + "/rc -i" },
			setup + `eval "$(hermes-gw completion bash)"
bind 'set bell-style none' 2>/dev/null
show() { printf 'li''ne<%s>\n' "$READLINE_LINE"; READLINE_LINE=; READLINE_POINT=0; }
bind -x '"\C-g": show'
`},
		{"zsh", func(rc string) string { return "ZDOTDIR=" + rc + " exec zsh -d -i" },
			setup + `unsetopt beep global_rcs zle_bracketed_paste
autoload -Uz compinit && compinit -u -D
eval "$(hermes-gw completion zsh)"
show() { zle -I; printf 'li''ne<%s>\n' "$BUFFER"; BUFFER=; }
zle -N show
bindkey '^I' complete-word
bindkey '^G' show
`},
	} {
		t.Run(test.shell, func(t *testing.T) {
			shell(t, test.shell)
			rc := t.TempDir()
			for _, name := range []string{"rc", ".zshrc"} {
				if err := os.WriteFile(filepath.Join(rc, name), []byte(test.rc), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			cmd := typed(t, f, test.line(rc))
			setenv(cmd, "TERM", "xterm")
			terminal := f.Terminal(cmd)
			_, at := terminal.Shows(0, func(s string) bool { return strings.Contains(s, "ready> ") })
			for _, c := range completed(f, dir) {
				terminal.Type(c[0] + "\t\x07")
				var output string
				output, at = terminal.Shows(at, func(s string) bool {
					_, rest, ok := strings.Cut(s, "line<")
					return ok && strings.Contains(rest, "ready> ")
				})
				_, rest, _ := strings.Cut(output, "line<")
				if got, _, _ := strings.Cut(rest, ">"); got != c[1] {
					t.Errorf("%q became %q, want %q", c[0], got, c[1])
				}
			}
			terminal.Type("exit\n")
			if output, code := terminal.End(); code != 0 {
				t.Errorf("exit code %d: %q", code, output)
			}
		})
	}
	t.Run("fish", func(t *testing.T) {
		shell(t, "fish")
		script := "hermes-gw completion fish >" + dir + "/fish; and fish --no-execute " + dir + "/fish; and source " + dir + "/fish\n"
		for _, c := range completed(f, dir) {
			script += "echo \"> \" (complete -C '" + c[0] + "' | string replace -r '\\t.*' '')\n"
		}
		cmd := typed(t, f, "exec fish --no-config --private "+dir+"/script.fish")
		if err := os.WriteFile(dir+"/script.fish", []byte(script), 0o600); err != nil {
			t.Fatal(err)
		}
		o := f.Run(cmd)
		if o.Code != 0 || o.Stderr != "" {
			t.Fatalf("exit code %d: %s", o.Code, o.Stderr)
		}
		lines := strings.Split(o.Stdout, "\n")
		for i, c := range completed(f, dir) {
			want := c[1][strings.LastIndex(strings.TrimRight(c[1], " "), " ")+1:]
			if c[0] == c[1] {
				want = ""
			}
			if i >= len(lines) || strings.TrimSpace(strings.TrimPrefix(lines[i], "> ")) != strings.TrimSpace(want) {
				t.Errorf("%q: %q, want %q", c[0], lines[min(i, len(lines)-1)], want)
			}
		}
	})
	// Tab sent nothing that changes anything.
	for _, e := range f.Requests(f.Loaded()) {
		if !onlyAsks(e.Routine) {
			t.Errorf("completion sent %v", e)
		}
	}
}

// completions are the words that the hidden verb prints.
func (c *call) completions(words ...string) (list []string) {
	c.stdout.Reset()
	c.run(append([]string{completeVerb, "--"}, words...)...)
	for line := range strings.Lines(c.stdout.String()) {
		word, _, _ := strings.Cut(line, "\t")
		list = append(list, strings.TrimSuffix(word, "\n"))
	}
	return list
}

// Every verb, flag, word and topic can be completed from its beginning, where it may stand and
// nowhere else.
func TestCompleteWords(t *testing.T) {
	c := newCall("")
	if got := c.completions(""); !slices.Equal(got, verbNames()) {
		t.Errorf("verbs: %v", got)
	}
	for _, v := range verbs() {
		var flags []string
		for _, name := range v.flags {
			flags = append(flags, "--"+name)
		}
		got := c.completions(v.name, "--")
		slices.Sort(flags)
		slices.Sort(got)
		if !slices.Equal(got, flags) {
			t.Errorf("%s: %v, want %v", v.name, got, flags)
		}
	}
	if got := c.completions("help", ""); !slices.Equal(got, slices.Concat(verbNames(), topicNames())) {
		t.Errorf("help: %v", got)
	}
	var words []string
	for _, v := range ctlVerbs() {
		words = append(words, v.name)
	}
	if got := c.completions("ctl", ""); !slices.Equal(got, words) {
		t.Errorf("ctl: %v", got)
	}
	for words, want := range map[string]string{
		"restart --wait=":              "--wait=spawned --wait=ready --wait=platforms",
		"restart --wait ":              "spawned ready platforms",
		"restart --wait ready --wai":   "", // once is enough
		"restart --profile x --profi":  "--profile",
		"restart --graceful --dry":     "--dry-run", // --graceful's value would stand behind =
		"restart -- --":                "",
		"restart --all ":               "",
		"restart --timeout ":           "",
		"restart -p":                   "-p",
		"ctl kickstart --":             "", // launchctl's
		"ctl --timeout 3s kick":        "kickstart",
		"ctl bootstrap gui/501 ":       ":files",
		"ctl print-disabled u":         "user/501",
		"lint ":                        ":files",
		"lint --rules ":                "",
		"lint --domain s":              "system",
		"frobnicate ":                  "",
		"frobnicate --":                "",
		"version ":                     "",
		"help restart ":                "",
		"completion bash ":             "",
		"--timeout 5s --uid 501 versi": "version",
		"--launchd unix:/x --json res": "restart",
	} {
		if got := strings.Join(c.completions(strings.Split(words, " ")...), " "); got != want {
			t.Errorf("%q: %q, want %q", words, got, want)
		}
	}
	if c.stderr.Len() > 0 {
		t.Errorf("stderr: %s", &c.stderr)
	}
}

// What a shell would not take as it is cannot be offered: bash puts it on the command line as it is.
func TestCompleteNothingThatRuns(t *testing.T) {
	f, _ := completionFleet(t)
	for _, label := range []string{"ai.hermes.gateway-$(touch x)", "ai.hermes.gateway-`x`", "ai.hermes.gateway-a;b", "ai.hermes.gateway-a b", "ai.hermes.gateway-\x1b[2J", "ai.hermes.gateway-é"} {
		copyJob(t, f.Gateway("work").Plist, label)
	}
	o := f.Command(completeVerb, "--", "restart", "ai.")
	if want := "ai.hermes.gateway-off\tprofile off, not loaded\nai.hermes.gateway-work\tpid " + fmt.Sprint(f.JobPID("work")) + "\n"; o.Stdout != want || o.Stderr != "" || o.Code != 0 {
		t.Errorf("%+v, want %q", o, want)
	}
}

// A launchd that does not answer, or is not there, costs a moment and says nothing.
func TestCompleteWithoutLaunchd(t *testing.T) {
	f := newFake(t, func(request) answer { return answer{hang: true} })
	for _, socket := range []string{f.path, "/nonexistent"} {
		c := newCall(socket)
		start := time.Now()
		if got := c.completions("restart", "ai."); len(got) > 0 || c.stderr.Len() > 0 {
			t.Errorf("%v, stderr %s", got, &c.stderr)
		}
		if d := time.Since(start); d > completeFor+5*time.Second {
			t.Errorf("it took %v", d)
		}
	}
}
