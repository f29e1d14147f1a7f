package hermesgw_test

import (
	"slices"
	"strings"
	"testing"

	hermesgw "github.com/hermes-gw/hermes-gw"
	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/launchd/launchdtest"
)

// loadedInto are the domains that were asked to load something since m.
func loadedInto(f *fleet.Fleet, m launchdtest.Mark) (domains []string) {
	for _, e := range f.Requests(m) {
		if e.Routine == 800 {
			domains = append(domains, e.Domain)
		}
	}
	return domains
}

// A domain that is named is the only one that counts. A job that runs in another is neither
// restarted nor loaded a second time by any verb: the refusal says where it is, and the command
// in it works.
func TestNamedDomainOfALoadedJob(t *testing.T) {
	t.Parallel()
	f := fleet.New(t, fleet.Options{Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Oldest}}})
	work := f.Gateway("work")
	first := f.Up("work", 0)
	here := work.Target.String()
	for _, domain := range []launchd.Domain{launchd.User(f.UID), launchd.System(), launchd.User(f.UID + 1)} {
		there := launchd.Target{Domain: domain, Label: work.Label}.String()
		for _, args := range [][]string{
			{"restart", there}, {"restart", there, "--bootstrap"}, {"restart", there, "--bootstrap", "--dry-run"},
			{"start", there}, {"start", there, "--plist", work.Plist}, {"stop", there}, {"reload", there},
		} {
			if domain == launchd.User(f.UID+1) && args[0] != "restart" {
				continue // another user's
			}
			mark := f.Mark()
			a := ask(t, f, args...)
			unmoved(t, f, mark)
			if domain == launchd.User(f.UID+1) {
				if a.Code == 0 {
					t.Errorf("%q: %s%s", args, a.Stdout, a.Stderr)
				}
				continue
			}
			r := a.of(t, f, "work")
			says(t, r, launchd.OutcomeNotLoaded, there+" is not loaded, but "+here+" is", "hermes-gw "+args[0]+" "+here)
			if a.Code != 5 || r.NewPID != nil || r.Method != "" || len(r.Steps) > 0 || strings.Contains(r.Error.Remedy, "--bootstrap") {
				t.Errorf("%q: %s%s", args, a.Stdout, a.Stderr)
			}
		}
	}
	if a := ask(t, f, "restart", here); a.Code != 0 {
		t.Errorf("%s%s", a.Stdout, a.Stderr)
	}
	f.Up("work", first.PID)
}

// A job that is loaded nowhere is loaded into the domain that was named, as a dry run says, and the
// report is about that domain.
func TestNamedDomainIsLoadedInto(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"restart", "start"} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			f := fleet.New(t, fleet.Options{Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Oldest, Unloaded: true}}})
			work := f.Gateway("work")
			there := launchd.Target{Domain: launchd.User(f.UID), Label: work.Label}
			args := []string{verb, there.String()}
			if verb == "restart" {
				r := ask(t, f, args...).of(t, f, "work")
				says(t, r, launchd.OutcomeNotLoaded, "hermes-gw start "+there.String())
				args = append(args, "--bootstrap")
				mark := f.Mark()
				r = ask(t, f, append(args, "--dry-run")...).of(t, f, "work")
				unmoved(t, f, mark)
				if r.Target != there.String() || len(r.Steps) == 0 || !strings.Contains(r.Steps[0], "into "+there.Domain.String()+" ") {
					t.Errorf("%+v", r)
				}
			}
			mark := f.Mark()
			a := ask(t, f, args...)
			r := a.of(t, f, "work")
			f.Up("work", 0)
			if into := loadedInto(f, mark); a.Code != 0 || r.Target != there.String() || r.State != launchd.OutcomeStarted ||
				!slices.Equal(into, []string{there.Domain.String()}) || f.Spawns("work", mark) != 1 {
				t.Errorf("into %q: %s%s\n%s", into, a.Stdout, a.Stderr, f.TraceText(mark))
			}
			if job, err := f.Client.Job(t.Context(), there); err != nil || r.NewPID != nil && *r.NewPID != job.PID {
				t.Errorf("%+v, %v, %s", job, err, a.Stdout)
			}
			// And the other way round.
			mark = f.Mark()
			a = ask(t, f, slices.Replace(slices.Clone(args), 1, 2, work.Target.String())...)
			says(t, a.of(t, f, "work"), launchd.OutcomeNotLoaded, "but "+there.String()+" is")
			unmoved(t, f, mark)
		})
	}
}

