// Command selfrestart stands in for a Hermes that embeds package hermesgw: it is the gateway's
// own program, in a job of launchd's, and restarts itself.
//
//	hermes gateway run        the gateway, until SIGTERM or SIGUSR1; restarts itself on request, see serve
//	hermes gateway restart    restarts the gateway of HERMES_HOME from outside, and prints the report
//	hermes reload-worker ...  what launchd runs where the job has to be loaded anew
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	hermesgw "github.com/hermes-gw/hermes-gw"
	"github.com/hermes-gw/hermes-gw/launchd"
)

// Variables of the environment, besides HERMES_HOME.
const (
	envLaunchd = "HERMES_GW_LAUNCHD"   // an embedded launchd; not set: this Mac's
	envState   = "HERMES_GW_STATE_DIR" // a folder for locks, and for the notes of a reload
)

// workerWord makes this program the worker of a reload.
const workerWord = "reload-worker"

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	var err error
	code := 0
	switch words := strings.Join(args, " "); {
	case len(args) > 0 && args[0] == workerWord:
		err = launchd.ReloadWorker(context.Background(), args[1:])
	case strings.HasPrefix(words, "gateway run"):
		code, err = gateway()
	case words == "gateway restart":
		err = restart(os.Stdout)
	default:
		err = fmt.Errorf("use gateway run or gateway restart, not %q", args)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "hermes:", err)
		return 1
	}
	return code
}

// installation opens this Hermes' installation, and the launchd that runs its gateways.
func installation(ctx context.Context, command string) (*hermesgw.Hermes, *launchd.Client, error) {
	in, err := hermesgw.Locate(hermesgw.Where{UID: os.Getuid(), HermesHome: os.Getenv("HERMES_HOME")})
	if err != nil {
		return nil, nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	o := hermesgw.Options{StateDir: os.Getenv(envState), Command: command, Address: os.Getenv(envLaunchd)}
	o.Reload = launchd.ReloadOptions{Program: []string{self, workerWord}, StateDir: filepath.Join(o.StateDir, "reload"), Address: o.Address}
	client, err := launchd.Open(ctx, launchd.Options{Address: o.Address})
	if err != nil {
		return nil, nil, err
	}
	return hermesgw.New(in, client, o), client, nil
}

// restart restarts the gateway of HERMES_HOME and writes the report.
func restart(to *os.File) error {
	ctx := context.Background()
	h, client, err := installation(ctx, "hermes gateway restart")
	if err != nil {
		return err
	}
	defer client.Close()
	report, err := h.Restart(ctx, hermesgw.RestartOptions{Wait: hermesgw.WaitReady})
	if err != nil {
		return err
	}
	return json.NewEncoder(to).Encode(report)
}
