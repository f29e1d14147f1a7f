//go:build !darwin

package xpc

import (
	"errors"
	"strings"
	"testing"
)

func TestBootstrapNeedsMacOS(t *testing.T) {
	p, err := Bootstrap()
	if p != nil || !errors.Is(err, errors.ErrUnsupported) {
		t.Fatalf("got %v, %v", p, err)
	}
	for _, word := range []string{"macOS only", "unix:PATH"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%v does not speak of %q", err, word)
		}
	}
}
