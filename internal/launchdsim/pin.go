package launchdsim

import (
	"crypto/sha256"
	"io"
	"os"
	"syscall"
)

// codeIdentity stands for the code identity that launchd pins when it loads a job (a
// launch constraint): a program that is another one since then is killed by the kernel
// at every spawn, until the job is booted out and in again. Seen with ad-hoc signed
// binaries, so every Go build, whose identity is their cdhash (launchd-protocol.md 7.5).
//
// A cdhash depends on the contents of the file alone, so the identity is their digest: a
// program that is replaced by a copy of itself, or touched, is still the same one.
//
// The model has no signatures. It pins scripts too, where macOS looks at the
// interpreter, and programs with a developer's signature, whose identity macOS takes
// from the certificate. So it is an option. It reads the whole program at every spawn.
type codeIdentity [sha256.Size]byte

// identify reads the identity of a program; nil if it cannot be read, which pins nothing.
func identify(program string) *codeIdentity {
	f, err := os.OpenFile(lookPath(program), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return nil
	}
	return (*codeIdentity)(sum.Sum(nil))
}

// violates says whether the program is not the one that was pinned. One that is gone is
// for the spawn to find.
func (j *job) violates() bool {
	if j.pin == nil {
		return false
	}
	now := identify(j.def.program)
	return now != nil && *now != *j.pin
}

// killedAtOnce is a process that ends as one does whose code the kernel refuses.
var killedAtOnce = command{program: "/bin/sh", argv: []string{"sh", "-c", "kill -KILL $$"}, env: exConfig.env, dir: "/", stillborn: true}
