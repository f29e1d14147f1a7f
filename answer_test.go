package hermesgw_test

import (
	"encoding/json"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	hermesgw "github.com/hermes-gw/hermes-gw"
	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/launchd/launchdtest"
)

// hermesOf is the installation of a fleet, as an embedding program has it.
func hermesOf(t *testing.T, f *fleet.Fleet, o hermesgw.Options) *hermesgw.Hermes {
	t.Helper()
	in, err := hermesgw.Locate(hermesgw.Where{UID: f.UID, AccountHome: f.AccountHome, HermesHome: f.Root})
	if err != nil {
		t.Fatal(err)
	}
	return hermesgw.New(in, f.Client, o)
}

// outside puts a fleet's root outside of the account's home where no test can give the command
// another account, or only one that does not see the environment of processes (in a user namespace, if
// this is not root). Property lists of jobs that are not loaded are not found then.
var outside = runtime.GOOS != "linux" || os.Geteuid() != 0

// answer is how the built command ended, and what it printed with --json.
type answer struct {
	fleet.Output
	Exit     int                       `json:"exit_code"`
	Results  []hermesgw.ResultDocument `json:"results"`
	Sweep    *hermesgw.SweepDocument   `json:"sweep"`
	Warnings []string                  `json:"warnings"`
	Note     string                    `json:"note"`
	Error    *hermesgw.Problem         `json:"error"`
}

// ask runs the built command with --json.
func ask(t *testing.T, f *fleet.Fleet, args ...string) (a answer) {
	t.Helper()
	return parsed(t, f.Command(append(args, "--json")...))
}

func parsed(t *testing.T, o fleet.Output) (a answer) {
	t.Helper()
	if err := json.Unmarshal([]byte(o.Stdout), &a); err != nil {
		t.Fatalf("no JSON: %v\n%+v", err, o)
	}
	if a.Output = o; a.Exit != o.Code {
		t.Errorf("exit code %d, and %d in the JSON", o.Code, a.Exit)
	}
	return a
}

// of is the result about a fleet's profile.
func (a answer) of(t *testing.T, f *fleet.Fleet, profile string) hermesgw.ResultDocument {
	t.Helper()
	label := f.Gateway(profile).Label
	i := slices.IndexFunc(a.Results, func(r hermesgw.ResultDocument) bool {
		return r.Label == label || strings.HasSuffix(r.Target, "/"+label)
	})
	if i < 0 {
		t.Fatalf("nothing about %s:\n%s%s", label, a.Stdout, a.Stderr)
	}
	return a.Results[i]
}

// swept is what became of a process in the sweep, "" if it was not about that process.
func (a answer) swept(pid int) (outcome, reason string) {
	if a.Sweep == nil {
		return "", ""
	}
	for _, p := range a.Sweep.Processes {
		if p.PID == pid {
			return p.Outcome, p.Reason
		}
	}
	return "", ""
}

// says fails the test if the result has not this outcome, or no error or warning says all the words.
func says(t *testing.T, r hermesgw.ResultDocument, state launchd.Outcome, words ...string) {
	t.Helper()
	text := strings.Join(r.Warnings, "\n")
	if r.Error != nil {
		text += "\n" + r.Error.Message + "\n" + r.Error.Remedy
	}
	if r.State != state {
		t.Errorf("%s: %s, want %s: %s", r.Target, r.State, state, text)
	}
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("%s: %q is not said in %q", r.Target, word, text)
		}
	}
}

// unmoved fails the test if anybody asked launchd for a change since m, or a process of a
// job of the fleet began or ended.
func unmoved(t *testing.T, f *fleet.Fleet, m launchdtest.Mark) {
	t.Helper()
	for _, e := range f.Trace(m) {
		switch {
		case e.Kind == launchdtest.Request && !asks(e.Routine),
			e.Kind == launchdtest.Spawn, e.Kind == launchdtest.Exit, e.Kind == launchdtest.Signal:
			t.Errorf("something was changed: %s", e)
		}
	}
}

// asks reports whether a routine changes nothing (launchd-protocol.md section 2).
func asks(routine uint64) bool {
	return slices.Contains([]uint64{707, 708, 712, 811, 815, 820, 828}, routine)
}

// alive fails the test if a process has ended, or got a signal.
func alive(t *testing.T, list ...*fleet.Process) {
	t.Helper()
	for _, p := range list {
		if !p.Alive() {
			t.Errorf("%d %q has ended: %+v", p.PID, p.Argv, p.Events())
		}
	}
}
