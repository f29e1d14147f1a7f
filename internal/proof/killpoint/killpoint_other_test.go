//go:build !linux || !(amd64 || arm64)

package killpoint

import (
	"errors"
	"os/exec"
	"testing"
)

// Where there is no tracing, tests can tell, and nothing is started.
func TestUnsupported(t *testing.T) {
	cmd := exec.Command("/usr/bin/true")
	_, err := Count(t.Context(), cmd)
	if _, denied := errors.AsType[*NotPermittedError](err); !denied || !errors.Is(err, errors.ErrUnsupported) || cmd.Process != nil {
		t.Errorf("%v, %v", err, cmd.Process)
	}
}
