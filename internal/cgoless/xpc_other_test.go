//go:build !darwin

package cgoless

import (
	"errors"
	"testing"
)

func TestNoLibxpcElsewhere(t *testing.T) {
	if x, err := LoadXPC(); x != nil || !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("LoadXPC gave %v, %v", x, err)
	}
}
