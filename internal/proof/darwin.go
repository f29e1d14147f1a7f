package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
	"github.com/hermes-gw/hermes-gw/internal/proof/killpoint"
)

// darwinhostDir has a program that runs darwin builds on Linux; its README tells how.
const darwinhostDir = "../shared/darwinhost"

// proveDarwin kills the darwin build of the command at its calls of libSystem and libxpc, and
// soaks it. The launchd and its jobs are Linux programs, so there is no reload: they could not
// start its worker.
func proveDarwin(ctx context.Context, r *report, s size, match string) {
	host, gw, self, cleanup, err := buildDarwin(ctx)
	defer cleanup()
	if err != nil {
		w := row{what: "darwin build", tried: "nothing"}
		if errors.Is(err, os.ErrNotExist) {
			w.skipped = err.Error()
		} else {
			w.failed = append(w.failed, err.Error())
		}
		r.add(w)
		return
	}
	var cases []killed
	for _, k := range kills() {
		if k.loses || k.what == "reload, killed" {
			continue
		}
		k.sampled = strings.Contains(k.what, "--all") // some 2,000 calls, half a second each
		k.what = "darwin build: " + k.what
		args := k.args
		k.client = func(f *fleet.Fleet) *exec.Cmd { return onDarwinhost(f, host, gw, args(f)) }
		cases = append(cases, k)
	}
	s.budget = s.budget * 2 / 3
	inTurn(r, cases, match, func(k killed) row { return k.run(ctx, s, libCalls) })
	if strings.Contains("soak", match) {
		r.add(darwinSoak(ctx, s, host, self))
	}
}

// buildDarwin builds the host, and for darwin the command and this program.
func buildDarwin(ctx context.Context) (host, gw, self string, cleanup func(), err error) {
	cleanup = func() {}
	if runtime.GOOS+"/"+runtime.GOARCH != "linux/amd64" {
		return "", "", "", cleanup, fmt.Errorf("skipped: it needs linux/amd64: %w", os.ErrNotExist)
	}
	if _, err := os.Stat(darwinhostDir); err != nil {
		return "", "", "", cleanup, fmt.Errorf("skipped: there is no folder %s: %w", darwinhostDir, os.ErrNotExist)
	}
	dir, err := os.MkdirTemp("", "hgwdarwin")
	if err != nil {
		return "", "", "", cleanup, err
	}
	cleanup = func() { os.RemoveAll(dir) }
	build := exec.CommandContext(ctx, "sh", filepath.Join(darwinhostDir, "build.sh"), filepath.Join(dir, "host"))
	build.Stderr = os.Stderr
	out, err := build.Output()
	if err != nil {
		return "", "", "", cleanup, fmt.Errorf("build darwinhost: %w", err)
	}
	host, gw, self = strings.TrimSpace(string(out)), filepath.Join(dir, "hermes-gw"), filepath.Join(dir, "proof")
	for path, pkg := range map[string]string{gw: "./cmd/hermes-gw", self: "./internal/proof"} {
		cmd := exec.CommandContext(ctx, "go", "build", "-o", path, pkg)
		cmd.Env = append(os.Environ(), "GOOS=darwin", "GOARCH=amd64", "CGO_ENABLED=0")
		if text, err := cmd.CombinedOutput(); err != nil {
			return "", "", "", cleanup, fmt.Errorf("build %s for darwin: %w\n%s", pkg, err, tail(text))
		}
	}
	return host, gw, self, cleanup, nil
}

// onDarwinhost is a run of a darwin program for this fleet, which reaches launchd through libxpc.
func onDarwinhost(f *fleet.Fleet, host, program string, args []string) *exec.Cmd {
	cmd := f.Prepare()
	cmd.Path = host
	cmd.Args = append([]string{host, program}, args...)
	cmd.Env = slices.DeleteFunc(cmd.Env, func(v string) bool { return strings.HasPrefix(v, "HERMES_GW_LAUNCHD=") })
	cmd.Env = append(cmd.Env, "DARWINHOST_LAUNCHD="+strings.TrimPrefix(f.Address(), "unix:"), "DARWINHOST_RUNTIME=0")
	return cmd
}

// libCalls are darwinhost's means: it counts all calls but the Go runtime's own.
var libCalls = means{count: countLibCalls, kill: killAtLibCall, of: "libSystem calls"}

func killAtLibCall(ctx context.Context, cmd *exec.Cmd, n int) (killpoint.Result, error) {
	cmd.Env = append(cmd.Env, "DARWINHOST_KILL_AT="+strconv.Itoa(n))
	result, err := traceDarwin(ctx, cmd)
	result.Next = killpoint.Call{Number: n, Name: "of libSystem"}
	if i := slices.IndexFunc(result.Calls, func(c killpoint.Call) bool { return c.Number == n }); i >= 0 && result.Killed {
		result.Next, result.Calls = result.Calls[i], slices.Delete(result.Calls, i, i+1) // it is noted first, and then not made
	}
	return result, err
}

