package docs

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/rogpeppe/go-internal/testscript"
	"howett.net/plist"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
	"github.com/hermes-gw/hermes-gw/launchd"
)

// documents are those whose lines are run, each by the script of its name.
var documents = []string{"README.md", "ARCHITECTURE.md", "HERMES.md", "CONTRIBUTING.md", "doc/hermes-gw.1"}

func TestDocs(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the documents are tried on Linux: their commands would reach the launchd of this Mac")
	}
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range documents {
		name := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(root, path))
			if err != nil {
				t.Fatal(err)
			}
			extract := markdown
			if filepath.Ext(path) == ".1" {
				extract = mdoc
			}
			items, err := extract(string(text))
			if err != nil {
				t.Fatal(err)
			}
			if len(items) == 0 {
				t.Fatal("no command was found")
			}
			d := &document{root: root, path: path, text: string(text), items: items}
			testscript.Run(t, testscript.Params{
				Files: []string{filepath.Join("testdata", name+".txtar")},
				Setup: d.setup,
				Cmds: map[string]func(*testscript.TestScript, bool, []string){
					"fleet": d.fleetCmd, "job": d.jobCmd, "run": d.runCmd, "follow": d.followCmd, "serve": d.serveCmd,
					"in": d.inCmd, "ci": d.ciCmd,
					"session": d.sessionCmd, "python": d.pythonCmd, "elsewhere": d.elsewhereCmd,
					"mention": d.mentionCmd, "end": d.endCmd,
				},
			})
		})
	}
}

// document is one that is being run.
type document struct {
	root, path, text string
	items            []item // those to come
	t                testing.TB
	work             string
	fleet            *fleet.Fleet
	scope            *scope // of the fleet
	dir              string // where the shell is
	shell            *shell
	ran, elsewhere   []string
	missing          []string // lines for a shell that is not installed
	mentions         int
	ended            bool
}

func (d *document) setup(env *testscript.Env) error {
	d.t, d.work = env.T().(testing.TB), env.WorkDir
	env.Defer(func() {
		d.leave()
		if !d.ended && !d.t.Failed() && !d.t.Skipped() {
			d.t.Errorf("the script of %s has no end; the document goes on with %v", d.path, d.items)
		}
	})
	return nil
}

// leave ends the shell and the fleet.
func (d *document) leave() {
	if d.shell != nil {
		if err := d.shell.close(); err != nil {
			d.t.Error(err)
		}
		d.shell = nil
	}
	if d.scope != nil {
		d.scope.end()
		d.scope = nil
	}
}

// scope is a test within which a fleet ends before the test does.
type scope struct {
	testing.TB
	cleanups []func()
}

func (s *scope) Cleanup(f func()) { s.cleanups = append(s.cleanups, f) }

func (s *scope) end() {
	for _, f := range slices.Backward(s.cleanups) {
		f()
	}
}

// next takes the next thing out of the document, which must be of one of the kinds and, but for
// blocks, be the line that the script says.
func (d *document) next(ts *testscript.TestScript, line string, kinds ...kind) item {
	if len(d.items) == 0 {
		ts.Fatalf("%s has no more lines, not %q", d.path, line)
	}
	i := d.items[0]
	if !slices.Contains(kinds, i.kind) || (i.kind == command || i.kind == inline) && i.text != line {
		ts.Fatalf("%s goes on otherwise, with %v", d.path, i)
	}
	d.items = d.items[1:]
	return i
}

