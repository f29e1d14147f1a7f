package hermesgw_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	hermesgw "github.com/hermes-gw/hermes-gw"
	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/launchd/launchdtest"
)

// restartGateways is shown in README.md.
func restartGateways(ctx context.Context, client *launchd.Client) error {
	in, err := hermesgw.Locate(hermesgw.Where{UID: os.Getuid(), HermesHome: os.Getenv("HERMES_HOME")})
	if err != nil {
		return err
	}
	report, err := hermesgw.New(in, client, hermesgw.Options{}).Restart(ctx, hermesgw.RestartOptions{
		Select: hermesgw.Selection{All: true},
	})
	if err != nil {
		return err
	}
	for _, r := range report.Results {
		fmt.Println(r.Profile, r.Outcome, r.Err) // r.Old and r.New are the pids
	}
	return nil
}

// What README.md shows: a program restarts the gateways of an installation; here of one that an embedded launchd has.
// On a Mac, launchd.Open(ctx, launchd.Options{}) gives a Client of the real one.
func Example_readme() {
	root, err := os.MkdirTemp("", "hermes")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(root)
	if root, err = filepath.EvalSymlinks(root); err != nil {
		log.Fatal(err)
	}
	os.Setenv("HERMES_HOME", root)
	defer os.Unsetenv("HERMES_HOME")
	in, err := hermesgw.Locate(hermesgw.Where{UID: os.Getuid(), HermesHome: root})
	if err != nil {
		log.Fatal(err)
	}
	l, err := launchdtest.New()
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	l.LoadKeys(launchdtest.Keys{
		"Label":                in.Label(root),
		"ProgramArguments":     []string{"/bin/sleep", "1000"},
		"EnvironmentVariables": map[string]string{"HERMES_HOME": root},
		"RunAtLoad":            true,
	})
	if err := restartGateways(context.Background(), l.Client); err != nil {
		log.Fatal(err)
	}
	// Output: default restarted <nil>
}
