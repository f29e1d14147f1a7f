package sweep

import (
	"context"
	"errors"
	"fmt"
)

// Read takes a snapshot of the processes whose effective user is uid, or of all with -1.
// On macOS that is one sysctl, on Linux a read of /proc/PID/stat for each process. A process
// that ends meanwhile may or may not be in it, and one that the system hides (hidepid of
// proc(5)) is not. An error leaves the table empty, and means that nothing is known of any
// process; that there is none is an error, too.
func (t *Table) Read(ctx context.Context, uid int) error {
	t.rows, t.index.made, t.all = t.rows[:0], false, uid < 0
	err := ctx.Err()
	if err == nil {
		err = t.read(ctx, uid)
	}
	if err == nil && len(t.rows) == 0 {
		err = errors.New("the system shows no process")
		if uid >= 0 {
			err = fmt.Errorf("the system shows no process of user %d", uid)
		}
	}
	if err != nil {
		t.rows = t.rows[:0]
		return fmt.Errorf("read the process table: %w", err)
	}
	return nil
}
