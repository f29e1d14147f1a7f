package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
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

// TestMain lets the test binary be the program.
func TestMain(m *testing.M) {
	if os.Getenv("LAUNCHDSIM_MAIN") == "1" {
		os.Unsetenv("LAUNCHDSIM_MAIN")
		main()
		return
	}
	os.Exit(m.Run())
}

type server struct {
	*exec.Cmd
	dir  string
	pids *bufio.Reader // what jobs report
}

// start runs the program with a job whose shell and child report their pids.
func start(t *testing.T, script string, args ...string) *server {
	t.Helper()
	dir, err := os.MkdirTemp("", "lsim")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	fifo := filepath.Join(dir, "pids")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	reports, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { reports.Close() })
	reports.SetReadDeadline(time.Now().Add(time.Minute))
	plist := filepath.Join(dir, "a.plist")
	text := `<plist version="1.0"><dict><key>Label</key><string>a</string><key>RunAtLoad</key><true/><key>ProgramArguments</key>
<array><string>/bin/sh</string><string>-c</string><string>` + strings.NewReplacer("&", "&amp;", ">", "&gt;").Replace(strings.ReplaceAll(script, "REPORT", fifo)) + `</string></array></dict></plist>`
	if err := os.WriteFile(plist, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := &server{Cmd: exec.Command(self, append([]string{"--socket", filepath.Join(dir, "s"), "--load", plist}, args...)...), dir: dir, pids: bufio.NewReader(reports)}
	s.Env = append(os.Environ(), "LAUNCHDSIM_MAIN=1")
	s.Stderr = os.Stderr
	out, err := s.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Process.Kill(); s.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if want := "ready " + filepath.Join(dir, "s") + "\n"; line != want || err != nil {
		t.Fatalf("first line %q, %v; want %q", line, err, want)
	}
	return s
}

func (s *server) pid(t *testing.T) *proc.Process {
	t.Helper()
	line, err := s.pids.ReadString('\n')
	var pid int
	if _, serr := fmt.Sscan(line, &pid); err != nil || serr != nil {
		t.Fatalf("a job reported %q: %v", line, err)
	}
	p, err := proc.Open(pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// A signal stops every job, its process group included, and then the program.
func TestSignalsEndTheJobs(t *testing.T) {
	for _, sig := range []os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		t.Run(sig.String(), func(t *testing.T) {
			s := start(t, `sleep 1000 & echo $! > REPORT; echo $$ > REPORT; wait`)
			child, leader := s.pid(t), s.pid(t)
			s.Process.Signal(sig)
			if err := s.Wait(); err != nil {
				t.Fatalf("exit: %v", err)
			}
			for _, p := range []*proc.Process{leader, child} {
				if _, err := proc.Read(p.Identity().PID); err == nil {
					t.Errorf("process %d is left", p.Identity().PID)
				}
			}
		})
	}
}

// The exit timeout is honoured at the end, too, and its scale.
func TestStubbornJobIsKilledAtTheEnd(t *testing.T) {
	s := start(t, `trap "" TERM; echo $$ > REPORT; while :; do sleep 0.05; done`, "--time-scale", "0.05", "--trace", "/dev/null")
	p := s.pid(t)
	s.Process.Signal(syscall.SIGTERM)
	if err := s.Wait(); err != nil {
		t.Fatalf("exit: %v", err)
	}
	if err := p.Wait(t.Context()); err != nil {
		t.Error(err)
	}
}

// SIGKILL leaves no time for anything: on Linux the kernel ends the direct
// children, elsewhere they stay.
func TestKilledServer(t *testing.T) {
	s := start(t, `echo $$ > REPORT; exec sleep 1000`)
	p := s.pid(t)
	s.Process.Kill()
	s.Wait()
	if runtime.GOOS == "linux" {
		if err := p.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		return
	}
	if err := p.Signal(syscall.SIGKILL); err != nil {
		t.Errorf("the job did not stay: %v", err)
	}
}

func TestUsage(t *testing.T) {
	dir := t.TempDir()
	open := filepath.Join(dir, "open")
	os.Mkdir(open, 0o777)
	os.Chmod(open, 0o777)
	for _, args := range [][]string{
		{},
		{"--socket", "s", "extra"},
		{"--socket", "s", "--time-scale", "0"},
		{"--socket", "s", "--time-scale", "NaN"},
		{"--socket", "s", "--deny", "kickstart"},
		{"--socket", filepath.Join(open, "s")},
		{"--socket", filepath.Join(dir, strings.Repeat("x", 200))},
		{"--socket", filepath.Join(dir, "none", "at", "all")},
		{"--bogus"},
	} {
		if err := run(args, io.Discard); err == nil {
			t.Errorf("%q passed", args)
		}
	}
	// A plist that cannot be loaded ends the program, and the socket with it.
	socket := filepath.Join(dir, "s")
	if err := run([]string{"--socket", socket, "--load", "/nowhere.plist"}, io.Discard); err == nil || !strings.Contains(err.Error(), "/nowhere.plist") {
		t.Errorf("missing plist: %v", err)
	}
	if _, err := os.Lstat(socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
}
