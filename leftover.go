package hermesgw

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/proc"
	"github.com/hermes-gw/hermes-gw/sweep"
)

// leftover is a process below a job's, or in its process group: a child of the gateway's that
// may outlive it, with a port or a token that the next gateway wants. It is reported, and nothing
// is done about it: what it is there for is not known.
type leftover struct {
	Identity
	name string
}

const (
	leaveFor  = 100 * time.Millisecond // for what ends with the job, a moment later
	leftNamed = 8                      // in a warning
)

// leftovers lists what may outlive a job that is about to be restarted. It costs a look at all
// processes, so it is not done for a restart that waits for nothing.
func (r *run) leftovers(ctx context.Context, i *item) (list []leftover) {
	if !i.gateway || i.job.IsZero() || i.inside || !r.waits() && !r.o.Select.All {
		return nil
	}
	var table sweep.Table
	if table.Read(ctx, -1) != nil {
		return nil
	}
	if root := table.Find(i.job.PID); root == nil || root.Identity != i.job {
		return nil
	}
	gateway, _ := r.h.gatewayIn(&table, i.job, i.Home)
	seen := map[Identity]bool{i.job: true, gateway: true}
	for _, p := range append(table.Descendants(i.job.PID), table.Group(i.job.PID)...) {
		if !seen[p.Identity] && p.State != sweep.StateZombie {
			seen[p.Identity] = true
			list = append(list, leftover{p.Identity, p.Comm()})
		}
	}
	return list
}

// left warns of those that are still there after the restart.
func left(ctx context.Context, list []leftover, res *Result) {
	if res.New == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveFor)
	defer cancel()
	var names []string
	for _, l := range list {
		p, err := proc.OpenIdentity(l.Identity)
		if err != nil {
			continue
		}
		if p.Wait(ctx) != nil {
			names = append(names, fmt.Sprintf("%d (%s)", l.PID, shown(l.name, maxShownWord)))
		}
		p.Close()
	}
	if n := len(names) - leftNamed; n > 0 {
		names = append(names[:leftNamed], fmt.Sprintf("%d more", n))
	}
	if len(names) > 0 {
		res.Warnings = append(res.Warnings, fmt.Sprintf("Processes of the old gateway are still there: %s. The new one does not get what they hold, such as a port.", strings.Join(names, ", ")))
	}
}
