package hermesgw_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	hermesgw "github.com/hermes-gw/hermes-gw"
	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
	"github.com/hermes-gw/hermes-gw/launchd"
)

// actorVar makes this test binary a caller, an ancestor of one, or somebody who just is there,
// whatever its arguments.
const actorVar = "HERMESGW_TEST_ACTOR"

// actor is what it does then.
type actor struct {
	Below    [][]string // what it runs, and that in turn; each is a path and an argv
	Sit      bool       // says that it is there, and ends with its standard input
	Goes     bool       // may be ended
	Hide     bool       // the system shows no arguments of it, as in the middle of an exec
	HideEnv  bool       // the system shows no environment of it
	Env      []string   // added to what it gets
	Init     []string   // runs this path and argv, as the first process of a pid namespace
	Launchd  string
	Where    hermesgw.Where
	StateDir string
}

// Before the flags of a test binary are read: its arguments are the actor's.
func init() {
	text := os.Getenv(actorVar)
	if text == "" {
		return
	}
	var a actor
	err := json.Unmarshal([]byte(text), &a)
	switch {
	case err != nil:
	case len(a.Init) > 0:
		err = a.beInit()
	case a.Sit:
		err = a.sit()
	case len(a.Below) > 0:
		err = a.down()
	default:
		err = a.restart()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, os.Args[0]+":", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// down runs the next one and waits for it. No signal is caught.
func (a actor) down() error {
	cmd := &exec.Cmd{Path: a.Below[0][0], Args: a.Below[0][1:], Env: os.Environ(), Stdout: os.Stdout, Stderr: os.Stderr}
	a.Below = a.Below[1:]
	cmd.Env = append(cmd.Env, a.env())
	return cmd.Run()
}

func (a actor) env() string {
	text, err := json.Marshal(a)
	if err != nil {
		panic(err) // strings
	}
	return actorVar + "=" + string(text)
}

func (a actor) sit() error {
	if a.Hide || a.HideEnv {
		if err := hide(a.Hide, a.HideEnv); err != nil {
			return err
		}
	}
	fmt.Println(sits)
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

const sits = "there"

// restart restarts all, and prints the report.
func (a actor) restart() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	in, err := hermesgw.Locate(a.Where)
	if err != nil {
		return err
	}
	client, err := launchd.Open(ctx, launchd.Options{Address: a.Launchd})
	if err != nil {
		return err
	}
	defer client.Close()
	report, err := hermesgw.New(in, client, hermesgw.Options{StateDir: a.StateDir}).
		Restart(ctx, hermesgw.RestartOptions{Select: hermesgw.Selection{All: true}})
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(report); err != nil {
		return err
	}
	if !report.OK() {
		return errors.New("not all is well")
	}
	return nil
}

// cast gives this test binary under the name of a program.
func cast(t *testing.T, f *fleet.Fleet, name string) (path string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(f.Dir, "cast")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, filepath.Base(name))
	if err := os.Link(self, path); err == nil || errors.Is(err, os.ErrExist) {
		return path
	}
	b, err := os.ReadFile(self) // another file system
	if err == nil {
		err = os.WriteFile(path, b, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// bystander starts a process with these arguments that is just there until the test ends, in a
// session of its own. A signal that ends it fails the test. The error is the process' own.
func bystander(t *testing.T, f *fleet.Fleet, a actor, attr syscall.SysProcAttr, argv ...string) (*exec.Cmd, error) {
	t.Helper()
	a.Sit = true
	attr.Setsid = true
	var stderr strings.Builder
	cmd := &exec.Cmd{Path: cast(t, f, argv[0]), Args: argv, Env: append(append(os.Environ(), "HERMES_HOME="+f.Root, a.env()), a.Env...), Dir: "/", SysProcAttr: &attr, Stderr: &stderr}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, len(sits))); err != nil {
		cmd.Wait()
		return nil, errors.New(stderr.String())
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil && !a.Goes {
			t.Errorf("%d %q was ended: %v", cmd.Process.Pid, argv, err)
		}
	})
	return cmd, nil
}

// callers runs a chain of processes with these arguments, of which the last restarts all, in a
// terminal of their own. A signal that hits one of them fails the test.
func callers(t *testing.T, f *fleet.Fleet, env []string, argvs ...[]string) (answered answer) {
	t.Helper()
	a := actor{Launchd: f.Address(), StateDir: f.StateDir, Where: hermesgw.Where{UID: f.UID, AccountHome: f.AccountHome, HermesHome: f.Root}}
	for _, argv := range argvs {
		a.Below = append(a.Below, append([]string{cast(t, f, argv[0])}, argv...))
	}
	first := a.Below[0]
	a.Below = a.Below[1:]
	o := f.Run(&exec.Cmd{Path: first[0], Args: first[1:], Dir: f.Dir, Env: append(os.Environ(), append(env, a.env())...),
		SysProcAttr: &syscall.SysProcAttr{Setsid: true}})
	if o.Code != 0 {
		t.Fatalf("the callers ended with %d: %s%s", o.Code, o.Stdout, o.Stderr)
	}
	if err := json.Unmarshal([]byte(o.Stdout), &answered); err != nil {
		t.Fatalf("%v: %+v", err, o)
	}
	answered.Output = o
	return answered
}
