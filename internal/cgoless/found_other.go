//go:build !darwin

package cgoless

import (
	"errors"
	"fmt"
)

// FindSymbols fails: the names are those of macOS' libraries. The error wraps
// errors.ErrUnsupported.
func FindSymbols() ([]Found, error) {
	return nil, fmt.Errorf("the symbols are those of macOS: %w", errors.ErrUnsupported)
}

// ErrorText knows no texts: libxpc is a part of macOS.
func ErrorText(int32) (string, bool) { return "", false }
