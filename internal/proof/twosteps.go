package main

import (
	"context"
	"fmt"
	"os"

	"github.com/hermes-gw/hermes-gw/launchd"
)

// roleTwoSteps makes this program the client of the comparison.
const roleTwoSteps = "bootout-and-bootstrap"

// twoSteps restarts a job as `launchctl bootout` and `launchctl bootstrap` do: it unloads it,
// waits until it is gone, and loads it again.
func twoSteps(address, target, plist string) int {
	err := func() error {
		ctx := context.Background()
		t, err := launchd.ParseTarget(target)
		if err != nil {
			return err
		}
		client, err := launchd.Open(ctx, launchd.Options{Address: address})
		if err != nil {
			return err
		}
		defer client.Close()
		if _, err := client.Stop(ctx, t); err != nil {
			return err
		}
		return client.Bootstrap(ctx, t.Domain, plist)
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bootout and bootstrap:", err)
		return 1
	}
	return 0
}
