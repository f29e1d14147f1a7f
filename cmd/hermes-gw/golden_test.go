package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
)

var update = flag.Bool("update", false, "write what is golden anew: testdata/golden, doc/hermes-gw.1, the tables in README.md")

// goldenStep is one command, and the file that has what it printed.
type goldenStep struct {
	name string
	args string
	text bool // no --json
	gone bool // a job of the fleet is not loaded afterwards
	does bool // it changes something, so all of them are run in one manner, then in the next
	slow bool // it has a test, and a launchd, of its own
}

// goldenSteps are every verb. What changes something ends as it began: what stops a job is followed
// by what starts it.
func goldenSteps() (steps []goldenStep) {
	steps = []goldenStep{
		{name: "help", args: "help"},
		{name: "usage-verb", args: "restrat"},
		{name: "usage-flag", args: "restart --wait raedy"},
		{name: "version", args: "version"},
		{name: "status", args: "status"},
		{name: "status-job", args: "status ai.hermes.gateway-work"},
		{name: "status-none", args: "status ai.hermes.gateway-nobody"},
		{name: "ps", args: "ps"},
		{name: "ps-tree", args: "ps --tree"},
		{name: "logs", args: "logs -p old -n 1"},
		{name: "doctor", args: "doctor"},
		{name: "lint", args: "lint LISTS"},
		{name: "lint-rules", args: "lint --rules"},
		{name: "ctl-list", args: "ctl list", text: true},
		{name: "ctl-print", args: "ctl print gui/UID/ai.hermes.gateway-work", text: true},
		{name: "ctl-error", args: "ctl error 113", text: true},
		{name: "ctl-unknown", args: "ctl kikcstart", text: true},
		{name: "ctl-usage", args: "ctl kickstart", text: true},
		{name: "ctl-kickstart", args: "ctl kickstart -k gui/UID/ai.hermes.gateway-nobody", text: true},
		{name: "completion-bash", args: "completion bash", text: true},
		{name: "completion-zsh", args: "completion zsh", text: true},
		{name: "completion-fish", args: "completion fish", text: true},
		{name: "completion-unknown", args: "completion bahs", text: true},
		{name: "restart-dry-run", args: "restart --all --dry-run"},
		{name: "restart-dry-run-graceful", args: "restart -p work --graceful=3s --dry-run"},
		{name: "restart", args: "restart -p work", does: true},
		{name: "restart-graceful", args: "restart ai.hermes.gateway-old --graceful --wait ready", does: true},
		{name: "restart-not-loaded", args: "restart -p off"},
		{name: "restart-no-profile", args: "restart -p wrok"},
		{name: "restart-all", args: "restart --all", does: true},
		{name: "stop", args: "stop ai.hermes.gateway-work", does: true, gone: true},
		{name: "stop-not-loaded", args: "stop ai.hermes.gateway-work", does: true, gone: true},
		{name: "start", args: "start ai.hermes.gateway-work", does: true},
		{name: "start-running", args: "start ai.hermes.gateway-work", does: true},
		{name: "reload", args: "reload ai.hermes.gateway-work", does: true},
		probeStep, watchStep,
	}
	for _, v := range verbs() {
		steps = append(steps, goldenStep{name: "help-" + v.name, args: "help " + v.name, text: true})
	}
	for _, topic := range topics() {
		steps = append(steps, goldenStep{name: "help-" + topic.name, args: "help " + topic.name, text: true})
	}
	return steps
}

// probeStep takes seconds even where launchd's times are shorter.
var probeStep = goldenStep{name: "probe", args: "probe", slow: true}

// watchStep goes on until it is interrupted.
var watchStep = goldenStep{name: "status-watch", args: "status --watch", slow: true}

// goldenModes are the manners in which a command prints.
var goldenModes = []string{"in a pipe", "on a terminal", "JSON"}

