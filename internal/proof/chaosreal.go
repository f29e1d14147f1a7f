package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
	"github.com/hermes-gw/hermes-gw/internal/embedtest/standin"
	"github.com/hermes-gw/hermes-gw/internal/proc"
	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/launchd/launchdtest"
)

// fullDisk makes this program execute another one that can write nothing: to no file by its
// limit, nor to stdout.
const roleFullDisk = "on-a-full-disk"

func fullDisk(args []string) int {
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 125
	}
	err := syscall.Exec(args[0], args, os.Environ())
	fmt.Fprintln(os.Stderr, err)
	return 125
}

// realRun is one run of the built command in a schedule.
type realRun struct {
	args    []string
	at      time.Duration
	kill    time.Duration // SIGKILL so long after its start; 0 is never
	full    bool          // its disk is full
	called  bool          // by the gateway that calls
	targets []string      // jobs that it is about

	pid            int
	began, ended   time.Time
	stdout, stderr bytes.Buffer
	code           int
	signal         syscall.Signal
}

func (x *realRun) String() string { return fmt.Sprintf("%q (process %d)", x.args, x.pid) }

// sums are what all real schedules came to.
type sums struct{ runs, killed, full, checked, crashes, spared, swept int }

// realChaos plays schedules with the built command, an embedded launchd in its own process, and
// jobs that are real processes. The seed says who does what when; the kernel says in which order
// what happens at once.
func realChaos(ctx context.Context, count int, first uint64, s size) row {
	began := time.Now()
	w := row{what: "chaos, real processes"}
	var total sums
	var mu sync.Mutex
	var running sync.WaitGroup
	turns := make(chan struct{}, 3)
	played := 0
	for i := range count {
		if ctx.Err() != nil || len(w.failed) > 20 {
			break
		}
		turns <- struct{}{}
		running.Go(func() {
			defer func() { <-turns }()
			seed := first + uint64(i)
			var one sums
			t := attempt(ctx, fmt.Sprint("seed ", seed), func(t *trial) { one = playReal(t, seed) })
			mu.Lock()
			defer mu.Unlock()
			played++
			total.runs += one.runs
			total.killed += one.killed
			total.full += one.full
			total.checked += one.checked
			total.crashes += one.crashes
			total.spared += one.spared
			total.swept += one.swept
			for i, f := range t.failures {
				w.failed = append(w.failed, fmt.Sprintf("seed %d: %s", seed, f))
				if i == len(t.failures)-1 { // another run of the seed may go another way: this is all that is known
					w.failed[len(w.failed)-1] += "\n" + strings.Join(t.logs, "\n")
				}
			}
		})
	}
	running.Wait()
	w.tried = fmt.Sprintf("%d schedules from seed %d: %d runs of the command, %d killed, %d on a full disk, %d gateways killed", played, first, total.runs, total.killed, total.full, total.crashes)
	w.figure = fmt.Sprintf("%d violations; %d reports were checked against launchd's trace, all jobs loaded and running at rest, %d bystanders lived and got no signal, %d strays were swept", len(w.failed), total.checked, total.spared, total.swept)
	if played >= 50 && total.swept == 0 && ctx.Err() == nil {
		w.failed = append(w.failed, "no schedule had a stray that was swept: that bystanders are spared says nothing")
	}
	w.took = time.Since(began)
	return w
}

