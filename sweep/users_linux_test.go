package sweep

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const nobody = 65534

func init() {
	for name, ids := range map[string][3]int{"real nobody": {nobody, 0, 0}, "all nobody": {nobody, nobody, nobody}, "effective nobody": {0, nobody, 0}} {
		becomes[name] = func() { // from then on its files in /proc are root's
			if err := syscall.Setresuid(ids[0], ids[1], ids[2]); err != nil {
				panic(err)
			}
			os.Stdout.WriteString("ready\n")
			io.Copy(io.Discard, os.Stdin)
		}
	}
}

// The users of a process are its own, whoever owns its files in /proc. Trap 23: a gateway of
// another user is reported if that is asked for, never signalled, also by root.
func TestTrap23OtherUsers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can start processes of another user")
	}
	for how, want := range map[string]struct {
		uid, real uint32
		reason    string
	}{
		"real nobody":      {0, nobody, "another user (65534) started it"},
		"all nobody":       {nobody, nobody, "it is another user's (65534)"},
		"effective nobody": {nobody, 0, "it is another user's (65534)"},
	} {
		other := standIn(t, how, gatewayArgv...)
		pid := other.Process.Pid
		plan, table := planOf(t, Options{Others: true})
		if p := table.Find(pid); p == nil || p.UID != want.uid || p.RealUID != want.real {
			t.Errorf("%s: %+v", how, p)
		}
		if got := spared(plan, pid); got != want.reason || len(only(plan, pid).Signal) != 0 {
			t.Errorf("%s: spared because %q, want %q", how, got, want.reason)
		}
		plan, _ = planOf(t, Options{})
		if got := spared(plan, pid); got != "" || len(only(plan, pid).Signal) != 0 {
			t.Errorf("%s: spared because %q", how, got)
		}
		// A plan that was put together by hand does not get past that.
		p := table.Find(pid)
		report, err := Run(t.Context(), Plan{Signal: []Planned{{Identity: p.Identity, Argv: gatewayArgv}}}, RunOptions{})
		if err != nil || report.Results[0].Outcome != Spared || report.Results[0].Reason != want.reason {
			t.Errorf("%s: %+v, %v", how, report.Results, err)
		}
		alive(t, pid)
		// For the other user it is a gateway like any other.
		plan, err = NewPlan(t.Context(), table, nobody, Options{})
		if n := len(only(plan, pid).Signal); err != nil || (n == 1) != (want.uid == nobody && want.real == nobody) {
			t.Errorf("%s: %d, %v", how, n, err)
		}
		// A table of one user goes by the effective one.
		var mine Table
		if err := mine.Read(t.Context(), nobody); (err == nil && mine.Find(pid) != nil) != (want.uid == nobody) {
			t.Errorf("%s: %v", how, err)
		}
	}
}

// A /proc that hides other users' processes: a caller below one of them cannot know its ancestors
// and gets no plan; one below pid 1 does. In a pid namespace of its own, so as to mount it.
func TestHidepid(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can start processes of another user")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range []string{"1", "2"} {
		cmd := &exec.Cmd{Path: self, Args: []string{"hidepid", mode}, Env: append(os.Environ(), standInVar+"=hidepid"),
			SysProcAttr: &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS}}
		out, err := cmd.CombinedOutput()
		if errors.Is(err, unix.EPERM) || strings.Contains(string(out), "cannot mount") {
			t.Skipf("no pid namespace can be made here: %v %s", err, out)
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		if len(lines) != 2 {
			t.Fatalf("%s", out)
		}
		for i, want := range []hidden{
			{Rows: 1, Planned: true},                           // below pid 1
			{Rows: 1, Error: "has no parent that can be seen"}, // below another one of root's
		} {
			var got hidden
			if err := json.Unmarshal([]byte(lines[i]), &got); err != nil {
				t.Fatalf("%s: %v", lines[i], err)
			}
			if got.Rows != want.Rows || got.Planned != want.Planned || !strings.Contains(got.Error, want.Error) || (got.Error == "") != want.Planned || got.Others != 0 {
				t.Errorf("hidepid=%s: %+v, want %+v", mode, got, want)
			}
		}
	}
}

// hidden is what a caller sees.
type hidden struct {
	Rows, Others int // in the table, and those of other users among them
	Planned      bool
	Error        string
}

