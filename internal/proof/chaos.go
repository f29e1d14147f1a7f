package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"
)

// proveChaos plays schedules: in fake time, where a seed brings exactly the same about again,
// and with real processes.
func proveChaos(ctx context.Context, r *report, s size) {
	fake, real, first := 500, 3, uint64(1)
	if s.long {
		fake, real = 10_000, 200
	}
	if s.seed != 0 {
		fake, real, first = 1, 1, s.seed
	}
	r.add(fakeChaos(ctx, fake, first))
	if ctx.Err() == nil {
		r.add(realChaos(ctx, real, first, s))
	}
}

var chaosSum = regexp.MustCompile(`chaos: (\d+ schedules from seed \d+), (\d+) violations, (\d+) replayed alike; map\[(.*)\]`)

// fakeChaos runs the test that plays them: fake time (testing/synctest) is to be had in tests
// only, and the fake processes are within package launchd.
func fakeChaos(ctx context.Context, count int, seed uint64) row {
	began := time.Now()
	w := row{what: "chaos, deterministic", tried: fmt.Sprintf("%d schedules", count)}
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-v", "-timeout", "20m", "-run", "^TestChaos$", "./launchd")
	cmd.Env = append(os.Environ(), fmt.Sprint("HERMES_GW_CHAOS_SCHEDULES=", count), fmt.Sprint("HERMES_GW_CHAOS_SEED=", seed))
	output, err := cmd.CombinedOutput()
	w.took = time.Since(began)
	found := chaosSum.FindSubmatch(output)
	if found != nil {
		w.tried = string(found[1])
		w.figure = fmt.Sprintf("%s violations; %s schedules played twice, alike; met: %s", found[2], found[3], strings.ReplaceAll(string(found[4]), ":", " "))
	}
	if err != nil || found == nil {
		w.failed = append(w.failed, fmt.Sprintf("%v\n%s", err, tail(output)))
	}
	if count == 1 {
		fmt.Println(string(output)) // the log of the one schedule
	}
	return w
}
