package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/proc"
)

var demoProgram string

// TestMain builds the demo once.
func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "demo")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		demoProgram = filepath.Join(dir, "demo")
		if out, err := exec.Command("go", "build", "-o", demoProgram, ".").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// stage is a demo that runs in a temporary folder of its own.
type stage struct {
	t      *testing.T
	ctx    context.Context
	cmd    *exec.Cmd
	tmp    string
	lines  *bufio.Scanner
	stdout bytes.Buffer // what was read so far
	stderr bytes.Buffer
}

// prepare makes a stage for the program, which is the demo or runs it.
func prepare(t *testing.T, name string, args ...string) *stage {
	if _, err := os.Stat("/System"); runtime.GOOS == "darwin" && err != nil {
		t.Skip("on Linux sh cannot start the third shape's wrapper, which is a darwin program here")
	}
	tmp, err := os.MkdirTemp("", "d")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(tmp) })
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	t.Cleanup(cancel)
	s := &stage{t: t, ctx: ctx, tmp: tmp, cmd: exec.CommandContext(ctx, name, args...)}
	s.cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	s.cmd.Stderr = &s.stderr
	s.cmd.WaitDelay = 5 * time.Second
	return s
}

func (s *stage) start() *stage {
	s.t.Helper()
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.lines = bufio.NewScanner(stdout)
	return s
}

// until reads to the line that contains what.
func (s *stage) until(what string) {
	s.t.Helper()
	for s.lines.Scan() {
		s.stdout.WriteString(s.lines.Text() + "\n")
		if strings.Contains(s.lines.Text(), what) {
			return
		}
	}
	s.cmd.Wait()
	s.t.Fatalf("the demo ended without the line %q\n%s%s", what, s.stdout.Bytes(), s.stderr.Bytes())
}

// rest reads to the end.
func (s *stage) rest() {
	for s.lines.Scan() {
		s.stdout.WriteString(s.lines.Text() + "\n")
	}
}

// end reads what is left, checks the exit code and that nothing else is left.
func (s *stage) end(want int) {
	s.t.Helper()
	s.rest()
	s.cmd.Wait()
	if code := s.cmd.ProcessState.ExitCode(); code != want {
		s.t.Errorf("%v, want exit code %d\n%s%s", s.cmd.ProcessState, want, s.stdout.Bytes(), s.stderr.Bytes())
	}
	s.nothingLeft()
}

func (s *stage) nothingLeft() {
	s.t.Helper()
	files, err := os.ReadDir(s.tmp)
	if err != nil || len(files) > 0 {
		s.t.Errorf("left in the temporary folder: %v, %v", files, err)
	}
	if left := s.processes(); len(left) > 0 {
		s.t.Errorf("these processes are left: %v", left)
	}
}

// processes returns those that have to do with this stage.
func (s *stage) processes() map[int]string {
	all := processes(s.t)
	maps.DeleteFunc(all, func(_ int, command string) bool { return !strings.Contains(command, s.tmp) })
	return all
}

// finished says whether the demo came to its end.
func (s *stage) finished() bool { return strings.Contains(s.stdout.String(), "all hold") }

func TestDemo(t *testing.T) {
	s := prepare(t, demoProgram)
	s.cmd.Dir = "watch" // any folder of the module will do
	s.start().until("embedded launchd runs")
	// The search for what is left must be able to find something.
	if found := s.processes(); len(found) < 2 {
		t.Errorf("the demo runs with launchdsim, but its processes are %v", found)
	}
	s.end(0)
	if !strings.Contains(s.stdout.String(), "GONE") || !strings.Contains(s.stdout.String(), "BACK") || !s.finished() {
		t.Errorf("it did not print what it is about:\n%s", s.stdout.Bytes())
	}
}