// fleetCmd makes an installation and a shell in it: fleet [-C] [-fast] PROFILE... With -C the
// shell is in the checkout, else in the script's folder. With -fast launchd's timers are 20
// times as fast: the throttle of 10 s is half a second.
func (d *document) fleetCmd(ts *testscript.TestScript, _ bool, args []string) {
	d.leave()
	d.dir = d.work
	var o fleet.Options
	if len(args) > 0 && args[0] == "-C" {
		d.dir, args = d.root, args[1:]
	}
	if len(args) > 0 && args[0] == "-fast" {
		o.TimeScale, args = 0.05, args[1:]
	}
	for _, name := range args {
		o.Profiles = append(o.Profiles, fleet.Profile{Name: name})
	}
	d.scope = &scope{TB: d.t}
	d.fleet = fleet.New(d.scope, o)
	ts.Setenv("AGENTS", filepath.Join(d.fleet.AccountHome, "Library", "LaunchAgents"))
	ts.Setenv("ROOT", d.fleet.Root)
	s, err := startShell(d.bash("--noprofile", "--norc"))
	ts.Check(err)
	d.shell = s
}

// bash is a shell of the fleet, for which the go command works as it does for the test: but
// what is not there already cannot be fetched.
func (d *document) bash(args ...string) *exec.Cmd {
	bin := filepath.Join(d.work, "bin")
	cmd := d.fleet.Shell(d.dir, bin, args...)
	out, err := exec.Command("go", "env", "GOCACHE", "GOMODCACHE", "GOPATH").Output()
	if err != nil {
		d.t.Fatal(err)
	}
	values := strings.Split(string(out), "\n")
	cmd.Env = append(cmd.Env, "GOBIN="+bin, "GOPROXY=off", "GOTOOLCHAIN=local", "CGO_ENABLED=0", "GOFLAGS=",
		"GOCACHE="+values[0], "GOMODCACHE="+values[1], "GOPATH="+values[2])
	return cmd
}

var readerUID = regexp.MustCompile(`\b(gui|user)/501\b`)

// here puts the test's user in place of 501.
func (d *document) here(line string) string {
	return readerUID.ReplaceAllString(line, "${1}/"+strconv.Itoa(d.fleet.UID))
}

// there puts 501 in place of the test's user, and ~ in place of the home.
func (d *document) there(output string) string {
	uid := regexp.MustCompile(`\b(gui|user)/` + strconv.Itoa(d.fleet.UID) + `\b`)
	return strings.ReplaceAll(uid.ReplaceAllString(output, "${1}/501"), d.fleet.AccountHome, "~")
}

func (d *document) runCmd(ts *testscript.TestScript, neg bool, args []string) {
	line := one(ts, args)
	d.next(ts, line, command, inline)
	stdout, stderr, code, err := d.shell.run(d.here(line))
	ts.Check(err)
	fmt.Fprint(ts.Stdout(), d.there(stdout))
	fmt.Fprint(ts.Stderr(), d.there(stderr))
	if (code != 0) != neg {
		ts.Fatalf("%s: exit %d\n%s%s", line, code, stdout, stderr)
	}
	d.ran = append(d.ran, line)
}

// inCmd types the next line into another shell, after CODE.
func (d *document) inCmd(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: in SHELL CODE 'LINE'")
	}
	d.next(ts, args[2], command)
	path, err := exec.LookPath(args[0])
	if err != nil {
		d.missing = append(d.missing, args[2])
		return
	}
	script := filepath.Join(d.work, "line."+args[0])
	ts.Check(os.WriteFile(script, []byte(args[1]+"\n"+d.here(args[2])+"\n"), 0o600))
	stdout, stderr, code, err := d.shell.run(path + " " + script)
	ts.Check(err)
	if code != 0 || stderr != "" {
		ts.Fatalf("%s in %s: exit %d\n%s%s", args[2], args[0], code, stdout, stderr)
	}
	d.ran = append(d.ran, args[2])
}

func (d *document) followCmd(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: follow 'LINE' REGEXP")
	}
	d.next(ts, args[0], command, inline)
	output, code, err := follow(d.bash("-c", "exec "+d.here(args[0])), regexp.MustCompile(args[1]).MatchString)
	ts.Check(err)
	fmt.Fprint(ts.Stdout(), d.there(output))
	if code != 130 {
		ts.Fatalf("%s: after SIGINT exit %d, not 130\n%s", args[0], code, output)
	}
	d.ran = append(d.ran, args[0])
}

