package launchdsim

import (
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/xpcwire"
)

// What the server may cost, against a server that does nothing but read and write
// the same frames.
const (
	leastRate = 1.0 / 3 // of the floor's requests a second, one client
	mostTail  = 5       // times the floor's p99, 50 clients
)

// floor serves replies of the given bytes to any frame.
func floor(b *testing.B, path string, reply []byte) {
	b.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	go func() {
		for {
			raw, err := l.AcceptUnix()
			if err != nil {
				return
			}
			go func() {
				defer raw.Close()
				c := xpcwire.NewConn(raw)
				for {
					if _, _, err := c.ReadFrame(); err != nil {
						return
					}
					if err := c.WriteFrame(reply, nil); err != nil {
						return
					}
				}
			}()
		}
	}()
}

// contest is a server with a few jobs and its floor, and the one request that
// both get: what is the job with this name (815, type 7).
type contest struct {
	server, floor string
	request       []byte
}

func newContest(b *testing.B) contest {
	b.Helper()
	s, dir := serve(b, Options{}, nil)
	f := &fixture{t: b, dir: dir, socket: filepath.Join(dir, "s")}
	for _, name := range []string{"one", "two", "three"} {
		if err := s.Load(f.write(name, sleeper+atLoad)); err != nil {
			b.Fatal(err)
		}
	}
	m := contest{server: f.socket, floor: filepath.Join(dir, "floor")}
	var err error
	m.request, _, err = xpcwire.AppendRequest(nil, xpcwire.Request{Routine: 815, Magic: xpcwire.Magic}, inDomain(domainRequestor, 0, dict{"name": "two"}))
	if err != nil {
		b.Fatal(err)
	}
	c := f.dial()
	for c.call(708, gui(dict{"name": "two"}))["error"] != int64(einval) { // until it has settled
	}
	service := c.call(815, inDomain(domainRequestor, 0, dict{"name": "two"}))["service"]
	if d, _ := service.(dict); d["Label"] != "two" || d["PID"] == nil {
		b.Fatalf("list: %v", service)
	}
	reply, _, err := xpcwire.AppendReply(nil, xpcwire.Reply{Magic: xpcwire.Magic}, dict{"service": service})
	if err != nil {
		b.Fatal(err)
	}
	floor(b, m.floor, reply)
	return m
}

// exchange is one request, and how long its reply took.
func (m contest) exchange(c *client) (time.Duration, error) {
	begin := time.Now()
	if err := c.c.WriteFrame(m.request, nil); err != nil {
		return 0, err
	}
	_, fds, err := c.c.ReadFrame()
	xpcwire.CloseAll(fds)
	return time.Since(begin), err
}

// clients sends n requests by as many clients at once and returns how long each took.
func (m contest) clients(b *testing.B, socket string, clients, n int) []time.Duration {
	b.Helper()
	took := make([][]time.Duration, clients)
	var wg sync.WaitGroup
	for i := range clients {
		c, err := dialSocket(socket)
		if err != nil {
			b.Fatal(err)
		}
		wg.Go(func() {
			defer c.c.Close()
			for range n/clients + 1 {
				d, err := m.exchange(c)
				if err != nil {
					b.Error(err)
					return
				}
				took[i] = append(took[i], d)
			}
		})
	}
	wg.Wait()
	return slices.Concat(took...)
}

// BenchmarkListOne: requests a second from one client. The two take turns, so that
// whatever else the machine does hits both.
func BenchmarkListOne(b *testing.B) {
	const batch = 1000
	m := newContest(b)
	var server, floor time.Duration
	for b.Loop() {
		for _, side := range []struct {
			socket string
			total  *time.Duration
		}{{m.server, &server}, {m.floor, &floor}} {
			for _, d := range m.clients(b, side.socket, 1, batch) {
				*side.total += d
			}
		}
	}
	rounds := b.N * (batch + 1)
	b.ReportMetric(float64(rounds)/server.Seconds(), "req/s")
	b.ReportMetric(float64(rounds)/floor.Seconds(), "floor-req/s")
	b.ReportMetric(floor.Seconds()/server.Seconds(), "of-floor")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkListOne50: the slowest hundredth of the requests from 50 clients at once.
func BenchmarkListOne50(b *testing.B) {
	m := newContest(b)
	var server, floor []time.Duration
	for b.Loop() {
		server = append(server, m.clients(b, m.server, 50, 5000)...)
		floor = append(floor, m.clients(b, m.floor, 50, 5000)...)
	}
	p99 := func(all []time.Duration) time.Duration {
		slices.Sort(all)
		return all[len(all)*99/100]
	}
	s, f := p99(server), p99(floor)
	b.ReportMetric(float64(s.Microseconds()), "p99-us")
	b.ReportMetric(float64(f.Microseconds()), "floor-p99-us")
	b.ReportMetric(float64(s)/float64(f), "times-floor")
	b.ReportMetric(0, "ns/op")
}

// The bounds hold; the benchmarks give the figures.
func TestFigures(t *testing.T) {
	if !long() {
		t.Skip("a comparison of times: HERMES_GW_LONG=1 runs it")
	}
	for _, bound := range []struct {
		name  string
		bench func(*testing.B)
		unit  string
		holds func(float64) bool
	}{
		{"ListOne", BenchmarkListOne, "of-floor", func(ratio float64) bool { return ratio >= leastRate }},
		{"ListOne50", BenchmarkListOne50, "times-floor", func(ratio float64) bool { return ratio <= mostTail }},
	} {
		r := testing.Benchmark(bound.bench)
		t.Logf("%s: %v", bound.name, r.Extra)
		if ratio, measured := r.Extra[bound.unit]; !measured || !bound.holds(ratio) {
			t.Errorf("%s: %.2f %s", bound.name, ratio, bound.unit)
		}
	}
}
