package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/demo/watch"
	"github.com/hermes-gw/hermes-gw/internal/proc"
	"github.com/hermes-gw/hermes-gw/launchd"
)

// demo is what the acts share.
type demo struct {
	*claims
	out     *output
	paths   paths
	launchd *embedded
	client  *launchd.Client
	watch   *watch.Watch
	held    []*proc.Process // every process seen in a job
}

// job is a loaded job with its gateway of the moment.
type job struct {
	shape
	target  launchd.Target
	home    string
	gateway *watch.Gateway
}

// maxSocketPath is what sun_path holds on macOS, the smaller of the two, less its
// NUL.
const maxSocketPath = 103

// play runs the acts and cleans up after them, whichever way they end.
func play(ctx context.Context, cancel context.CancelCauseFunc, out *output, c *claims) (err error) {
	out.line("The launchd of this demo is the embedded one: a model of launchd that supervises")
	out.line("real processes, for development and tests. It is not macOS.")
	out.line("")

	top, err := temporary()
	if err != nil {
		return err
	}
	d := &demo{claims: c, out: out, paths: layOut(top)}
	interrupted := ctx.Done()
	defer func() {
		if err != nil || len(c.failed) > 0 {
			// What made a step fail, such as the end of the embedded launchd, may be noticed
			// a moment after what the step saw of it.
			select {
			case <-interrupted:
			case <-time.After(500 * time.Millisecond):
			}
			d.logs(os.Stderr)
		}
		if ended := d.cleanUp(); err == nil {
			err = ended
		}
	}()
	for _, dir := range []string{d.paths.bin, d.paths.agents, d.paths.root} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
	}

	out.line("building the command, the embedded launchd and a stand-in for Hermes")
	if err := build(ctx, d.paths); err != nil {
		return err
	}
	ctx, stop := context.WithTimeoutCause(ctx, playTimeout, fmt.Errorf("not done after %v", playTimeout))
	defer stop()

	if d.watch, err = watch.Listen(d.paths.watch); err != nil {
		return err
	}
	if d.launchd, err = startLaunchd(ctx, cancel, d.paths); err != nil {
		return err
	}
	if d.client, err = launchd.Open(ctx, launchd.Options{Address: "unix:" + d.paths.socket}); err != nil {
		return err
	}
	out.line("embedded launchd runs, pid %d", d.launchd.pid())

	jobs, err := d.loadJobs(ctx)
	if err != nil {
		return err
	}
	if err := d.restartAll(ctx, jobs); err != nil {
		return err
	}
	if err := d.killClients(ctx, jobs[1]); err != nil {
		return err
	}
	return d.end()
}

// temporary makes the folder for everything, 0700 and with a path short enough for
// the sockets in it.
func temporary() (string, error) {
	for _, parent := range []string{"", "/tmp"} {
		top, err := os.MkdirTemp(parent, "hgw-demo-")
		if err != nil {
			return "", err
		}
		// macOS names its temporary folders through a symbolic link.
		real, err := filepath.EvalSymlinks(top)
		if err == nil && len(layOut(real).socket) <= maxSocketPath {
			return real, nil
		}
		os.Remove(top)
		if err != nil {
			return "", err
		}
	}
	return "", errors.New("no temporary folder has a path that is short enough for a Unix socket")
}

// loadJobs writes one property list for each shape, loads them and waits until
// their gateways run.
func (d *demo) loadJobs(ctx context.Context) ([]*job, error) {
	d.out.line("")
	d.out.line("jobs")
	var jobs []*job
	domain := launchd.GUI(os.Geteuid())
	for _, s := range shapes {
		if err := d.paths.writePlist(s); err != nil {
			return nil, err
		}
		if err := d.client.Bootstrap(ctx, domain, d.paths.plist(s)); err != nil {
			return nil, err
		}
		j := &job{shape: s, target: launchd.Target{Domain: domain, Label: s.label()}, home: d.paths.home(s.name)}
		var err error
		if j.gateway, err = d.watch.Running(ctx, j.home, nil); err != nil {
			return nil, err
		}
		if _, err := d.tree(j); err != nil { // held from the start, so that cleaning up waits for it
			return nil, err
		}
		d.out.line("  %-27s %s", j.target.Label, j.processes)
		jobs = append(jobs, j)
	}
	return jobs, nil
}

