package main

import "syscall"

// tie makes the kernel send SIGTERM to the process when the thread that starts it
// ends; main holds that thread. So the embedded launchd ends its jobs and itself
// even when the demo is killed by SIGKILL.
func tie(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGTERM }
