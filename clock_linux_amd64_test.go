package hermesgw_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
	"github.com/hermes-gw/hermes-gw/launchd/launchdtest"
)

// onlyClocks makes this program another one, that of its arguments, of whose calls a tracer sees
// those that read the clock on the wall and no others: they would make it slow.
const onlyClocks = "HERMESGW_TEST_ONLY_CLOCKS"

func init() {
	if os.Getenv(onlyClocks) == "" {
		return
	}
	os.Unsetenv(onlyClocks)
	const load, equal, answer = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_RET | unix.BPF_K
	filter := []unix.SockFilter{ // over struct seccomp_data
		{Code: load, K: 0}, // the number of the call
		{Code: equal, K: unix.SYS_CLOCK_GETTIME, Jf: 3},
		{Code: load, K: 16}, // its first argument, the low half
		{Code: equal, K: unix.CLOCK_REALTIME, Jf: 1},
		{Code: answer, K: unix.SECCOMP_RET_TRACE},
		{Code: answer, K: unix.SECCOMP_RET_ALLOW},
	}
	runtime.LockOSThread() // the filter is this thread's
	err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	if err == nil {
		program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
		err = unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0)
	}
	if err == nil {
		err = syscall.Exec(os.Args[1], os.Args[1:], os.Environ())
	}
	os.Stderr.WriteString(err.Error())
	os.Exit(99)
}

// wallClock runs a program whose clock on the wall can be set, for it alone: it is traced, and the
// answers of clock_gettime(CLOCK_REALTIME) are changed. It gets no vDSO, or it would read the clock
// without a call.
type wallClock struct {
	ahead  atomic.Int64 // seconds
	wrong  atomic.Int64 // answers that were changed
	ended  chan struct{}
	status syscall.WaitStatus
	err    error
}

// set puts the clock so far ahead of the machine's.
func (c *wallClock) set(by time.Duration) { c.ahead.Store(int64(by / time.Second)) }

// runOn starts cmd with such a clock.
func runOn(t *testing.T, cmd *exec.Cmd) *wallClock {
	self, err := os.Executable()
	must(t, err)
	cmd.Args = append([]string{self, cmd.Path}, cmd.Args[1:]...)
	cmd.Path, cmd.Env = self, append(cmd.Env, onlyClocks+"=1")
	// In a group of its own, which is waited for: the thread that traces it may have other children.
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true, Setpgid: true, Pdeathsig: syscall.SIGKILL}
	c := &wallClock{ended: make(chan struct{})}
	began := make(chan error)
	go func() {
		runtime.LockOSThread() // to which the tracee belongs; it ends with this goroutine
		defer close(c.ended)
		c.err = cmd.Start()
		began <- c.err
		if c.err == nil {
			c.err = c.trace(cmd.Process.Pid)
		}
	}()
	if err := <-began; errors.Is(err, syscall.EPERM) {
		t.Skip("this system lets no test trace a program: ", err)
	}
	return c
}

func (c *wallClock) trace(pid int) error {
	if _, err := syscall.Wait4(pid, nil, unix.WALL, nil); err != nil {
		return err
	}
	const options = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEEXEC | unix.PTRACE_O_TRACESECCOMP | unix.PTRACE_O_EXITKILL
	if err := syscall.PtraceSetOptions(pid, options); err != nil {
		return err
	}
	begun := map[int]bool{pid: true} // threads
	syscall.PtraceCont(pid, 0)
	for {
		var status syscall.WaitStatus
		tid, err := syscall.Wait4(-pid, &status, unix.WALL|unix.WNOTHREAD, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case err != nil:
			return err
		case !status.Stopped() && tid == pid:
			c.status = status
			return nil
		case !status.Stopped():
			delete(begun, tid)
			continue
		}
		// A thread that is gone meanwhile is reported: no error of these counts.
		switch signal, event := status.StopSignal(), status>>16; {
		case event == unix.PTRACE_EVENT_SECCOMP:
			syscall.PtraceSyscall(tid, 0) // to the end of the call
		case signal == syscall.SIGTRAP|0x80:
			c.answer(tid)
			syscall.PtraceCont(tid, 0)
		case event == unix.PTRACE_EVENT_EXEC:
			if err := hideVDSO(tid); err != nil {
				return err
			}
			syscall.PtraceCont(tid, 0)
		case event != 0, signal == syscall.SIGSTOP && !begun[tid]:
			begun[tid] = begun[tid] || event == 0
			syscall.PtraceCont(tid, 0)
		default:
			syscall.PtraceCont(tid, int(signal))
		}
	}
}

// answer changes the answer of the call that a thread comes from.
func (c *wallClock) answer(tid int) {
	ahead := c.ahead.Load()
	var r syscall.PtraceRegs
	if ahead == 0 || syscall.PtraceGetRegs(tid, &r) != nil || r.Orig_rax != unix.SYS_CLOCK_GETTIME || r.Rdi != unix.CLOCK_REALTIME || r.Rax != 0 {
		return
	}
	var seconds [8]byte
	if _, err := syscall.PtracePeekData(tid, uintptr(r.Rsi), seconds[:]); err != nil {
		return
	}
	binary.NativeEndian.PutUint64(seconds[:], uint64(int64(binary.NativeEndian.Uint64(seconds[:]))+ahead))
	if _, err := syscall.PtracePokeData(tid, uintptr(r.Rsi), seconds[:]); err == nil {
		c.wrong.Add(1)
	}
}

