//go:build amd64 || arm64

package killpoint

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// start starts a command and traces it, stopped before its first instruction.
func (t *tracer) start(cmd *exec.Cmd) error {
	attr := syscall.SysProcAttr{}
	if cmd.SysProcAttr != nil {
		attr = *cmd.SysProcAttr
	}
	attr.Ptrace = true
	if attr.Pdeathsig == 0 {
		attr.Pdeathsig = syscall.SIGKILL // until it is seized, which brings EXITKILL
	}
	cmd.SysProcAttr = &attr
	if err := cmd.Start(); err != nil {
		if errors.Is(err, syscall.EPERM) && !canTrace() {
			return &NotPermittedError{err}
		}
		return err
	}
	t.pid = cmd.Process.Pid
	if err := t.takeOver(); err != nil {
		cmd.Process.Kill()
		cmd.Wait()
		return denied(err)
	}
	return nil
}

// takeOver turns the tracing that the child has asked for into one that was seized: the
// child is let go into a stop, and seized there.
func (t *tracer) takeOver() error {
	if err := stops(t.pid, syscall.SIGTRAP, 0); err != nil {
		return err
	}
	if err := t.hold(t.pid); err != nil {
		return err
	}
	if err := ptrace(unix.PTRACE_DETACH, t.pid, 0, uintptr(syscall.SIGSTOP)); err != nil {
		return err
	}
	if err := seize(t.pid); err != nil {
		return err
	}
	if err := stops(t.pid, syscall.SIGSTOP, unix.PTRACE_EVENT_STOP); err != nil {
		return err
	}
	t.swallow = true
	if err := t.processes[t.pid].signal(syscall.SIGCONT); err != nil {
		return err
	}
	t.counting = true
	t.add(t.pid, t.pid)
	t.resume(t.pid, 0)
	return nil
}

// stops waits for a stop of one kind, which is the next thing to happen to a process that
// does not run yet. Another signal is dropped: nobody can mean a program that has not begun.
func stops(pid int, by syscall.Signal, event int) error {
	for {
		status, err := awaitChange(pid)
		switch {
		case err != nil:
			return err
		case !status.Stopped():
			return fmt.Errorf("it ended before its first instruction: wait status %#x", uint32(status))
		case status.StopSignal() == by && stopEvent(status) == event:
			return nil
		}
		if err := ptrace(unix.PTRACE_CONT, pid, 0, 0); err != nil {
			return err
		}
	}
}

// attach traces all threads of a process.
func (t *tracer) attach(pid int) error {
	t.pid = pid
	if err := t.hold(pid); err != nil {
		return err
	}
	for again := true; again; {
		again = false
		tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		if err != nil {
			return err
		}
		for _, task := range tasks {
			tid, err := strconv.Atoi(task.Name())
			if _, known := t.threads[tid]; err != nil || known {
				continue
			}
			err = seize(tid)
			if errors.Is(err, syscall.ESRCH) && tid != pid {
				continue // it has ended
			}
			if errors.Is(err, syscall.EPERM) && statusField(tid, "TracerPid") == unix.Gettid() {
				t.add(tid, pid) // made by one that is traced
				continue
			}
			if err != nil {
				return denied(err)
			}
			// A thread that was not traced yet may have made others.
			again = true
			t.add(tid, pid)
			if err := ptrace(unix.PTRACE_INTERRUPT, tid, 0, 0); err != nil && !errors.Is(err, syscall.ESRCH) {
				return err
			}
		}
	}
	return nil
}

// denied tells a refusal to trace from other errors.
func denied(err error) error {
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSYS) {
		return &NotPermittedError{err}
	}
	return err
}

// canTrace tries to trace a program that can be executed for certain: this one. It never
// gets to run.
func canTrace() bool {
	pid, err := syscall.ForkExec("/proc/self/exe", []string{"killpoint"}, &syscall.ProcAttr{
		Sys: &syscall.SysProcAttr{Ptrace: true, Pdeathsig: syscall.SIGKILL},
	})
	if err != nil {
		return false
	}
	for {
		if status, err := awaitChange(pid); err != nil || !status.Stopped() {
			return true
		}
		syscall.Kill(pid, syscall.SIGKILL)
	}
}
