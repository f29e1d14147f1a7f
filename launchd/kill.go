package launchd

import (
	"context"
	"fmt"
	"runtime"
	"syscall"
)

// Kill sends a signal to a job's process (812).
//
// sig is a signal of the system this runs on. The request holds type, handle, name and
// signal (int64, 1 to 31), with the number that the signal has on Darwin, whatever
// system carries the request; SIGUSR1 is 30 there and 10 on Linux. A signal that Darwin
// does not have is an error and nothing is sent.
//
// Errors: [ErrNotLoaded], 3 (the job is not running), 1, 22 (the signal).
// Sources: launchd-protocol.md 2.2; the numbers: xnu, bsd/sys/signal.h.
func (c *Client) Kill(ctx context.Context, t Target, sig syscall.Signal) error {
	if err := t.check(); err != nil {
		return err
	}
	n, ok := darwinSignal(sig)
	if !ok {
		return fmt.Errorf("%s %s: launchd cannot send signal %d", opKill, t, int(sig))
	}
	msg := t.dict()
	msg["signal"] = int64(n)
	_, err := c.call(ctx, opKill, t, routineKill, msg)
	return err
}

// darwinSignals has Darwin's number for each signal that other systems have too.
var darwinSignals = map[syscall.Signal]int{
	syscall.SIGHUP: 1, syscall.SIGINT: 2, syscall.SIGQUIT: 3, syscall.SIGILL: 4, syscall.SIGTRAP: 5,
	syscall.SIGABRT: 6, syscall.SIGFPE: 8, syscall.SIGKILL: 9, syscall.SIGBUS: 10, syscall.SIGSEGV: 11,
	syscall.SIGSYS: 12, syscall.SIGPIPE: 13, syscall.SIGALRM: 14, syscall.SIGTERM: 15, syscall.SIGURG: 16,
	syscall.SIGSTOP: 17, syscall.SIGTSTP: 18, syscall.SIGCONT: 19, syscall.SIGCHLD: 20, syscall.SIGTTIN: 21,
	syscall.SIGTTOU: 22, syscall.SIGIO: 23, syscall.SIGXCPU: 24, syscall.SIGXFSZ: 25, syscall.SIGVTALRM: 26,
	syscall.SIGPROF: 27, syscall.SIGWINCH: 28, syscall.SIGUSR1: 30, syscall.SIGUSR2: 31,
}

func darwinSignal(sig syscall.Signal) (int, bool) {
	if runtime.GOOS == "darwin" { // SIGEMT and SIGINFO included
		return int(sig), sig >= 1 && sig <= 31
	}
	n, ok := darwinSignals[sig]
	return n, ok
}
