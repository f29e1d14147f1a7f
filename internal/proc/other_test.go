//go:build !darwin && !linux

package proc

import (
	"errors"
	"os"
	"testing"
)

func TestUnsupported(t *testing.T) {
	for name, call := range map[string]func() error{
		"Read":         func() error { _, err := Read(os.Getpid()); return err },
		"Open":         func() error { _, err := Open(os.Getpid()); return err },
		"OpenIdentity": func() error { _, err := OpenIdentity(Identity{PID: os.Getpid(), Start: 1}); return err },
		"Ancestors":    func() error { _, err := Ancestors(os.Getpid()); return err },
	} {
		if err := call(); !errors.Is(err, errors.ErrUnsupported) || errors.Is(err, ErrGone) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
