package sweep

import (
	"context"
	"fmt"
)

// Read takes a snapshot of the processes whose effective user is uid, or of all with -1.
// On macOS that is one sysctl, on Linux a read of /proc/PID/stat for each process. A process
// that ends meanwhile may or may not be in it. An error leaves the table empty, and
// means that nothing is known of any process.
func (t *Table) Read(ctx context.Context, uid int) error {
	t.rows, t.index.made = t.rows[:0], false
	err := ctx.Err()
	if err == nil {
		err = t.read(ctx, uid)
	}
	if err != nil {
		t.rows = t.rows[:0]
		return fmt.Errorf("read the process table: %w", err)
	}
	return nil
}
