package launchdsim

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// cClient compiles the client in testdata, which shares no code with this module.
func cClient(t *testing.T) string {
	t.Helper()
	cc := os.Getenv("CC")
	if cc == "" {
		cc = "cc"
	}
	if _, err := exec.LookPath(cc); err != nil {
		t.Skipf("no C compiler, so the client in C is not tried: %v", err)
	}
	program := filepath.Join(t.TempDir(), "client")
	if out, err := exec.Command(cc, "-std=c11", "-Wall", "-Wextra", "-Werror", "-O1", "-o", program, "testdata/client.c").CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", cc, err, out)
	}
	return program
}

// reply is what the C client printed about one request.
type reply struct{ message, text string }

// unindented begins the text behind a printed message.
var unindented = regexp.MustCompile(`\n[^ ]`)

// cCommand is the C client with everything but what to ask.
type cCommand struct {
	t     *testing.T
	args  []string // program, socket, style, type, handle
	as    *syscall.Credential
	wants bool // it must succeed
}

// ask sends the requests (a verb and an argument each) and returns the replies.
func (c cCommand) ask(requests ...string) []reply {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.args[0], append(c.args[1:len(c.args):len(c.args)], requests...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.as}
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		err = fmt.Errorf("%w: %s", err, exit.Stderr)
	}
	if (err == nil) != c.wants {
		c.t.Fatalf("%v: %v\n%s", requests, err, out)
	}
	var replies []reply
	for block := range strings.SplitSeq("\n"+strings.TrimSuffix(string(out), "\n"), "\n> ") {
		_, block, _ = strings.Cut(block, "\n")
		if block == "" {
			continue
		}
		r := reply{message: block}
		if end := unindented.FindStringIndex(block); end != nil {
			r = reply{block[:end[0]], block[end[0]+1:] + "\n"}
		}
		replies = append(replies, r)
	}
	if c.wants && len(replies) != len(requests)/2 {
		c.t.Fatalf("%d replies to %v:\n%s", len(replies), requests, out)
	}
	return replies
}

func failure(code int) string { return fmt.Sprintf("dictionary\n  error = int64 %d", code) }

