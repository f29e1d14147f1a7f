package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/proc"
	"github.com/hermes-gw/hermes-gw/sweep"
)

// The whole program on real processes, but for its building.
func TestSmoke(t *testing.T) {
	bin := built(t)
	dir := t.TempDir()
	o, err := parse([]string{"-n", "2", "--json", "--svg", filepath.Join(dir, "a.svg")}, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	var progress, out bytes.Buffer
	r, err := measure(t.Context(), o, bin, look(t.Context()), &progress)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.tell(r, nil, &out); err != nil {
		t.Fatal(err)
	}
	var read report
	if err := json.Unmarshal(out.Bytes(), &read); err != nil {
		t.Fatal(err)
	}
	e := read.Environment
	if e.Live || !e.StandIn || e.Cores != runtime.NumCPU() || !strings.Contains(e.Launchd, "embedded") || !strings.Contains(e.Launchctl, "stand-in") {
		t.Errorf("%+v", e)
	}
	for _, method := range []string{"xpc", "hermes-gw", "launchctl", "bootout-bootstrap", "hermes-today"} {
		for _, m := range []metric{total, ready, absent, launchds, clients, clientCPU} {
			if row := rowOf(t, &read, method, m); row.N != 2 || row.Median < 0 || row.Median == 0 && m != clientCPU || row.Max > 60e9 {
				t.Errorf("%+v", row)
			}
		}
	}
	// With two steps the job has no process for as long as it takes to run a program.
	two, one := rowOf(t, &read, "bootout-bootstrap", absent), rowOf(t, &read, "xpc", allocated)
	if two.Median < 100e3 || one.Median == 0 {
		t.Errorf("%+v %+v", two, one)
	}
	if b, err := os.ReadFile(o.svg); err != nil || !bytes.HasPrefix(b, []byte("<svg ")) {
		t.Error(err)
	}
	if text := out.String(); strings.Contains(text, bin) || strings.Contains(text, os.TempDir()+"/bench") {
		t.Errorf("a path of this machine: %s", text)
	}
}

// A run that is interrupted in the middle of a restart leaves nothing: no job, no process, no
// file.
func TestInterrupted(t *testing.T) {
	bin := built(t)
	dir := shortTemp(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	var w *world
	w, err := newWorld(ctx, setup{}, bin)
	if err != nil {
		t.Fatal(errors.Join(err, w.close(context.Background())))
	}
	daemon, echo := w.daemon.cmd.Process.Pid, w.echo.cmd.Process.Pid
	job, err := proc.Open(w.now.pid)
	if err != nil {
		t.Fatal(err)
	}
	defer job.Close()
	groups, err := w.groups()
	if err != nil {
		t.Fatal(err)
	}
	restart, restarts := groups[0].Methods[0].measure, 0
	groups[0].Methods[0].measure = func(ctx context.Context) (sample, error) {
		if restarts++; restarts == 5 {
			time.AfterFunc(5*time.Millisecond, func() { cancel(interruption{syscall.SIGTERM}) })
		}
		return restart(ctx)
	}
	_, err = stretch(ctx, groups, 1000)
	if err = why(ctx, err); exitOf(err, &bytes.Buffer{}) != 128+int(syscall.SIGTERM) {
		t.Error(err)
	}
	if err := w.close(ctx); err != nil {
		t.Error(err)
	}
	for _, pid := range []int{daemon, echo, w.now.pid} {
		if err := syscall.Kill(pid, 0); err != syscall.ESRCH {
			t.Errorf("process %d is still there: %v", pid, err)
		}
	}
	bounded, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	if err := job.Wait(bounded); err != nil {
		t.Error("the first job's process:", err)
	}
	noneIn(t, dir)
}

// noneIn wants dir to be empty, and no process that was given a path in it.
func noneIn(t *testing.T, dir string) {
	t.Helper()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Error(left, err)
	}
	for pid, argv := range processesIn(t, dir) {
		t.Errorf("process %d is still there: %q", pid, argv)
	}
}

// processesIn are those that were given a path in dir.
func processesIn(t *testing.T, dir string) map[int][]string {
	t.Helper()
	var table sweep.Table
	if err := table.Read(t.Context(), -1); err != nil {
		t.Fatal(err)
	}
	found := map[int][]string{}
	for p := range table.All() {
		if argv, _ := table.Args(p); strings.Contains(strings.Join(argv, " "), dir+"/") {
			found[p.PID] = argv
		}
	}
	return found
}

// shortTemp makes TMPDIR a folder that is empty, and short enough to be used.
func shortTemp(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "b")
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	t.Setenv("TMPDIR", dir)
	return dir
}

