//go:build !darwin && !linux

package sweep

import (
	"context"
	"errors"
	"fmt"
	"runtime"
)

const startUnit = 1

func (t *Table) read(context.Context, int) error {
	return fmt.Errorf("processes on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}

func (t *Table) readArgs(int) ([]string, error) {
	return nil, fmt.Errorf("%w: %w", ErrUnreadable, errors.ErrUnsupported)
}

func (t *Table) readEnvironment(int) ([]byte, error) {
	return nil, fmt.Errorf("%w: %w", ErrUnreadable, errors.ErrUnsupported)
}
