//go:build !linux

package main

import "syscall"

// tie does nothing: only Linux can tie a process to the one that started it.
func tie(*syscall.SysProcAttr) {}