// The process of a stretch cleans up when it is interrupted, at whatever moment.
func TestStretchInterrupted(t *testing.T) {
	bin := built(t)
	for _, after := range []time.Duration{0, 30 * time.Millisecond, 100 * time.Millisecond, 300 * time.Millisecond} {
		t.Run(after.String(), func(t *testing.T) {
			dir := shortTemp(t)
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(after, func() { cancel(interruption{syscall.SIGINT}) })
			_, err := order{Bin: bin, Rounds: 1000}.apart(ctx)
			if _, left := errors.AsType[leftovers](err); err == nil || left {
				t.Error(err)
			}
			if err := why(ctx, err); exitOf(err, io.Discard) != 128+int(syscall.SIGINT) || !strings.Contains(err.Error(), "everything was cleaned up") {
				t.Error(err)
			}
			noneIn(t, dir)
		})
	}
}

// One that is killed tells nothing: nobody says that it cleaned up. What it started ends by itself.
func TestStretchKilled(t *testing.T) {
	bin, dir := built(t), shortTemp(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := order{Bin: bin, Rounds: 1000}.apart(ctx)
		failed <- err
	}()
	within := func(done func() bool) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal(processesIn(t, dir))
			}
		}
	}
	within(func() bool {
		var table sweep.Table
		if err := table.Read(t.Context(), -1); err != nil {
			t.Fatal(err)
		}
		for pid, argv := range processesIn(t, dir) {
			if len(argv) < 2 || argv[1] != roleJob {
				continue
			}
			if above := table.Ancestors(pid); len(above) > 2 && above[2].PID == os.Getpid() { // launchd, the stretch, this one
				return syscall.Kill(above[1].PID, syscall.SIGKILL) == nil
			}
		}
		return false
	})
	err := <-failed
	cancel(interruption{syscall.SIGINT})
	if _, left := errors.AsType[leftovers](err); !left || strings.Contains(why(ctx, err).Error(), "everything") {
		t.Error(why(ctx, err))
	}
	within(func() bool { return len(processesIn(t, dir)) == 0 })
}

// What went wrong in the process of a stretch is told as if there were no process between.
func TestStretchTells(t *testing.T) {
	for _, p := range []part{{}, {Error: "a"}, {Error: "a", Usage: true}, {Left: "b"}, {Error: "a", Left: "b"}} {
		err := p.err()
		_, usage := errors.AsType[usageError](err)
		left, isLeft := errors.AsType[leftovers](err)
		if usage != p.Usage || isLeft != (p.Left != "") || isLeft && left.Error() != p.Left || (err == nil) != (p.Error+p.Left == "") || err != nil && !strings.HasPrefix(err.Error(), p.Error) {
			t.Errorf("%+v: %v", p, err)
		}
	}
	_, err := order{Bin: built(t), Methods: []string{"nothing"}, Rounds: 1}.apart(t.Context())
	if exitOf(err, io.Discard) != 2 || !strings.Contains(err.Error(), "nothing") {
		t.Error(err)
	}
}

// Something that could not be cleaned up is told, whatever ended the run.
func TestLeftoversAreTold(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(interruption{syscall.SIGINT})
	if err := why(ctx, errors.New("x")); !strings.Contains(err.Error(), "everything was cleaned up") {
		t.Error(err)
	}
	var said bytes.Buffer
	exit := exitOf(why(ctx, leftovers{errors.New("clean up: the job is still loaded")}), &said)
	if strings.Contains(said.String(), "everything") || !strings.Contains(said.String(), "still loaded") || exit != 128+int(syscall.SIGINT) {
		t.Errorf("exit code %d: %s", exit, said.String())
	}
}

func TestParse(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	o, err := parse([]string{"--method", "xpc", "--method=CLI", "-n", "7", "--json", "--launchctl", self}, &bytes.Buffer{})
	if err != nil || !slices.Equal(o.methods, []string{"xpc", "CLI"}) || o.pairs != 7 || !o.json || o.live || o.launchctl != self {
		t.Errorf("%+v, %v", o, err)
	}
	for _, line := range []string{"-n 0", "-n x", "-n 1000000", "what", "--launchctl /nothing/there", "--launchctl /", "--wrong"} {
		if _, err := parse(strings.Fields(line), &bytes.Buffer{}); exitOf(err, &bytes.Buffer{}) != 2 {
			t.Errorf("%q: %v", line, err)
		}
	}
	if runtime.GOOS != "darwin" {
		if _, err := parse([]string{"--live"}, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "Mac") {
			t.Error(err)
		}
	}
	// A restart of a Mac's launchd needs a second before it. Elsewhere --live is refused, and read all the same.
	for line, pairs := range map[string]int{"": usualPairs, "--live": usualPairsLive, "--live -n 7": 7, "-n 1200 --live": 1200} {
		if o, _ := parse(strings.Fields(line), &bytes.Buffer{}); o.pairs != pairs {
			t.Errorf("%q: %d pairs, want %d", line, o.pairs, pairs)
		}
	}
	if _, err := parse([]string{"-h"}, &bytes.Buffer{}); !errors.Is(err, flag.ErrHelp) || exitOf(err, &bytes.Buffer{}) != 0 {
		t.Error(err)
	}
}