// playReal plays one schedule.
func playReal(t *trial, seed uint64) (total sums) {
	draw := rand.New(rand.NewPCG(seed, 3))
	profiles := []fleet.Profile{{Name: fleet.Default}, {Name: "work"}, {Name: "play"}}[:1+draw.IntN(3)]
	for i := range profiles {
		profiles[i].Plist = fleet.Generations[draw.IntN(3)]
		profiles[i].Standin = fleet.Standin{Teardown: time.Duration(draw.IntN(50)) * time.Millisecond, Drain: time.Duration(draw.IntN(100)) * time.Millisecond}
	}
	f := fleet.New(t, fleet.Options{Profiles: profiles, Process: true, Outside: true, TimeScale: timeScale})
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	calls := rand.New(rand.NewPCG(seed, 4)).IntN(2) == 0
	crowd := gather(t, f, profiles[0].Name, calls)
	mark := f.Mark()
	var runs []*realRun
	for range 2 + draw.IntN(19) {
		p := profiles[draw.IntN(len(profiles))].Name
		g := f.Gateway(p)
		x := &realRun{at: time.Duration(draw.Int64N(int64(1500 * time.Millisecond))), targets: []string{g.Target.String()}}
		switch draw.IntN(10) {
		case 0, 1, 2, 3:
			x.args = []string{"restart", "--force", "--json", "-p", p}
		case 4:
			x.args = []string{"restart", "--force", "--json", "--graceful", "--force-after", "2s", "-p", p}
		case 5:
			x.args = []string{"restart", "--force", "--json", "--all"}
			x.about(f, calls)
		case 6:
			x.args = []string{"stop", "--json", g.Target.String()}
		case 7:
			x.args = []string{"start", "--json", "--plist", g.Plist, g.Target.String()}
		case 8:
			x.args = []string{"reload", "--json", "--plist", g.Plist, g.Target.String()}
		case 9:
			x.args = []string{"status", "--json"}
		}
		x.args = append(x.args, "--timeout", "30s")
		if draw.IntN(5) == 0 {
			x.kill = time.Duration(1 + draw.Int64N(int64(60*time.Millisecond)))
		}
		x.full = draw.IntN(6) == 0
		runs = append(runs, x)
	}
	if calls && !slices.ContainsFunc(runs, func(x *realRun) bool { return x.called }) {
		x := &realRun{args: []string{"restart", "--force", "--json", "--all", "--timeout", "30s"}, at: time.Second}
		x.about(f, calls)
		runs = append(runs, x)
	}
	crashes := make([]time.Duration, draw.IntN(3))
	for i := range crashes {
		crashes[i] = time.Duration(draw.Int64N(int64(1500 * time.Millisecond)))
	}
	v := evidence{runs: runs, own: os.Getpid(), from: mark}
	var killing sync.Mutex
	var all sync.WaitGroup
	defer all.Wait()
	for _, x := range runs {
		if x.called {
			continue
		}
		cmd := f.Prepare(x.args...)
		cmd.Stdout, cmd.Stderr = &x.stdout, &x.stderr
		if x.full {
			cmd.Args = append([]string{self, roleFullDisk, cmd.Path}, cmd.Args[1:]...)
			cmd.Path = self
			if full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0); err == nil {
				cmd.Stdout = full
				t.Cleanup(func() { full.Close() })
			}
		}
		all.Go(func() { x.run(t, cmd) })
	}
	for i, at := range crashes {
		p := profiles[i%len(profiles)].Name
		all.Go(func() {
			time.Sleep(at)
			for _, g := range gatewaysOf(f, p) {
				killing.Lock()
				v.killed = append(v.killed, g.PID)
				killing.Unlock()
				g.Signal(syscall.SIGKILL)
			}
		})
	}
	crowd.call(f, runs)
	all.Wait()
	total.crashes = len(crashes)
	for _, g := range f.Gateways() {
		v.jobs = append(v.jobs, g.Target)
		if slices.ContainsFunc(profiles, func(p fleet.Profile) bool { return p.Name == g.Profile && p.Plist == fleet.Oldest }) {
			v.bare = append(v.bare, g.Label)
		}
	}
	rest(t, f, v)
	v.trace, v.others = f.Trace(0), crowd.witnesses(f)
	for _, x := range runs {
		total.runs++
		if x.full {
			total.full++
		}
		if x.signal == syscall.SIGKILL {
			total.killed++
		}
	}
	for _, w := range v.others {
		switch {
		case w.job != "":
		case w.stray && w.ended:
			total.swept++
		case !w.stray:
			total.spared++
		}
	}
	total.checked, _ = v.reports()
	for _, text := range v.violations() {
		t.Errorf("%s", text)
	}
	intactIn(t, f.StateDir)
	if t.Failed() {
		t.Logf("%s", v.story())
	}
	return total
}

// about makes it a run that is about all jobs. Where a gateway calls it, nobody else does: another sweep
// would take that gateway for the stray that it is.
func (x *realRun) about(f *fleet.Fleet, called bool) {
	x.called, x.targets = called, nil
	for _, g := range f.Gateways() {
		x.targets = append(x.targets, g.Target.String())
	}
}

// gatewaysOf are the gateways of a profile's job.
func gatewaysOf(f *fleet.Fleet, profile string) []*fleet.Process {
	return slices.DeleteFunc(f.Processes(profile), func(p *fleet.Process) bool { return p.Role != standin.RoleGateway || p.Tag != "" })
}

