package hermesgw_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
	"github.com/hermes-gw/hermes-gw/internal/embedtest/standin"
	"github.com/hermes-gw/hermes-gw/internal/proc"
	"github.com/hermes-gw/hermes-gw/sweep"
)

// watcher is the program of python -c that waits for a pid to go and then runs what follows.
const watcher = `import os, subprocess, sys, time
while os.path.exists("/proc/" + sys.argv[1]):
    time.sleep(0.5)
subprocess.Popen(sys.argv[2:])  # hermes_cli.main gateway run
`

// Traps 13 to 17: who has the words of a gateway in its arguments and is none, and who is one
// in another guise. Each runs in a home whose job takes over, in a terminal of its own.
func TestTraps13To17Bystanders(t *testing.T) {
	t.Parallel()
	f := fleet.New(t, fleet.Options{Outside: outside, Profiles: []fleet.Profile{
		{Name: fleet.Default, Plist: fleet.Oldest}, {Name: "ops", Plist: fleet.Oldest},
		{Name: "ops-2", Plist: fleet.Oldest, Unloaded: true}, {Name: "gateway", Plist: fleet.Oldest},
	}})
	const nobodys = "would take its place"
	ofRoot := []string{"HERMES_HOME=" + f.Root} // the profile in the arguments decides

	type row struct {
		trap    string
		program string
		args    []string
		profile string // "" is ops
		env     []string
		runs    bool // is a gateway of the stand-in's, which says when it runs
		gone    bool // is to be swept
		named   string
		why     string // it is spared
		process *fleet.Process
	}
	sits := func(trap, program string, args ...string) row { return row{trap: trap, program: program, args: args} }
	rows := []row{
		sits("13", "hermes", "gateway", "restart"),
		sits("13", "hermes", "-p", "ops", "gateway", "restart", "--all"),
		sits("13", "python3", "-m", "hermes_cli.main", "gateway", "restart"),

		sits("14", "grep", "hermes gateway run"),
		sits("14", "vim", "hermes_cli/gateway.py"),
		sits("14", "vim", "gateway/run.py"), // Hermes' own rule takes it for a gateway
		sits("14", "tail", "-f", "gateway.log"),
		sits("14", "less", "gateway/run.py"),
		sits("14", "pytest", "tests/gateway/run.py"),
		sits("14", "python3", "-m", "pytest", "tests/gateway/run.py"),
		sits("14", "watch", "hermes", "gateway", "status"),
		sits("14", "watch", "hermes gateway run"),
		sits("14", "ssh", "host", "hermes", "gateway", "run"),
		sits("14", "tmux", "new", "-s", "hermes", "hermes gateway run"),
		sits("14", "screen", "-dmS", "hermes", "hermes", "gateway", "run"),
		sits("14", "nohup", "hermes", "gateway", "run"),
		sits("14", "sudo", "-u", "me", "hermes", "gateway", "run"),
		sits("14", "caffeinate", "-i", "hermes", "gateway", "run"),
		sits("14", "sh", "-c", "hermes gateway run"),
		sits("14", "zsh", "-c", "exec hermes -p ops gateway run"),
		sits("14", "code", "--wait", "gateway/run.py"),
		sits("14", "editor-of-mine", "hermes", "gateway", "run"),

		sits("15", "python3", "-u", "-X", "utf8", "-c", watcher, "14980", "hermes", "gateway", "run"),
		{trap: "15", program: "python3", args: fleet.Python("ops").Args, env: ofRoot, runs: true, gone: true, named: "ops"},

		{trap: "16", program: "hermes", args: []string{"gateway", "run", "--profile=ops"}, env: ofRoot, runs: true, gone: true, named: "ops"},
		{trap: "16", program: "hermes", args: []string{"gateway", "-p", "ops"}, env: ofRoot, runs: true, gone: true, named: "ops"},
		{trap: "16", program: "hermes", args: []string{"-p", "gateway", "gateway", "run"}, profile: "gateway", env: ofRoot, runs: true, gone: true, named: "gateway"},
		// Nobody takes the place of these: ops is not ops-2.
		{trap: "16", program: "hermes", args: []string{"-p", "ops-2", "gateway", "run"}, profile: "ops-2", env: ofRoot, runs: true, named: "ops-2", why: nobodys},
		{trap: "16", program: "hermes", args: []string{"gateway", "run", "--profile=ops-2"}, profile: "ops-2", env: ofRoot, runs: true, named: "ops-2", why: nobodys},
		// The arguments of one of ours, and the home of another installation, or a profile that there is none of.
		{trap: "19", program: "hermes", args: []string{"-p", "ops", "gateway", "run"}, env: []string{"HERMES_HOME=" + filepath.Join(f.Dir, "elsewhere")}, named: "ops", why: "whose gateway it is"},
		{trap: "19", program: "hermes", args: []string{"gateway", "run"}, env: []string{"HERMES_HOME=" + filepath.Join(f.Dir, "elsewhere")}, why: "another installation"},
		{trap: "19", program: "hermes", args: []string{"-p", "nobody", "gateway", "run"}, env: ofRoot, named: "nobody", why: "whose gateway it is"},
		{trap: "16", program: "hermes", args: []string{"-p", "gateway"}, profile: "gateway"}, // a chat
		{trap: "16", program: "hermes", args: []string{"-p", "gateway", "gateway", "status"}, profile: "gateway"},
		{trap: "16", program: "hermes", args: []string{"--profile", "gateway", "chat", "run"}, profile: "gateway"},
		{trap: "16", program: "hermes", args: []string{"--resume", "gateway", "run"}},

		sits("17", "hermes", "-p", "ops", "dashboard"),
		sits("17", "hermes", "-p", "ops", "serve"),
		sits("17", "hermes", "-p", "ops", "chat"),
		sits("17", "hermes", "-p", "ops"),
		sits("17", "python3", "-m", "tui_gateway"),
		sits("17", "python3", "-m", "tui_gateway", "gateway", "run"),
		sits("17", "hermes", "-p", "ops", "gateway", "status"),
		sits("17", "hermes", "-p", "ops", "gateway", "stop"),
		sits("17", "hermes", "-p", "ops", "gateway", "install"),
		sits("17", "hermes", "-p", "ops", "gateway", "run", "--help"),
		sits("17", "python3", "-m", "hermes_cli.main", "--profile", "ops", "dashboard"),
	}
	for i := range rows {
		r := &rows[i]
		if r.profile == "" {
			r.profile = "ops"
		}
		s := fleet.Shape{Program: r.program, Args: r.args, Env: r.env, Sit: !r.runs, Session: true}
		if r.runs {
			r.process = strayOf(f, r.profile, s)
		} else {
			r.process = f.Manual(r.profile, s)
		}
	}

	old := map[string]int{}
	for _, g := range f.Gateways() {
		old[g.Profile] = f.GatewayPID(g.Profile)
	}
	a := ask(t, f, "restart", "--all", "--wait", "ready")
	if jobs := len(a.Results); !outside && (jobs != 4 || a.Code != 3) || outside && (jobs != 3 || a.Code != 0) {
		t.Errorf("%+v", a)
	}
	for i := range rows {
		r := &rows[i]
		t.Run("trap "+r.trap+": "+strings.Join(append([]string{r.program}, r.args...), " "), func(t *testing.T) {
			outcome, reason := a.swept(r.process.PID)
			if !r.gone {
				alive(t, r.process)
				if len(outcome) > 0 && outcome != string(sweep.Spared) {
					t.Errorf("%s, %s", outcome, reason)
				}
				if r.why != "" && (outcome != string(sweep.Spared) || !strings.Contains(reason, r.why)) {
					t.Errorf("%q, because %q", outcome, reason)
				}
			} else {
				f.Gone(r.process)
				if outcome != string(sweep.Exited) {
					t.Errorf("%q: %s", outcome, reason)
				}
				if !slices.ContainsFunc(r.process.Events(), func(e standin.Event) bool {
					return e.Kind == standin.Signal && syscall.Signal(e.Signal) == syscall.SIGTERM
				}) {
					t.Errorf("it was not asked to end: %+v", r.process.Events())
				}
			}
			for _, p := range a.Sweep.Processes {
				if p.PID == r.process.PID && p.Profile != r.named && r.named != "" {
					t.Errorf("profile %q, want %q", p.Profile, r.named)
				}
			}
		})
	}
	for profile, pid := range old {
		if pid != 0 {
			f.Running(profile, pid)
		}
	}
	f.NeverUnloaded(0)
}

