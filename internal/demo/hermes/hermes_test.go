package main

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestMain lets the test binary be the program.
func TestMain(m *testing.M) {
	if os.Getenv("STAND_IN") == "1" {
		main()
	}
	os.Exit(m.Run())
}

// start runs the program and waits until its gateway says that it runs.
func start(t *testing.T, home string, args ...string) (cmd *exec.Cmd, wait func() int) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for i, a := range args {
		args[i] = strings.ReplaceAll(a, "SELF", self)
	}
	cmd = exec.Command(self, args...)
	cmd.Env = append(os.Environ(), "STAND_IN=1", "HERMES_HOME="+home, "HERMES_DEMO_WATCH=")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	lines := bufio.NewScanner(stdout)
	if !lines.Scan() || !strings.Contains(lines.Text(), "running") {
		t.Fatalf("the gateway said %q", lines.Text())
	}
	return cmd, func() int {
		for lines.Scan() {
		}
		cmd.Wait()
		if status := cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signaled() {
			return -int(status.Signal())
		}
		return cmd.ProcessState.ExitCode()
	}
}

func statePID(t *testing.T, home string) int {
	data, err := os.ReadFile(filepath.Join(home, "gateway_state.json"))
	if err != nil {
		t.Fatal(err)
	}
	var s state
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	if s.State != "running" || s.Home != home {
		t.Errorf("state file says %q for %q", s.State, s.Home)
	}
	return s.PID
}

func TestGatewayExitCodes(t *testing.T) {
	for sig, want := range map[syscall.Signal]int{
		syscall.SIGTERM: 1, syscall.SIGUSR1: 75, syscall.SIGINT: 0, syscall.SIGHUP: -int(syscall.SIGHUP),
	} {
		t.Run(sig.String(), func(t *testing.T) {
			home := t.TempDir()
			cmd, wait := start(t, home, "--profile", "p", "gateway", "run", "--external-supervisor")
			if pid := statePID(t, home); pid != cmd.Process.Pid {
				t.Errorf("the state file names %d, the process is %d", pid, cmd.Process.Pid)
			}
			cmd.Process.Signal(sig)
			if code := wait(); code != want {
				t.Errorf("exit code %d, want %d", code, want)
			}
		})
	}
}

func TestWrapperPassesSignalsOn(t *testing.T) {
	for sig, want := range map[syscall.Signal]int{
		syscall.SIGTERM: 1, syscall.SIGINT: 0, syscall.SIGHUP: 128 + int(syscall.SIGHUP),
	} {
		t.Run(sig.String(), func(t *testing.T) {
			home := t.TempDir()
			cmd, wait := start(t, home, "stderr-timestamp", "--error-log", filepath.Join(home, "log"), "--", "SELF", "gateway", "run")
			if pid := statePID(t, home); pid == cmd.Process.Pid {
				t.Error("the gateway is the wrapper itself")
			}
			cmd.Process.Signal(sig)
			if code := wait(); code != want {
				t.Errorf("exit code %d, want %d", code, want)
			}
		})
	}
}

// As in Hermes, SIGUSR1 ends the wrapper and does not reach the gateway.
func TestWrapperKeepsSIGUSR1(t *testing.T) {
	home := t.TempDir()
	cmd, _ := start(t, home, "stderr-timestamp", "--error-log", filepath.Join(home, "log"), "--", "SELF", "gateway", "run")
	gateway := statePID(t, home)
	cmd.Process.Signal(syscall.SIGUSR1)
	cmd.Wait() // not for the end of output, which the gateway still holds
	if code := cmd.ProcessState.ExitCode(); code != 128+int(syscall.SIGUSR1) {
		t.Errorf("the wrapper ended with %d, want %d", code, 128+int(syscall.SIGUSR1))
	}
	if err := syscall.Kill(gateway, syscall.SIGTERM); err != nil {
		t.Errorf("the gateway ended with its wrapper: %v", err)
	}
}

func TestWrapperCode(t *testing.T) {
	for _, c := range []struct {
		status syscall.WaitStatus
		want   int
	}{
		{0, 0}, {1 << 8, 1}, {75 << 8, 75}, {78 << 8, 0}, {9, 137}, {15, 143},
	} {
		if got := wrapperCode(c.status); got != c.want {
			t.Errorf("wait status %#x: %d, want %d", c.status, got, c.want)
		}
	}
}
