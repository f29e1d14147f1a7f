package hermesgw_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/launchd/launchdtest"
)

// long reports whether the long forms of tests are asked for.
var long = os.Getenv("HERMES_GW_LONG") == "1"

// onlyRestarted fails the test if, since a mark, anything was asked of launchd but to tell
// and to start (trap 5: no restart unloads or loads a job on any path).
func onlyRestarted(t *testing.T, f *fleet.Fleet, mark launchdtest.Mark) {
	t.Helper()
	f.NeverUnloaded(mark)
	harmless := []uint64{702, 708, 712, 811, 815, 828}
	for _, e := range f.Requests(mark) {
		if !slices.Contains(harmless, e.Routine) {
			t.Errorf("a restart sent %s", e)
		}
	}
}

// replaced fails the test unless, since a mark, a job was restarted exactly as often as
// that was asked for, once or not at all. It waits until that is over and a gateway runs.
func replaced(t *testing.T, f *fleet.Fleet, profile string, mark launchdtest.Mark, old *fleet.Process) {
	t.Helper()
	f.Quiet()
	label, asked := f.Gateway(profile).Label, 0
	for _, e := range kickstarts(f, mark) {
		if e.Label == label {
			asked++
		}
	}
	switch asked {
	case 0:
		if f.Spawns(profile, mark) != 0 || !old.Alive() {
			t.Errorf("%s was restarted unasked\n%s", profile, f.TraceText(mark))
		}
	case 1:
		restarted(f, profile, mark, old)
		if n := f.Spawns(profile, mark); n != 1 {
			t.Errorf("%s was restarted %d times\n%s", profile, n, f.TraceText(mark))
		}
	default:
		t.Errorf("%s was asked for %d times\n%s", profile, asked, f.TraceText(mark))
	}
}

// restarted waits until launchd has answered the request to restart a job, and the new gateway
// runs. A process can be faster than what the trace says of it.
func restarted(f *fleet.Fleet, profile string, mark launchdtest.Mark, old *fleet.Process) (running *fleet.Process) {
	label := f.Gateway(profile).Label
	f.Wait(mark, launchdtest.Is(launchdtest.Spawn, label))
	f.Wait(mark, func(e launchdtest.Event) bool {
		return e.Kind == launchdtest.Reply && e.Routine == 702 && e.Label == label
	})
	return f.Successor(profile, old)
}

// ways to end a client.
var ways = []struct {
	name string
	end  func(*fleet.Terminal)
}{
	{"SIGKILL", func(c *fleet.Terminal) { c.Cmd.Process.Signal(syscall.SIGKILL) }},
	{"SIGTERM", func(c *fleet.Terminal) { c.Cmd.Process.Signal(syscall.SIGTERM) }},
	{"SIGHUP", func(c *fleet.Terminal) { c.Cmd.Process.Signal(syscall.SIGHUP) }},
	{"SIGINT", func(c *fleet.Terminal) { c.Type("\x03") }},
	{"closed terminal", func(c *fleet.Terminal) { c.Close() }},
}

// Whenever and however the client ends, the job stays loaded, and runs in the end: the old process
// if the request was not sent, one new process if it was.
func TestTrap1ClientEndsAtAnyMoment(t *testing.T) {
	moments := []struct {
		name string
		when func(launchdtest.Event) bool // nil: at once
	}{
		{"before it connects", nil},
		{"while it asks", func(e launchdtest.Event) bool { return e.Kind == launchdtest.Request }},
		{"when the request is sent", func(e launchdtest.Event) bool { return e.Kind == launchdtest.Request && e.Routine == 702 }},
		{"while the old process ends", func(e launchdtest.Event) bool { return e.Kind == launchdtest.State && e.To == "SIGTERMed" }},
		{"before the answer", func(e launchdtest.Event) bool { return e.Kind == launchdtest.Exit }},
		{"after the answer", func(e launchdtest.Event) bool { return e.Kind == launchdtest.Reply && e.Routine == 702 }},
	}
	for _, plist := range fleet.Generations {
		t.Run(plist.String(), func(t *testing.T) {
			t.Parallel()
			f := fleet.New(t, fleet.Options{Outside: true, Profiles: []fleet.Profile{{Name: "work", Plist: plist, Standin: fleet.Standin{Teardown: 20 * time.Millisecond}}}})
			for i, m := range moments {
				for k, w := range ways {
					// Each moment in each generation, and each way at each moment.
					if !long && k != 0 && (i+k)%len(fleet.Generations) != int(plist) {
						continue
					}
					old, mark := f.Up("work", 0), f.Mark()
					client := f.Terminal(f.Prepare("restart", "-p", "work", "--force"))
					if m.when != nil {
						f.Wait(mark, m.when)
					}
					w.end(client)
					output, exit := client.End()
					t.Logf("%s, %s: exit %d, %q", m.name, w.name, exit, output)
					replaced(t, f, "work", mark, old)
					onlyRestarted(t, f, mark)
				}
			}
		})
	}
}