// Trap 22: what the system shows no arguments of is no candidate: in the middle of an exec, or
// with an empty argv.
func TestTrap22Arguments(t *testing.T) {
	t.Parallel()
	f := fleet.New(t, fleet.Options{Outside: outside, Profiles: []fleet.Profile{{Name: fleet.Default, Plist: fleet.Oldest}}})
	empty := f.Manual(fleet.Default, fleet.Shape{Args: []string{}, Sit: true, Session: true})
	hidden, unable := bystander(t, f, actor{Hide: true}, syscall.SysProcAttr{}, "hermes", "gateway", "run")
	if unable == nil {
		olderPID(hidden.Process.Pid)
	}
	a := ask(t, f, "restart", "--all")
	if a.Code != 0 {
		t.Errorf("%+v", a)
	}
	alive(t, empty)
	if unable != nil {
		t.Skip("no process can hide its arguments here: ", unable)
	}
	if outcome, reason := a.swept(hidden.Process.Pid); outcome != string(sweep.Spared) || reason != "its arguments cannot be read" {
		t.Errorf("%q, %q", outcome, reason)
	}
}

// A gateway of whose home nobody knows anything, because the system does not show its environment, can
// be another installation's: it is left alone, unless a home of this one names it.
func TestSweepUnproven(t *testing.T) {
	t.Parallel()
	f := fleet.New(t, fleet.Options{Outside: outside, Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Oldest, Standin: fleet.Standin{NoPID: true}}}})
	start := func() int {
		p, err := bystander(t, f, actor{HideEnv: true, Goes: true}, syscall.SysProcAttr{}, "hermes", "-p", "work", "gateway", "run")
		if err != nil {
			t.Skip("no process can hide its environment here: ", err)
		}
		return olderPID(p.Process.Pid)
	}
	unknown, named := start(), start()
	home := f.Gateway("work").Home
	put(t, home, standin.FilePID, inJSONText(t, recordOf(t, named, home)))
	a := ask(t, f, "restart", "--all")
	if outcome, reason := a.swept(unknown); outcome != string(sweep.Spared) || !strings.Contains(reason, "not known to belong") {
		t.Errorf("%q, %q", outcome, reason)
	}
	if outcome, reason := a.swept(named); outcome != string(sweep.Exited) {
		t.Errorf("%q, %q", outcome, reason)
	}
}

