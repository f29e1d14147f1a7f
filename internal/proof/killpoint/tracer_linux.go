//go:build amd64 || arm64

package killpoint

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func run(ctx context.Context, p plan) (Result, error) {
	if err := ctx.Err(); err != nil {
		return Result{}, err
	}
	t := &tracer{plan: p, threads: map[int]*thread{}, processes: map[int]*process{}, reports: make(chan report), over: make(chan struct{})}
	var err error
	onThread(func() { err = t.run(ctx) })
	return t.res, err
}

// onThread calls f from a thread that ends with it: tracing belongs to the thread that
// began it, and what it might still trace is killed by its end (EXITKILL).
func onThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked
		if unix.Gettid() == unix.Getpid() {
			// The main thread does not end. While it is held here, others are taken.
			defer runtime.UnlockOSThread()
			onThread(f)
			return
		}
		f()
	}()
	<-done
}

// lostBirths is how often threads are looked for that nobody has announced.
const lostBirths = 50 * time.Millisecond

// tracer is one run. All its methods but watch are called from one thread.
type tracer struct {
	plan plan
	pid  int // the program
	res  Result

	threads   map[int]*thread  // tracees that have not ended
	processes map[int]*process // the program and its children
	reports   chan report
	over      chan struct{} // closed at the end

	counting bool // the program that is meant runs
	swallow  bool // a SIGCONT of our own is on its way
	sent     bool // SIGKILL
}

// thread is a thread of the program or of a child.
type thread struct {
	process int
	call    int // index of the call that it is in, or -1
}

// report is what wait(2) tells of a thread.
type report struct {
	tid    int
	status syscall.WaitStatus
	ended  bool
}

func (t *tracer) run(ctx context.Context) error {
	defer t.letGo()
	err := t.begin()
	if err != nil && len(t.threads) == 0 {
		return fmt.Errorf("killpoint: %w", err)
	}
	if err != nil {
		t.kill()
	}
	if ended := t.follow(ctx); err == nil {
		err = ended
	}
	if cmd := t.plan.cmd; cmd != nil {
		waited := cmd.Wait()
		if _, failed := errors.AsType[*exec.ExitError](waited); !failed && err == nil {
			err = waited // of its input or output
		}
	}
	t.res.Killed = t.sent && t.res.Status.Signaled() && t.res.Status.Signal() == syscall.SIGKILL
	if !t.res.Killed {
		t.res.Next, t.res.At = Call{}, 0
	}
	if err != nil {
		return fmt.Errorf("killpoint: %w", err)
	}
	return nil
}

func (t *tracer) begin() error {
	if t.plan.cmd != nil {
		return t.start(t.plan.cmd)
	}
	if err := t.attach(t.plan.pid); err != nil {
		return err
	}
	if t.plan.release == nil {
		return nil
	}
	return t.plan.release()
}

// follow sees everything that is traced to its end.
func (t *tracer) follow(ctx context.Context) (err error) {
	var timer <-chan time.Time
	if t.plan.timed {
		timer = time.After(t.plan.after)
	}
	look := time.NewTicker(lostBirths)
	defer look.Stop()
	done := ctx.Done()
	for len(t.threads) > 0 {
		select {
		case r := <-t.reports:
			if failed := t.handle(r); failed != nil && err == nil {
				err = failed
				t.kill()
			}
		case <-look.C:
			t.adopt()
		case <-timer:
			t.kill()
		case <-done:
			done, err = nil, ctx.Err()
			t.kill()
		}
	}
	return err
}

// kill kills the program.
func (t *tracer) kill() {
	if _, running := t.threads[t.pid]; running && !t.sent {
		t.sent = true
		t.res.At = monotonic()
		t.processes[t.pid].signal(syscall.SIGKILL)
		t.adopt()
	}
}

// adopt follows threads whose birth was not reported: the stop in which it is gets lost
// if the thread that made them is killed right there. Nobody would wait for them, and their
// process would never be seen to end.
func (t *tracer) adopt() {
	for pid, p := range t.processes {
		tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		for _, task := range tasks {
			tid, err := strconv.Atoi(task.Name())
			if _, known := t.threads[tid]; err == nil && !known && !p.ended {
				t.add(tid, pid)
			}
		}
	}
}

// add follows a thread that is a tracee.
func (t *tracer) add(tid, process int) {
	t.threads[tid] = &thread{process: process, call: -1}
	go t.watch(tid, tid == t.pid && statusField(tid, "PPid") == os.Getpid())
}

// watch reports what happens to a thread. A child of this very process that has ended is
// left to whoever waits for it.
func (t *tracer) watch(tid int, own bool) {
	await := awaitChange
	if own {
		await = awaitChild
	}
	for ended := false; !ended; {
		status, err := await(tid)
		// An error: it was the thread that executed a program, and has become the process'
		// first one.
		ended = err != nil || !status.Stopped()
		r := report{tid, status, ended}
		select {
		case t.reports <- r:
		case <-t.over: // nobody waits for a thread that has become another one
			return
		}
	}
}

