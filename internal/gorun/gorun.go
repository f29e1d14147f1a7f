// Package gorun is for programs that are meant to be run with go run, which does not pass
// signals on to them.
package gorun

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/hermes-gw/hermes-gw/internal/proc"
)

// Command looks up the `go run` that runs this program, and returns a function that waits
// for its end: that is how a signal arrives that was meant for the program. The function
// returns false at once if this is not `go run`. Call Command early: once it has ended, the
// parent is another process.
func Command() (gone func() bool) {
	exe, err := os.Executable()
	if err != nil || !strings.Contains(filepath.Dir(exe), "go-build") {
		return func() bool { return false }
	}
	parent, err := proc.Open(os.Getppid())
	return func() bool {
		if err != nil {
			return errors.Is(err, proc.ErrGone)
		}
		defer parent.Close()
		return parent.Wait(context.Background()) == nil
	}
}