// tree holds the processes of the job, from its gateway up to the one that launchd
// started.
func (d *demo) tree(j *job) ([]*proc.Process, error) {
	above, err := proc.Ancestors(j.gateway.PID)
	if err != nil {
		return nil, err
	}
	pids := []int{j.gateway.PID}
	for _, a := range above {
		if a.PID == d.launchd.pid() {
			break
		}
		pids = append(pids, a.PID)
	}
	var tree []*proc.Process
	for _, pid := range pids {
		p, err := proc.Open(pid)
		if err != nil {
			return nil, fmt.Errorf("process %d of %s: %w", pid, j.target, err)
		}
		tree = append(tree, p)
		d.held = append(d.held, p)
	}
	return tree, nil
}

// saysRunning reads the state file that the job's gateway wrote about itself.
func (j *job) saysRunning() (pid int, err error) {
	data, err := os.ReadFile(filepath.Join(j.home, "gateway_state.json"))
	if err != nil {
		return 0, err
	}
	var state struct {
		PID   int    `json:"pid"`
		Home  string `json:"hermes_home"`
		State string `json:"gateway_state"`
	}
	if err := json.Unmarshal(data, &state); err != nil {
		return 0, err
	}
	if state.State != "running" || state.Home != j.home {
		return 0, fmt.Errorf("the state file of %s says %q for %s", j.home, state.State, state.Home)
	}
	return state.PID, nil
}

// end stops the embedded launchd, which stops its jobs, and checks that nothing is
// left.
func (d *demo) end() error {
	err := d.launchd.stop()
	d.check(err == nil, "the embedded launchd stops its jobs and ends with exit code 0: %v", err)
	err = d.waitHeld()
	d.check(err == nil, "every process that was seen in a job has ended: %v", err)

	ctx, stop := context.WithTimeout(context.Background(), stopTimeout)
	defer stop()
	if err := d.launchd.trace.complete(ctx); err != nil {
		return err
	}
	left := map[int]bool{}
	for _, e := range d.launchd.trace.since(0) {
		switch e.Kind {
		case "spawn":
			left[e.PID] = true
		case "exit":
			delete(left, e.PID)
		}
	}
	d.check(len(left) == 0, "every process that the embedded launchd started has ended: %d have not", len(left))

	err = d.cleanUp()
	_, statErr := os.Lstat(d.paths.top)
	d.check(err == nil && errors.Is(statErr, fs.ErrNotExist), "the temporary folder is gone: %v", err)
	d.out.line("")
	d.out.line("The embedded launchd has ended with all its jobs; the temporary folder is removed.")
	return nil
}

// waitHeld waits for the end of every process that was seen in a job.
func (d *demo) waitHeld() error {
	ctx, stop := context.WithTimeout(context.Background(), stopTimeout)
	defer stop()
	for _, p := range d.held {
		if err := p.Wait(ctx); err != nil {
			return fmt.Errorf("process %d: %w", p.Identity().PID, err)
		}
	}
	return nil
}

// cleanUp ends every process of the demo and removes its folder, however far the
// demo came. It may be called again.
func (d *demo) cleanUp() error {
	if d.client != nil {
		d.client.Close()
	}
	if d.watch != nil {
		d.watch.Release() // a stop that is held would take its whole exit timeout
	}
	var err error
	if d.launchd != nil {
		err = d.launchd.stop()
	}
	if d.watch != nil {
		d.watch.Close() // a gateway that is still there ends itself
	}
	err = errors.Join(err, d.waitHeld())
	for _, p := range d.held {
		p.Close()
	}
	d.held = nil
	return errors.Join(err, os.RemoveAll(d.paths.top))
}

// logs prints the last lines of what the embedded launchd and the gateways logged,
// for somebody who looks for the cause of a failure.
func (d *demo) logs(w io.Writer) {
	files := []string{filepath.Join(d.paths.top, "launchd.log")}
	for _, s := range shapes {
		files = append(files, d.paths.log(s.name, "gateway.log"), d.paths.log(s.name, "gateway.error.log"))
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil || len(data) == 0 {
			continue
		}
		lines := strings.Split(strings.TrimSpace(string(data)), "\n")
		fmt.Fprintf(w, "--- end of %s\n%s\n", file, strings.Join(lines[max(0, len(lines)-15):], "\n"))
	}
}

// ms prints a duration as a reader compares them.
func ms(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}
