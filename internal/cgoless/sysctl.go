package cgoless

import "syscall"

// Sysctl is sysctl(3), as a table of one function so that callers can be tested without it.
type Sysctl struct {
	// Get reads the variable mib into buf and returns how many bytes there are. ENOMEM
	// means that buf is too small; what it holds then is not complete.
	Get func(mib []int32, buf []byte) (n int, errno syscall.Errno)
}
