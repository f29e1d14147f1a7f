//go:build darwin || linux

package sweep

import (
	"errors"
	"os"
	"os/exec"
	"testing"

	"github.com/hermes-gw/hermes-gw/internal/proc"
)

func TestVariableIn(t *testing.T) {
	for _, c := range []struct {
		environ, name, value string
		set                  bool
	}{
		{"A=1\x00HERMES_HOME=/h\x00", "HERMES_HOME", "/h", true},
		{"HERMES_HOME=/a\x00HERMES_HOME=/b\x00", "HERMES_HOME", "/a", true},
		{"HERMES_HOME=\x00", "HERMES_HOME", "", true},
		{"HERMES_HOME=a=b", "HERMES_HOME", "a=b", true},
		{"HERMES_HOME_OLD=/a\x00xHERMES_HOME=/b\x00", "HERMES_HOME", "", false},
		{"A=1\x00\x00HERMES_HOME=/not the environment\x00", "HERMES_HOME", "", false},
		{"HERMES_HOME\x00", "HERMES_HOME", "", false},
		{"", "HERMES_HOME", "", false},
	} {
		if value, set := variable([]byte(c.environ), c.name); value != c.value || set != c.set {
			t.Errorf("%q: %q, %v", c.environ, value, set)
		}
	}
}

// The environment of a real process is read, and that of a stranger with its pid is not.
func TestVariable(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), standInVar+"=sleep", "HERMES_HOME=/some where/é")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { in.Close(); cmd.Process.Kill(); cmd.Wait() }()
	id, err := proc.Read(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if value, set, err := Variable(id, "HERMES_HOME"); err != nil || !set || value != "/some where/é" {
		t.Errorf("HERMES_HOME: %q, %v, %v", value, set, err)
	}
	if _, set, err := Variable(id, "NOT_THERE"); err != nil || set {
		t.Errorf("a variable that is not set: %v, %v", set, err)
	}
	id.Start++
	if _, _, err := Variable(id, "HERMES_HOME"); !errors.Is(err, ErrGone) {
		t.Errorf("of another process: %v", err)
	}
}