func (t *tracer) handle(r report) error {
	th, known := t.threads[r.tid]
	switch {
	case r.ended:
		delete(t.threads, r.tid)
		if p := t.processes[r.tid]; p != nil {
			p.ended = true
		}
		if r.tid == t.pid {
			t.res.Status = r.status
			return t.endChildren()
		}
		return nil
	case !known: // as above
		return nil
	}
	signal, event := r.status.StopSignal(), stopEvent(r.status)
	switch {
	case signal == syscall.SIGTRAP|sysgood:
		return t.atCall(r.tid, th)
	case event == unix.PTRACE_EVENT_CLONE || event == unix.PTRACE_EVENT_FORK || event == unix.PTRACE_EVENT_VFORK:
		if err := t.born(r.tid, th, event); err != nil {
			return err
		}
	case event == unix.PTRACE_EVENT_EXEC:
		t.executed(r.tid)
	case event == unix.PTRACE_EVENT_STOP && signal != syscall.SIGTRAP: // by job control
		return vanished(ptrace(unix.PTRACE_LISTEN, r.tid, 0, 0))
	case event != 0:
	case signal == syscall.SIGCONT && t.swallow && r.tid == t.pid:
		t.swallow = false
	default:
		return t.resume(r.tid, signal)
	}
	return t.resume(r.tid, 0)
}

// resume lets a thread go on, with a signal if that is not 0.
func (t *tracer) resume(tid int, s syscall.Signal) error {
	request := unix.PTRACE_CONT
	if t.threads[tid].process == t.pid {
		request = unix.PTRACE_SYSCALL
	}
	return vanished(ptrace(request, tid, 0, uintptr(s)))
}

// vanished takes no offence at a thread that was killed meanwhile: its end is reported.
func vanished(err error) error {
	if errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return err
}

// atCall is a stop at the entry or the exit of a system call.
func (t *tracer) atCall(tid int, th *thread) error {
	info, err := readSyscall(tid)
	if errors.Is(err, syscall.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read a system call (it takes Linux 5.3): %w", err)
	}
	switch {
	case info.op == unix.PTRACE_SYSCALL_INFO_EXIT:
		if th.call >= 0 {
			call := &t.res.Calls[th.call]
			call.Returned, call.Return = true, int64(info.data[0])
			th.call = -1
		}
	case info.op != unix.PTRACE_SYSCALL_INFO_ENTRY, th.process != t.pid, !t.counting:
	case t.sent:
		return nil // it dies here
	default:
		call, counts := numbered(tid, info)
		if !counts {
			break
		}
		call.Number = len(t.res.Calls) + 1
		if call.Number == t.plan.at {
			t.res.Next = call
			t.kill()
			return nil
		}
		th.call = len(t.res.Calls)
		t.res.Calls = append(t.res.Calls, call)
	}
	return t.resume(tid, 0)
}

// numbered says what a thread that is at an entry is about to call, and whether it counts.
func numbered(tid int, info syscallInfo) (call Call, counts bool) {
	number, args := info.data[0], [6]uint64(info.data[1:7])
	call = Call{Thread: tid}
	if info.arch != nativeArch {
		call.Name = fmt.Sprintf("call %d of another architecture", number)
		return call, true
	}
	if isNoise(tid, number, args) {
		return call, false
	}
	call.Name, call.Routine = nameOf(number), requestOf(tid, number, args)
	call.Files, call.Changes = filesOf(tid, number, args)
	return call, true
}

// born takes in a new thread, or a child.
func (t *tracer) born(tid int, by *thread, event int) error {
	id, err := unix.PtraceGetEventMsg(tid)
	if err != nil {
		return vanished(err)
	}
	child := int(id)
	process := statusField(child, "Tgid")
	if process == 0 { // it was killed already
		process = child
		if event == unix.PTRACE_EVENT_CLONE {
			process = by.process
		}
	}
	if _, known := t.threads[child]; known { // adopted
		return nil
	}
	if _, known := t.processes[process]; !known {
		t.res.Children = append(t.res.Children, Child{PID: process})
		if err := t.hold(process); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.add(child, process)
			return err
		}
	}
	t.add(child, process)
	if _, running := t.threads[t.pid]; !running {
		return t.endChildren()
	}
	return nil
}

// statusField reads a number from a thread's /proc file, 0 if the thread is gone.
func statusField(tid int, name string) int {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", tid))
	for line := range strings.Lines(string(text)) {
		if value, found := strings.CutPrefix(line, name+":"); found {
			n, _ := strconv.Atoi(strings.TrimSpace(value))
			return n
		}
	}
	return 0
}

// executed follows a thread that has executed a program: the others of its process have
// ended, and it has got the number of the first one.
func (t *tracer) executed(tid int) {
	former, err := unix.PtraceGetEventMsg(tid)
	if was, known := t.threads[int(former)]; err == nil && known && int(former) != tid {
		t.threads[tid] = was
		delete(t.threads, int(former))
	}
	if tid == t.pid {
		t.counting = true
	}
}

// endChildren kills what the program has left behind.
func (t *tracer) endChildren() error {
	for i, c := range t.res.Children {
		for _, th := range t.threads {
			if th.process == c.PID && !c.Left {
				t.res.Children[i].Left, c.Left = true, true
				if err := vanished(t.processes[c.PID].signal(syscall.SIGKILL)); err != nil {
					return fmt.Errorf("kill child process %d: %w", c.PID, err)
				}
				defer t.adopt()
			}
		}
	}
	return nil
}

// process is a process that is held by a descriptor, so that a signal cannot hit another
// one of its number.
type process struct {
	fd    int
	ended bool
}

func (p *process) signal(s syscall.Signal) error { return unix.PidfdSendSignal(p.fd, s, nil, 0) }

func (t *tracer) hold(pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return err
	}
	t.processes[pid] = &process{fd: fd}
	return nil
}

func (t *tracer) letGo() {
	close(t.over)
	for _, p := range t.processes {
		unix.Close(p.fd)
	}
}

// monotonic reads the clock of a trace of the embedded launchd.
func monotonic() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}
