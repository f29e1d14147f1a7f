//go:build !linux || !(amd64 || arm64)

package killpoint

import (
	"context"
	"errors"
	"fmt"
	"runtime"
)

func run(context.Context, plan) (Result, error) {
	return Result{}, &NotPermittedError{fmt.Errorf("%s/%s: %w", runtime.GOOS, runtime.GOARCH, errors.ErrUnsupported)}
}