// A client that shares no code with the server loads, starts, looks at, restarts,
// disables, enables and removes a job, in both request styles and in every type of
// domain.
func TestClientInC(t *testing.T) {
	program := cClient(t)
	owner := exec.Command("/bin/sleep", "1000")
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		owner.Process.Kill()
		owner.Wait()
	})
	uid := uint64(os.Geteuid())
	for _, style := range []string{"number", "dictionary"} {
		for _, domain := range []struct {
			name         string
			kind, handle uint64
			list         int // 815's refusal, if it refuses
			overrides    int // 808's
			root         bool
		}{
			{fmt.Sprintf("gui/%d", uid), domainGUI, uid, 125, 0, false},
			{fmt.Sprintf("gui/%d", uid), domainRequestor, 0, 0, 0, false},
			{fmt.Sprintf("user/%d", uid), domainRequestorUser, 0, 0, 0, false},
			{fmt.Sprintf("user/%d", uid), domainUser, uid, map[bool]int{false: 1}[uid == 0], 0, false},
			{fmt.Sprintf("pid/%d", owner.Process.Pid), domainPID, uint64(owner.Process.Pid), 112, 125, false},
			{"system", domainSystem, 0, 0, 0, true},
		} {
			t.Run(fmt.Sprintf("%s %d", style, domain.kind), func(t *testing.T) {
				if domain.root && uid != 0 {
					t.Skip("only root changes the system domain")
				}
				t.Parallel()
				f := newFixture(t, Options{})
				path := f.write("job", sleeper)
				c := cCommand{t: t, args: []string{program, f.socket, style, fmt.Sprint(domain.kind), fmt.Sprint(domain.handle)}, wants: true}
				expect := func(what string, got reply, want string) {
					t.Helper()
					if got.message != want {
						t.Errorf("%s: %q, want %q", what, got.message, want)
					}
				}
				r := c.ask("probe", "job", "bootstrap", path, "probe", "job", "bootstrap", path, "kickstart", "job")
				expect("probe before", r[0], failure(113))
				expect("bootstrap", r[1], "dictionary")
				expect("probe", r[2], failure(22))
				expect("bootstrap again", r[3], fmt.Sprintf("dictionary\n  errors = dictionary\n    %s = int64 37", path))
				old := f.lastSpawn()
				expect("kickstart", r[4], fmt.Sprintf("dictionary\n  pid = int64 %d", old))

				r = c.ask("print", "job", "print-domain", "-", "list", "job", "list-all", "-")
				goClient := f.dial()
				target := dict{"type": domain.kind, "handle": domain.handle, "name": "job"}
				text := goClient.print(708, target)
				expect("print", r[0], fmt.Sprintf("dictionary\n  bytes-written = uint64 %d", len(text)))
				if r[0].text != text || !strings.HasPrefix(text, domain.name+"/job = {\n") || !strings.Contains(text, fmt.Sprintf("\n\tpid = %d\n", old)) {
					t.Errorf("print:\n%s\nwant\n%s", r[0].text, text)
				}
				if row := fmt.Sprintf("\n\t\t%8d      - \tjob\n", old); !strings.Contains(r[1].text, row) {
					t.Errorf("print of the domain lacks %q:\n%s", row, r[1].text)
				}
				if domain.list != 0 {
					expect("list of one", r[2], failure(domain.list))
					expect("list", r[3], failure(domain.list))
				} else {
					if one := fmt.Sprintf("\n    PID = int64 %d\n", old); !strings.Contains(r[2].message+"\n", one) {
						t.Errorf("list of one lacks %q: %s", one, r[2].message)
					}
					expect("list", r[3], fmt.Sprintf("dictionary\n  services = dictionary\n    job = dictionary\n      pid = int64 %d\n      status = int64 0", old))
				}

				r = c.ask("restart", "job", "disable", "job", "enabled", "job", "enable", "job", "enabled", "job")
				pid := f.lastSpawn()
				expect("restart", r[0], fmt.Sprintf("dictionary\n  pid = int64 %d", pid))
				if pid == old || alive(old) {
					t.Errorf("the restart of %d left %d", old, pid)
				}
				if domain.overrides != 0 {
					for _, r := range r[1:] {
						expect("overrides", r, failure(domain.overrides))
					}
				} else {
					expect("disable", r[1], "dictionary")
					expect("disabled", r[2], "dictionary\n  enabled = bool false\n  loaded = bool true")
					expect("enable", r[3], "dictionary")
					expect("enabled", r[4], "dictionary\n  enabled = bool true\n  loaded = bool true")
				}

				r = c.ask("bootout-wait", "job")
				expect("bootout", r[0], "dictionary\n  monitor = send right")
				f.wait(0, "the end", func(e Event) bool { return e.Kind == "exit" && e.PID == pid })
				r = c.ask("probe", "job", "bootstrap", path, "bootout", "job", "bootout", "job")
				expect("probe after", r[0], failure(113))
				expect("bootstrap afterwards", r[1], "dictionary")
				expect("bootout of an idle job", r[2], "dictionary")
				expect("bootout of no job", r[3], failure(3))
			})
		}
	}
}

// A peer of another uid is not listened to.
func TestClientOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can start a client as another user")
	}
	program := cClient(t)
	f := newFixture(t, Options{})
	// The folder keeps others out. Here only the server does.
	for path, mode := range map[string]os.FileMode{f.dir: 0o755, f.socket: 0o666, filepath.Dir(program): 0o755, filepath.Dir(filepath.Dir(program)): 0o755} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	f.dial().load(f.write("job", sleeper))
	c := cCommand{t: t, args: []string{program, f.socket, "number", fmt.Sprint(domainGUI), "0"}, wants: true}
	if r := c.ask("probe", "job"); r[0].message != failure(22) {
		t.Errorf("the same user: %q", r[0].message)
	}
	before := f.count(func(e Event) bool { return e.Kind == "request" })
	const nobody = 65534
	c.wants, c.as = false, &syscall.Credential{Uid: nobody, Gid: nobody}
	for _, r := range c.ask("probe", "job", "kickstart", "job") {
		if r.message != "" {
			t.Errorf("another user was answered %q", r.message)
		}
	}
	if n := f.count(func(e Event) bool { return e.Kind == "request" }) - before; n != 0 {
		t.Errorf("%d requests of another user were carried out", n)
	}
}
