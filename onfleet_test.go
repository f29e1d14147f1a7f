package hermesgw_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	hermesgw "github.com/hermes-gw/hermes-gw"
	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
)

// onFleet is the installation of a fleet, as a program sees it that embeds this package.
func onFleet(t *testing.T, f *fleet.Fleet) *hermesgw.Hermes {
	t.Helper()
	in, err := hermesgw.Locate(hermesgw.Where{UID: f.UID, HermesHome: f.Root, AccountHome: f.AccountHome})
	if err != nil {
		t.Fatal(err)
	}
	return hermesgw.New(in, f.Client, hermesgw.Options{StateDir: f.StateDir, Address: f.Address()})
}

// restartOne restarts a profile's gateway and returns its result.
func restartOne(t *testing.T, f *fleet.Fleet, profile string, o hermesgw.RestartOptions) hermesgw.Result {
	t.Helper()
	o.Select.Profiles = []string{profile}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	report, err := onFleet(t, f).Restart(ctx, o)
	if err != nil || len(report.Results) != 1 {
		t.Fatalf("%+v, %v", report, err)
	}
	return report.Results[0]
}

// spoken is what restart --json writes.
type spoken struct {
	ExitCode int                       `json:"exit_code"`
	Results  []hermesgw.ResultDocument `json:"results"`
	Sweep    *hermesgw.SweepDocument   `json:"sweep"`
	Error    *hermesgw.Problem         `json:"error"`
}

// heard reads what restart --json wrote, all of it.
func heard(t *testing.T, text string) (s spoken) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return s
}

// of is the result about a profile.
func (s spoken) of(t *testing.T, profile string) hermesgw.ResultDocument {
	t.Helper()
	for _, r := range s.Results {
		if r.Profile == profile {
			return r
		}
	}
	t.Fatalf("nothing is said of profile %q: %+v", profile, s)
	return hermesgw.ResultDocument{}
}

func whole(pid *int) int {
	if pid == nil {
		return 0
	}
	return *pid
}