// The same at moments that nobody chose.
func TestTrap1ClientIsKilledAtRandom(t *testing.T) {
	t.Parallel()
	f := fleet.New(t, fleet.Options{Outside: true, Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Middle, Standin: fleet.Standin{Teardown: 5 * time.Millisecond}}}})
	took := f.Command("restart", "-p", "work", "--force").Took
	rounds := 30
	if long {
		rounds = 400
	}
	random := rand.New(rand.NewPCG(1, 28632))
	sent := 0
	for range rounds {
		old, mark := f.Up("work", 0), f.Mark()
		cmd := f.Prepare("restart", "-p", "work", "--force")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		after := time.Duration(random.Int64N(int64(took)))
		time.AfterFunc(after, func() { cmd.Process.Kill() })
		cmd.Wait()
		replaced(t, f, "work", mark, old)
		onlyRestarted(t, f, mark)
		sent += len(kickstarts(f, mark))
	}
	t.Logf("the request was sent in %d of %d rounds", sent, rounds)
}

// A client that is killed right after its request: one restart, never two.
func TestTrap2KilledAfterTheRequest(t *testing.T) {
	for _, plist := range fleet.Generations {
		t.Run(plist.String(), func(t *testing.T) {
			t.Parallel()
			f := fleet.New(t, fleet.Options{Outside: true, Profiles: []fleet.Profile{{Name: "work", Plist: plist, Standin: fleet.Standin{Teardown: 50 * time.Millisecond}}}})
			for range 3 {
				old, mark := f.Up("work", 0), f.Mark()
				cmd := f.Prepare("restart", "-p", "work")
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				f.Wait(mark, func(e launchdtest.Event) bool { return e.Kind == launchdtest.Request && e.Routine == 702 })
				cmd.Process.Kill()
				cmd.Wait()
				restarted(f, "work", mark, old)
				if n, k := f.Spawns("work", mark), len(kickstarts(f, mark)); n != 1 || k != 1 {
					t.Errorf("%d requests, %d restarts\n%s", k, n, f.TraceText(mark))
				}
				onlyRestarted(t, f, mark)
			}
		})
	}
}

// The answer does not come. What became of the request is looked up; it is not sent again.
func TestTrap3AnswerIsLost(t *testing.T) {
	for _, v := range []struct {
		name  string
		fault launchdtest.Fault
		state launchd.Outcome
		code  int
	}{
		{"it was carried out, the connection is gone", launchdtest.Fault{Kind: launchdtest.Hangup, Carry: true}, launchd.OutcomeRestarted, 0},
		{"it was carried out, the answer is damaged", launchdtest.Fault{Kind: launchdtest.Garbage, Carry: true}, launchd.OutcomeRestarted, 0},
		{"it was carried out, the time is up", launchdtest.Fault{Kind: launchdtest.Never, Carry: true}, launchd.OutcomeRestarted, 0},
		{"it was not, and the time is up", launchdtest.Fault{Kind: launchdtest.Never}, launchd.OutcomeUnknown, 8},
	} {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			f := fleet.New(t, fleet.Options{Outside: true, Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Middle}}})
			v.fault.Routine = 702
			f.Launchd.SetFaults(v.fault)
			old, mark := f.Up("work", 0), f.Mark()
			o := f.Command("restart", "-p", "work", "--json", "--timeout", "1500ms")
			r := heard(t, o.Stdout).of(t, "work")
			if o.Code != v.code || r.State != v.state {
				t.Errorf("%+v", o)
			}
			if v.fault.Carry && (r.Method != launchd.MethodObserved || whole(r.NewPID) != f.JobPID("work")) {
				t.Errorf("%+v", r)
			}
			if n := len(kickstarts(f, mark)); n != 1 {
				t.Errorf("%d requests\n%s", n, f.TraceText(mark))
			}
			if v.fault.Carry {
				f.Successor("work", old)
			} else if !old.Alive() {
				t.Error("it was restarted")
			}
			// Whoever asks again afterwards gets one restart more.
			f.Launchd.SetFaults()
			old, mark = f.Up("work", 0), f.Mark()
			if o := f.Command("restart", "-p", "work"); o.Code != 0 {
				t.Errorf("%+v", o)
			}
			replaced(t, f, "work", mark, old)
			onlyRestarted(t, f, f.Loaded())
		})
	}
}

// A client that restarts nine gateways is killed after k requests: k are restarted, once each, the
// rest is as it was, and none is unloaded.
func TestTrap4KilledAfterSomeOfAll(t *testing.T) {
	t.Parallel()
	var profiles []fleet.Profile
	for i := range 9 {
		profiles = append(profiles, fleet.Profile{Name: fmt.Sprintf("p%d", i), Plist: fleet.Generation(i % 3), Standin: fleet.Standin{Teardown: time.Duration(i) * 10 * time.Millisecond}})
	}
	f := fleet.New(t, fleet.Options{Outside: true, Profiles: profiles})
	random := rand.New(rand.NewPCG(4, 9))
	counts := []int{1, 1 + random.IntN(8), 9}
	if long {
		counts = random.Perm(200)
	}
	for _, k := range counts {
		k = (k-1)%9 + 1
		old := map[string]*fleet.Process{}
		for _, p := range profiles {
			old[p.Name] = f.Up(p.Name, 0)
		}
		mark := f.Mark()
		cmd := f.Prepare("restart", "--all", "--force")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		sent := 0
		f.Wait(mark, func(e launchdtest.Event) bool {
			if e.Kind == launchdtest.Request && e.Routine == 702 {
				sent++
			}
			return sent == k
		})
		cmd.Process.Kill()
		cmd.Wait()
		for _, p := range profiles {
			replaced(t, f, p.Name, mark, old[p.Name])
		}
		t.Logf("killed after %d requests, %d were sent", k, len(kickstarts(f, mark)))
		onlyRestarted(t, f, mark)
	}
}
