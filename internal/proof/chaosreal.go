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
	args     []string
	at       time.Duration
	kill     time.Duration // SIGKILL so long after its start; 0 is never
	full     bool          // its disk is full
	profiles []string      // that it is about

	began, ended   time.Time
	stdout, stderr bytes.Buffer
	code           int
	signal         syscall.Signal
}

// sums are what all real schedules came to.
type sums struct{ runs, killed, full, restarted, pids, crashes int }

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
			total.restarted += one.restarted
			total.pids += one.pids
			total.crashes += one.crashes
			for _, f := range t.failures {
				w.failed = append(w.failed, fmt.Sprintf("seed %d: %s", seed, f))
			}
		})
	}
	running.Wait()
	w.tried = fmt.Sprintf("%d schedules from seed %d: %d runs of the command, %d killed, %d on a full disk, %d gateways killed", played, first, total.runs, total.killed, total.full, total.crashes)
	w.figure = fmt.Sprintf("%d violations; %d reports of a restart were checked against launchd's trace, all jobs loaded and running at rest", len(w.failed), total.restarted)
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
	mark := f.Mark()
	unloading := map[string]bool{}
	var runs []*realRun
	for range 2 + draw.IntN(19) {
		p := profiles[draw.IntN(len(profiles))].Name
		g := f.Gateway(p)
		x := &realRun{at: time.Duration(draw.Int64N(int64(1500 * time.Millisecond))), profiles: []string{p}}
		switch draw.IntN(10) {
		case 0, 1, 2, 3:
			x.args = []string{"restart", "--force", "--json", "-p", p}
		case 4:
			x.args = []string{"restart", "--force", "--json", "--graceful", "--force-after", "2s", "-p", p}
		case 5:
			x.args = []string{"restart", "--force", "--json", "--all"}
			x.profiles = nil
			for _, p := range profiles {
				x.profiles = append(x.profiles, p.Name)
			}
		case 6:
			x.args = []string{"stop", "--json", g.Target.String()}
			unloading[g.Label] = true
		case 7:
			x.args = []string{"start", "--json", "--plist", g.Plist, g.Target.String()}
		case 8:
			x.args = []string{"reload", "--json", "--plist", g.Plist, g.Target.String()}
			unloading[g.Label] = true
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
	crashes := make([]time.Duration, draw.IntN(3))
	for i := range crashes {
		crashes[i] = time.Duration(draw.Int64N(int64(1500 * time.Millisecond)))
	}
	var all sync.WaitGroup
	for _, x := range runs {
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
			for _, g := range f.Processes(p) {
				if g.Role == standin.RoleGateway {
					g.Signal(syscall.SIGKILL)
				}
			}
		})
	}
	all.Wait()
	total.crashes = len(crashes)
	rest(t, f, unloading)
	trace := f.Trace(mark)
	for _, x := range runs {
		total.runs++
		if x.full {
			total.full++
		}
		if x.signal == syscall.SIGKILL {
			total.killed++
			continue
		}
		total.restarted += x.true(t, f, trace)
	}
	for _, e := range trace {
		switch {
		case e.Kind == launchdtest.Request && (e.Routine == bootout || e.Routine == remove) && e.Label == "":
			t.Errorf("a request to unload without a name: %v", e)
		case e.Kind == launchdtest.Reply && e.Routine == bootout && e.Code == 0 && !unloading[e.Label] && !isWorker(e.Label):
			t.Errorf("%s was unloaded, and nobody asked for that: %v", e.Label, e)
		}
	}
	intactIn(t, f.StateDir)
	return total
}

// run runs it at its time.
func (x *realRun) run(t *trial, cmd *exec.Cmd) {
	time.Sleep(x.at)
	x.began = time.Now()
	if err := cmd.Start(); err != nil {
		t.Errorf("%q: %v", x.args, err)
		return
	}
	var timers []*time.Timer
	if x.kill > 0 {
		timers = append(timers, time.AfterFunc(x.kill, func() { cmd.Process.Kill() }))
	}
	const limit = 45 * time.Second // its --timeout, and what a loaded machine takes
	timers = append(timers, time.AfterFunc(limit, func() {
		t.Errorf("%q has not ended after %v", x.args, limit)
		cmd.Process.Kill()
	}))
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
	if x.signal != 0 && x.signal != syscall.SIGKILL {
		t.Errorf("%q ended by %v: %s", x.args, x.signal, &x.stderr)
	}
	if strings.Contains(x.stderr.String(), "panic:") || x.code == 2 {
		t.Errorf("%q: exit %d, %s", x.args, x.code, &x.stderr)
	}
}

// true holds the report of a restart to launchd's trace: the new process was the job's, and began
// after the command did.
func (x *realRun) true(t *trial, f *fleet.Fleet, trace []launchdtest.Event) (checked int) {
	if x.args[0] != "restart" || x.stdout.Len() == 0 {
		return 0
	}
	var report struct {
		Results []struct {
			Target string `json:"target"`
			State  string `json:"state"`
			Old    int    `json:"old_pid"`
			New    int    `json:"new_pid"`
		} `json:"results"`
	}
	const nothingThere = 5 // all jobs were stopped at that moment
	if err := json.Unmarshal(x.stdout.Bytes(), &report); err != nil || len(report.Results) == 0 && x.code != nothingThere {
		t.Errorf("%q: exit %d, its report: %v: %s", x.args, x.code, err, &x.stdout)
		return 0
	}
	for _, one := range report.Results {
		if one.State != "restarted" {
			continue
		}
		checked++
		ok := slices.ContainsFunc(trace, func(e launchdtest.Event) bool {
			return e.Kind == launchdtest.Spawn && e.Domain+"/"+e.Label == one.Target && e.PID == one.New && e.Time.After(x.began) && e.Time.Before(x.ended)
		})
		if !ok || one.New == one.Old {
			t.Errorf("%q reports %+v, which the trace does not have", x.args, one)
		}
	}
	return checked
}

// rest waits until nothing happens any more, and checks what is left.
func rest(t *trial, f *fleet.Fleet, unloading map[string]bool) {
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
				break
			}
			if !busy {
				if !unloading[g.Label] {
					t.Errorf("%s is lost", g.Label)
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
		var gateways []int
		for _, p := range f.Processes(g.Profile) {
			if p.Role == standin.RoleGateway {
				gateways = append(gateways, p.PID)
			}
		}
		if len(gateways) != 1 {
			t.Errorf("%s has the gateways %v at rest", g.Label, gateways)
		}
	}
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