func TestInterrupted(t *testing.T) {
	for _, c := range []struct {
		after  string
		signal syscall.Signal
	}{
		{"The launchd of this demo", syscall.SIGTERM},
		{"building", syscall.SIGINT},
		{"embedded launchd runs", syscall.SIGHUP},
		{"ai.hermes.gateway-wrapped", syscall.SIGTERM},
		{"old pid", syscall.SIGINT},
		{"killed when the job was unloaded", syscall.SIGHUP},
		{"killed when its one request was sent", syscall.SIGTERM},
	} {
		t.Run(c.signal.String()+" after "+c.after, func(t *testing.T) {
			t.Parallel()
			s := prepare(t, demoProgram).start()
			s.until(c.after)
			s.cmd.Process.Signal(c.signal)
			s.rest()
			want := 128 + int(c.signal)
			if s.finished() {
				want = 0 // it was faster than the signal
			}
			s.end(want)
		})
	}
}

// The embedded launchd dies under the demo: the gateways, which nobody supervises
// any more, end with it.
func TestLaunchdKilled(t *testing.T) {
	s := prepare(t, demoProgram).start()
	s.until("ai.hermes.gateway-newest")
	killed := 0
	for pid, command := range s.processes() {
		if strings.Contains(command, "/launchdsim --socket") && syscall.Kill(pid, syscall.SIGKILL) == nil {
			killed++
		}
	}
	if killed != 1 {
		t.Errorf("killed %d processes named launchdsim, want 1", killed)
	}
	s.rest()
	want := 1
	if s.finished() {
		want = 0 // it was faster
	}
	s.end(want)
	if want == 1 && !strings.Contains(s.stderr.String(), "the embedded launchd ended: signal: killed") {
		t.Errorf("stderr: %s", s.stderr.Bytes())
	}
}

// Nobody reads any more: the demo gives up, and cleans up.
func TestOutputClosed(t *testing.T) {
	s := prepare(t, demoProgram)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	s.cmd.Stdout = w
	if err := s.cmd.Run(); s.cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("%v, want exit code 1", err)
	}
	w.Close()
	if !strings.Contains(s.stderr.String(), "nobody reads") {
		t.Errorf("stderr: %s", s.stderr.Bytes())
	}
	s.nothingLeft()
}

// The go command passes no signal on; its end must end the demo all the same.
func TestGoRunTerminated(t *testing.T) {
	s := prepare(t, "go", "run", ".")
	s.cmd.Env = append(s.cmd.Env, "GOTMPDIR="+t.TempDir()) // what the go command leaves is not ours
	s.start().until("building")
	s.cmd.Process.Signal(syscall.SIGTERM)
	s.rest() // to the end of the demo, which holds the pipe too
	if s.finished() {
		t.Error("the demo went on to its end")
	}
	s.end(-1)
}

// A demo that is killed cannot remove its folder, but on Linux its processes end.
func TestKilled(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux can tie processes to the one that started them")
	}
	s := prepare(t, demoProgram).start()
	s.until("old pid")
	s.cmd.Process.Kill()
	s.cmd.Wait()
	for {
		left := s.processes()
		for pid := range left {
			p, err := proc.Open(pid)
			if err != nil {
				continue
			}
			err = p.Wait(s.ctx)
			p.Close()
			if err != nil {
				t.Fatalf("process %d %q does not end: %v", pid, left[pid], err)
			}
		}
		if len(left) == 0 {
			return
		}
	}
}

// processes returns command line and, where the system shows it, environment of
// every process that is not a zombie.
func processes(t *testing.T) map[int]string {
	all := map[int]string{}
	if runtime.GOOS != "linux" {
		out, err := exec.Command("ps", "-axww", "-o", "pid=,command=").Output()
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(out)) {
			var pid int
			fmt.Sscan(line, &pid)
			all[pid] = line
		}
		return all
	}
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no processes in /proc: %v", err)
	}
	for _, dir := range dirs {
		var pid int
		fmt.Sscan(filepath.Base(dir), &pid)
		command, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		environment, _ := os.ReadFile(filepath.Join(dir, "environ"))
		all[pid] = strings.ReplaceAll(string(command)+" "+string(environment), "\x00", " ")
	}
	return all
}
