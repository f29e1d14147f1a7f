//go:build !linux

package fleet

import "os/exec"

// tied starts cmd. Only Linux can tie a process to the one that started it: a launchd whose
// test was killed stays, without a gateway, since those have lost their leash.
func tied(cmd *exec.Cmd, _ <-chan struct{}) error { return cmd.Start() }
