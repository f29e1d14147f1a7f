package hermesgw

import (
	"context"
	"errors"
	"time"
)

// Bounds of one question to launchd, which answers at once or never.
const (
	questionFor   = 2 * time.Second
	questionLeast = 250 * time.Millisecond // on a busy machine
)

// briefly bounds a question so that one that is never answered leaves time for the next: to a
// quarter of what is left.
func briefly(ctx context.Context) (context.Context, context.CancelFunc) {
	limit := questionFor
	if deadline, ends := ctx.Deadline(); ends {
		limit = max(min(limit, time.Until(deadline)/4), questionLeast)
	}
	return context.WithTimeout(ctx, limit)
}

// silent reports whether a question got no answer in its time.
func silent(err error) bool { return errors.Is(err, context.DeadlineExceeded) }
