package main

import (
	"bufio"
	"context"
	"fmt"
	"os"

	"github.com/hermes-gw/hermes-gw/launchd"
)

// roleTwoStep makes this program the client with the founding bug.
const roleTwoStep = "bootout-and-bootstrap"

// bootedOut is what it prints between its two requests.
const bootedOut = "booted out"

// twoStep restarts a job in the way of `launchctl bootout` and `launchctl bootstrap`:
// it unloads it, waits until it is gone, and loads it again. Before the second step
// it says so and waits for a line.
func twoStep(socket, target, plist string) int {
	err := func() error {
		ctx := context.Background()
		t, err := launchd.ParseTarget(target)
		if err != nil {
			return err
		}
		client, err := launchd.Open(ctx, launchd.Options{Address: "unix:" + socket})
		if err != nil {
			return err
		}
		defer client.Close()
		if _, err := client.Stop(ctx, t); err != nil {
			return err
		}
		fmt.Println(bootedOut)
		if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
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
