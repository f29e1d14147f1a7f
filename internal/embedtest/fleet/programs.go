package fleet

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
)

const module = "github.com/hermes-gw/hermes-gw"

// top holds the programs and the fleets of this test binary.
type top struct{ dir string }

// shared makes the folder. A shell removes it once this process has ended, however that
// was: it holds the other end of a pipe.
var shared = sync.OnceValues(func() (t top, err error) {
	// Not os.TempDir: the paths of Unix sockets below it must be short.
	if t.dir, err = os.MkdirTemp("/tmp", "hgf"); err != nil {
		return t, err
	}
	if t.dir, err = filepath.EvalSymlinks(t.dir); err != nil {
		return t, err
	}
	janitor = exec.Command("/bin/sh", "-c", `cat; rm -rf "$0"`, t.dir)
	janitor.Env = []string{"PATH=/usr/bin:/bin"}
	janitor.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if _, err := janitor.StdinPipe(); err != nil {
		return t, err
	}
	return t, janitor.Start()
})

// janitor is the shell. It has the pipe, so it must not be let go before the process ends.
var janitor *exec.Cmd

// program builds a program of this module once.
func program(name, folder string) func() (string, error) {
	return sync.OnceValues(func() (string, error) {
		t, err := shared()
		if err != nil {
			return "", err
		}
		path := filepath.Join(t.dir, "built", filepath.Base(folder), name)
		cmd := exec.Command("go", "build", "-o", path, module+"/"+folder)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
		if text, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("go build %s: %w\n%s", folder, err, bytes.TrimSpace(text))
		}
		return path, nil
	})
}

var (
	builtHermes  = program("hermes", "internal/embedtest/standin/hermes")
	builtLaunchd = program("launchdsim", "internal/launchdsim/cmd/launchdsim")
	builtCommand = program("hermes-gw", "cmd/hermes-gw")
)

// Built gives the path of a program of this module, built once.
func Built(t testing.TB, name, folder string) string {
	t.Helper()
	build, _ := others.LoadOrStore(folder, program(name, folder))
	path, err := build.(func() (string, error))()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var others sync.Map // by folder

// Program gives the path of the stand-in under another name: python3, osascript, or the
// name of a program that is no gateway whatever its arguments ([Shape.Sit]). It is a file of
// its own, since a process table may show where a symbolic link leads.
func (f *Fleet) Program(name string) string {
	f.t.Helper()
	path := filepath.Join(f.bin(), name)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	built, err := builtHermes()
	f.must(err)
	f.must(os.Link(built, path))
	return path
}

// shells reports whether a shell of this machine can start the programs under test. Under
// a host for another system's programs it cannot.
var shells = sync.OnceValues(func() (bool, error) {
	built, err := builtHermes()
	if err != nil {
		return false, err
	}
	const word = "standin-probe"
	out, _ := exec.Command("/bin/sh", "-c", `"$0" `+word, built).Output()
	return string(bytes.TrimSpace(out)) == word, nil
})

// NeedsShell skips the test where no shell can start the programs under test.
func NeedsShell(t interface {
	Helper()
	Skip(...any)
	Fatal(...any)
}) {
	t.Helper()
	able, err := shells()
	if err != nil {
		t.Fatal(err)
	}
	if !able {
		t.Skip("no shell of this machine can start the programs under test")
	}
}
