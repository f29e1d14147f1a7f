package sweep_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/hermes-gw/hermes-gw/sweep"
)

// After all jobs were restarted: the gateways that launchd knows nothing of.
func ExampleSurvey() {
	ctx := context.Background()
	jobs := func(context.Context) ([]sweep.Managed, error) {
		// What launchd lists: one entry for each job that has a process.
		return []sweep.Managed{{PID: 4711, Label: "ai.hermes.gateway"}}, nil
	}
	since := sweep.Now()
	before, err := jobs(ctx)
	if err != nil {
		log.Fatal(err)
	}
	// The restarts go here.
	plan, err := sweep.Survey(ctx, os.Getuid(), jobs, sweep.Options{Since: since, Managed: before})
	if err != nil {
		log.Fatal(err) // nothing is known, so nothing is signalled
	}
	for _, p := range plan.Spared {
		fmt.Println(p.PID, "is left alone:", p.Reason)
	}
	report, err := sweep.Run(ctx, plan, sweep.RunOptions{Grace: 10 * time.Second})
	for _, r := range report.Results {
		fmt.Println(r.PID, r.Match.Profile, r.Outcome, r.Reason, r.Err)
	}
	if err != nil {
		log.Fatal(err)
	}
}
