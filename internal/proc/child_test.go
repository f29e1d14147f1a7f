//go:build darwin || linux

package proc

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// A child is a real process that lives until its standard input ends, so none
// outlives the test, however that ends.
type child struct {
	pid   int
	cmd   *exec.Cmd
	stdin io.WriteCloser
}

func start(t testing.TB) *child { return startCommand(t, exec.Command("cat")) }

func startCommand(t testing.TB, cmd *exec.Cmd) *child {
	t.Helper()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{cmd.Process.Pid, cmd, stdin}
	t.Cleanup(func() { c.stdin.Close(); c.cmd.Wait() })
	return c
}

// end lets the child exit and leaves it a zombie.
func (c *child) end() { c.stdin.Close() }

// reap lets the child exit, so that its pid is free.
func (c *child) reap(t testing.TB) {
	t.Helper()
	c.end()
	if err := c.cmd.Wait(); err != nil {
		t.Fatal(err)
	}
}

// signalled returns what signal the child died of, or -1.
func (c *child) signalled() syscall.Signal {
	c.end()
	var exit *exec.ExitError
	if !errors.As(c.cmd.Wait(), &exit) {
		return -1
	}
	return exit.Sys().(syscall.WaitStatus).Signal()
}

func open(t testing.TB, pid int) *Process {
	t.Helper()
	p, err := Open(pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func wait(t testing.TB, p *Process) {
	t.Helper()
	if err := p.Wait(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// orphan starts a process that is no child of this one; it lives until the
// returned end is closed.
func orphan(t testing.TB) (pid int, stdin *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	cmd := exec.Command("sh", "-c", `cat <&3 >/dev/null 2>&1 3<&- & echo $!`)
	cmd.ExtraFiles = []*os.File{r}
	out, err := cmd.Output()
	r.Close()
	if err != nil {
		t.Fatal(err)
	}
	if pid, err = strconv.Atoi(strings.TrimSpace(string(out))); err != nil {
		t.Fatal(err)
	}
	return pid, w
}

// execs starts a process that becomes another program, under the same pid, when
// become is called.
func execs(t testing.TB) (c *child, become func()) {
	t.Helper()
	cmd := exec.Command("sh", "-c", `read line; exec sh -c 'echo done; read end; :'`)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c = startCommand(t, cmd)
	return c, func() {
		if _, err := io.WriteString(c.stdin, "go\n"); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "done\n" {
			t.Fatal(line, err)
		}
	}
}