func (d *document) serveCmd(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: serve 'LINE &' REGEXP")
	}
	d.next(ts, args[0], command)
	early, stderr, code, err := d.shell.run(d.here(args[0]))
	ts.Check(err)
	if code != 0 {
		ts.Fatalf("%s: exit %d\n%s", args[0], code, stderr)
	}
	want := regexp.MustCompile(args[1])
	// It may be faster than the shell is done with the line.
	_, err = d.shell.stdout.until(args[1], func(text string) (int, bool) { return len(text), want.MatchString(early + text) })
	ts.Check(err)
	d.ran = append(d.ran, args[0])
}

// sessionCmd types the commands of a recorded session, and holds what comes out against the
// record.
func (d *document) sessionCmd(ts *testscript.TestScript, _ bool, _ []string) {
	block := d.next(ts, "", session)
	var said, recorded strings.Builder
	for _, line := range strings.Split(block.text, "\n") {
		text, prompt := strings.CutPrefix(line, "$ ")
		if !prompt {
			continue
		}
		stdout, stderr, _, err := d.shell.run("{ " + d.here(text) + "\n} 2>&1")
		ts.Check(err)
		if stderr != "" {
			ts.Fatalf("%s: %s", text, stderr)
		}
		fmt.Fprintf(&said, "%s\n%s", line, aligned(plain(d.there(stdout))))
		d.ran = append(d.ran, text)
	}
	recorded.WriteString(block.text + "\n")
	if vague(said.String()) == vague(recorded.String()) {
		return
	}
	if os.Getenv("UPDATE_DOCS") == "" {
		ts.Fatalf("%s: the session would be another now (UPDATE_DOCS=1 records it):\n%s", d.path, said.String())
	}
	path := filepath.Join(d.root, d.path)
	text, err := os.ReadFile(path)
	ts.Check(err)
	ts.Check(os.WriteFile(path, bytes.Replace(text, []byte("```console\n"+recorded.String()), []byte("```console\n"+said.String()), 1), 0o644))
}

// plain takes away the spaces at the ends of lines.
func plain(text string) string {
	return regexp.MustCompile(`(?m)[ \t]+$`).ReplaceAllString(text, "")
}

// aligned puts the columns of tables below each other again: 501 can be longer than the user id
// that it stands for.
func aligned(text string) string {
	lines := strings.Split(text, "\n")
	columns := regexp.MustCompile(` {2,}`)
	for i := 0; i < len(lines); {
		n := len(columns.Split(lines[i], -1))
		end := i + 1
		for end < len(lines) && len(columns.Split(lines[end], -1)) == n {
			end++
		}
		if n > 3 {
			var b strings.Builder
			w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
			for _, line := range lines[i:end] {
				fmt.Fprintln(w, columns.ReplaceAllString(line, "\t"))
			}
			w.Flush()
			copy(lines[i:end], strings.Split(b.String(), "\n"))
		}
		i = end
	}
	return strings.Join(lines, "\n")
}

var (
	times   = regexp.MustCompile(`\b\d+(\.\d+)? ?(ns|us|µs|ms|s|min|m|h)\b`)
	numbers = regexp.MustCompile(`\b\d+(\.\d+)?\b`)
	gaps    = regexp.MustCompile(`[ \t]+`)
)

// vague is text without what differs from run to run: pids, times, and the width of columns.
func vague(text string) string {
	text = times.ReplaceAllString(text, "TIME")
	text = numbers.ReplaceAllString(text, "N")
	return gaps.ReplaceAllString(text, " ")
}

