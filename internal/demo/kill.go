package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"

	"github.com/hermes-gw/hermes-gw/internal/launchdsim"
	"github.com/hermes-gw/hermes-gw/launchd"
)

// killClients is the second act: the same job, restarted by two clients that are
// killed half-way.
func (d *demo) killClients(ctx context.Context, j *job) error {
	d.out.line("")
	d.out.line("2. the same job (%s), and the client is killed half-way (SIGKILL)", j.name)
	d.out.line("")
	if err := d.killTwoStep(ctx, j); err != nil {
		return fmt.Errorf("bootout and bootstrap of %s: %w", j.target, err)
	}
	if err := d.client.Bootstrap(ctx, j.target.Domain, d.paths.plist(j.shape)); err != nil {
		return err
	}
	gateway, err := d.watch.Running(ctx, j.home, j.gateway)
	if err != nil {
		return err
	}
	j.gateway = gateway
	d.out.line("")
	d.out.line("  (the demo has loaded the job again)")
	d.out.line("")
	if err := d.killOneRequest(ctx, j); err != nil {
		return fmt.Errorf("restart %s: %w", j.target, err)
	}
	return nil
}

// killTwoStep kills a client between its bootout and its bootstrap.
func (d *demo) killTwoStep(ctx context.Context, j *job) error {
	old, err := d.tree(j)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	from := monotonic()
	cmd := child(ctx, d.paths.top, self, roleTwoStep, d.paths.socket, j.target.String(), d.paths.plist(j.shape))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe() // it waits for a line that never comes
	if err != nil {
		return err
	}
	defer stdin.Close()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	line, readErr := bufio.NewReader(stdout).ReadString('\n')
	killed := kill(cmd)
	if strings.TrimSpace(line) != bootedOut {
		return fmt.Errorf("the client said %q (%v): %s", line, readErr, stderr.Bytes())
	}
	d.check(killed, "the client that had booted %s out was killed by SIGKILL: %v", j.target, cmd.ProcessState)
	d.out.line("  bootout + bootstrap  killed when the job was unloaded, before it was loaded again")

	for _, p := range old {
		err := p.Wait(ctx)
		d.check(err == nil, "process %d of the booted out %s has ended: %v", p.Identity().PID, j.target, err)
	}
	asked, err := d.requests(ctx, j, from)
	if err != nil {
		return err
	}
	d.check(asked[bootout] == 1 && asked[bootstrap] == 0, "one bootout (801) and no bootstrap (800) of %s: %v", j.target, asked)
	_, err = d.client.Job(ctx, j.target)
	if d.check(errors.Is(err, launchd.ErrNotLoaded), "%s is not loaded any more: launchd says %v", j.target, err) {
		d.out.line("                       -> GONE: not loaded, so KeepAlive cannot bring it back")
	}
	return nil
}

// killOneRequest kills hermes-gw restart once launchd has its request, while the old
// gateway still stops.
func (d *demo) killOneRequest(ctx context.Context, j *job) error {
	before, err := d.client.Job(ctx, j.target)
	if err != nil {
		return err
	}
	old, err := d.tree(j)
	if err != nil {
		return err
	}
	if err := j.gateway.Hold(ctx); err != nil {
		return err
	}
	from := monotonic()
	var output bytes.Buffer
	cmd := d.restartCommand(ctx, j)
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		return err
	}
	_, err = d.launchd.trace.wait(ctx, from, "kickstart of "+j.target.Label, func(e launchdsim.Event) bool {
		return e.Kind == "request" && e.Routine == kickstart && e.Label == j.target.Label
	})
	killed := kill(cmd)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, output.Bytes())
	}
	d.check(killed, "the command that had sent its request for %s was killed by SIGKILL: %v", j.target, cmd.ProcessState)
	if err := j.gateway.Stopping(ctx); err != nil {
		return err
	}
	answered := slices.ContainsFunc(d.launchd.trace.since(from), func(e launchdsim.Event) bool {
		return e.Kind == "reply" && e.Routine == kickstart
	})
	if d.check(j.gateway.Alive() && !answered, "the command was killed before the old gateway %d had ended and launchd had answered", j.gateway.PID) {
		d.out.line("  hermes-gw restart    killed when its one request was sent, before the answer")
	}
	j.gateway.Release()

	failed := len(d.failed)
	after, _, err := d.replaced(ctx, j, old, from)
	if err != nil {
		return err
	}
	d.check(after != before.PID, "%s has another pid than %d", j.target, before.PID)
	if len(d.failed) == failed {
		d.out.line("                       -> BACK: pid %d became %d, and its gateway runs", before.PID, after)
	}
	return nil
}

// kill ends the program with SIGKILL and reports whether that is what ended it.
func kill(cmd *exec.Cmd) bool {
	cmd.Process.Signal(syscall.SIGKILL)
	cmd.Wait()
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}