func runDarwin(ctx context.Context, cmd *exec.Cmd) (result killpoint.Result, err error) {
	if err := cmd.Start(); err != nil {
		return result, err
	}
	late := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	stop := context.AfterFunc(ctx, func() { cmd.Process.Kill() })
	cmd.Wait()
	stop()
	if !late.Stop() {
		return result, fmt.Errorf("%q did not end within %v", cmd.Args, patience)
	}
	result.Status = cmd.ProcessState.Sys().(syscall.WaitStatus)
	result.Killed = result.Status.Signaled() && result.Status.Signal() == syscall.SIGKILL
	if zero, err := fleet.ClockZero(); err == nil {
		result.At = time.Since(zero)
	}
	return result, ctx.Err()
}

// countLibCalls reads how many there are, and which one sends a request, from darwinhost's trace.
func countLibCalls(ctx context.Context, cmd *exec.Cmd, routines []uint64) (result killpoint.Result, calls, first int, err error) {
	result, err = traceDarwin(ctx, cmd)
	for _, c := range result.Calls {
		calls = max(calls, c.Number)
		if first == 0 && slices.Contains(routines, c.Routine) {
			first = c.Number
		}
	}
	return result, calls, first, err
}

// traceDarwin is runDarwin that tells of the calls.
func traceDarwin(ctx context.Context, cmd *exec.Cmd) (result killpoint.Result, err error) {
	trace, err := os.CreateTemp("", "hgwtrace")
	if err != nil {
		return result, err
	}
	defer os.Remove(trace.Name())
	defer trace.Close()
	cmd.Env = append(cmd.Env, "DARWINHOST_TRACE="+trace.Name())
	if result, err = runDarwin(ctx, cmd); err == nil {
		result.Calls, err = libCallsIn(trace)
	}
	return result, err
}

// lateCalls are so many at the end of which nobody knows whether they have come back: darwinhost
// notes calls when they are made, and not by which thread.
const lateCalls = 8

// libCallsIn reads darwinhost's trace: "PID N NAME(ARGUMENTS)", and after a call that sends a
// request "PID # request ROUTINE ...". They are in the order of their numbers.
func libCallsIn(trace io.Reader) (calls []killpoint.Call, err error) {
	lines := bufio.NewScanner(trace)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		switch {
		case len(words) < 3:
		case words[1] == "#" && words[2] == "request" && len(words) > 3 && len(calls) > 0:
			routine, _ := strconv.ParseUint(words[3], 10, 64)
			calls[len(calls)-1].Routine = routine
		case words[1] != "#":
			name, _, _ := strings.Cut(words[2], "(")
			if name == "kill" && strings.HasSuffix(lines.Text(), ", 0)") {
				name = "kill, of nothing" // it asks whether there is such a process
			}
			if n, err := strconv.Atoi(words[1]); err == nil {
				calls = append(calls, killpoint.Call{Number: n, Name: name})
			}
		}
	}
	slices.SortStableFunc(calls, func(a, b killpoint.Call) int { return a.Number - b.Number })
	for i := range calls {
		calls[i].Returned = i < len(calls)-lateCalls && calls[i].Routine == 0
	}
	return calls, lines.Err()
}

// darwinSoak is the soak of the darwin build, libxpc's objects included.
func darwinSoak(ctx context.Context, s size, host, self string) row {
	count := 2_000
	if s.long {
		count = 100_000
	}
	w := row{what: "darwin build: soak", tried: fmt.Sprintf("%d requests over one client", count)}
	began := time.Now()
	w.of(attempt(ctx, w.what, func(t *trial) {
		f := fleet.New(t, fleet.Options{Process: true, Outside: true, Profiles: []fleet.Profile{{Name: fleet.Default, Plist: fleet.Oldest}}})
		cmd := onDarwinhost(f, host, self, []string{roleSoak, "system", f.Gateways()[0].Target.String(), strconv.Itoa(count)})
		cmd.Env = append(cmd.Env, "DARWINHOST_XPC_LEAKS=1")
		var text strings.Builder
		first, last, err := footprintsTo(cmd, &text)
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range grew(first, last) {
			t.Error(g)
		}
		if !strings.Contains(text.String(), "xpc live objects: none") {
			t.Errorf("xpc objects are left: %s", &text)
		}
		w.figure = fmt.Sprintf("flat: no xpc objects left, %d descriptors, %d goroutines, %d threads, %d KiB in use (after a tenth: %d, %d, %d, %d KiB)",
			last.descriptors, last.goroutines, last.threads, last.heap>>10, first.descriptors, first.goroutines, first.threads, first.heap>>10)
	}))
	w.took = time.Since(began)
	return w
}
