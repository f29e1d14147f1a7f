package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/launchdsim"
	"github.com/hermes-gw/hermes-gw/internal/proc"
	"github.com/hermes-gw/hermes-gw/launchd"
)

// measured is one restart as the table shows it.
type measured struct {
	old, new  int
	request   time.Duration // launchd has read the request, to its answer
	noProcess time.Duration // launchd reaped the old process, to the spawn of the new one
	noGateway time.Duration // the old gateway has ended, to the report of the new one
}

// restartAll is the first act.
func (d *demo) restartAll(ctx context.Context, jobs []*job) error {
	d.out.line("")
	d.out.line("1. hermes-gw restart: one request to launchd for each job")
	d.out.line("")
	d.out.line("  %-8s %-22s %7s %7s  %8s  %10s  %10s", "job", "processes", "old pid", "new pid", "request", "no process", "no gateway")
	for _, j := range jobs {
		m, err := d.restart(ctx, j)
		if err != nil {
			return fmt.Errorf("restart %s: %w", j.target, err)
		}
		d.out.line("  %-8s %-22s %7d %7d  %8s  %10s  %10s", j.name, j.processes, m.old, m.new, ms(m.request), ms(m.noProcess), ms(m.noGateway))
	}
	d.out.line("")
	d.out.line("  request: launchd has it, until it answers. no process: the old one is reaped,")
	d.out.line("  until the new one is spawned. no gateway: the old one has ended, until the new")
	d.out.line("  one says that it runs; below zero, both ran for that time.")
	if len(d.failed) > 0 {
		return nil // what follows is not true; the claims that failed come at the end
	}
	d.out.line("")
	d.out.line("  Of each: the pids differ, launchd and the command name the same; every process")
	d.out.line("  of the old tree has ended; the new gateway runs inside the new tree by its own")
	d.out.line("  state file; launchd saw one kickstart (702), no unload (801, 816), no load (800).")
	return nil
}

// restart restarts one job through the command and checks every claim about it.
func (d *demo) restart(ctx context.Context, j *job) (m measured, err error) {
	before, err := d.client.Job(ctx, j.target)
	if err != nil {
		return m, err
	}
	old, err := d.tree(j)
	if err != nil {
		return m, err
	}
	d.check(len(old) == j.depth, "%s is %s: %d processes, not %d", j.target, j.processes, j.depth, len(old))
	root := old[len(old)-1].Identity().PID
	d.check(root == before.PID, "launchd's pid of %s is the root of its process tree: %d, not %d", j.target, before.PID, root)

	from := monotonic()
	said, err := d.runRestart(ctx, j)
	if err != nil {
		return m, err
	}
	after, noGateway, err := d.replaced(ctx, j, old, from)
	if err != nil {
		return m, err
	}
	d.check(said.State == launchd.OutcomeRestarted && said.Old == before.PID && said.New == after,
		"the command says that %s was restarted, %d to %d: it says %s, %d to %d", j.target, before.PID, after, said.State, said.Old, said.New)

	m = measured{old: before.PID, new: after, noGateway: noGateway}
	m.request, m.noProcess, err = d.times(ctx, j, from, before.PID, after)
	return m, err
}

// report is what the demo reads of a result of hermes-gw restart --json.
type report struct {
	Target string          `json:"target"`
	State  launchd.Outcome `json:"state"`
	Old    int             `json:"old_pid"`
	New    int             `json:"new_pid"`
}

// restartCommand prepares hermes-gw restart for the job.
func (d *demo) restartCommand(ctx context.Context, j *job) *exec.Cmd {
	return child(ctx, d.paths.top, filepath.Join(d.paths.bin, "hermes-gw"),
		"restart", j.target.Label, "--launchd", "unix:"+d.paths.socket, "--json")
}

func (d *demo) runRestart(ctx context.Context, j *job) (report, error) {
	var stdout, stderr bytes.Buffer
	cmd := d.restartCommand(ctx, j)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if cmd.ProcessState == nil {
		return report{}, err
	}
	d.check(err == nil, "hermes-gw restart %s exits 0: %v\n%s%s", j.target.Label, err, stdout.Bytes(), stderr.Bytes())
	var said struct {
		Results []report `json:"results"`
	}
	if err := json.Unmarshal(stdout.Bytes(), &said); err != nil || len(said.Results) != 1 {
		return report{}, fmt.Errorf("hermes-gw restart --json printed no result (%v): %s%s", err, stdout.Bytes(), stderr.Bytes())
	}
	d.check(said.Results[0].Target == j.target.String(), "the command found %s: it says %s", j.target, said.Results[0].Target)
	return said.Results[0], nil
}

