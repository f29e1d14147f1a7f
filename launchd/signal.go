package launchd

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// Signal is a signal by the number that it has on Darwin, whatever system this runs on:
// SIGUSR1 is 30. It is an [os.Signal], so [Client.Kill] takes it as well as a
// syscall.Signal, which is a number of this system.
type Signal int

const maxSignal = 31 // 1 to 31: NSIG - 1 in xnu, bsd/sys/signal.h

// signals has the name and the text of each signal of Darwin: xnu, bsd/sys/signal.h, and
// sys_siglist of its Libc.
var signals = [maxSignal + 1]struct{ name, text string }{
	1: {"HUP", "Hangup"}, 2: {"INT", "Interrupt"}, 3: {"QUIT", "Quit"}, 4: {"ILL", "Illegal instruction"},
	5: {"TRAP", "Trace/BPT trap"}, 6: {"ABRT", "Abort trap"}, 7: {"EMT", "EMT trap"}, 8: {"FPE", "Floating point exception"},
	9: {"KILL", "Killed"}, 10: {"BUS", "Bus error"}, 11: {"SEGV", "Segmentation fault"}, 12: {"SYS", "Bad system call"},
	13: {"PIPE", "Broken pipe"}, 14: {"ALRM", "Alarm clock"}, 15: {"TERM", "Terminated"}, 16: {"URG", "Urgent I/O condition"},
	17: {"STOP", "Suspended (signal)"}, 18: {"TSTP", "Suspended"}, 19: {"CONT", "Continued"}, 20: {"CHLD", "Child exited"},
	21: {"TTIN", "Stopped (tty input)"}, 22: {"TTOU", "Stopped (tty output)"}, 23: {"IO", "I/O possible"},
	24: {"XCPU", "Cputime limit exceeded"}, 25: {"XFSZ", "Filesize limit exceeded"}, 26: {"VTALRM", "Virtual timer expired"},
	27: {"PROF", "Profiling timer expired"}, 28: {"WINCH", "Window size changes"}, 29: {"INFO", "Information request"},
	30: {"USR1", "User defined signal 1"}, 31: {"USR2", "User defined signal 2"},
}

// ParseSignal reads a signal as launchctl kill takes it: a number of Darwin's, 1 to 31, or
// a name with or without SIG, in any case. The error is a *[SyntaxError].
func ParseSignal(s string) (Signal, error) {
	if n, err := strconv.Atoi(s); err == nil {
		if n >= 1 && n <= maxSignal && s == strconv.Itoa(n) {
			return Signal(n), nil
		}
		return 0, &SyntaxError{What: "signal", Input: s, Problem: "is not a number from 1 to 31", Example: "TERM or 15"}
	}
	name := strings.TrimPrefix(strings.ToUpper(s), "SIG")
	for n := 1; n <= maxSignal; n++ {
		if signals[n].name == name {
			return Signal(n), nil
		}
	}
	return 0, &SyntaxError{What: "signal", Input: s, Problem: "is not the name of one", Example: "TERM or 15"}
}

// Signal implements [os.Signal].
func (Signal) Signal() {}

// String returns "SIGTERM", or "signal 99" for a number that is none.
func (s Signal) String() string {
	if s < 1 || s > maxSignal {
		return "signal " + strconv.Itoa(int(s))
	}
	return "SIG" + signals[s].name
}

// describe returns what launchd prints: "Terminated: 15" (launchd-protocol.md 6.2).
func (s Signal) describe() string {
	text := "Unknown signal"
	if s >= 1 && s <= maxSignal {
		text = signals[s].text
	}
	return text + ": " + strconv.Itoa(int(s))
}

// darwinSignals has Darwin's number for each signal that other systems have too.
var darwinSignals = map[syscall.Signal]Signal{
	syscall.SIGHUP: 1, syscall.SIGINT: 2, syscall.SIGQUIT: 3, syscall.SIGILL: 4, syscall.SIGTRAP: 5,
	syscall.SIGABRT: 6, syscall.SIGFPE: 8, syscall.SIGKILL: 9, syscall.SIGBUS: 10, syscall.SIGSEGV: 11,
	syscall.SIGSYS: 12, syscall.SIGPIPE: 13, syscall.SIGALRM: 14, syscall.SIGTERM: 15, syscall.SIGURG: 16,
	syscall.SIGSTOP: 17, syscall.SIGTSTP: 18, syscall.SIGCONT: 19, syscall.SIGCHLD: 20, syscall.SIGTTIN: 21,
	syscall.SIGTTOU: 22, syscall.SIGIO: 23, syscall.SIGXCPU: 24, syscall.SIGXFSZ: 25, syscall.SIGVTALRM: 26,
	syscall.SIGPROF: 27, syscall.SIGWINCH: 28, syscall.SIGUSR1: 30, syscall.SIGUSR2: 31,
}

// darwinSignal returns the number by which launchd knows sig.
func darwinSignal(sig os.Signal) (Signal, bool) {
	switch sig := sig.(type) {
	case Signal:
		return sig, sig >= 1 && sig <= maxSignal
	case syscall.Signal:
		if runtime.GOOS == "darwin" { // SIGEMT and SIGINFO included
			return Signal(sig), sig >= 1 && sig <= maxSignal
		}
		n, ok := darwinSignals[sig]
		return n, ok
	}
	return 0, false
}
