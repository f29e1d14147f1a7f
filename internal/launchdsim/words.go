package launchdsim

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// darwinSignals are the signals whose numbers differ between systems or whose
// words launchd prints, by Darwin's number: requests carry Darwin's, kill(2)
// takes the host's.
var darwinSignals = map[int64]struct {
	host syscall.Signal
	text string
}{
	1: {syscall.SIGHUP, "Hangup"}, 2: {syscall.SIGINT, "Interrupt"}, 3: {syscall.SIGQUIT, "Quit"},
	4: {syscall.SIGILL, "Illegal instruction"}, 5: {syscall.SIGTRAP, "Trace/BPT trap"}, 6: {syscall.SIGABRT, "Abort trap"},
	8: {syscall.SIGFPE, "Floating point exception"}, 9: {syscall.SIGKILL, "Killed"}, 10: {syscall.SIGBUS, "Bus error"},
	11: {syscall.SIGSEGV, "Segmentation fault"}, 12: {syscall.SIGSYS, "Bad system call"}, 13: {syscall.SIGPIPE, "Broken pipe"},
	14: {syscall.SIGALRM, "Alarm clock"}, 15: {syscall.SIGTERM, "Terminated"}, 16: {syscall.SIGURG, "Urgent I/O condition"},
	17: {syscall.SIGSTOP, "Suspended (signal)"}, 18: {syscall.SIGTSTP, "Suspended"}, 19: {syscall.SIGCONT, "Continued"},
	20: {syscall.SIGCHLD, "Child exited"}, 21: {syscall.SIGTTIN, "Stopped (tty input)"}, 22: {syscall.SIGTTOU, "Stopped (tty output)"},
	23: {syscall.SIGIO, "I/O possible"}, 24: {syscall.SIGXCPU, "Cputime limit exceeded"}, 25: {syscall.SIGXFSZ, "Filesize limit exceeded"},
	26: {syscall.SIGVTALRM, "Virtual timer expired"}, 27: {syscall.SIGPROF, "Profiling timer expired"}, 28: {syscall.SIGWINCH, "Window size changes"},
	30: {syscall.SIGUSR1, "User defined signal 1"}, 31: {syscall.SIGUSR2, "User defined signal 2"},
}

// darwinNumber returns the number that Darwin gives to a signal of the host.
func darwinNumber(sig syscall.Signal) int64 {
	for n, s := range darwinSignals {
		if s.host == sig {
			return n
		}
	}
	return int64(sig)
}

// describeSignal gives "Terminated: 15", as print and the log do.
func describeSignal(sig syscall.Signal) string {
	n := darwinNumber(sig)
	if s, known := darwinSignals[n]; known {
		return fmt.Sprintf("%s: %d", s.text, n)
	}
	return fmt.Sprintf("Unknown signal: %d", n)
}

// describeExit gives "SIGTERM" or "exit(1)", as the log does.
func describeExit(status syscall.WaitStatus) string {
	if status.Signaled() {
		return unix.SignalName(status.Signal())
	}
	return fmt.Sprintf("exit(%d)", status.ExitStatus())
}

// rawStatus is the wait(2) status with Darwin's signal number.
func rawStatus(status syscall.WaitStatus) int64 {
	if status.Signaled() {
		n := darwinNumber(status.Signal())
		if status.CoreDump() {
			n |= 0x80
		}
		return n
	}
	return int64(status)
}

// exitNames are the sysexits(3) names that print puts behind an exit code.
var exitNames = [...]string{
	64: "EX_USAGE", "EX_DATAERR", "EX_NOINPUT", "EX_NOUSER", "EX_NOHOST", "EX_UNAVAILABLE", "EX_SOFTWARE", "EX_OSERR",
	"EX_OSFILE", "EX_CANTCREAT", "EX_IOERR", "EX_TEMPFAIL", "EX_PROTOCOL", "EX_NOPERM", "EX_CONFIG",
}

// describeLastExit gives print's line about the last exit.
func describeLastExit(j *job) string {
	if !j.ended {
		return "last exit code = (never exited)"
	}
	if j.status.Signaled() {
		return "last terminating signal = " + describeSignal(j.status.Signal())
	}
	code := j.status.ExitStatus()
	if code < len(exitNames) && exitNames[code] != "" {
		return fmt.Sprintf("last exit code = %d: %s", code, exitNames[code])
	}
	return fmt.Sprintf("last exit code = %d", code)
}
