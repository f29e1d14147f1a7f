//go:build !linux

package main

import (
	"os/signal"
	"syscall"
)

// diesByUSR1 says whether dieBy can end the process by SIGUSR1.
const diesByUSR1 = false

// dieBy ends the process by a signal where Go can. It cannot by SIGUSR1, which its own
// handler ignores: that becomes an exit code.
func dieBy(s syscall.Signal) int {
	if s != syscall.SIGUSR1 {
		signal.Reset(s)
		syscall.Kill(syscall.Getpid(), s)
		select {}
	}
	return 128 + int(s)
}
