package launchdsim

import (
	"os"
	"syscall"
	"time"
)

// codeIdentity stands for the code signature that launchd pins when it loads a job
// (a launch constraint): a program file that was replaced since then is killed by
// the kernel at every spawn, until the job is booted out and in again. Seen with
// ad-hoc signed binaries, so every Go build. Zero pins nothing.
type codeIdentity struct {
	dev, ino uint64
	size     int64
	changed  time.Time
}

func identify(program string) codeIdentity {
	info, err := os.Stat(lookPath(program))
	if err != nil {
		return codeIdentity{}
	}
	st, known := info.Sys().(*syscall.Stat_t)
	if !known {
		return codeIdentity{}
	}
	return codeIdentity{uint64(st.Dev), st.Ino, info.Size(), info.ModTime()}
}

// violates says whether the program is not the one that was pinned.
func (j *job) violates() bool {
	return j.pin != codeIdentity{} && identify(j.def.program) != j.pin
}

// killedAtOnce is a process that ends as one does whose code the kernel refuses.
var killedAtOnce = command{program: "/bin/sh", argv: []string{"sh", "-c", "kill -KILL $$"}, env: exConfig.env, dir: "/", stillborn: true}
