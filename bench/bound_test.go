package main

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// What must hold on any machine, as ratios within one run; of-bound above 1 is too much.
const (
	listShare     = 1.0 / 20              // of running a program for it: a list of one job
	overFloor     = 1.5                   // times the floor: a request of the library ...
	aboveFloor    = 30 * time.Microsecond // ... or so much above it, whichever is more
	startShare    = 1.5                   // times that of the stand-in, the floor for programs: hermes-gw restart, from fork to first byte
	mostMemory    = 16 << 20              // bytes: hermes-gw restart
	mostSize      = 6e6                   // bytes: hermes-gw, stripped
	mostThreads   = 20                    // fewer: hermes-gw restart
	boundRequests = 50                    // for each program that is run
)

// BenchmarkBound measures the bounds.
//
//	go test -run '^$' -bench Bound -benchtime 100x ./bench
func BenchmarkBound(b *testing.B) {
	w := stage(b)
	b.Run("list-one", func(b *testing.B) {
		run := w.commands().find("launchctl").measure
		var warm, program []float64
		for b.Loop() {
			s := must[sample](b)(run(b.Context()))
			program = append(program, s[total])
			for range boundRequests {
				s := must[sample](b)(timed(w.list)(b.Context()))
				warm = append(warm, s[total])
			}
		}
		told(b, "warm", median(warm), "program", median(program))
		b.ReportMetric(median(warm)/(median(program)*listShare), "of-bound")
	})
	b.Run("round-trip", func(b *testing.B) {
		f := must[floor](b)(w.newFloor(routineList))
		exchange := timed(func(context.Context) error { return f.exchange() })
		var library, bare []float64
		for b.Loop() {
			for range boundRequests {
				library = append(library, must[sample](b)(timed(w.list)(b.Context()))[total])
				bare = append(bare, must[sample](b)(exchange(b.Context()))[total])
			}
		}
		told(b, "library", median(library), "floor", median(bare))
		b.ReportMetric(median(library)/max(overFloor*median(bare), median(bare)+float64(aboveFloor)), "of-bound")
	})
	b.Run("first-byte", func(b *testing.B) {
		g := must[group](b)(w.starts())
		got := make([][]sample, len(g.Methods))
		g.burst = 1
		for b.Loop() {
			if err := g.round(b.Context(), got); err != nil {
				b.Fatal(err)
			}
		}
		values := func(name string) (list []float64) {
			for i, m := range g.Methods {
				if m.Name == name {
					for _, s := range got[i] {
						list = append(list, s[firstByte])
					}
				}
			}
			return list
		}
		hermes, standIn := median(values("hermes-gw")), median(values("stand-in"))
		told(b, "hermes-gw", hermes, "stand-in", standIn)
		b.ReportMetric(median(values("bare")), "bare-ns")
		b.ReportMetric(hermes/(standIn*startShare), "of-bound")
	})
	b.Run("command", func(b *testing.B) {
		info, err := os.Stat(w.hermes)
		if err != nil {
			b.Fatal(err)
		}
		var most peak
		for b.Loop() {
			p := must[peak](b)(w.peakOfRestart(b.Context()))
			most.memory, most.threads = max(most.memory, p.memory), max(most.threads, p.threads)
		}
		b.ReportMetric(float64(info.Size()), "file-bytes")
		b.ReportMetric(float64(most.memory), "peak-bytes")
		b.ReportMetric(float64(most.threads), "threads")
		b.ReportMetric(max(float64(info.Size())/mostSize, float64(most.memory)/mostMemory, float64(most.threads)/(mostThreads-1)), "of-bound")
	})
}

func told(b *testing.B, name string, value float64, other string, otherValue float64) {
	b.ReportMetric(value, name+"-ns")
	b.ReportMetric(otherValue, other+"-ns")
}

// peak is the most that a process had.
type peak struct {
	memory  int64 // resident, in bytes
	threads int   // 0: not known
}

// peakOfRestart restarts the job by hermes-gw and watches it. The figure that the kernel gives
// the parent will not do on Linux: there it is the parent's own, where that is larger.
func (w *world) peakOfRestart(ctx context.Context) (p peak, err error) {
	if err := w.rest(ctx); err != nil {
		return p, err
	}
	cmd := exec.CommandContext(ctx, w.hermes, "restart", "--force", w.job.Target.String())
	cmd.Env = w.env
	if err := cmd.Start(); err != nil {
		return p, err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for running := true; running; {
		select {
		case err = <-done:
			running = false
		default:
			p.watch(cmd.Process.Pid)
			runtime.Gosched()
		}
	}
	if err != nil {
		return p, err
	}
	if runtime.GOOS == "darwin" {
		if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
			p.memory = int64(usage.Maxrss)
		}
	}
	if p.memory == 0 {
		return p, errNoPeak
	}
	w.now, err = w.arrived(ctx, w.now.pid)
	return p, err
}