// There is no falling back from a domain that was named and does not exist.
func TestNamedDomainThatDoesNotExist(t *testing.T) {
	t.Parallel()
	f := fleet.New(t, fleet.Options{NoGUI: true, Profiles: []fleet.Profile{
		{Name: "work", Plist: fleet.Oldest, Unloaded: true}, {Name: "up", Plist: fleet.Oldest, User: true}}})
	f.Up("up", 0)
	mark := f.Mark()
	for profile, words := range map[string]string{"work": "gui/", "up": "but " + launchd.User(f.UID).String() + "/"} {
		target := launchd.Target{Domain: launchd.GUI(f.UID), Label: f.Gateway(profile).Label}.String()
		for _, args := range [][]string{{"restart", target, "--bootstrap"}, {"start", target}} {
			a := ask(t, f, args...)
			says(t, a.of(t, f, profile), launchd.OutcomeNoSession, words)
			if a.Code != 5 {
				t.Errorf("%q: %s%s", args, a.Stdout, a.Stderr)
			}
		}
	}
	unmoved(t, f, mark)
}

// Where launchd does not say whether another domain has the label, nothing is loaded.
func TestNamedDomainInDoubt(t *testing.T) {
	t.Parallel()
	f := fleet.New(t, fleet.Options{Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Oldest, Unloaded: true}}})
	there := launchd.Target{Domain: launchd.User(f.UID), Label: f.Gateway("work").Label}.String()
	f.Prepare()
	f.Launchd.SetFaults(launchdtest.Fault{Kind: launchdtest.Fail, Routine: 708, Domain: launchd.GUI(f.UID), Code: 1})
	for _, args := range [][]string{{"restart", there, "--bootstrap"}, {"start", there}} {
		mark := f.Mark()
		a := ask(t, f, args...)
		unmoved(t, f, mark)
		says(t, a.of(t, f, "work"), launchd.OutcomeFailed, "whether another domain has its label is not known")
	}
}

// One gateway under two names that would put it into two domains is loaded once.
func TestNamedTwiceIsLoadedOnce(t *testing.T) {
	t.Parallel()
	f := fleet.New(t, fleet.Options{Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Oldest, Unloaded: true}}})
	there := launchd.Target{Domain: launchd.User(f.UID), Label: f.Gateway("work").Label}.String()
	for _, dry := range []bool{true, false} {
		args := []string{"restart", "-p", "work", there, "--bootstrap"}
		if dry {
			args = append(args, "--dry-run")
		}
		mark := f.Mark()
		a := ask(t, f, args...)
		if a.Code != 3 || len(a.Results) != 2 {
			t.Fatalf("%s%s", a.Stdout, a.Stderr)
		}
		says(t, a.Results[1], launchd.OutcomeRefused, "both would be loaded", "Name it once")
		if into := loadedInto(f, mark); dry && len(into) > 0 || !dry && !slices.Equal(into, []string{launchd.GUI(f.UID).String()}) {
			t.Errorf("%q", into)
		}
	}
	f.Up("work", 0)
}

// Of a job that somebody else loads at the same time the report does not say that it was loaded here.
func TestLoadedBySomebodyElse(t *testing.T) {
	t.Parallel()
	f := fleet.New(t, fleet.Options{Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Oldest, Unloaded: true}}})
	var mark launchdtest.Mark
	report, err := hermesOf(t, f, hermesgw.Options{}).Restart(t.Context(), hermesgw.RestartOptions{
		Select: hermesgw.Selection{Targets: []launchd.Target{f.Gateway("work").Target}}, Bootstrap: true,
		Changing: func() {
			f.Load("work")
			f.Up("work", 0)
			mark = f.Mark()
		},
	})
	if err != nil || len(report.Results) != 1 {
		t.Fatalf("%+v, %v", report, err)
	}
	if r := report.Results[0]; r.Outcome != launchd.OutcomeAlreadyRestarting || r.Method != launchd.MethodObserved || r.New != f.JobPID("work") {
		t.Errorf("%+v", r)
	}
	if n := f.Spawns("work", mark); n != 0 || len(loadedInto(f, mark)) > 0 {
		t.Errorf("%s", f.TraceText(mark))
	}
}