// replaced checks that the job whose processes were old runs as a new one since
// time from, and that launchd was asked for nothing else meanwhile. It returns the
// job's new pid and the time without a gateway.
func (d *demo) replaced(ctx context.Context, j *job, old []*proc.Process, from int64) (pid int, noGateway time.Duration, err error) {
	gateway, err := d.watch.Running(ctx, j.home, j.gateway)
	if err != nil {
		return 0, 0, err
	}
	for _, p := range old {
		err := p.Wait(ctx)
		d.check(err == nil, "process %d of the old %s has ended: %v", p.Identity().PID, j.target, err)
	}
	ended, err := j.gateway.Gone(ctx)
	if err != nil {
		return 0, 0, err
	}
	j.gateway = gateway

	after, err := d.client.Job(ctx, j.target)
	if err != nil {
		return 0, 0, err
	}
	tree, err := d.tree(j)
	if err != nil {
		return 0, 0, err
	}
	root := tree[len(tree)-1].Identity()
	d.check(root.PID == after.PID, "the new gateway %d of %s runs in the tree of launchd's pid %d: its root is %d", gateway.PID, j.target, after.PID, root.PID)
	for _, p := range old {
		d.check(p.Identity() != root, "%s has another process than before: %d", j.target, root.PID)
	}
	d.check(gateway.Alive(), "the new gateway %d of %s is alive", gateway.PID, j.target)
	pid, err = j.saysRunning()
	d.check(err == nil && pid == gateway.PID, "the state file of %s says that gateway %d runs: %d, %v", j.target, gateway.PID, pid, err)

	asked, err := d.requests(ctx, j, from)
	if err != nil {
		return 0, 0, err
	}
	d.check(asked[kickstart] == 1, "one kickstart (702) restarted %s: %d did", j.target, asked[kickstart])
	d.check(asked[bootstrap]+asked[bootout]+asked[remove] == 0, "nothing unloaded or loaded %s: %v", j.target, asked)
	return after.PID, gateway.Since.Sub(ended), nil
}

// requests counts the requests about the job since time from, all that launchd has
// read until now: it asks for a label of its own and waits until the trace says so.
func (d *demo) requests(ctx context.Context, j *job, from int64) (map[uint64]int, error) {
	now := monotonic()
	marker := launchd.Target{Domain: j.target.Domain, Label: "hermes-gw.demo.marker"}
	if _, err := d.client.Print(ctx, marker); !errors.Is(err, launchd.ErrNotLoaded) {
		return nil, fmt.Errorf("ask for %s, which does not exist: %w", marker, err)
	}
	_, err := d.launchd.trace.wait(ctx, now, "request for "+marker.Label, func(e launchdsim.Event) bool {
		return e.Kind == "request" && e.Label == marker.Label
	})
	if err != nil {
		return nil, err
	}
	return count(d.launchd.trace.since(from), j.target.Label), nil
}

// times reads from the trace how long launchd took to answer the kickstart and how
// long the job had no process.
func (d *demo) times(ctx context.Context, j *job, from int64, old, new int) (request, noProcess time.Duration, err error) {
	find := func(what string, match func(launchdsim.Event) bool) (e launchdsim.Event) {
		if err == nil {
			e, err = d.launchd.trace.wait(ctx, from, what, match)
		}
		return e
	}
	asked := find("kickstart", func(e launchdsim.Event) bool {
		return e.Kind == "request" && e.Routine == kickstart && e.Label == j.target.Label
	})
	answered := find("answer to the kickstart", func(e launchdsim.Event) bool { return e.Kind == "reply" && e.ID == asked.ID })
	reaped := find("exit of the old process", func(e launchdsim.Event) bool { return e.Kind == "exit" && e.PID == old })
	spawned := find("spawn of the new process", func(e launchdsim.Event) bool { return e.Kind == "spawn" && e.PID == new })
	return time.Duration(answered.Time - asked.Time), time.Duration(spawned.Time - reaped.Time), err
}