// runLimit is what a run may take: its --timeout, and what a loaded machine takes.
const runLimit = 45 * time.Second

// run runs it at its time.
func (x *realRun) run(t *trial, cmd *exec.Cmd) {
	time.Sleep(x.at)
	x.began = time.Now()
	if err := cmd.Start(); err != nil {
		t.Errorf("%q: %v", x.args, err)
		return
	}
	x.pid = cmd.Process.Pid
	var timers []*time.Timer
	if x.kill > 0 {
		timers = append(timers, time.AfterFunc(x.kill, func() { cmd.Process.Kill() }))
	}
	timers = append(timers, time.AfterFunc(runLimit, func() { cmd.Process.Kill() }))
	cmd.Wait()
	for _, timer := range timers {
		timer.Stop()
	}
	x.ended = time.Now()
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		x.signal = status.Signal()
	}
	x.code = cmd.ProcessState.ExitCode()
	if strings.Contains(x.stderr.String(), "panic:") || x.code == 2 {
		t.Errorf("%q: exit %d, %s", x.args, x.code, &x.stderr)
	}
}

// rest waits until nothing happens any more, and checks what is left.
func rest(t *trial, f *fleet.Fleet, v evidence) {
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	for _, g := range f.Gateways() {
		for {
			mark := f.Mark()
			jobs, err := f.Client.List(ctx, g.Target.Domain)
			if err != nil {
				t.Fatal(err)
			}
			busy, loaded := false, false
			for _, j := range jobs {
				busy = busy || isWorker(j.Label) || j.Label == g.Label && j.PID == 0
				loaded = loaded || j.Label == g.Label
			}
			if !busy && loaded {
				// One that a client asked to unload and did not live to see gone is still there.
				job, err := f.Client.Inspect(ctx, g.Target)
				if err == nil && job.State == launchd.StateRunning {
					break
				}
				if err != nil && !errors.Is(err, launchd.ErrNotLoaded) {
					t.Fatal(err)
				}
				if busy = err == nil; !busy {
					continue
				}
			}
			if !busy {
				v.trace = f.Trace(0)
				if why := v.lost(g.Target); why != "" {
					t.Errorf("%s", why)
				}
				// Stopped as a whole: a start works.
				if _, err := f.Client.Start(ctx, g.Target, g.Plist); err != nil && !errors.Is(err, launchd.ErrAlreadyLoaded) {
					t.Fatalf("a start at rest: %v", err)
				}
				continue
			}
			f.Wait(mark, func(e launchdtest.Event) bool { return e.Kind == launchdtest.State || e.Kind == launchdtest.Exit })
		}
	}
	f.AllRunning()
	for _, g := range f.Gateways() {
		list, job := settled(ctx, f, g)
		var gateways []int
		for _, p := range list {
			gateways = append(gateways, p.PID)
		}
		if len(gateways) != 1 || !within(gateways[0], job) {
			t.Errorf("%s has the gateways %v at rest, and process %d", g.Label, gateways, job)
		}
	}
}

// settled waits until a job has one gateway, in its own process tree: what is left of the tree before can
// end later than its first process, and be the only one that runs until then.
func settled(ctx context.Context, f *fleet.Fleet, g fleet.Gateway) (list []*fleet.Process, job int) {
	for {
		j, err := f.Client.Job(ctx, g.Target)
		list = gatewaysOf(f, g.Profile)
		switch {
		case ctx.Err() != nil:
			return list, job
		case err == nil && len(list) == 1 && within(list[0].PID, j.PID):
			return list, j.PID
		case len(list) == 0:
			f.AllRunning()
			continue
		}
		job = j.PID
		select {
		case <-list[0].Gone():
		case <-ctx.Done():
			return list, job
		}
	}
}

// within reports whether a process is one of those that began with another.
func within(pid, top int) bool {
	above, err := proc.Ancestors(pid)
	return pid == top || err == nil && slices.ContainsFunc(above, func(a proc.Identity) bool { return a.PID == top })
}

// intactIn fails if a file in a folder is there by its own name and not whole. What was being
// written has another name.
func intactIn(t *trial, dir string) {
	filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".json") || strings.HasPrefix(d.Name(), ".") {
			return nil
		}
		b, err := os.ReadFile(path)
		if err == nil && !json.Valid(b) {
			t.Errorf("%s is not whole: %q", filepath.Base(path), b)
		}
		return nil
	})
}
