package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

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
	richer := "Try re-running the command as root for richer errors.\n"
	if os.Getuid() == 0 {
		richer = ""
	}
	noService := fmt.Sprintf("Could not find service \"none\" in domain for user gui: %s\n", uid)
	const target = "Unrecognized target specifier. <service-target> takes a form of <domain-target>/<service-id>.\n"
	first := s.running("a")
	for _, c := range []struct {
		args   string
		code   int
		stdout string
		stderr string // launchctl's part; lines of hermes-gw may follow
	}{
		{"print " + none, 113, "", "Bad request.\n" + noService},
		{"print " + elsewhere, 125, "", "Could not print domain: 125: Domain does not support specified action\n"},
		{"print nonsense", 64, "", target},
		{"print", 64, "", "Usage: hermes-gw ctl print <domain-target> | <service-target>\n"},
		{"blame " + a, 0, "speculative\n", ""},
		{"blame " + none, 113, "", noService},
		{"kickstart " + a, 0, "", ""},
		{"kickstart -p " + a, 0, "PID\n", ""},
		{"kickstart -x " + a, 64, "", ""},
		{"kickstart", 64, "", "Usage: hermes-gw ctl kickstart [-kpsu] <service-target>\n"},
		{"kickstart -k", 64, "", "Usage: hermes-gw ctl kickstart"},
		{"kickstart " + s.domain, 64, "", target},
		{"kickstart " + none, 113, "", noService},
		{"kill 99 " + a, 64, "", "Invalid signal.\n"},
		{"kill NOPE " + a, 64, "", "Invalid signal.\n"},
		{"kill WINCH " + a, 0, "", ""},
		{"kill -SIGWINCH " + a, 0, "", ""},
		{"kill 28 " + a, 0, "", ""},
		{"kill TERM " + none, 113, "", noService},
		{"list", 0, "PID\tStatus\tLabel\nPID\t0\ta\n", ""},
		{"list none", 113, "", "Could not find service \"none\" in domain for own domain\n"},
		{"disable " + a, 0, "", ""},
		{"print-disabled " + s.domain, 0, "disabled services = {\n\t\"a\" => disabled\n}\n", ""},
		{"enable " + a, 0, "", ""},
		{"print-disabled " + s.domain + "/", 0, "disabled services = {\n\t\"a\" => enabled\n}\n", ""},
		{"enable a", 64, "", target},
		{"bootstrap " + s.domain + " " + plist, 0, "", ""},
		{"bootstrap " + s.domain + " " + plist, 37, "", plist + ": service already bootstrapped\nBootstrap failed: 37: Operation already in progress\n" + richer},
		{"bootstrap " + s.domain + " DIR/none.plist", 5, "", "Bootstrap failed: 5: Input/output error\n" + richer + "hermes-gw: the file cannot be read: no such file or directory. "},
		{"bootstrap " + s.domain + " DIR/none.plist " + plist, 133, "", "DIR/none.plist: Input/output error\n" + plist + ": service already bootstrapped\nBootstrap failed: 133: "},
		{"bootstrap " + s.domain, 64, "", "hermes-gw: a domain is not bootstrapped as a whole"},
		{"bootstrap " + a + " " + plist, 64, "", target},
		{"bootout " + s.domain, 64, "", "hermes-gw: " + s.domain + " is not torn down as a whole"},
		{"bootout " + s.domain + "/", 64, "", "hermes-gw: " + s.domain + " is not torn down as a whole"},
		{"bootout " + s.domain + " " + plist, 0, "", ""},
		{"bootout " + none, 3, "", "Boot-out failed: 3: No such process\n"},
		{"bootout " + s.domain + " DIR/none.plist", 5, "", "Boot-out failed: 5: Input/output error\n"},
		{"bootout nonsense", 64, "", target},
		{"start a", 0, "", ""},
		{"start none", 3, "", ""},
		{"start a/b", 64, "", target},
		{"stop none", 3, "", ""},
		{"remove none", 3, "", ""},
		{"getenv NOPE", 0, "", ""},
		{"setenv GW_TEST a=b", 0, "", ""},
		{"getenv GW_TEST", 0, "a=b\n", ""},
		{"unsetenv GW_TEST", 0, "", ""},
		{"getenv GW_TEST", 0, "", ""},
		{"setenv GW_TEST", 64, "", "Usage: hermes-gw ctl setenv <key> <value>\n"},
		{"error 113", 0, "113: Could not find specified service\n", ""},
		{"error 0x71", 0, "113: Could not find specified service\n", ""},
		{"error posix 5", 0, "5: Input/output error\n", ""},
		{"error mach 5", 64, "", "hermes-gw: numbers of mach are not offered.\n"},
		{"error x", 64, "", "Usage: hermes-gw ctl error [posix] <code>\n"},
		{"help kill", 0, "Usage: hermes-gw ctl kill <signal-name|signal-number> <service-target>\n", ""},
		{"load x", 1, "", "Unrecognized subcommand: load\nhermes-gw: launchctl has load, and hermes-gw ctl does not: use bootstrap <domain-target> <service-path>.\n"},
		{"kikstart x", 1, "", "Unrecognized subcommand: kikstart\nhermes-gw: did you mean kickstart?\n"},
		{"frobnicate", 1, "", "Unrecognized subcommand: frobnicate\n"},
	} {
		fill := strings.NewReplacer("DIR", s.dir, "PID\n", strconv.Itoa(first)+"\n", "\nPID\t", "\n"+strconv.Itoa(first)+"\t").Replace
		code, stdout, stderr := s.ctl(strings.Fields(fill(c.args))...)
		if code != c.code || stdout != fill(c.stdout) || !strings.HasPrefix(stderr, fill(c.stderr)) || (code == 0) != (stderr == "") && code != 3 {
			t.Errorf("ctl %s: exit %d, want %d\nstdout %q\nstderr %q\nwant   %q", c.args, code, c.code, stdout, stderr, c.stderr)
		}
		for _, line := range strings.Split(strings.TrimPrefix(stderr, fill(c.stderr)), "\n") {
			if line != "" && !strings.HasPrefix(line, "hermes-gw: ") && !strings.HasPrefix(line, "Usage: ") && !strings.Contains(line, "Multiple errors") && code != 64 && code != 5 {
				t.Errorf("ctl %s: stderr has %q besides", c.args, line)
			}
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
		{"version", 1, "Could not print variant: 1: Operation not permitted\n"},
	} {
		f := newFake(t, func(request) answer { return refuse(c.code) })
		call := newCall(f.path)
		code := call.run(append([]string{"ctl"}, strings.Fields(c.args)...)...)
		if code != int(c.code) || !strings.HasPrefix(call.stderr.String(), c.want) || call.stdout.Len() > 0 {
			t.Errorf("%s, %d: exit %d\n%s", c.args, c.code, code, &call.stderr)
		}
	}
	for _, c := range []struct { // silent, or no error at all
		args string
		code int64
		exit int
	}{
		{"kickstart -k user/501/x", 37, 37}, {"bootout user/501/x", 36, 0}, {"remove x", 113, 0}, {"getenv A", 3, 0},
	} {
		f := newFake(t, func(request) answer { return refuse(c.code) })
		call := newCall(f.path)
		code := call.run(append([]string{"ctl"}, strings.Fields(c.args)...)...)
		if code != c.exit || call.stdout.Len() > 0 || strings.Count(call.stderr.String(), "\n") != min(c.exit, 1) {
			t.Errorf("%s, %d: exit %d\n%s", c.args, c.code, code, &call.stderr)
		}
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
	c = newCall("")
	if code := c.run("ctl"); code != exitUsage {
		t.Errorf("exit %d", code)
	}
	wantContains(t, c.oneLine(t), "ctl needs SUBCOMMAND")
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
	if code := c.run("lint", dir, "--json", "--domain", "gui/"+strconv.Itoa(os.Getuid())); code != exitSome {
		t.Errorf("exit %d", code)
	}
	wantContains(t, c.stdout.String(), `"version":1,"command":"lint","exit_code":3`, `{"path":"`+good+`","findings":[]}`,
		`"findings":[{"rule":"unknown-key","key":"Keepalive","problem":"launchd does not know this key and ignores it","fix":"Write KeepAlive if that is meant","fatal":false}]`)
	c = newCall("")
	if code := c.run("lint", filepath.Join(dir, "none.plist")); code != exitFailed {
		t.Errorf("exit %d", code)
	}
	wantContains(t, c.oneLine(t), "none.plist", "no such file")
	c = newCall("")
	if code := c.run("lint", "--rules"); code != exitOK || strings.Count(c.stdout.String(), "\n") < 25 {
		t.Errorf("exit %d, %s", code, &c.stdout)
	}
	for _, args := range []string{"lint", "lint --domain nonsense x", "lint --domain"} {
		c = newCall("")
		if code := c.run(strings.Fields(args)...); code != exitUsage {
			t.Errorf("%s: exit %d", args, code)
		}
		c.oneLine(t)
	}
}
