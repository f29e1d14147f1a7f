package main

import (
	"encoding/hex"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
	"github.com/hermes-gw/hermes-gw/internal/xpcwire"
	"github.com/hermes-gw/hermes-gw/launchd/launchdtest"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// BenchmarkRestartCommand restarts a gateway that ends at once by the built command, and reports,
// as medians in one run: the command's wall time, from its start to its end, above launchd's own
// (from request read to reply written, by the trace; requests at the same time count once);
// that of a Go program that only connects, writes a frame and reads one; and the bound that the
// first has to keep: the second and 8 ms.
//
//	go test -run '^$' -bench RestartCommand -benchtime 100x ./cmd/hermes-gw
func BenchmarkRestartCommand(b *testing.B) {
	f := fleet.New(b, fleet.Options{Outside: true, Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Oldest}}})
	bare := oneFrame(b)
	var above, floor []time.Duration
	for b.Loop() {
		gateway, m := f.GatewayPID("work"), f.Mark()
		// Force: more often than the guard allows.
		cmd := f.Prepare("restart", "-p", "work", "--force")
		took := timed(b, cmd)
		above = append(above, took-inLaunchd(b, f, m))
		floor = append(floor, bare())
		f.Running("work", gateway)
	}
	slices.Sort(above)
	slices.Sort(floor)
	over, least := above[len(above)/2], floor[len(floor)/2]
	b.ReportMetric(float64(over), "overhead-ns")
	b.ReportMetric(float64(least), "oneframe-ns")
	b.ReportMetric(float64(over)/float64(least+8*time.Millisecond), "of-bound")
}

// timed runs a command and returns how long that took.
func timed(b *testing.B, cmd *exec.Cmd) time.Duration {
	b.Helper()
	start := time.Now()
	err := cmd.Run()
	took := time.Since(start)
	if err != nil {
		b.Fatalf("%q: %v", cmd.Args, err)
	}
	return took
}

// inLaunchd is the time since m in which launchd had a request.
func inLaunchd(b *testing.B, f *fleet.Fleet, m launchdtest.Mark) (inside time.Duration) {
	b.Helper()
	for {
		open := map[uint64]bool{}
		var since time.Time
		inside = 0
		for _, e := range f.Trace(m) {
			switch e.Kind {
			case launchdtest.Request:
				if len(open) == 0 {
					since = e.Time
				}
				open[e.ID] = true
			case launchdtest.Reply:
				if delete(open, e.ID); len(open) == 0 {
					inside += e.Time.Sub(since)
				}
			}
		}
		if len(open) == 0 {
			return inside
		}
		runtime.Gosched() // a reply is noted a moment after it was written
	}
}

// oneFrame returns a function that runs the program that only connects, writes and reads, against a
// server that only reads and writes.
func oneFrame(b *testing.B) func() time.Duration {
	b.Helper()
	dir, err := os.MkdirTemp("", "one")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	program, socket := filepath.Join(dir, "oneframe"), filepath.Join(dir, "s")
	if err := goBuild(program, "../../internal/embedtest/oneframe", runtime.GOOS, runtime.GOARCH); err != nil {
		b.Fatal(err)
	}
	request, _, err := xpcwire.AppendRequest(nil, xpcwire.Request{Routine: 702, Magic: xpcwire.Magic},
		xpc.Dict{"type": uint64(8), "handle": uint64(501), "name": "ai.hermes.gateway", "kill": true, "unthrottle": true})
	if err != nil {
		b.Fatal(err)
	}
	reply, _, err := xpcwire.AppendReply(nil, xpcwire.Reply{Magic: xpcwire.Magic}, xpc.Dict{"pid": int64(1234)})
	if err != nil {
		b.Fatal(err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	go func() {
		buffer := make([]byte, len(request))
		for {
			c, err := l.AcceptUnix()
			if err != nil {
				return
			}
			if _, err := c.Read(buffer); err == nil {
				c.Write(reply)
			}
			c.Close()
		}
	}()
	return func() time.Duration { return timed(b, exec.Command(program, socket, hex.EncodeToString(request))) }
}
