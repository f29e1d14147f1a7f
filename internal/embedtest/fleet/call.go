package fleet

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/standin"
	"github.com/hermes-gw/hermes-gw/internal/proc"
)

// Within is how a stand-in runs a command. The zero value is a child of its child, in its
// process group, which launchd asks to end when the job's process has.
type Within struct {
	Session    bool // in a session of its own, as Hermes' terminal runs commands: no process group of the job's
	Reparented bool // whoever ran it has ended: init is its caller's parent
	Depth      int  // so many more processes between
}

// Call is a command that a stand-in runs.
type Call struct {
	f              *Fleet
	caller         *Process
	began          time.Time
	command        *proc.Process // nil: it had ended at once
	stdout, stderr string
}

// Call has a gateway, or any stand-in, run what Prepare gave, and waits until it runs. The
// fleet must be one with Options.Outside: nobody else can be told of another user database.
func (f *Fleet) Call(p *Process, w Within, cmd *exec.Cmd) *Call {
	f.t.Helper()
	if cmd.SysProcAttr != nil {
		f.t.Fatal("a command that a stand-in runs needs a fleet with Options.Outside")
	}
	f.tags++
	tag := "call " + strconv.Itoa(f.tags)
	c := &Call{f: f, began: time.Now(), stdout: filepath.Join(f.Dir, tag+".out"), stderr: filepath.Join(f.Dir, tag+".err")}
	order, err := json.Marshal(standin.Order{Call: &standin.Call{
		Argv: append([]string{cmd.Path}, cmd.Args[1:]...), Env: cmd.Env, Dir: cmd.Dir, Stdout: c.stdout, Stderr: c.stderr, Tag: tag,
		Session: w.Session, Reparented: w.Reparented, Depth: w.Depth,
	}})
	f.must(err)
	_, err = p.conn.Write(append(order, '\n'))
	f.must(err)
	ctx, cancel := f.soon()
	defer cancel()
	err = f.leash.wait(ctx, func() bool {
		c.caller = f.leash.last(func(p *Process) bool { return p.Tag == tag })
		return c.caller != nil
	})
	if err != nil {
		f.t.Fatalf("process %d %q called nobody: %v", p.PID, p.Argv, err)
	}
	e := f.Says(c.caller, func(e standin.Event) bool { return e.Kind == standin.Called })
	c.command, _ = proc.Open(e.Child)
	f.t.Cleanup(func() {
		if c.command != nil {
			c.command.Close()
		}
	})
	return c
}

// Caller is the process that runs the command and outlives it.
func (c *Call) Caller() *Process { return c.caller }

// Signal sends a signal to the command.
func (c *Call) Signal(s syscall.Signal) error {
	if c.command == nil {
		return proc.ErrGone
	}
	return c.command.Signal(s)
}

// PID is the command's, 0 if it ended at once.
func (c *Call) PID() int {
	if c.command == nil {
		return 0
	}
	return c.command.Identity().PID
}

// Stdout is what the command has written so far.
func (c *Call) Stdout() string {
	c.f.t.Helper()
	text, err := os.ReadFile(c.stdout)
	c.f.must(err)
	return string(text)
}

// End waits for the end of the command. Took is from the call to that.
func (c *Call) End() (o Output) {
	c.f.t.Helper()
	e := c.f.Says(c.caller, func(e standin.Event) bool { return e.Kind == standin.Exiting })
	o.Code, o.Took, o.Stdout = e.Code, e.Time.Sub(c.began), c.Stdout()
	text, err := os.ReadFile(c.stderr)
	c.f.must(err)
	o.Stderr = string(text)
	return o
}
