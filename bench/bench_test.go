package main

import (
	"context"
	"os"
	"slices"
	"testing"

	"github.com/hermes-gw/hermes-gw/internal/xpcwire"
	"github.com/hermes-gw/hermes-gw/sweep"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// benchUnits are the names of metrics as benchstat reads them.
var benchUnits = map[metric]string{
	total: "ns/op", ready: "ready-ns/op", absent: "without-process-ns/op", launchds: "launchd-ns/op", clients: "client-ns/op",
	request: "request-ns/op", firstByte: "first-byte-ns/op", clientCPU: "client-cpu-ns/op", allocated: "B/op", objects: "allocs/op",
}

// repeat runs a method and reports the median of each of its metrics: means would tell of the
// slowest.
func repeat(b *testing.B, m method) {
	b.Helper()
	var all []sample
	for b.Loop() {
		s, err := m.measure(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, s)
	}
	for _, metric := range metrics {
		if values := slices.Concat(measured{all}.values(metric)...); len(values) > 0 {
			if metric == allocated || metric == objects {
				b.ReportAllocs() // or these two are not shown
			}
			b.ReportMetric(median(values), benchUnits[metric])
		}
	}
}

// BenchmarkRestart restarts a throwaway job of an embedded launchd.
//
//	go test -run '^$' -bench Restart -benchtime 50x -count 10 ./bench | benchstat -
func BenchmarkRestart(b *testing.B) {
	g := stage(b).restarts()
	for _, m := range g.Methods {
		b.Run(m.Name, func(b *testing.B) { repeat(b, m) })
	}
}

// BenchmarkRequest is one request of a client that is connected, BenchmarkFloor the same
// without the client: frames of the same sizes.
func BenchmarkRequest(b *testing.B) {
	w := stage(b)
	for name, ask := range map[string]func(context.Context) error{"list": w.list, "print-probe": w.probe} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := ask(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkFloor(b *testing.B) {
	w := stage(b)
	for name, routine := range map[string]uint64{"list": routineList, "print-probe": routinePrintService} {
		b.Run(name, func(b *testing.B) {
			f := must[floor](b)(w.newFloor(routine))
			b.ReportAllocs()
			for b.Loop() {
				if err := f.exchange(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkCLI runs a program that lists one job; BenchmarkStart one that asks for a restart,
// until its first byte.
func BenchmarkCLI(b *testing.B) {
	g := stage(b).commands()
	for _, name := range []string{"hermes-gw", "launchctl"} {
		b.Run(name, func(b *testing.B) { repeat(b, g.find(name)) })
	}
}

func BenchmarkStart(b *testing.B) {
	g := must[group](b)(stage(b).starts())
	for _, m := range g.Methods {
		b.Run(m.Name, func(b *testing.B) { repeat(b, m) })
	}
}

// BenchmarkFFI is what stands between a Go value and what is sent: here the wire format; on
// macOS libxpc's objects besides (ffi_darwin_test.go).
func BenchmarkFFI(b *testing.B) {
	msg := xpc.Dict{"type": uint64(8), "handle": uint64(501), "name": "ai.hermes.gateway", "kill": true, "unthrottle": true}
	frame, _, err := xpcwire.AppendRequest(nil, xpcwire.Request{Routine: routineKickstart, Magic: xpcwire.Magic}, msg)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("encode", func(b *testing.B) {
		var buf []byte
		b.ReportAllocs()
		for b.Loop() {
			if buf, _, err = xpcwire.AppendRequest(buf[:0], xpcwire.Request{Routine: routineKickstart, Magic: xpcwire.Magic}, msg); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, _, err := xpcwire.DecodeRequest[xpc.Dict](frame[4:], nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	libxpc(b, msg)
}

// BenchmarkSweep looks at the processes of this machine: how many there are is reported, too.
func BenchmarkSweep(b *testing.B) {
	var table sweep.Table
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := table.Read(b.Context(), -1); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(len(table.Rows())), "processes")
	})
	b.Run("plan", func(b *testing.B) {
		if err := table.Read(b.Context(), -1); err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			if _, err := sweep.NewPlan(b.Context(), &table, os.Geteuid(), sweep.Options{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("match", func(b *testing.B) {
		argv := []string{"/usr/bin/python3", "-m", "hermes_cli.main", "--profile", "work", "gateway", "run"}
		b.ReportAllocs()
		for b.Loop() {
			if m := (sweep.Matcher{}).Match(argv); m.Kind == "" {
				b.Fatal("no gateway")
			}
		}
	})
}
