package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/proc"
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
	t.Setenv("TMPDIR", t.TempDir())
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
	restart, restarts := groups[0].methods[0].measure, 0
	groups[0].methods[0].measure = func(ctx context.Context) (sample, error) {
		if restarts++; restarts == 5 {
			time.AfterFunc(5*time.Millisecond, func() { cancel(interruption{syscall.SIGTERM}) })
		}
		return restart(ctx)
	}
	err = stretch(ctx, groups, 1000, map[string]measured{})
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
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) > 0 {
		t.Error(left, err)
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
	if _, err := parse([]string{"-h"}, &bytes.Buffer{}); !errors.Is(err, flag.ErrHelp) || exitOf(err, &bytes.Buffer{}) != 0 {
		t.Error(err)
	}
}
