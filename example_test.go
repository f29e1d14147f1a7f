package hermesgw_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	hermesgw "github.com/hermes-gw/hermes-gw"
	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/launchd/launchdtest"
)

// `hermes gateway restart`, in a Hermes that is a Go program: gatewayRestart is the whole of it.
// It may be run anywhere, by the gateway itself, too. The example runs it against an embedded
// launchd; on a Mac the address is "".
func Example() {
	address, stateDir, done := hermesWithAGateway()
	defer done()

	code := gatewayRestart(address, stateDir, hermesgw.Selection{All: true})
	fmt.Println("exit", code)
	// Output:
	// default: restarted
	// exit 0
}

// gatewayRestart restarts gateways and returns the exit code of the program. stateDir is a
// folder of the user's own, such as ~/Library/Caches/hermes-gw. main begins with
//
//	signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE) // a terminal that closes ends no restart
//	if len(os.Args) > 1 && os.Args[1] == "reload-worker" {
//		if err := launchd.ReloadWorker(context.Background(), os.Args[2:]); err != nil {
//			log.Fatal(err)
//		}
//		return
//	}
func gatewayRestart(address, stateDir string, which hermesgw.Selection) int {
	// Ctrl-C ends the wait, not what was asked of launchd.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()

	in, err := hermesgw.Locate(hermesgw.Where{UID: os.Getuid(), HermesHome: os.Getenv("HERMES_HOME")})
	if err != nil {
		log.Print(err)
		return 1
	}
	client, err := launchd.Open(ctx, launchd.Options{Address: address})
	if err != nil {
		log.Print(err)
		return 1
	}
	defer client.Close()
	self, err := os.Executable()
	if err != nil {
		log.Print(err)
		return 1
	}
	hermes := hermesgw.New(in, client, hermesgw.Options{
		StateDir: stateDir,
		Command:  "hermes gateway restart",
		Address:  address,
		// The last resort where launchd lets nobody restart a job.
		Reload: launchd.ReloadOptions{
			Program:  []string{self, "reload-worker"},
			StateDir: filepath.Join(stateDir, "reload"),
			Address:  address,
		},
	})
	report, err := hermes.Restart(ctx, hermesgw.RestartOptions{
		Select: which,
		// Run by the gateway itself, this program may end with it: the report comes first.
		Sending: func(sofar hermesgw.Report) { tell(sofar) },
	})
	switch {
	case err != nil:
		log.Print(err)
		return 1
	case !report.OK():
		tell(report)
		return 1
	}
	for _, r := range report.Results {
		if r.Outcome == launchd.OutcomeRequested { // was told before
			return 4
		}
	}
	tell(report)
	return 0
}

// tell writes what became of each gateway.
func tell(report hermesgw.Report) {
	for _, r := range report.Results {
		fmt.Printf("%s: %s\n", r.Profile, r.Outcome)
		for _, warning := range r.Warnings {
			fmt.Fprintln(os.Stderr, warning)
		}
		if r.Err != nil {
			fmt.Fprintln(os.Stderr, r.Err, r.Remedy())
		}
	}
}

// hermesWithAGateway is an installation of Hermes in a folder of its own, whose gateway runs
// in a job of an embedded launchd.
func hermesWithAGateway() (address, stateDir string, done func()) {
	dir, err := os.MkdirTemp("", "hermes")
	if err != nil {
		log.Fatal(err)
	}
	os.Setenv("HERMES_HOME", dir)
	in, err := hermesgw.Locate(hermesgw.Where{UID: os.Getuid(), HermesHome: dir})
	if err != nil {
		log.Fatal(err)
	}
	gateway, err := in.Profile("")
	if err != nil {
		log.Fatal(err)
	}
	l, err := launchdtest.New()
	if err != nil {
		log.Fatal(err)
	}
	l.LoadKeys(launchdtest.Keys{
		"Label":                gateway.Label,
		"ProgramArguments":     []string{"/bin/sleep", "1000"}, // hermes gateway run
		"EnvironmentVariables": map[string]any{"HERMES_HOME": gateway.Home},
		"RunAtLoad":            true,
		"KeepAlive":            true,
	})
	return l.Address(), filepath.Join(dir, "state"), func() {
		l.Close()
		os.Unsetenv("HERMES_HOME")
		os.RemoveAll(dir)
	}
}