// hideVDSO takes AT_SYSINFO_EHDR out of the auxiliary vector of a program that has not begun.
func hideVDSO(pid int) error {
	var r syscall.PtraceRegs
	if err := syscall.PtraceGetRegs(pid, &r); err != nil {
		return err
	}
	var word [8]byte
	at := uintptr(r.Rsp)
	next := func() (uint64, error) {
		_, err := syscall.PtracePeekData(pid, at, word[:])
		at += 8
		return binary.NativeEndian.Uint64(word[:]), err
	}
	if _, err := next(); err != nil { // argc
		return err
	}
	for range 2 { // arguments and environment, each up to a null
		for {
			pointer, err := next()
			if err != nil {
				return err
			}
			if pointer == 0 {
				break
			}
		}
	}
	const end, ignore, vdso = 0, 1, 33 // elf.h
	for {
		kind, err := next()
		if err != nil || kind == end {
			return err
		}
		if kind == vdso {
			binary.NativeEndian.PutUint64(word[:], ignore)
			_, err := syscall.PtracePokeData(pid, at-8, word[:])
			return err
		}
		at += 8
	}
}

// Trap 74: the clock on the wall steps, back or ahead, while the command waits. Its deadlines stay
// what they are, and so do the times that it reports.
func TestTrap74ClockSteps(t *testing.T) {
	t.Parallel()
	const hour = time.Hour
	for name, one := range map[string]struct {
		step    time.Duration
		standin fleet.Standin
		never   bool // launchd does not answer
		args    []string
		state   string
		code    int
		least   time.Duration
		most    time.Duration
	}{
		"back, and nobody answers":        {step: -hour, never: true, args: []string{"--timeout", "2s"}, state: "unknown", code: 8, least: 2 * time.Second, most: 20 * time.Second},
		"ahead, and it takes its time":    {step: hour, standin: fleet.Standin{Teardown: 500 * time.Millisecond}, args: []string{"--timeout", "20s"}, state: "restarted", least: 500 * time.Millisecond, most: 20 * time.Second},
		"ahead, while it becomes ready":   {step: hour, standin: fleet.Standin{Teardown: 100 * time.Millisecond, RunDelay: 400 * time.Millisecond}, args: []string{"--wait", "ready"}, state: "restarted", least: 500 * time.Millisecond, most: 20 * time.Second},
		"ahead, while it does its work":   {step: hour, standin: fleet.Standin{Drain: 400 * time.Millisecond}, args: []string{"--graceful=10s"}, state: "restarted", least: 400 * time.Millisecond, most: 20 * time.Second},
		"back, and it is never ready":     {step: -hour, standin: fleet.Standin{NeverRuns: true}, args: []string{"--wait", "ready", "--timeout", "2s"}, state: "not-ready", code: 7, least: 2 * time.Second, most: 20 * time.Second},
		"back, while its work never ends": {step: -hour, standin: fleet.Standin{DrainForever: true}, args: []string{"--graceful=600ms"}, state: "not-ready", code: 7, least: 600 * time.Millisecond, most: 20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := fleet.New(t, fleet.Options{Outside: true, Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Oldest}}})
			f.Behave("work", one.standin)
			old := f.JobPID("work")
			inJSON(t, f, "restart", "-p", "work").shows(t, 0, "restarted")
			if one.standin.NeverRuns {
				f.Reached("work", "starting", old)
			} else {
				f.Running("work", old)
			}
			if one.never {
				f.Launchd.SetFaults(launchdtest.Fault{Kind: launchdtest.Never, Routine: kickstart})
			}
			m := f.Mark()
			cmd := f.Prepare(append([]string{"restart", "-p", "work", "--json"}, one.args...)...)
			text := filepath.Join(f.Dir, "stdout") // a file, which is whole when the command has ended
			stdout, err := os.Create(text)
			must(t, err)
			defer stdout.Close()
			cmd.Stdout, cmd.Stderr = stdout, stdout
			began := time.Now()
			c := runOn(t, cmd)
			if one.args[0] == "--graceful=10s" || one.args[0] == "--graceful=600ms" {
				f.Reached("work", "draining", old)
			} else {
				f.Wait(m, about(kickstart, f.Gateway("work").Label))
			}
			c.set(one.step)
			select {
			case <-c.ended:
			case <-time.After(time.Minute):
				cmd.Process.Kill()
				<-c.ended
				t.Fatal("it waits on")
			}
			took := time.Since(began)
			cmd.Process.Release()
			if c.err != nil {
				t.Fatal(c.err)
			}
			output, err := os.ReadFile(text)
			must(t, err)
			output, complaints, _ := bytes.Cut(output, []byte("\n"))
			readJSON(t, fleet.Output{Stdout: string(output), Stderr: string(complaints), Code: c.status.ExitStatus()}, cmd.Args).shows(t, one.code, one.state)
			if c.wrong.Load() == 0 {
				t.Error("it never looked at the clock that was set")
			}
			if took < one.least || took > one.most {
				t.Errorf("it took %v, want %v to %v", took, one.least, one.most)
			}
			var doc struct {
				Results []struct {
					Phases map[string]float64 `json:"phases_ms"`
				}
			}
			must(t, json.Unmarshal(output, &doc))
			for phase, ms := range doc.Results[0].Phases {
				if ms < 0 || ms > one.most.Seconds()*1000 {
					t.Errorf("%s took %v ms", phase, ms)
				}
			}
		})
	}
}
