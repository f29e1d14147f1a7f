//go:build !darwin && !linux

package sweep

import (
	"context"
	"errors"
	"os"
	"testing"
)

func TestUnsupported(t *testing.T) {
	var table Table
	if err := table.Read(t.Context(), -1); !errors.Is(err, errors.ErrUnsupported) || len(table.Rows()) != 0 {
		t.Error(err)
	}
	id := Identity{PID: os.Getpid(), Start: 1}
	if argv, err := table.Args(&Process{Identity: id}); !errors.Is(err, errors.ErrUnsupported) || !errors.Is(err, ErrUnreadable) || argv != nil {
		t.Errorf("%q, %v", argv, err)
	}
	if _, err := Survey(t.Context(), 501, func(context.Context) ([]Managed, error) { return nil, nil }, Options{}); !errors.Is(err, errors.ErrUnsupported) {
		t.Error(err)
	}
	report, err := Run(t.Context(), Plan{Signal: []Planned{{Identity: Identity{PID: os.Getppid(), Start: 1}}}}, RunOptions{})
	if err != nil || report.Results[0].Outcome != Refused || !errors.Is(report.Results[0].Err, errors.ErrUnsupported) {
		t.Errorf("%+v, %v", report, err)
	}
}