func init() {
	start := func(how string, uid uint32) error {
		cmd := &exec.Cmd{Path: "/proc/self/exe", Args: []string{how}, Env: []string{standInVar + "=" + how}, Stdout: os.Stdout, Stderr: os.Stderr}
		if uid != 0 {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		}
		return cmd.Run()
	}
	becomes["hidepid"] = func() {
		err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
		if err == nil {
			err = unix.Mount("proc", "/proc", "proc", 0, "hidepid="+os.Args[1])
		}
		if err != nil {
			fmt.Println("cannot mount:", err)
			os.Exit(1)
		}
		if err := errors.Join(start("hidden", nobody), start("between", 0)); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	becomes["between"] = func() {
		if err := start("hidden", nobody); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	becomes["hidden"] = func() {
		var t Table
		var saw hidden
		err := t.Read(context.Background(), -1)
		for p := range t.All() {
			saw.Rows++
			if p.UID != nobody {
				saw.Others++
			}
		}
		if err == nil {
			_, err = NewPlan(context.Background(), &t, nobody, Options{})
			saw.Planned = err == nil
		}
		if err != nil {
			saw.Error = err.Error()
		}
		json.NewEncoder(os.Stdout).Encode(saw)
	}
}

// Without pidfds: signals are checked and sent by kill(2), and exits are looked for. The
// kernel says so itself here, by a seccomp filter.
func TestRunWithoutPidfds(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := &exec.Cmd{Path: self, Args: []string{"no pidfds", "-test.v", "-test.run=^TestWithin$"}, Env: append(os.Environ(), standInVar+"=no pidfds")}
	out, err := cmd.CombinedOutput()
	if strings.Contains(string(out), "cannot filter") {
		t.Skip(string(out))
	}
	if err != nil || !strings.Contains(string(out), "--- PASS: TestWithin") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestWithin is what TestRunWithoutPidfds has another process run.
func TestWithin(t *testing.T) {
	if _, err := unix.PidfdOpen(os.Getpid(), 0); err != unix.ENOSYS {
		t.Skip("this system has pidfds")
	}
	willing, stubborn, bystander := standIn(t, "willing", gatewayArgv...), standIn(t, "stubborn", gatewayArgv...), standIn(t, "willing", gatewayArgv...)
	changing, become := changes(t)
	plan, _ := planOf(t, Options{})
	mine := only(plan, willing.Process.Pid, stubborn.Process.Pid, changing.Process.Pid)
	become()
	report, err := Run(t.Context(), mine, RunOptions{Grace: 100 * time.Millisecond})
	if err != nil || len(report.Results) != 3 {
		t.Fatalf("%+v, %v", report, err)
	}
	for _, r := range report.Results {
		want := map[int]Outcome{willing.Process.Pid: Exited, stubborn.Process.Pid: Killed, changing.Process.Pid: Spared}[r.PID]
		if r.Outcome != want {
			t.Errorf("%+v, want %s", r, want)
		}
	}
	alive(t, changing.Process.Pid, bystander.Process.Pid)
	// Another one has the pid.
	id := mine.Signal[slices.IndexFunc(mine.Signal, func(p Planned) bool { return p.PID == changing.Process.Pid })].Identity
	id.Start += tick
	report, err = Run(t.Context(), Plan{Signal: []Planned{{Identity: id, Argv: gatewayArgv}}}, RunOptions{})
	if err != nil || report.Results[0].Outcome != Gone {
		t.Errorf("%+v, %v", report, err)
	}
	alive(t, changing.Process.Pid)
}

func init() {
	becomes["no pidfds"] = func() {
		os.Unsetenv(standInVar)
		const allow, refuse = 0x7fff0000, 0x00050000 | uint32(unix.ENOSYS) // SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO
		filter := []unix.SockFilter{
			{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the number of the call
			{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 1, K: unix.SYS_PIDFD_OPEN},
			{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: unix.SYS_PIDFD_SEND_SIGNAL},
			{Code: unix.BPF_RET | unix.BPF_K, K: refuse},
			{Code: unix.BPF_RET | unix.BPF_K, K: allow},
		}
		if err := filterCalls(filter); err != nil {
			fmt.Println("cannot filter calls:", err)
			os.Exit(1)
		}
		os.Exit(runTests())
	}
}

// filterCalls installs a filter for all threads (seccomp(2), SECCOMP_FILTER_FLAG_TSYNC).
func filterCalls(filter []unix.SockFilter) error {
	runtime.LockOSThread() // no_new_privs is this thread's; the filter takes it to the others
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program))); errno != 0 {
		return errno
	}
	return nil
}
