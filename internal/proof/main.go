// Command proof turns "nothing is lost, whatever dies" into figures: it kills the built
// command at its system calls, plays schedules of concurrent clients with faults, sends many
// requests over one client, and prints a table. It exits 0 only if every row holds.
//
//	go run ./internal/proof           the short form, 2 minutes
//	go run ./internal/proof -long     every kill point, 10,000 schedules; at most 30 minutes
//	go run ./internal/proof -fuzz 2m  every fuzz test for so long, found cases are kept
//	go run ./internal/proof -mutate   single-line faults, of which the tests must catch each
//	go run ./internal/proof -only kill,chaos,soak,darwin -v
//
// What launchd does is the embedded launchd's doing (internal/launchdsim): a model that
// supervises real processes, not Apple's.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// parts are what the short and the long form consist of.
var parts = []string{"kill", "darwin", "chaos", "soak"}

func main() {
	if len(os.Args) == 5 && os.Args[1] == roleTwoSteps {
		os.Exit(twoSteps(os.Args[2], os.Args[3], os.Args[4]))
	}
	if len(os.Args) == 5 && os.Args[1] == roleSoak {
		os.Exit(soakMain(os.Args[2], os.Args[3], os.Args[4]))
	}
	if len(os.Args) > 2 && os.Args[1] == roleFullDisk {
		os.Exit(fullDisk(os.Args[2:]))
	}
	if len(os.Args) > 1 && os.Args[1] == roleInit {
		os.Exit(first(os.Args[2:]))
	}
	os.Exit(run())
}

func run() int {
	runtime.LockOSThread() // the namespace ends with the thread that made it
	s := size{budget: 5 * time.Second}
	var fuzz time.Duration
	var mutate, verbose bool
	var only, match string
	flag.BoolVar(&s.long, "long", false, "everything: at most 30 minutes on two cores")
	flag.DurationVar(&fuzz, "fuzz", 0, "run every fuzz test for so long instead")
	flag.BoolVar(&mutate, "mutate", false, "see that the tests catch faults instead")
	flag.StringVar(&only, "only", "", "run only these `parts`: "+strings.Join(parts, ","))
	flag.StringVar(&match, "match", "", "run only rows, schedules or faults whose name has this `text`")
	flag.Uint64Var(&s.seed, "seed", 0, "of everything random; with -only chaos, replay this one schedule")
	flag.BoolVar(&verbose, "v", false, "print everything that failed")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "proof: unknown argument %q\n", flag.Arg(0))
		return 2
	}
	wanted := parts
	if only != "" {
		wanted = strings.Split(only, ",")
		for _, w := range wanted {
			if !slices.Contains(parts, w) {
				fmt.Fprintf(os.Stderr, "proof: there is no part %q, only %v\n", w, parts)
				return 2
			}
		}
	}
	if fuzz == 0 { // faults too: one in a sweep must hit nobody else
		if code, ran := alone(); ran {
			return code
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	r := &report{w: os.Stdout, verbose: verbose}
	switch {
	case mutate:
		proveMutations(ctx, r, match)
	case fuzz > 0:
		proveFuzz(ctx, r, fuzz, match)
	default:
		for _, part := range wanted {
			switch part {
			case "kill":
				proveKills(ctx, r, s, match)
			case "darwin":
				proveDarwin(ctx, r, s, match)
			case "chaos":
				proveChaos(ctx, r, s)
			case "soak":
				proveSoak(ctx, r, s)
			}
		}
	}
	if ctx.Err() != nil {
		fmt.Fprintln(os.Stderr, "proof: interrupted")
		return 130
	}
	r.table(os.Args[1:])
	if r.failed() {
		return 1
	}
	return 0
}

// proveKills does the rows of kills.
func proveKills(ctx context.Context, r *report, s size, match string) {
	inTurn(r, kills(), match, func(k killed) row { return k.run(ctx, s, systemCalls) })
}

// inTurn does the rows, two at a time.
func inTurn(r *report, cases []killed, match string, do func(killed) row) {
	var running sync.WaitGroup
	turns := make(chan struct{}, 2)
	for _, k := range cases {
		if !strings.Contains(k.what, match) {
			continue
		}
		turns <- struct{}{}
		running.Go(func() {
			defer func() { <-turns }()
			r.add(do(k))
		})
	}
	running.Wait()
}
