package fleet

import (
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
)

// Terminal is a command in a pseudo-terminal of its own, which it controls.
type Terminal struct {
	Cmd *exec.Cmd

	f      *Fleet
	master *os.File
	read   chan struct{} // closed when there is nothing more to read

	mu     sync.Mutex
	output []byte
	more   chan struct{} // closed and replaced when output came
	closed sync.Once
}

// Terminal starts what Prepare gave in a pseudo-terminal.
func (f *Fleet) Terminal(cmd *exec.Cmd) *Terminal {
	f.t.Helper()
	master, slave, err := openTerminal()
	if err != nil {
		f.t.Skip("this system has no pseudo-terminal for a test: ", err)
	}
	defer slave.Close()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setsid, cmd.SysProcAttr.Setctty, cmd.SysProcAttr.Ctty = true, true, 0
	t := &Terminal{Cmd: cmd, f: f, master: master, read: make(chan struct{}), more: make(chan struct{})}
	f.must(cmd.Start())
	go func() {
		defer close(t.read)
		buffer := make([]byte, 4096)
		for {
			n, err := master.Read(buffer)
			t.mu.Lock()
			t.output = append(t.output, buffer[:n]...)
			close(t.more)
			t.more = make(chan struct{})
			t.mu.Unlock()
			if err != nil { // EIO when the command has ended
				return
			}
		}
	}()
	f.t.Cleanup(func() { t.Close() })
	return t
}

// Close takes the terminal away, as a window that is closed does: the command gets SIGHUP,
// and its output goes nowhere.
func (t *Terminal) Close() {
	t.closed.Do(func() { t.master.Close() })
}

// Type types on the terminal: "\x03" is Ctrl-C.
func (t *Terminal) Type(text string) {
	t.f.t.Helper()
	_, err := io.WriteString(t.master, text)
	t.f.must(err)
}

// Shows waits until what was written since a place in the output, 0 at first, fits, and returns it
// with the place behind it.
func (t *Terminal) Shows(from int, fits func(string) bool) (output string, next int) {
	t.f.t.Helper()
	ctx, cancel := t.f.soon()
	defer cancel()
	for {
		t.mu.Lock()
		output, next = string(t.output[from:]), len(t.output)
		more := t.more
		t.mu.Unlock()
		if fits(output) {
			return output, next
		}
		select {
		case <-more:
		case <-ctx.Done():
			t.f.t.Fatalf("%q did not write what was waited for: %q", t.Cmd.Args, output)
		}
	}
}

// End waits for the end of the command and returns what it wrote and how it ended.
func (t *Terminal) End() (output string, exit int) {
	t.f.t.Helper()
	done := make(chan struct{})
	go func() {
		t.Cmd.Wait()
		close(done)
	}()
	ctx, cancel := t.f.soon()
	defer cancel()
	select {
	case <-done:
	case <-ctx.Done():
		t.Cmd.Process.Kill()
		<-done
		t.f.t.Errorf("%q did not end within %v", t.Cmd.Args, patience)
	}
	<-t.read
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.output), code(t.Cmd)
}
