package launchd_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/launchdsim"
	"github.com/hermes-gw/hermes-gw/internal/xpcwire"
	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// BenchmarkRestartOverhead restarts a job and reports, as medians in one run: what a
// restart takes above launchd's own time (from request read to reply written, by the
// trace; requests at the same time count once), a bare ping-pong of frames of the size of its kickstart, and the bound that the
// first has to keep: three times the second and 100 µs.
//
//	go test -run '^$' -bench RestartOverhead -benchtime 200x ./launchd
func BenchmarkRestartOverhead(b *testing.B) {
	dir, err := os.MkdirTemp("", "over")
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(dir)
	var mu sync.Mutex
	var inside time.Duration // with at least one request in launchd
	var since int64
	began := map[uint64]bool{}
	server := launchdsim.New(launchdsim.Options{OnEvent: func(e launchdsim.Event) {
		mu.Lock()
		defer mu.Unlock()
		switch e.Kind {
		case "request":
			if len(began) == 0 {
				since = e.Time
			}
			began[e.ID] = true
		case "reply":
			delete(began, e.ID)
			if len(began) == 0 {
				inside += time.Duration(e.Time - since)
			}
		}
	}})
	listen := func(name string) *net.UnixListener {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, name), Net: "unix"})
		if err != nil {
			b.Fatal(err)
		}
		return l
	}
	go server.Serve(listen("s"))
	defer server.Close()
	plist := filepath.Join(dir, "a.plist")
	text := `<plist version="1.0"><dict><key>Label</key><string>a</string><key>ProgramArguments</key><array><string>/bin/sleep</string><string>1000</string></array><key>RunAtLoad</key><true/></dict></plist>`
	if err := os.WriteFile(plist, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	if err := server.Load(plist); err != nil {
		b.Fatal(err)
	}
	ctx := context.Background()
	client, err := launchd.Open(ctx, launchd.Options{Address: "unix:" + filepath.Join(dir, "s")})
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	ping := pingPong(b, listen("echo"))

	target := launchd.Target{Domain: launchd.GUI(os.Geteuid()), Label: "a"}
	var above, bare []time.Duration
	// answered locks mu when launchd has noted all replies: it does so after it wrote
	// them, so the last one may still be under way.
	answered := func() {
		for mu.Lock(); len(began) > 0; mu.Lock() {
			mu.Unlock()
			runtime.Gosched()
		}
	}
	for b.Loop() {
		answered()
		inside = 0
		mu.Unlock()
		start := time.Now()
		res, err := client.Restart(ctx, target, launchd.RestartOptions{})
		took := time.Since(start)
		if err != nil || res.Outcome != launchd.OutcomeRestarted {
			b.Fatal(res, err)
		}
		answered()
		above = append(above, took-inside)
		mu.Unlock()
		bare = append(bare, ping())
	}
	slices.Sort(above)
	slices.Sort(bare)
	over, floor := above[len(above)/2], bare[len(bare)/2]
	b.ReportMetric(float64(over), "overhead-ns")
	b.ReportMetric(float64(floor), "pingpong-ns")
	b.ReportMetric(float64(over)/float64(3*floor+100*time.Microsecond), "of-bound")
}

// pingPong returns a function that times one exchange of frames of a kickstart's size
// with a server that only reads and writes.
func pingPong(b *testing.B, l *net.UnixListener) func() time.Duration {
	request, _, err := xpcwire.AppendRequest(nil, xpcwire.Request{Routine: 702, Magic: xpcwire.Magic},
		xpc.Dict{"type": uint64(8), "handle": uint64(501), "name": "a", "kill": true, "unthrottle": true})
	if err != nil {
		b.Fatal(err)
	}
	reply, _, err := xpcwire.AppendReply(nil, xpcwire.Reply{Magic: xpcwire.Magic}, xpc.Dict{"pid": int64(1234)})
	if err != nil {
		b.Fatal(err)
	}
	go func() {
		c, err := l.AcceptUnix()
		if err != nil {
			return
		}
		defer c.Close()
		buf := make([]byte, len(request))
		for {
			if _, err := c.Read(buf); err != nil {
				return
			}
			c.Write(reply)
		}
	}()
	c, err := net.DialUnix("unix", nil, l.Addr().(*net.UnixAddr))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close(); l.Close() })
	buf := make([]byte, len(reply))
	return func() time.Duration {
		start := time.Now()
		if _, err := c.Write(request); err != nil {
			b.Fatal(err)
		}
		if _, err := c.Read(buf); err != nil {
			b.Fatal(err)
		}
		return time.Since(start)
	}
}
