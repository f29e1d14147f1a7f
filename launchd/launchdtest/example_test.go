package launchdtest_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"testing"
	"time"

	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/launchd/launchdtest"
)

// A program of one's own, outside of a test: New and Close in place of Start.
func Example() {
	l, err := launchdtest.New()
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()

	job := l.Job("org.example.agent", "/bin/sleep", "1000")
	result, err := l.Client.Restart(context.Background(), job, launchd.RestartOptions{})
	fmt.Println(result.Outcome, result.New != result.Old, err)
	// Output: restarted true <nil>
}

// restartAgent stands for the code under test.
func restartAgent(ctx context.Context, address string) error {
	client, err := launchd.Open(ctx, launchd.Options{Address: address})
	if err != nil {
		return err
	}
	defer client.Close()
	_, err = client.Restart(ctx, launchd.Target{Domain: launchd.GUI(os.Geteuid()), Label: "org.example.agent"}, launchd.RestartOptions{})
	return err
}

// In a test, everything is stopped and reaped at its end.
func ExampleStart() {
	testRestart := func(t *testing.T) { // TestRestart in a _test.go file
		l := launchdtest.Start(t)
		l.Job("org.example.agent", "/bin/sleep", "1000")
		if err := restartAgent(t.Context(), l.Address()); err != nil {
			t.Fatal(err)
		}
	}
	_ = testRestart
}

// A launchd that takes a restart and never answers, in one domain only.
func ExampleFaults() {
	l, err := launchdtest.New(launchdtest.Faults(launchdtest.Fault{
		Kind: launchdtest.Never, Routine: 702, Domain: launchd.GUI(os.Geteuid()),
	}))
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()

	job := l.Job("org.example.agent", "/bin/sleep", "1000")
	result, err := l.Client.Restart(context.Background(), job, launchd.RestartOptions{Timeout: 100 * time.Millisecond})
	fmt.Println(result.Outcome, err != nil)
	// Output: unknown true
}

// What launchd did, in its order.
func ExampleLaunchd_Trace() {
	l, err := launchdtest.New()
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()

	job := l.Job("org.example.agent", "/bin/sleep", "1000")
	ctx := context.Background()
	if _, err := l.Wait(ctx, 0, launchdtest.Became("running", job.Label)); err != nil {
		log.Fatal(err)
	}
	mark := l.Mark()
	if _, err := l.Client.Kickstart(ctx, job, launchd.KickstartOptions{Kill: true, Unthrottle: true}); err != nil {
		log.Fatal(err)
	}
	if _, err := l.Wait(ctx, mark, launchdtest.Became("running", job.Label)); err != nil {
		log.Fatal(err)
	}
	for _, e := range l.Trace(mark) {
		switch e.Kind {
		case launchdtest.Signal:
			fmt.Println("signal:", e.Signal)
		case launchdtest.Exit, launchdtest.Spawn:
			fmt.Println(e.Kind)
		case launchdtest.State:
			fmt.Println("state:", e.To)
		}
	}
	// Output:
	// signal: terminated
	// state: SIGTERMed
	// exit
	// state: exited
	// state: not running
	// state: spawning
	// state: xpcproxy
	// spawn
	// state: running
}
