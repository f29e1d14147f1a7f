//go:build !darwin

package cgoless

import (
	"errors"
	"fmt"
)

// LoadXPC fails: libxpc is a part of macOS. The error wraps errors.ErrUnsupported.
func LoadXPC() (*XPC, error) {
	return nil, fmt.Errorf("libxpc exists on macOS only: %w", errors.ErrUnsupported)
}
