package hermesgw

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hermes-gw/hermes-gw/internal/proc"
	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/sweep"
)

// gatewayIn finds the gateway's process in a job's tree: the job's own, or one below it where a
// wrapper, a shell or osascript runs the gateway. Its arguments decide. If several look like
// it, the one that the home's records name is it, else the one nearest to the job's: a gateway's
// own forks have its arguments. tree are the processes from the job's to it.
func (h *Hermes) gatewayIn(table *sweep.Table, job Identity, home string) (gateway Identity, tree []Identity) {
	root := table.Find(job.PID)
	if root == nil || root.Identity != job {
		return Identity{}, nil
	}
	var like []*sweep.Process
	for _, p := range append([]*sweep.Process{root}, table.Descendants(job.PID)...) {
		if p.State == sweep.StateZombie {
			continue
		}
		argv, err := table.Args(p)
		if err != nil {
			continue
		}
		if kind := (sweep.Matcher{}).Match(argv).Kind; kind == sweep.KindGateway || kind == sweep.KindRestart {
			like = append(like, p)
		}
	}
	if len(like) == 0 {
		return Identity{}, nil
	}
	it := like[0]
	if len(like) > 1 && home != "" {
		for _, name := range recordNames {
			if r, err := readRecord(h.in, home, name); err == nil {
				if i := slices.IndexFunc(like, func(p *sweep.Process) bool { return r.names(p.Identity) }); i >= 0 {
					it = like[i]
					break
				}
			}
		}
	}
	tree = []Identity{it.Identity}
	for _, above := range table.Ancestors(it.PID) {
		if it.PID == job.PID {
			break
		}
		tree = append(tree, above.Identity)
		if above.Identity == job {
			break
		}
	}
	slices.Reverse(tree)
	return it.Identity, tree
}

// recordNames are the files in a home that name its gateway, the better witness first.
var recordNames = []string{"gateway.lock", "gateway.pid"}

// find looks for the gateway's process in a job's tree now, and at whether it is stopped.
func (h *Hermes) find(ctx context.Context, job Identity, home string) (id Identity, isStopped bool, err error) {
	var table sweep.Table
	if err := table.Read(ctx, -1); err != nil {
		return Identity{}, false, fmt.Errorf("read the process table: %w", err)
	}
	if id, _ := h.gatewayIn(&table, job, home); !id.IsZero() {
		return id, stopped(&table, id), nil
	}
	return Identity{}, false, fmt.Errorf("no process of the job (%d and what is below it) is a gateway by its arguments", job.PID)
}

// stopped reports whether a process of the table is stopped by a signal.
func stopped(table *sweep.Table, id Identity) bool {
	p := table.Find(id.PID)
	return p != nil && p.Identity == id && p.State == sweep.StateStopped
}

// inTree reports whether pid is the job's process or one below it, right now.
func inTree(pid int, job Identity) (Identity, bool) {
	id, err := proc.Read(pid)
	if err != nil {
		return Identity{}, false
	}
	if id == job {
		return id, true
	}
	above, _ := proc.Ancestors(pid)
	return id, slices.Contains(above, job)
}

// runtime reads what the gateway says of itself: by its control socket, else from its state
// file. Either is believed only about a process that is the job's, or below it: Hermes'
// files outlive their writers.
func (h *Hermes) runtime(ctx context.Context, g *Gateway) *Runtime {
	if g.job.IsZero() {
		return nil
	}
	if !g.Stopped { // it would not answer
		if s, err := status(ctx, h.in, g.Home); err == nil && s.PID > 0 {
			if id, ok := inTree(s.PID, g.job); ok && s.names(id) {
				return runtimeOf(s, true)
			}
		}
	}
	if s, err := readState(h.in, g.Home); err == nil {
		if id, ok := inTree(s.PID, g.job); ok && s.names(id) {
			return runtimeOf(s, false)
		}
	}
	return nil
}

func runtimeOf(s runtimeState, answered bool) *Runtime {
	return &Runtime{
		PID: s.PID, State: s.State, Work: s.ActiveWork, Platforms: s.Platforms, Served: s.Served,
		CodeSHA: s.CodeSHA, Version: s.CodeVersion, UpdatedAt: s.UpdatedAt, Answered: answered,
	}
}

// busyWith puts a gateway's work into words: "2 chats, 1 cron".
func busyWith(work []Work) string {
	count := map[string]int{}
	var kinds []string
	for _, w := range work {
		if count[w.Kind]++; count[w.Kind] == 1 {
			kinds = append(kinds, w.Kind)
		}
	}
	slices.Sort(kinds)
	for i, k := range kinds {
		kinds[i] = fmt.Sprintf("%d %s", count[k], k)
	}
	return strings.Join(kinds, ", ")
}

// jobIdentity names the process of a job that launchd told of.
func jobIdentity(j launchd.Job) Identity {
	if j.PID <= 0 {
		return Identity{}
	}
	id, err := proc.Read(j.PID)
	if err != nil {
		return Identity{}
	}
	return id
}
