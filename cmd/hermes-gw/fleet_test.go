package main

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	hermesgw "github.com/hermes-gw/hermes-gw"
	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/launchd/launchdtest"
)

// typed prepares a command line of /bin/sh in which hermes-gw is the built command, with the
// surroundings that fleet.Prepare gives it.
func typed(t *testing.T, f *fleet.Fleet, line string) *exec.Cmd {
	t.Helper()
	fleet.NeedsShell(t)
	cmd := f.Prepare("here")
	n := len(cmd.Args) - 2
	gw := cmd.Args[n]
	if n == 0 { // no program around it
		gw, cmd.Path = cmd.Path, "/bin/sh"
	}
	cmd.Args = append(cmd.Args[:n:n], "/bin/sh", "-c", line)
	setenv(cmd, "PATH", filepath.Dir(gw)+":"+os.Getenv("PATH"))
	return cmd
}

// setenv replaces a variable of a command.
func setenv(cmd *exec.Cmd, name, value string) {
	for i, v := range cmd.Env {
		if strings.HasPrefix(v, name+"=") {
			cmd.Env[i] = name + "=" + value
			return
		}
	}
	cmd.Env = append(cmd.Env, name+"="+value)
}

// found is a finding as programs see it.
type found struct {
	Target, Profile, ID, Problem, Command, Advice string
}

// doctor asks for what is wrong.
func doctor(t *testing.T, f *fleet.Fleet) (list []found) {
	t.Helper()
	o := f.Command("doctor", "--json")
	var doc struct {
		ExitCode int `json:"exit_code"`
		Results  []found
	}
	if err := json.Unmarshal([]byte(o.Stdout), &doc); err != nil {
		t.Fatalf("doctor --json: %v\n%s%s", err, o.Stdout, o.Stderr)
	}
	want := exitOK
	if len(doc.Results) > 0 {
		want = exitFailed
	}
	if o.Code != want || doc.ExitCode != want {
		t.Errorf("doctor: %d findings, exit code %d, %d in JSON", len(doc.Results), o.Code, doc.ExitCode)
	}
	return doc.Results
}

// contextFor bounds a wait for an event.
func contextFor(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), patience)
}

// asked828or708 is a look at the jobs.
func asked828or708(e launchdtest.Event) bool {
	return e.Kind == launchdtest.Request && (e.Routine == 828 || e.Routine == 708)
}

func itoa(n int) string { return strconv.Itoa(n) }

// Of a process that the process table has not shown nobody knows whether it is a gateway.
func TestTreeOfAProcessThatWasNotSeen(t *testing.T) {
	r := gatewayResult{Gateway: hermesgw.Gateway{Job: launchd.Job{PID: 93}}}
	if got := r.tree(); got != "93" {
		t.Errorf("%q", got)
	}
}
