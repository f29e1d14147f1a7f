package sweep

import (
	"context"
	"fmt"

	"github.com/hermes-gw/hermes-gw/internal/cgoless"
)

// startUnit is what [Identity].Start is rounded down to, in microseconds.
const startUnit = 1

// loadSysctl is a variable so that tests can count the calls.
var loadSysctl = cgoless.LoadSysctl

func (t *Table) read(_ context.Context, uid int) error {
	sys, err := loadSysctl()
	if err != nil {
		return err
	}
	return t.readKinfo(sys, uid)
}

func (t *Table) readArgs(pid int) ([]string, error) {
	sys, err := loadSysctl()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	return t.readProcargs(sys, pid)
}

func (t *Table) readEnvironment(pid int) ([]byte, error) {
	sys, err := loadSysctl()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	_, rest, err := t.procargs(sys, pid)
	return rest, err
}
