package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// ctl runs a subcommand of the built command against the embedded launchd.
func (s *sim) ctl(args ...string) (code int, stdout, stderr string) {
	s.t.Helper()
	p := s.command(append([]string{"ctl"}, args...)...)
	code = p.start().end()
	return code, p.stdout.String(), p.stderr.String()
}

// Every subcommand with real jobs: exit code, stdout and stderr are launchctl's. PID stands
// for the pid of the job a, DIR for the folder of the lists.
func TestCtl(t *testing.T) {
	s := newSim(t, false, "a")
	uid := strconv.Itoa(os.Getuid())
	a, none, elsewhere := s.domain+"/a", s.domain+"/none", "gui/"+strconv.Itoa(os.Getuid()+1)+"/a"
	plist := s.plist("b", false)
	if err := os.Mkdir(filepath.Join(s.dir, "folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"b.plist": "", "bad.plist": "hello"} {
		if text == "" {
			b, err := os.ReadFile(plist)
			if err != nil {
				t.Fatal(err)
			}
			text = string(b)
		}
		if err := os.WriteFile(filepath.Join(s.dir, "folder", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	richer := "Try re-running the command as root for richer errors.\n"
	if os.Getuid() == 0 {
		richer = ""
	}
	const target = "Unrecognized target specifier. <service-target> takes a form of <domain-target>/<service-id>.\n" +
		"Please refer to `man launchctl` for explanation of the <domain-target> specifiers.\n"
	usage := func(rest string) string { return "Usage: hermes-gw ctl " + rest + "\n" }
	noService := fmt.Sprintf("Could not find service \"none\" in domain for user gui: %s\n", uid)
	const bootstrapped = ": service already bootstrapped\n"
	first := s.running("a")
	for _, c := range []struct {
		args   string
		code   int
		stdout string
		stderr string // launchctl's part, whole
		ours   string // what the lines of hermes-gw begin with; "" is no line
	}{
		{"print " + none, 113, "", "Bad request.\n" + noService, "hermes-gw: The job is not loaded in this domain"},
		{"print " + elsewhere, 125, "", "Could not print domain: 125: Domain does not support specified action\n", "hermes-gw: There is no such domain here"},
		{"print nonsense", 64, "", target + usage("print <domain-target> | <service-target>"), `hermes-gw: domain "nonsense"`},
		{"print", 64, "", usage("print <domain-target> | <service-target>"), ""},
		{"print a b", 64, "", usage("print <domain-target> | <service-target>"), ""},
		{"blame " + a, 0, "speculative\n", "", ""},
		{"blame " + none, 113, "", noService, "hermes-gw: The job is not loaded"},
		{"blame a", 64, "", target + usage("blame <service-target>"), "hermes-gw: target"},
		{"kickstart " + a, 0, "", "", ""},
		{"kickstart -p " + a, 0, "PID\n", "", ""},
		{"kickstart -- " + a, 0, "", "", ""},
		{"kickstart -x " + a, 64, "", usage("kickstart [-kpsu] <service-target>"), "hermes-gw: kickstart has no flag -x."},
		{"kickstart", 64, "", usage("kickstart [-kpsu] <service-target>"), ""},
		{"kickstart -k", 64, "", usage("kickstart [-kpsu] <service-target>"), ""},
		{"kickstart " + s.domain, 64, "", target + usage("kickstart [-kpsu] <service-target>"), "hermes-gw: target"},
		{"kickstart " + none, 113, "", noService, "hermes-gw: The job is not loaded"},
		{"kill 99 " + a, 64, "", "Invalid signal.\n" + usage("kill <signal-name|signal-number> <service-target>"), ""},
		{"kill NOPE " + a, 64, "", "Invalid signal.\n" + usage("kill <signal-name|signal-number> <service-target>"), ""},
		{"kill TERM", 64, "", usage("kill <signal-name|signal-number> <service-target>"), ""},
		{"kill TERM a", 64, "", target + usage("kill <signal-name|signal-number> <service-target>"), "hermes-gw: target"},
		{"kill WINCH " + a, 0, "", "", ""},
		{"kill -SIGWINCH " + a, 0, "", "", ""},
		{"kill 28 " + a, 0, "", "", ""},
		{"kill TERM " + none, 113, "", noService, "hermes-gw: The job is not loaded"},
		{"list", 0, "PID\tStatus\tLabel\nPID\t0\ta\n", "", ""},
		{"list none", 113, "", "Could not find service \"none\" in domain for port\n", "hermes-gw: The job is not loaded"},
		{"list a/b", 64, "", usage("list [service-name]"), "hermes-gw: label"},
		{"disable " + a, 0, "", "", ""},
		{"print-disabled " + s.domain, 0, "disabled services = {\n\t\"a\" => disabled\n}\n", "", ""},
		{"print-disabled " + a, 64, "", target + usage("print-disabled <domain-target>"), "hermes-gw: domain"},
		{"enable " + a, 0, "", "", ""},
		{"print-disabled " + s.domain + "/", 0, "disabled services = {\n\t\"a\" => enabled\n}\n", "", ""},
		{"enable a", 64, "", target + usage("enable <service-target>"), "hermes-gw: target"},
		{"disable", 64, "", usage("disable <service-target>"), ""},
		{"bootstrap " + s.domain + " " + plist, 0, "", "", ""},
		{"bootstrap " + s.domain + " " + plist, 37, "", plist + bootstrapped + "Bootstrap failed: 37: Operation already in progress\n" + richer, "hermes-gw: The job is loaded already"},
		{"bootstrap " + s.domain + " DIR/none.plist", 5, "", "Bootstrap failed: 5: Input/output error\n" + richer, "hermes-gw: the file cannot be read: no such file or directory. "},
		{"bootstrap " + s.domain + " DIR/none.plist " + plist, 133, "", "DIR/none.plist: Input/output error\n" + plist + bootstrapped + "Bootstrap failed: 133: Multiple errors were returned; see stderr\n" + richer,
			"hermes-gw: the file cannot be read: no such file or directory. |hermes-gw: The job is loaded already"},
		{"bootstrap " + s.domain + " DIR/folder", 133, "", "DIR/folder/b.plist" + bootstrapped + "DIR/folder/bad.plist: Invalid property list\nBootstrap failed: 133: Multiple errors were returned; see stderr\n" + richer,
			"hermes-gw: The job is loaded already|hermes-gw: The property list cannot be read"},
		{"bootstrap " + s.domain + " DIR/folder/bad.plist", 109, "", "Bootstrap failed: 109: Invalid property list\n" + richer, "hermes-gw: The property list cannot be read: hermes-gw lint DIR/folder/bad.plist says why."},
		{"bootstrap " + s.domain + " " + plist + " " + plist, 37, "", plist + bootstrapped + plist + bootstrapped + "Bootstrap failed: 37: Operation already in progress\n" + richer, "hermes-gw: The job is loaded already"},
		{"bootstrap " + s.domain, 64, "", usage("bootstrap <domain-target> <service-path>..."), "hermes-gw: a domain is not bootstrapped as a whole"},
		{"bootstrap " + a + " " + plist, 64, "", target + usage("bootstrap <domain-target> <service-path>..."), "hermes-gw: domain"},
		{"bootout " + s.domain, 64, "", usage("bootout <service-target> | <domain-target> <service-path>..."), "hermes-gw: " + s.domain + " is not torn down as a whole"},
		{"bootout " + s.domain + "/", 64, "", usage("bootout <service-target> | <domain-target> <service-path>..."), "hermes-gw: " + s.domain + " is not torn down as a whole"},
		{"bootout " + s.domain + " " + plist, 0, "", "", ""},
		{"bootout " + none, 3, "", "Boot-out failed: 3: No such process\n", "hermes-gw: There is nothing to unload"},
		{"bootout " + s.domain + " DIR/none.plist", 5, "", "Boot-out failed: 5: Input/output error\n", "hermes-gw: "},
		{"bootout nonsense", 64, "", target + usage("bootout <service-target> | <domain-target> <service-path>..."), "hermes-gw: domain"},
		{"start a", 0, "", "", ""},
		{"start none", 3, "", "", "hermes-gw: The job is not loaded in this domain"},
		{"start a/b", 64, "", usage("start <service-name>"), "hermes-gw: label"},
		{"start", 64, "", usage("start <service-name>"), ""},
		{"stop none", 3, "", "", "hermes-gw: The job is not loaded in this domain"},
		{"remove none", 3, "", "", "hermes-gw: There is nothing to remove"},
		{"getenv NOPE", 0, "", "", ""},
		{"setenv GW_TEST a=b GW_TWO 2", 0, "", "", ""},
		{"getenv GW_TEST", 0, "a=b\n", "", ""},
		{"getenv GW_TWO", 0, "2\n", "", ""},
		{"unsetenv GW_TEST GW_TWO GW_NONE", 0, "", "", ""},
		{"getenv GW_TEST", 0, "", "", ""},
		{"getenv GW_TWO", 0, "", "", ""},
		{"getenv", 64, "", usage("getenv <key>"), ""},
		{"getenv A=B", 64, "", usage("getenv <key>"), "hermes-gw: variable name"},
		{"setenv GW_TEST", 64, "", usage("setenv <<key> <value>, ...>"), ""},
		{"setenv A 1 B", 64, "", usage("setenv <<key> <value>, ...>"), ""},
		{"setenv A 1 B=C 2", 64, "", usage("setenv <<key> <value>, ...>"), "hermes-gw: variable name"},
		{"getenv A", 0, "", "", ""}, // all or nothing
		{"unsetenv", 64, "", usage("unsetenv <key, ...>"), ""},
		{"help kill", 0, usage("kill <signal-name|signal-number> <service-target>"), "", ""},
		{"help nope", 64, "", usage("help [subcommand]"), ""},
		{"load x", 64, "", "Unrecognized subcommand: load\n", "hermes-gw: launchctl has load, and hermes-gw ctl does not: use bootstrap <domain-target> <service-path>."},
		{"enter-rem-dev", 64, "", "Unrecognized subcommand: enter-rem-dev\n", "hermes-gw: launchctl has enter-rem-dev, and hermes-gw ctl does not."},
		{"kikstart x", 64, "", "Unrecognized subcommand: kikstart\n", "hermes-gw: did you mean kickstart?"},
		{"frobnicate", 64, "", "Unrecognized subcommand: frobnicate\n", "hermes-gw: hermes-gw ctl help lists the subcommands."},
	} {
		fill := strings.NewReplacer("DIR", s.dir, "PID\n", strconv.Itoa(first)+"\n", "\nPID\t", "\n"+strconv.Itoa(first)+"\t").Replace
		code, stdout, stderr := s.ctl(strings.Fields(fill(c.args))...)
		theirs, ours := "", []string(nil)
		for line := range strings.Lines(stderr) {
			if strings.HasPrefix(line, "hermes-gw: ") {
				ours = append(ours, line)
			} else {
				theirs += line
			}
		}
		ok := code == c.code && stdout == fill(c.stdout) && theirs == fill(c.stderr)
		want := strings.Split(c.ours, "|")
		if c.ours == "" {
			want = nil
		}
		ok = ok && len(ours) == len(want)
		for i := range min(len(ours), len(want)) {
			ok = ok && strings.HasPrefix(ours[i], fill(want[i]))
		}
		if !ok {
			t.Errorf("ctl %s: exit %d, want %d\nstdout %q\nstderr %q\nwant   %q and %q", c.args, code, c.code, stdout, stderr, fill(c.stderr), c.ours)
		}
	}
	if now := s.running("a"); now != first {
		t.Errorf("pid %d -> %d", first, now)
	}

	// A restart, and what print and list show then.
	skip := len(s.starts.all())
	code, stdout, stderr := s.ctl("kickstart", "-kpu", a)
	second := s.starts.await(t, "the second process", skip, func(int) bool { return true })
	if code != 0 || stdout != strconv.Itoa(second)+"\n" || stderr != "" || second == first {
		t.Errorf("exit %d, %q, %q", code, stdout, stderr)
	}
	code, stdout, _ = s.ctl("print", a)
	if code != 0 || !strings.HasPrefix(stdout, a+" = {\n") || !strings.Contains(stdout, fmt.Sprintf("\n\tpid = %d\n", second)) {
		t.Errorf("exit %d, %s", code, stdout)
	}
	code, stdout, _ = s.ctl("print", s.domain)
	if code != 0 || !strings.HasPrefix(stdout, s.domain+" = {\n") || !strings.Contains(stdout, "\n\tservices = {\n") {
		t.Errorf("exit %d, %s", code, stdout)
	}
	code, stdout, _ = s.ctl("list")
	if want := fmt.Sprintf("PID\tStatus\tLabel\n%d\t-15\ta\n", second); code != 0 || stdout != want {
		t.Errorf("exit %d, %q, want %q", code, stdout, want)
	}
	code, stdout, _ = s.ctl("list", "a")
	want := fmt.Sprintf(`{
	"Label" = "a";
	"LastExitStatus" = 15;
	"LimitLoadToSessionType" = "Aqua";
	"OnDemand" = false;
	"PID" = %d;
	"Program" = "/bin/sh";
	"ProgramArguments" = (
		"/bin/sh";
		"-c";
`, second)
	if code != 0 || !strings.HasPrefix(stdout, want) || !strings.HasSuffix(stdout, "\t);\n};\n") {
		t.Errorf("exit %d, %s", code, stdout)
	}
	code, stdout, _ = s.ctl("version")
	if code != 0 || !strings.Contains(stdout, "Bootstrapper Version") {
		t.Errorf("exit %d, %s", code, stdout)
	}

	// The end of the job.
	if code, _, stderr := s.ctl("stop", "a"); code != 0 {
		t.Errorf("exit %d, %s", code, stderr)
	}
	s.trace.await(t, "the exit", 0, func(e event) bool { return e.Ev == "exit" && e.PID == second })
	if code, _, stderr := s.ctl("remove", "a"); code != 0 {
		t.Errorf("exit %d, %s", code, stderr)
	}
	// Nobody ever sent the request that ends a session.
	for _, e := range s.trace.all() {
		if e.Ev == "request" && e.Routine == 801 && e.Label == "" {
			t.Errorf("%+v", e)
		}
	}
}

// What launchd refuses for other reasons, in launchctl's words.
func TestCtlRefusals(t *testing.T) {
	for _, c := range []struct {
		args string
		code int64
		want string
	}{
		{"kickstart user/501/x", 1, "Could not kickstart service \"x\": 1: Operation not permitted\n"},
		{"kickstart user/501/x", 22, "Bad request.\n"},
		{"kickstart user/501/x", 112, "Could not find domain for uid: 501\n"},
		{"kill TERM user/501/x", 1, "Not privileged to signal service.\n"},
		{"kill TERM user/501/x", 3, "No process to signal.\n"},
		{"enable user/501/x", 1, "Could not enable service: 1: Operation not permitted\n"},
		{"disable system/x", 150, "Could not disable service: 150: Operation not permitted while System Integrity Protection is engaged\n"},
		{"bootout system/x", 1, "Boot-out failed: 1: Operation not permitted\n"},
		{"start x", 1, "Not privileged to start service.\n"},
		{"stop x", 1, "Not privileged to stop service.\n"},
		{"remove x", 1, "Not privileged to remove service.\n"},
		{"setenv A b", 1, "Not privileged to set domain environment.\n"},
		{"unsetenv A", 125, "Could not set environment: 125: Domain does not support specified action\n"},
		{"print pid/99999", 112, "Bad request.\nCould not find domain for pid: 99999\n"},
		{"print login/5", 1, "Could not print domain: 1: Operation not permitted\n"},
		{"print-disabled session/5", 112, "Bad request.\nCould not find domain for asid: 5\n"},
		{"version", 22, "Bad request.\n"},
		{"version", 1, "Could not print variant: 1: Operation not permitted\n"},
	} {
		f := newFake(t, func(request) answer { return refuse(c.code) })
		call := newCall(f.path)
		code := call.run(append([]string{"ctl"}, strings.Fields(c.args)...)...)
		ours, prefixed := strings.CutPrefix(call.stderr.String(), c.want)
		if code != int(c.code) || !prefixed || call.stdout.Len() > 0 {
			t.Errorf("%s, %d: exit %d\n%s", c.args, c.code, code, &call.stderr)
		}
		oneLine(t, ours) // the advice
	}
	for _, c := range []struct { // silent, or no error at all
		args string
		code int64
		exit int
	}{
		{"kickstart -k user/501/x", 37, 37}, {"bootout user/501/x", 36, 0}, {"remove x", 113, 0}, {"getenv A", 3, 0},
		{"start x", 36, 0}, {"start x", 37, 0}, {"stop x", 36, 0}, {"stop x", 37, 0}, {"stop x", 89, 0},
	} {
		f := newFake(t, func(request) answer { return refuse(c.code) })
		call := newCall(f.path)
		code := call.run(append([]string{"ctl"}, strings.Fields(c.args)...)...)
		if code != c.exit || call.stdout.Len() > 0 || strings.Count(call.stderr.String(), "\n") != min(c.exit, 1) {
			t.Errorf("%s, %d: exit %d\n%s", c.args, c.code, code, &call.stderr)
		}
	}
}

// A refused getenv is no error to launchctl; what launchd says is told all the same.
func TestCtlGetenvRefused(t *testing.T) {
	for _, code := range []int64{1, 112, 125, 144} {
		f := newFake(t, func(request) answer { return refuse(code) })
		c := newCall(f.path)
		if exit := c.run("ctl", "getenv", "A"); exit != 0 || c.stdout.Len() > 0 {
			t.Errorf("%d: exit %d, %q", code, exit, &c.stdout)
		}
		wantContains(t, c.oneLine(t), fmt.Sprintf("getenv own domain: %v (%d)", xpc.Errno(code), code))
	}
	f := newFake(t, func(request) answer { return answer{reply: xpc.Dict{}} })
	c := newCall(f.path)
	if exit := c.run("ctl", "getenv", "A"); exit != int(xpc.BadResponse) {
		t.Errorf("without a value: exit %d", exit)
	}
	c = newCall(filepath.Join(t.TempDir(), "none"))
	if exit := c.run("ctl", "getenv", "A"); exit != exitFailed {
		t.Errorf("without a launchd: exit %d", exit)
	}
}

// The three kinds of numbers, with the texts of xpc_strerror, mach_error_string and
// bootstrap_strerror; none of them needs a launchd.
func TestCtlError(t *testing.T) {
	for args, want := range map[string]string{
		"113": "113: Could not find specified service\n", "0x71": "113: Could not find specified service\n", "0161": "113: Could not find specified service\n",
		"posix 5": "5: Input/output error\n", "posix 200": "200: Unknown error 200\n",
		"160": "160: Unknown error 160\n",
		// Above 160: bootstrap's, and in hexadecimal Mach's.
		"1102": "1102: Unknown service name\n", "1100": "1100: Permission denied\n", "161": "161: unknown error code\n",
		"bootstrap 1103": "1103: Service name already exists\n", "bootstrap 0": "0: Success\n", "bootstrap 5": "5: (os/kern) failure\n",
		"268435459":    "268435459: (ipc/send) invalid destination port\n",
		"-308":         "4294966988: (ipc/mig) server died\n",
		"4294966988":   "4294966988: (ipc/mig) server died\n",
		"mach 5":       "0x5: (os/kern) failure\nsystem = 0x0\nsubsystem = 0x0\ncode = 0x5\n",
		"mach 46":      "0x2e: (os/kern) service not supported\nsystem = 0x0\nsubsystem = 0x0\ncode = 0x2e\n",
		"mach 48":      "0x30: unknown error code\nsystem = 0x0\nsubsystem = 0x0\ncode = 0x30\n",
		"0x10000003":   "0x10000003: (ipc/send) invalid destination port\nsystem = 0x4\nsubsystem = 0x0\ncode = 0x3\n",
		"0x10004003":   "0x10004003: (ipc/rcv) timed out\nsystem = 0x4\nsubsystem = 0x1\ncode = 0x3\n",
		"0x10002003":   "0x10002003: (ipc/send) invalid destination port\nsystem = 0x4\nsubsystem = 0x0\ncode = 0x3\nextra = 0x2000: ipc namespace shortage\n",
		"0x10000803":   "0x10000803: (ipc/send) invalid destination port\nsystem = 0x4\nsubsystem = 0x0\ncode = 0x3\nextra = 0x800: kernel ipc resource shortage\n",
		"0x1000c000":   "0x1000c000: (ipc/?) unknown subsystem error\nsystem = 0x4\nsubsystem = 0x3\ncode = 0x0\n",
		"mach 0xc002":  "0xc002: (os/unix) file or directory does not exist\nsystem = 0x0\nsubsystem = 0x3\ncode = 0x2\n",
		"mach 0xc000":  "0xc000: unknown error code\nsystem = 0x0\nsubsystem = 0x3\ncode = 0x0\n",
		"mach 0x14000": "0x14000: (operating system/?) unknown subsystem error\nsystem = 0x0\nsubsystem = 0x5\ncode = 0x0\n",
		// The last of each list.
		"bootstrap 47":         "47: (os/kern) remote node down\n",
		"bootstrap 0xc045":     "49221: (os/unix) quota on available disk space exceeded\n",
		"bootstrap 0x10000015": "268435477: (ipc/send) out-of-line buffer too large\n",
		"bootstrap 0x10004010": "268451856: (ipc/rcv) DIPC transport error\n",
		"bootstrap 0x10008009": "268468233: (ipc/mig) unknown trailer format\n",
		"0xe0000001":           "0xe0000001: unknown error code\nsystem = 0x38\nsubsystem = 0x0\ncode = 0x1\n",
	} {
		c := newCall("")
		if code := c.run(append([]string{"ctl", "error"}, strings.Fields(args)...)...); code != 0 || c.stdout.String() != want || c.stderr.Len() > 0 {
			t.Errorf("%s: exit %d, %q, want %q\n%s", args, code, &c.stdout, want, &c.stderr)
		}
	}
	for _, args := range []string{"", "x", "posix", "mach", "bootstrap x", "5 6", "mach 5 6", "4294967296", "0x", "5x"} {
		c := newCall("")
		code := c.run(append([]string{"ctl", "error"}, strings.Fields(args)...)...)
		if code != ctlUsage || c.stdout.Len() > 0 || !strings.HasSuffix(c.stderr.String(), "Usage: hermes-gw ctl error [posix|mach|bootstrap] <code>\n") {
			t.Errorf("%s: exit %d, %q, %q", args, code, &c.stdout, &c.stderr)
		}
	}
}

// Every subcommand of launchctl is offered or said not to be: Procursus launchctl 1.2.0, and
// launchctl(1) of macOS 10.14 to 26.
func TestCtlKnowsThemAll(t *testing.T) {
	offered := map[string]bool{}
	for _, v := range ctlVerbs() {
		offered[v.name] = true
	}
	for _, name := range strings.Fields(`bootstrap bootout enable disable uncache kickstart attach debug kill blame print
		print-cache print-disabled plist procinfo hostinfo resolveport limit runstats examine config dumpstate dumpjpcategory
		dump-xsc reboot enter-rem enter-rem-dev userswitch bootshell load unload remove list start stop setenv unsetenv getenv
		bsexec asuser submit managerpid manageruid managername error variant version help
		singleuser shutdown getrusage log umask bslist bstree export`) {
		if offered[name] {
			continue
		}
		c := newCall("")
		if code := c.run("ctl", name, "x"); code != ctlUsage || !strings.HasPrefix(c.stderr.String(), "Unrecognized subcommand: "+name+"\nhermes-gw: launchctl has "+name+", and hermes-gw ctl does not") {
			t.Errorf("%s: exit %d, %s", name, code, &c.stderr)
		}
	}
}

// A pipe gets launchd's text as it is, a terminal nothing that it would obey.
func TestCtlRawText(t *testing.T) {
	const text = "gui/501/x = {\n\tpath = /a\x1b[2J\u202egnp.\r\n\n\targuments = {\n\t\té\n\t}\n}\n"
	f := newFake(t, func(r request) answer { return answer{reply: xpc.Dict{"value": "v\x1b[2J\u202ew\tx\ny"}} })
	for _, terminal := range []bool{false, true} {
		c := newCall(f.path)
		c.env.terminal = func(io.Writer) bool { return terminal }
		code := c.run("ctl", "getenv", "A")
		want := "v\x1b[2J\u202ew\tx\ny\n"
		if terminal {
			want = `v\x1b[2J\u202ew` + "\tx\ny\n"
		}
		if code != 0 || c.stdout.String() != want {
			t.Errorf("terminal %v: exit %d, %q, want %q", terminal, code, &c.stdout, want)
		}
		var out strings.Builder
		x := &ctl{command: &command{env: c.env, stdout: &out}}
		x.raw(text)
		want = text
		if terminal {
			want = "gui/501/x = {\n\tpath = /a\\x1b[2J\\u202egnp.\\r\n\n\targuments = {\n\t\té\n\t}\n}\n"
		}
		if out.String() != want {
			t.Errorf("terminal %v: %q, want %q", terminal, out.String(), want)
		}
	}
}

// JSON says the same to a program, and nothing to a terminal.
func TestJSONIsFitForATerminal(t *testing.T) {
	const label = "\u202ex\u009b\U000e0041é\x7f"
	c := newCall("")
	c.run("--json", "restart", "gui/bob/"+label)
	for _, r := range c.stdout.String() {
		if r != '\n' && hidden(r) {
			t.Errorf("%q is in %q", r, &c.stdout)
		}
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "\u202ex\U000e0041é.plist")
	if err := os.WriteFile(path, []byte("hello"), 0o644); err != nil {
		t.Fatal(err)
	}
	c = newCall("")
	c.run("lint", path, "--json")
	if got := parseJSON(t, c.stdout.Bytes()); len(got.Results) != 1 || got.Results[0].Path != path || strings.ContainsFunc(strings.TrimSuffix(c.stdout.String(), "\n"), hidden) {
		t.Errorf("%q", &c.stdout)
	}
	c = newCall("")
	c.run("lint", path)
	if strings.ContainsFunc(strings.ReplaceAll(c.stdout.String()+c.stderr.String(), "\n", ""), hidden) {
		t.Errorf("%q", &c.stdout)
	}
}

// A launchd's words cannot forge a line of a list, nor reach a terminal.
func TestCtlHostileReplies(t *testing.T) {
	f := newFake(t, func(r request) answer {
		switch {
		case r.routine == 815 && r.name != "":
			return answer{reply: xpc.Dict{"service": xpc.Dict{"Label": "x\n};\x1b[2J", "n\n": []any{"a\nb", xpc.Dict{}}}}}
		case r.routine == 815:
			return answer{reply: xpc.Dict{"services": xpc.Dict{"x\n1\t0\ty": xpc.Dict{"pid": int64(5), "status": int64(9)}}}}
		}
		return answer{reply: xpc.Dict{"reason": "a\x1b]0;b\a\nc"}}
	})
	for args, want := range map[string]string{
		"list":             "PID\tStatus\tLabel\n5\t-9\tx\\n1\\t0\\ty\n",
		"list x":           "{\n\t\"Label\" = \"x\\n};\\x1b[2J\";\n\t\"n\\n\" = (\n\t\t\"a\\nb\";\n\t\t{\n\t\t};\n\t);\n};\n",
		"blame user/501/x": "a\\x1b]0;b\\a\\nc\n",
	} {
		c := newCall(f.path)
		if code := c.run(append([]string{"ctl"}, strings.Fields(args)...)...); code != 0 || c.stdout.String() != want {
			t.Errorf("%s: exit %d, %q, want %q", args, code, &c.stdout, want)
		}
	}
}

// No launchd is hermes-gw's own error, and a flag of hermes-gw stands before the
// subcommand.
func TestCtlConnection(t *testing.T) {
	c := newCall(filepath.Join(t.TempDir(), "none"))
	if code := c.run("ctl", "list"); code != exitFailed {
		t.Errorf("exit %d", code)
	}
	c.oneLine(t)
	f := newFake(t, func(request) answer { return answer{hang: true} })
	c = newCall("")
	if code := c.run("ctl", "--launchd", "unix:"+f.path, "--timeout", "50ms", "list"); code == 0 {
		t.Error("no error")
	}
	wantContains(t, c.oneLine(t), "list own domain", "the time is up")
	c = newCall(f.path) // launchctl's text and JSON do not go together
	if code := c.run("--json", "ctl", "list"); code != exitUsage || parseJSON(t, c.stdout.Bytes()).Error == nil {
		t.Errorf("exit %d, %s", code, &c.stdout)
	}
	wantContains(t, c.oneLine(t), "ctl has no --json")
	c = newCall("") // as launchctl does, and without a launchd
	if code := c.run("ctl"); code != 0 || c.stderr.Len() > 0 {
		t.Errorf("exit %d, %s", code, &c.stderr)
	}
	wantContains(t, c.stdout.String(), "Usage: hermes-gw ctl <subcommand> ... | help [subcommand]", "  kickstart ")
}

func TestLintVerb(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const tail = "<key>ProgramArguments</key><array><string>/bin/sh</string></array><key>RunAtLoad</key><true/></dict></plist>"
	good := write("good.plist", xmlHead+"<string>good</string>"+tail)
	warned := write("warned.plist", xmlHead+"<string>warned</string><key>Keepalive</key><true/>"+tail)
	bad := write("bad.plist", "hello")

	c := newCall("")
	if code := c.run("lint", good); code != exitOK || c.stdout.String() != good+": OK\n" || c.stderr.Len() > 0 {
		t.Errorf("exit %d, %s%s", code, &c.stdout, &c.stderr)
	}
	c = newCall("")
	if code := c.run("lint", warned); code != exitOK || c.stdout.String() != warned+": warning: Keepalive: launchd does not know this key and ignores it. Write KeepAlive if that is meant. [unknown-key]\n" {
		t.Errorf("exit %d, %s", code, &c.stdout)
	}
	c = newCall("")
	if code := c.run("lint", bad); code != exitFailed || !strings.HasPrefix(c.stdout.String(), bad+": error: launchd cannot read it: it is neither XML nor binary. ") {
		t.Errorf("exit %d, %s", code, &c.stdout)
	}
	c = newCall("") // a folder, for a program
	if code := c.run("lint", dir, "--json", "--domain", "gui/"+strconv.Itoa(os.Getuid())); code != exitFailed {
		t.Errorf("exit %d", code)
	}
	wantContains(t, c.stdout.String(), `"version":1,"command":"lint","exit_code":1`, `{"path":"`+good+`","findings":[]}`,
		`"findings":[{"rule":"unknown-key","key":"Keepalive","problem":"launchd does not know this key and ignores it","fix":"Write KeepAlive if that is meant","fatal":false}]`)
	// An error in any file is 1, as the help page says, wherever it stands.
	for _, files := range [][]string{{good, bad}, {bad, good}, {good, filepath.Join(dir, "none.plist")}, {bad, bad}} {
		c = newCall("")
		if code := c.run(append([]string{"lint"}, files...)...); code != exitFailed {
			t.Errorf("%v: exit %d", files, code)
		}
	}
	c = newCall("")
	if code := c.run("lint", good, warned); code != exitOK {
		t.Errorf("exit %d", code)
	}
	c = newCall("")
	if code := c.run("lint", filepath.Join(dir, "none.plist")); code != exitFailed {
		t.Errorf("exit %d", code)
	}
	wantContains(t, c.oneLine(t), "none.plist", "no such file")
	c = newCall("")
	if code := c.run("lint", "--rules"); code != exitOK || strings.Count(c.stdout.String(), "\n") < 25 {
		t.Errorf("exit %d, %s", code, &c.stdout)
	}
	c = newCall("")
	code := c.run("lint", "--rules", "--json")
	var doc struct {
		Command string
		Rules   []struct{ ID, Summary string }
	}
	if err := json.Unmarshal(c.stdout.Bytes(), &doc); err != nil || code != exitOK || doc.Command != "lint" || len(doc.Rules) != len(launchd.LintRules()) || doc.Rules[0].ID == "" || doc.Rules[0].Summary == "" {
		t.Errorf("exit %d, %v, %s", code, err, &c.stdout)
	}
	for _, args := range []string{"lint", "lint --domain nonsense x", "lint --domain", "lint --rules x"} {
		c = newCall("")
		if code := c.run(strings.Fields(args)...); code != exitUsage {
			t.Errorf("%s: exit %d", args, code)
		}
		c.oneLine(t)
	}
}