func (d *document) pythonCmd(ts *testscript.TestScript, neg bool, args []string) {
	block := d.next(ts, "", python)
	python, err := exec.LookPath("python3")
	if err != nil {
		d.t.Skip("python3 is not installed; the lines of the document so far were run")
	}
	file := filepath.Join(d.work, "block.py")
	ts.Check(os.WriteFile(file, []byte(d.here(block.text)+"\n"+strings.Join(args, "\n")+"\n"), 0o600))
	stdout, stderr, code, err := d.shell.run(python + " " + file)
	ts.Check(err)
	fmt.Fprint(ts.Stdout(), d.there(stdout))
	fmt.Fprint(ts.Stderr(), d.there(stderr))
	if (code != 0) != neg {
		ts.Fatalf("python of line %d: exit %d\n%s%s", block.line, code, stdout, stderr)
	}
	d.ran = append(d.ran, fmt.Sprintf("python, line %d", block.line))
}

// elsewhereCmd is about a line that cannot be run here: the document must say so, in the paragraph
// before its block.
func (d *document) elsewhereCmd(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: elsewhere 'LINE' MARK")
	}
	i := d.next(ts, args[0], command)
	if !strings.Contains(strings.ReplaceAll(i.lead, "\n", " "), args[1]) {
		ts.Fatalf("%s, line %d: the reader is not told %q, but %q", d.path, i.line, args[1], i.lead)
	}
	d.elsewhere = append(d.elsewhere, args[0])
}

// ciCmd is about a line that would run this test again: .ci/run has it as a line of its own.
func (d *document) ciCmd(ts *testscript.TestScript, _ bool, args []string) {
	line := one(ts, args)
	d.next(ts, line, command, inline)
	text, err := os.ReadFile(filepath.Join(d.root, ".ci", "run"))
	ts.Check(err)
	if !slices.Contains(strings.Split(string(text), "\n"), line) {
		ts.Fatalf(".ci/run has no line %q", line)
	}
	d.elsewhere = append(d.elsewhere, line)
}

func (d *document) mentionCmd(ts *testscript.TestScript, _ bool, args []string) {
	d.next(ts, one(ts, args), inline)
	d.mentions++
}

func (d *document) endCmd(ts *testscript.TestScript, _ bool, args []string) {
	d.ended = true
	if len(d.items) > 0 {
		ts.Fatalf("%s goes on, and nothing runs these:\n%v", d.path, d.items)
	}
	got := fmt.Sprint(len(d.ran)+len(d.missing), len(d.elsewhere), d.mentions)
	d.t.Logf("%s: %d lines run; %d not run for want of a shell %q; %d to be run elsewhere %q; %d only spoken of",
		d.path, len(d.ran), len(d.missing), d.missing, len(d.elsewhere), d.elsewhere, d.mentions)
	if want := strings.Join(args, " "); got != want {
		ts.Fatalf("%s: %s lines run, to be run elsewhere, mentioned; end says %s", d.path, got, want)
	}
}

// jobCmd loads a job that is no gateway: job TARGET PROGRAM...
func (d *document) jobCmd(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: job TARGET PROGRAM [ARGUMENT...]")
	}
	target, err := launchd.ParseTarget(d.here(args[0]))
	ts.Check(err)
	dir := filepath.Join(d.fleet.AccountHome, "Library", "LaunchAgents")
	if target.Domain == launchd.System() {
		if d.fleet.UID != 0 {
			d.t.Skip("only root has jobs in the system domain")
		}
		dir = d.fleet.Dir
	}
	text, err := plist.MarshalIndent(map[string]any{
		"Label": target.Label, "ProgramArguments": args[1:], "RunAtLoad": true, "KeepAlive": true,
		"StandardOutPath": filepath.Join(d.fleet.Dir, target.Label+".log"),
	}, plist.XMLFormat, "\t")
	ts.Check(err)
	path := filepath.Join(dir, target.Label+".plist")
	ts.Check(os.WriteFile(path, text, 0o644))
	ts.Check(d.fleet.Client.Bootstrap(context.Background(), target.Domain, path))
}

func one(ts *testscript.TestScript, args []string) string {
	if len(args) != 1 {
		ts.Fatalf("one line is wanted, in quotes, not %q", args)
	}
	return args[0]
}
