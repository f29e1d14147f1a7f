package fleet

import (
	"os/exec"
	"runtime"
	"syscall"
)

// tied starts cmd so that the kernel ends it by SIGTERM when this process ends, however
// that is. The tie is to the thread, which therefore waits until cmd has ended.
func tied(cmd *exec.Cmd, ended <-chan struct{}) error {
	cmd.SysProcAttr.Pdeathsig = syscall.SIGTERM
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			<-ended
		}
	}()
	return <-started
}