// What every verb prints, in a pipe, on a terminal and as JSON, is what the files in testdata/golden
// say. `go test ./cmd/hermes-gw -run TestGolden -update` writes them anew.
func TestGolden(t *testing.T) {
	t.Parallel()
	f := fleet.New(t, fleet.Options{Profiles: []fleet.Profile{{Name: fleet.Default}, {Name: "work", Plist: fleet.Middle}, {Name: "old", Plist: fleet.Oldest, User: true}, {Name: "off", Unloaded: true}}})
	g := &golden{t: t, f: f, pids: map[string]bool{}}
	lists := filepath.Join(f.Dir, "lists")
	if err := os.Mkdir(lists, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"good": xmlHead + "<string>good</string><key>Program</key><string>/bin/sh</string></dict></plist>", "bad": "hello"} {
		if err := os.WriteFile(filepath.Join(lists, name+".plist"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	steps := goldenSteps()
	texts := make([]string, len(steps))
	one := func(i int, mode string) {
		step := steps[i]
		args := strings.Fields(strings.NewReplacer("LISTS", lists, "UID", itoa(f.UID)).Replace(step.args))
		if mode == "JSON" {
			args = append(args, "--json")
		}
		cmd := f.Prepare(args...)
		setenv(cmd, envState, filepath.Join(f.Dir, "state "+mode)) // or there would be too many restarts
		setenv(cmd, envTerm, "xterm")
		g.know()
		g.steady = !step.does
		texts[i] += "== " + mode + "\n" + g.run(cmd, mode)
		if !step.gone {
			f.AllRunning()
		}
	}
	for i, step := range steps {
		for _, mode := range goldenModes {
			if !step.does && !step.slow && (mode != "JSON" || !step.text) {
				one(i, mode)
			}
		}
	}
	for _, mode := range goldenModes {
		for i, step := range steps {
			if step.does {
				one(i, mode)
			}
		}
	}
	known := map[string]bool{}
	for i, step := range steps {
		known[step.name+".txt"] = true
		if !step.slow {
			step.printed(t, texts[i])
		}
	}
	files, err := os.ReadDir(filepath.Join("testdata", "golden"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !known[file.Name()] {
			t.Errorf("testdata/golden/%s is of no step", file.Name())
		}
	}
}

// printed holds what a step printed against its file.
func (step goldenStep) printed(t *testing.T, text string) {
	t.Helper()
	path := filepath.Join("testdata", "golden", step.name+".txt")
	text = "$ hermes-gw " + step.args + "\n" + text
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Errorf("%v: -update writes it", err)
	} else if string(want) != text {
		t.Errorf("%s differs (-update writes it anew):\n%s", path, difference(string(want), text))
	}
}

// The same of probe. Its times are compared with each other, so launchd's are not as short as they
// could be.
func TestGoldenProbe(t *testing.T) {
	t.Parallel()
	texts := make([]string, len(goldenModes))
	var printed atomic.Int32
	t.Run("modes", func(t *testing.T) {
		for i, mode := range goldenModes {
			t.Run(mode, func(t *testing.T) {
				t.Parallel()
				f := fleet.New(t, fleet.Options{TimeScale: 0.5})
				args := strings.Fields(probeStep.args)
				if mode == "JSON" {
					args = append(args, "--json")
				}
				cmd := f.Prepare(args...)
				setenv(cmd, envTerm, "xterm")
				texts[i] = "== " + mode + "\n" + (&golden{t: t, f: f, pids: map[string]bool{}, probe: true}).run(cmd, mode)
				f.AllRunning()
				printed.Add(1)
			})
		}
	})
	if int(printed.Load()) == len(goldenModes) { // else this system, or -run, leaves some out
		probeStep.printed(t, strings.Join(texts, ""))
	}
}

// A frame of what goes on for ever.
func TestGoldenWatch(t *testing.T) {
	t.Parallel()
	f := fleet.New(t, fleet.Options{Outside: true, Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Middle}}})
	g := &golden{t: t, f: f, pids: map[string]bool{}}
	g.know()
	text := ""
	for _, mode := range goldenModes {
		cmd := f.Prepare(strings.Fields(watchStep.args)...)
		setenv(cmd, envTerm, "xterm")
		frame := ""
		if mode == "on a terminal" {
			const begin, end = "\x1b[2J\x1b[H", "\x1b[J"
			terminal := f.Terminal(cmd)
			shown, _ := terminal.Shows(0, func(s string) bool {
				_, after, begun := strings.Cut(s, begin)
				return begun && strings.Contains(after, end)
			})
			terminal.Type("\x03")
			terminal.End()
			_, frame, _ = strings.Cut(shown, begin)
			frame, _, _ = strings.Cut(frame, end)
			frame = clock.ReplaceAllString(g.text(strings.NewReplacer("\r\n", "\n", "\x1b[K", "").Replace(frame)), "CLOCK") + "\n"
		} else {
			if mode == "JSON" {
				cmd.Args = append(cmd.Args, "--json")
			}
			out := newFlowing()
			cmd.Stdout, cmd.Stderr = out, out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			frame = out.until(t, func(s string) bool { return strings.Contains(s, "gui/") && strings.HasSuffix(s, "\n") })
			cmd.Process.Signal(syscall.SIGINT)
			cmd.Wait()
			if mode == "JSON" {
				frame = g.json(frame)
			} else {
				frame = g.text(frame)
			}
		}
		text += "== " + mode + "\n" + frame
	}
	watchStep.printed(t, text)
}

// golden makes what differs from run to run the same.
type golden struct {
	t    *testing.T
	f    *fleet.Fleet
	pids map[string]bool

	steady bool // nothing starts or ends meanwhile
	probe  bool // the text is that of probe
}

// know notes the processes that there are.
func (g *golden) know() {
	for _, one := range g.f.Gateways() {
		for _, p := range g.f.Processes(one.Profile) {
			g.pids[itoa(p.PID)] = true
		}
	}
}

func (g *golden) run(cmd *exec.Cmd, mode string) string {
	if mode == "on a terminal" {
		output, code := g.f.Terminal(cmd).End()
		g.know()
		var b strings.Builder
		for line := range strings.Lines(output) {
			line = strings.TrimRight(line, "\r\n")
			b.WriteString(line[strings.LastIndex(line, "\r")+1:] + "\n") // without the progress
		}
		return g.text(b.String()) + fmt.Sprintf("exit code %d\n", code)
	}
	o := g.f.Run(cmd)
	g.know()
	out := ""
	if mode == "JSON" {
		out = g.json(o.Stdout)
	} else {
		out = g.text(o.Stdout)
	}
	if o.Stderr != "" {
		out += "-- stderr\n" + g.text(o.Stderr)
	}
	return out + fmt.Sprintf("exit code %d\n", o.Code)
}

var (
	number        = regexp.MustCompile(`\b\d+\b`)
	times         = regexp.MustCompile(`\b\d+(\.\d+)? m?s\b`)
	clock         = regexp.MustCompile(`\b\d\d:\d\d:\d\d\b`)
	inherited     = regexp.MustCompile(`(?s)(\n\tenvironment = \{\n[^}]*\tPATH => )[^\n]*`)
	session       = regexp.MustCompile(`(?m)(^\tdomain = gui/UID \[|^\tasid = )\d+`)
	age1          = regexp.MustCompile(`(?m)(  )(\d+m)?\d+s  `)
	columns       = regexp.MustCompile(` {2,}`)
	aPID          = regexp.MustCompile(`\b((?:pid|process) (?:PID -> )?)\d+\b`)
	aRow          = regexp.MustCompile(`^[ └]*(PID|\d+) +\S+ +(gateway|wrapper|restart) `)
	release       = regexp.MustCompile(`(?m)^hermes-gw (\(devel\)|v\S+)$`)
	commandColumn = regexp.MustCompile(`(?m)^(.*?(?:gui/UID|user/UID)/\S+  )\S*?([^/\s]+) .*$`)
	indented      = regexp.MustCompile(`(?m)^( *)(` + "└ " + `)?`)
)

// What differs in a probe's text.
var (
	probedPID   = regexp.MustCompile(`(\b(?:pid|PID) = )\d+\b`)
	probedLabel = regexp.MustCompile(`\b(hermes-gw\.probe\.)[0-9a-f]{8}\b`)
	probedTime  = regexp.MustCompile(`(\btook: |\bafter |\btries and )\d+(?:\.\d+)? ?[mµ]?s\b`)
	probedBuild = regexp.MustCompile(`(?m)^(- hermes-gw: )(?:\(devel\)|v\S+), `)
	// Whether a job that exits at once has exited yet is a matter of luck.
	probedFirst = regexp.MustCompile(`(\bfirst answer )(?:0|5)(, loaded after )\d+( tries\b)`)
	probedOrder = regexp.MustCompile(`(\bwas answered )(?:0|5|0 or 5)(; in )[0-5]( of 5 rounds\b)`)
	// Only root is told what is in a domain of this type.
	probedUser  = regexp.MustCompile(`(; 2 \(user\): )(?:all 0 jobs, one 113|all 1, one 1);`)
	probedUsers = regexp.MustCompile(`(?m)^- list of (?:all|one)` + regexp.QuoteMeta(listOfUser) + ` .*\n`)
)

const listOfUser = ", type 2 (user)"

// probed are the values of a probe's report that are of this machine and its user.
func probed() map[string]string {
	caller := "user"
	if os.Geteuid() == 0 {
		caller = "root"
	}
	return map[string]string{"arch": runtime.GOARCH, "go": runtime.Version(), "caller": caller}
}

// ofProbe is the text of a probe without pids, times, labels, and what differs from machine to
// machine.
func (g *golden) ofProbe(s string) string {
	is := probed()
	s = strings.NewReplacer(
		"- system: linux, "+is["arch"]+"\n", "- system: linux, ARCH\n",
		"- caller: "+is["caller"]+"\n", "- caller: CALLER\n",
		", "+is["go"]+"\n", ", GO\n",
	).Replace(probedBuild.ReplaceAllString(s, "${1}RELEASE, "))
	if os.Geteuid() == 0 {
		s = strings.Replace(s, " The caller is root: an ordinary user may be answered otherwise.", "", 1)
	}
	s = probedUser.ReplaceAllString(s, "${1}OF CALLER;")
	s = probedUsers.ReplaceAllString(s, "")
	s = probedPID.ReplaceAllString(s, "${1}PID")
	s = probedLabel.ReplaceAllString(s, "${1}LABEL")
	s = probedTime.ReplaceAllString(s, "${1}TIME")
	s = probedFirst.ReplaceAllString(s, "${1}CODE${2}N${3}")
	return probedOrder.ReplaceAllString(s, "${1}CODE${2}N${3}")
}

// text is text without pids, times, paths and widths.
func (g *golden) text(s string) string {
	if g.probe {
		return g.ofProbe(s)
	}
	s = strings.ReplaceAll(s, g.f.Dir, "DIR")
	s = strings.NewReplacer(fmt.Sprintf("gui/%d", g.f.UID), "gui/UID", fmt.Sprintf("user/%d", g.f.UID), "user/UID").Replace(s)
	s = number.ReplaceAllStringFunc(s, func(n string) string {
		if g.pids[n] {
			return "PID"
		}
		return n
	})
	s = aPID.ReplaceAllString(s, "${1}PID")
	s = session.ReplaceAllString(s, "${1}ASID")
	s = inherited.ReplaceAllString(s, "${1}PATH")
	s = times.ReplaceAllString(s, "TIME")
	var lines, spared, rows []string
	for line := range strings.Lines(s) {
		switch {
		case strings.HasPrefix(line, "would spare"):
			// Whatever else runs on this machine and looks like a gateway is spared as well.
			if strings.Contains(line, "launchd manages it as") {
				spared = append(spared, line)
			}
			continue
		case strings.HasPrefix(line, "PID ") && strings.Contains(line, "COMMAND") || strings.HasPrefix(line, "PROFILE "):
			line = columns.ReplaceAllString(line, "  ")
		case aRow.MatchString(line): // of ps
			if !strings.Contains(line, "PID") {
				continue // not of this fleet
			}
			indent := indented.FindString(line)
			line = indent + columns.ReplaceAllString(strings.TrimLeft(line[len(indent):], " "), "  ")
			line = age1.ReplaceAllString(commandColumn.ReplaceAllString(line, "$1$2 ..."), "${1}AGE  ")
			if indent != "" {
				rows[len(rows)-1] += line
			} else {
				rows = append(rows, line)
			}
			continue
		case strings.Contains(line, "  "+"gui/UID/") || strings.Contains(line, "  user/UID/"):
			line = columns.ReplaceAllString(line, "  ")
		}
		lines = append(lines, age1.ReplaceAllString(line, "${1}AGE  "))
	}
	slices.Sort(spared)
	slices.Sort(rows) // by profile: their order is that of the pids
	s = strings.Join(slices.Concat(lines, rows, spared), "")
	return release.ReplaceAllString(s, "hermes-gw RELEASE")
}

// json is the object, indented.
func (g *golden) json(s string) string {
	var doc any
	if err := json.Unmarshal([]byte(s), &doc); err != nil {
		g.t.Errorf("%v: %s", err, s)
		return s
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	enc.Encode(g.value("", doc))
	return b.String()
}

func (g *golden) value(key string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			if key == "phases_ms" {
				v[k] = "TIME"
			} else {
				v[k] = g.value(k, v[k])
			}
		}
		return v
	case []any:
		if key == "argv" && len(v) > 0 {
			return []any{g.text(fmt.Sprint(v[0])), "..."}
		}
		var list = []any{}
		for _, one := range v {
			o, _ := one.(map[string]any)
			if o["argv"] != nil && !g.pids[itoa(int(o["pid"].(float64)))] {
				continue // a process of somebody else's
			}
			if reason, ok := o["reason"].(string); ok && !(g.steady && strings.Contains(reason, "launchd manages")) {
				continue // it depends on how far the others are
			}
			if asked, _ := o["asked"].(string); g.probe && strings.HasSuffix(asked, listOfUser) {
				continue // it depends on who asks
			}
			list = append(list, g.value(key, one))
		}
		if key == "processes" || key == "results" && len(list) > 0 && list[0].(map[string]any)["kind"] != nil {
			slices.SortFunc(list, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		}
		return list
	case string:
		if key == "release" {
			return "RELEASE"
		}
		if g.probe && v == probed()[key] {
			return strings.ToUpper(key)
		}
		return g.text(v)
	case float64:
		switch {
		case strings.HasSuffix(key, "pid") || key == "tree" || key == "parent":
			return "PID"
		case strings.HasSuffix(key, "_ms") || strings.HasSuffix(key, "_s"):
			return "TIME"
		}
		return v
	}
	return v
}

// difference shows the first lines that differ.
func difference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(w), len(g)) {
		if i >= len(w) || i >= len(g) || w[i] != g[i] {
			from := max(i-2, 0)
			return fmt.Sprintf("line %d\nwant:\n%s\ngot:\n%s", i+1, strings.Join(w[from:min(i+4, len(w))], "\n"), strings.Join(g[from:min(i+4, len(g))], "\n"))
		}
	}
	return ""
}
