package fleet

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// environment is what the command gets: nothing that would make it look at another Hermes,
// user or launchd.
func (f *Fleet) environment() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + f.AccountHome, "TMPDIR=" + f.tmp(), "LANG=C.UTF-8",
		"HERMES_HOME=" + f.Root,
		"HERMES_GW_STATE_DIR=" + f.StateDir,
	}
}

// Output is how a command ended.
type Output struct {
	Stdout, Stderr string
	Code           int // -n: by signal n
	Took           time.Duration
}

// Prepare gives the built command, ready to be started: for this fleet's launchd, root and
// state folder. Unless Options.Outside it believes that the account's home is the fleet's;
// where the system does not let a test bring that about, the test is skipped.
func (f *Fleet) Prepare(args ...string) *exec.Cmd {
	f.t.Helper()
	path, err := builtCommand()
	f.must(err)
	cmd := exec.Command(path, args...)
	if !f.options.Outside {
		f.asAccount(cmd)
	}
	cmd.Dir = f.Dir
	cmd.Env = append(f.environment(), "HERMES_GW_LAUNCHD="+f.Address())
	return cmd
}

// Command runs the built command to its end.
func (f *Fleet) Command(args ...string) Output {
	f.t.Helper()
	return f.Run(f.Prepare(args...))
}

// Run runs what Prepare gave, to its end.
func (f *Fleet) Run(cmd *exec.Cmd) (o Output) {
	f.t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = patience
	began := time.Now()
	f.must(cmd.Start())
	late := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	err := cmd.Wait()
	o.Took = time.Since(began)
	if !late.Stop() {
		f.t.Fatalf("%q did not end within %v: %s%s", cmd.Args, patience, &stdout, &stderr)
	}
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		f.t.Fatalf("%q: %v", cmd.Args, err)
	}
	o.Stdout, o.Stderr, o.Code = stdout.String(), stderr.String(), code(cmd)
	return o
}

func code(cmd *exec.Cmd) int {
	if status := cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signaled() {
		return -int(status.Signal())
	}
	return cmd.ProcessState.ExitCode()
}

// Shell gives bash, as Prepare gives the command: in a folder, with path and then the built
// command at the front of its PATH.
func (f *Fleet) Shell(dir, path string, args ...string) *exec.Cmd {
	f.t.Helper()
	built, err := builtCommand()
	f.must(err)
	cmd := exec.Command("/bin/bash", args...)
	if !f.options.Outside {
		f.asAccount(cmd)
	}
	cmd.Dir = dir
	cmd.Env = append(f.environment(), "HERMES_GW_LAUNCHD="+f.Address(),
		"PATH="+path+string(os.PathListSeparator)+filepath.Dir(built)+string(os.PathListSeparator)+os.Getenv("PATH"))
	return cmd
}
