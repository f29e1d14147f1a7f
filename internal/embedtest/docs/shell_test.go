package docs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// patience bounds every wait, far above what any takes.
const patience = 60 * time.Second

// stream is what came out of a process, as it comes.
type stream struct {
	mu   sync.Mutex
	text []byte
	more chan struct{} // closed and replaced when something came
}

func newStream() *stream { return &stream{more: make(chan struct{})} }

func (s *stream) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text = append(s.text, p...)
	close(s.more)
	s.more = make(chan struct{})
	return len(p), nil
}

// until waits for text that fits says something of, and takes it out.
func (s *stream) until(what string, fits func(string) (length int, ok bool)) (string, error) {
	late := time.After(patience)
	for {
		s.mu.Lock()
		text, more := string(s.text), s.more
		if n, ok := fits(text); ok {
			s.text = bytes.Clone(s.text[n:])
			s.mu.Unlock()
			return text[:n], nil
		}
		s.mu.Unlock()
		select {
		case <-more:
		case <-late:
			return "", fmt.Errorf("%s did not come within %v; there is %q", what, patience, text)
		}
	}
}

// shell is bash into which lines are typed, one after the other.
type shell struct {
	cmd            *exec.Cmd
	in             io.WriteCloser
	stdout, stderr *stream
	ended          chan struct{}
}

func startShell(cmd *exec.Cmd) (*shell, error) {
	s := &shell{cmd: cmd, stdout: newStream(), stderr: newStream(), ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = s.stdout, s.stderr
	cmd.WaitDelay = time.Second // of what it left in the background
	var err error
	if s.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		cmd.Wait()
		close(s.ended)
	}()
	return s, nil
}

// mark ends the output of a line. No command prints it.
const mark = "\x01end of line "

// run types a line and waits until the shell is done with it.
func (s *shell) run(line string) (stdout, stderr string, code int, err error) {
	quoted := "'" + strings.ReplaceAll(line, "'", `'\''`) + "'"
	_, err = fmt.Fprintf(s.in, "eval %s </dev/null\nprintf '%s%%d\\n' $? | tee /dev/stderr\n", quoted, mark)
	if err != nil {
		return "", "", 0, err
	}
	ends := func(text string) (int, bool) {
		_, after, found := strings.Cut(text, mark)
		number, _, whole := strings.Cut(after, "\n")
		return len(text) - len(after) + len(number) + 1, found && whole
	}
	for _, of := range []struct {
		stream *stream
		text   *string
	}{{s.stdout, &stdout}, {s.stderr, &stderr}} {
		all, err := of.stream.until("the end of "+line, ends)
		if err != nil {
			return "", "", 0, err
		}
		text, number, _ := strings.Cut(all, mark)
		if code, err = strconv.Atoi(strings.TrimSpace(number)); err != nil {
			return "", "", 0, err
		}
		*of.text = text
	}
	return stdout, stderr, code, nil
}

// close ends the shell. What it still has in the background is asked to end with it.
func (s *shell) close() error {
	fmt.Fprint(s.in, "trap '' TERM; jobs -p | xargs -r kill 2>/dev/null; wait\n")
	s.in.Close()
	select {
	case <-s.ended:
		return nil
	case <-time.After(patience):
		s.cmd.Process.Kill()
		<-s.ended
		return errors.New("the shell did not end")
	}
}

// follow starts a command that does not end by itself, interrupts it once its output fits,
// and returns the output and the exit code.
func follow(cmd *exec.Cmd, fits func(string) bool) (output string, code int, err error) {
	out := newStream()
	cmd.Stdout, cmd.Stderr = out, out
	cmd.WaitDelay = patience
	if err := cmd.Start(); err != nil {
		return "", 0, err
	}
	output, err = out.until("what was waited for", func(text string) (int, bool) { return len(text), fits(text) })
	if err == nil {
		err = cmd.Process.Signal(syscall.SIGINT)
	}
	if err != nil {
		cmd.Process.Kill()
		cmd.Wait()
		return output, 0, err
	}
	late := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	defer late.Stop()
	cmd.Wait()
	if status := cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signaled() {
		return output, -int(status.Signal()), nil
	}
	return output, cmd.ProcessState.ExitCode(), nil
}