// A gateway without HERMES_HOME is that of its $HOME, which need not be the account's: a sandbox's or a
// test's is left alone, whatever its arguments.
func TestSweepOtherHOME(t *testing.T) {
	t.Parallel()
	f := fleet.New(t, fleet.Options{Outside: outside, Profiles: []fleet.Profile{{Name: fleet.Default, Plist: fleet.Oldest}, {Name: "ops", Plist: fleet.Oldest}}})
	elsewhere := filepath.Join(f.Dir, "elsewhere")
	if err := os.MkdirAll(filepath.Join(elsewhere, ".hermes", "profiles", "ops"), 0o700); err != nil {
		t.Fatal(err)
	}
	rows := []struct {
		env  []string
		args []string
		why  string // it is spared; "" if it is not
		pid  int
	}{
		{env: []string{"HERMES_HOME=", "HOME=" + elsewhere}, why: "another installation, " + elsewhere},
		{env: []string{"HERMES_HOME= ", "HOME=" + elsewhere}, args: []string{"-p", "ops"}, why: "another installation, " + elsewhere},
		{env: []string{"HERMES_HOME=", "HOME=" + f.AccountHome, "HERMES_DATA_DIR_SUFFIX=-2"}, why: "another installation, " + f.AccountHome + "/.hermes-2"},
		{env: []string{"HERMES_HOME=", "HOME="}, why: "another installation, /.hermes"},
		{env: []string{"HERMES_HOME=", "HOME=elsewhere"}, why: "whose gateway it is"},
		{env: []string{"HERMES_HOME=" + f.Root, "HOME=" + elsewhere}},
		{env: []string{"HERMES_HOME=" + f.Root, "HOME=" + elsewhere}, args: []string{"-p", "ops"}},
	}
	if !outside {
		for _, args := range [][]string{nil, {"-p", "ops"}} {
			rows = append(rows, rows[0])
			rows[len(rows)-1].env, rows[len(rows)-1].args, rows[len(rows)-1].why = []string{"HERMES_HOME=", "HOME=" + f.AccountHome}, args, ""
		}
	}
	for i := range rows {
		r := &rows[i]
		p, err := bystander(t, f, actor{Env: r.env, Goes: r.why == ""}, syscall.SysProcAttr{}, append(append([]string{"hermes"}, r.args...), "gateway", "run")...)
		if err != nil {
			t.Fatal(err)
		}
		r.pid = olderPID(p.Process.Pid)
	}
	a := ask(t, f, "restart", "--all")
	for _, r := range rows {
		outcome, reason := a.swept(r.pid)
		if want := map[bool]string{true: string(sweep.Exited), false: string(sweep.Spared)}[r.why == ""]; outcome != want || !strings.Contains(reason, r.why) {
			t.Errorf("%q %q: %q, %q", r.env, r.args, outcome, reason)
		}
	}
}

// Trap 23: a gateway of another user is reported and left alone, by root as well.
func TestTrap23OtherUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can start a process of another user")
	}
	f := fleet.New(t, fleet.Options{Profiles: []fleet.Profile{{Name: fleet.Default, Plist: fleet.Oldest}}})
	open(t, f)
	theirs, err := bystander(t, f, actor{}, syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}, "hermes", "gateway", "run")
	if err != nil {
		t.Fatal(err)
	}
	id, err := proc.Read(theirs.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	stray := strayOf(f, fleet.Default, fleet.Plain)
	a := ask(t, f, "restart", "--all")
	if outcome, reason := a.swept(theirs.Process.Pid); a.Code != 0 || outcome != string(sweep.Spared) || reason != "it is another user's (65534)" {
		t.Errorf("%q, %q: %+v", outcome, reason, a)
	}
	f.Gone(stray)
	if now, err := proc.Read(id.PID); err != nil || now != id {
		t.Errorf("%v, %v", now, err)
	}
}

const nobody = 65534

// open lets other users pass through the folders of a fleet.
func open(t *testing.T, f *fleet.Fleet) {
	t.Helper()
	cast(t, f, "hermes")
	for dir := f.Dir; strings.Contains(dir, "/hgf"); dir = dir[:strings.LastIndexByte(dir, '/')] {
		if err := os.Chmod(dir, 0o711); err != nil {
			t.Fatal(err)
		}
	}
}
