package hermesgw_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
	"github.com/hermes-gw/hermes-gw/internal/embedtest/standin"
	"github.com/hermes-gw/hermes-gw/internal/proc"
	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/launchd/launchdtest"
)

// twoStepClient makes this program the client with the founding bug: bootout, then bootstrap, of
// the pairs of targets and property lists in its arguments, as launchctl is used for it.
const twoStepClient = "HERMESGW_TEST_TWO_STEPS"

func init() {
	address := os.Getenv(twoStepClient)
	if address == "" {
		return
	}
	err := func() error {
		ctx := context.Background()
		client, err := launchd.Open(ctx, launchd.Options{Address: address})
		if err != nil {
			return err
		}
		for args := os.Args[1:]; len(args) >= 2; args = args[2:] {
			target, err := launchd.ParseTarget(args[0])
			if err != nil {
				return err
			}
			if _, err := client.Stop(ctx, target); err != nil {
				return err
			}
			if err := client.Bootstrap(ctx, target.Domain, args[1]); err != nil {
				return err
			}
		}
		return nil
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// The founding bug (NousResearch/hermes-agent#28632): the terminal of a restart of all is closed, or
// the command gets a signal, at random moments, 20 of the first kind and more with
// HERMES_GW_LONG=1. Each time all jobs stay loaded and run again within their bound. A client that
// boots out and bootstraps, ended at the same moments, loses jobs.
func TestFoundingBug(t *testing.T) {
	t.Parallel()
	hangUp := func(term *fleet.Terminal) { term.Close() }
	send := func(s syscall.Signal) func(*fleet.Terminal) {
		return func(term *fleet.Terminal) { term.Cmd.Process.Signal(s) }
	}
	ctrlC := func(term *fleet.Terminal) { term.Type("\x03") }
	for name, one := range map[string]struct {
		strike  func(*fleet.Terminal)
		moments int
		signal  syscall.Signal
		exit    int // of a command that was struck while it worked; 0 if it goes on
	}{
		"terminal closed": {hangUp, 20, syscall.SIGHUP, 0},
		"SIGHUP":          {send(syscall.SIGHUP), 4, syscall.SIGHUP, 0},
		"SIGINT":          {ctrlC, 4, syscall.SIGINT, 130},
		"SIGTERM":         {send(syscall.SIGTERM), 4, syscall.SIGTERM, 143},
		"SIGKILL":         {send(syscall.SIGKILL), 4, syscall.SIGKILL, -9},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if long {
				one.moments = 200
			}
			w := newWorld(t)
			var untouched, whole, some int
			w.strike(one.moments, func() *exec.Cmd { return w.Prepare("restart", "--all", "--force") }, one.strike, func(m launchdtest.Mark, exit int, text string) {
				for _, trouble := range w.verdict(m) {
					t.Errorf("%s\n%s\n%s", trouble, text, w.TraceText(m))
				}
				sent := 0
				for _, g := range w.Gateways() {
					sent += min(count(w.Fleet, m, kickstart, g.Profile), 1)
				}
				switch {
				case sent == 0:
					untouched++
				case sent == len(w.Gateways()):
					whole++
				default:
					some++
				}
				allowed := exit == 0 || exit == one.exit
				switch {
				case sent == 0: // it can also have come before the program had a say in it
					allowed = exit == one.exit && one.exit != 0 || exit == -int(one.signal)
				case one.exit == 0: // once a request is out a hangup ends nothing
					allowed = exit == 0 && sent == len(w.Gateways())
				}
				if !allowed {
					t.Errorf("%d requests, exit code %d: %s", sent, exit, text)
				}
			})
			t.Logf("%d moments: %d before a request was out, %d with some, %d with all; the jobs were seen loaded %d times",
				one.moments, untouched, some, whole, w.samples.Load())
			if one.moments >= 20 && (untouched == 0 || whole+some == 0) {
				t.Error("the moments were all of one kind")
			}
			for _, loss := range w.losses() {
				t.Error(loss)
			}
			// What was asked for was done, once, also where nobody waited for the answer.
			for _, g := range w.Gateways() {
				asked := count(w.Fleet, w.Loaded(), kickstart, g.Profile)
				if n := w.answered(g.Profile); n != asked {
					t.Errorf("%s: %d new processes by %d requests", g.Profile, n, asked)
				}
			}
			w.NeverUnloaded(w.Loaded())
		})
	}
	t.Run("a client of two steps loses jobs", func(t *testing.T) {
		t.Parallel()
		moments := 8
		if long {
			moments = 40
		}
		w := newWorld(t)
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		lost, round := 0, 0
		w.strike(moments, func() *exec.Cmd {
			cmd := exec.Command(self)
			for _, g := range w.Gateways() {
				cmd.Args = append(cmd.Args, g.Target.String(), g.Plist)
			}
			cmd.Env = append(os.Environ(), twoStepClient+"="+w.Address())
			return cmd
		}, func(term *fleet.Terminal) {
			if round++; round%2 == 0 {
				send(syscall.SIGKILL)(term)
				return
			}
			hangUp(term)
		}, func(m launchdtest.Mark, exit int, text string) {
			if exit == 1 {
				t.Errorf("the client failed: %s", text)
			}
			if trouble := w.verdict(m); len(trouble) > 0 {
				lost++
				w.repair()
			}
		})
		t.Logf("%d moments: jobs were lost at %d; they were seen not loaded at %d of %d looks", moments, lost, len(w.losses()), w.samples.Load())
		if lost == 0 || len(w.losses()) == 0 {
			t.Errorf("no job was lost: the test cannot fail")
		}
	})
}

// world is a fleet that is looked at all the time.
type world struct {
	*fleet.Fleet
	t       *testing.T
	samples atomic.Int64
	lost    chan string
	stop    context.CancelFunc
	ended   chan struct{}
	seed    uint64
}

// scale makes launchd's times short: an exit timeout of 60 s is 600 ms, a throttle of 30 s is 300 ms.
const scale = 0.01

// newWorld has a gateway of each generation, which take a while to end.
func newWorld(t *testing.T) *world {
	t.Helper()
	var profiles []fleet.Profile
	for _, g := range fleet.Generations {
		profiles = append(profiles, fleet.Profile{Name: g.String(), Plist: g, Standin: fleet.Standin{Teardown: 20 * time.Millisecond}})
	}
	w := &world{
		Fleet: fleet.New(t, fleet.Options{Outside: true, Process: true, TimeScale: scale, Profiles: profiles}),
		t:     t, lost: make(chan string, 1<<16), ended: make(chan struct{}), seed: uint64(time.Now().UnixNano()),
	}
	t.Logf("seed %d", w.seed)
	ctx, stop := context.WithCancel(context.Background())
	w.stop = stop
	client, err := launchd.Open(ctx, launchd.Options{Address: w.Address()})
	if err != nil {
		t.Fatal(err)
	}
	gateways := w.Gateways()
	go func() {
		defer close(w.ended)
		defer client.Close()
		for tick := time.NewTicker(3 * time.Millisecond); ; {
			for _, g := range gateways {
				if _, err := client.Job(ctx, g.Target); errors.Is(err, launchd.ErrNotLoaded) {
					w.lost <- fmt.Sprintf("%s was seen not loaded", g.Target)
				} else if err != nil && ctx.Err() == nil {
					w.lost <- err.Error()
				}
				w.samples.Add(1)
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	t.Cleanup(func() { w.losses() })
	return w
}

// losses ends the looking and returns what was seen.
func (w *world) losses() (list []string) {
	w.stop()
	<-w.ended
	for {
		select {
		case loss := <-w.lost:
			list = append(list, loss)
			continue
		default:
		}
		if len(list) > 0 {
			w.lost <- list[0] // for who asks again
		}
		return list
	}
}

// strike runs a command in a terminal n times and strikes it at a moment of its run. Half of the
// moments count from its start, over the time to its first request that changes something; half
// from that request, over the rest of its run. Each half is cut into parts, and the moment in each
// part is random.
func (w *world) strike(n int, prepare func() *exec.Cmd, strike func(*fleet.Terminal), judge func(m launchdtest.Mark, exit int, text string)) {
	w.t.Helper()
	random := rand.New(rand.NewPCG(w.seed, 0))
	var checks, rest []time.Duration
	for range 3 {
		w.calm()
		m, began := w.Mark(), time.Now()
		term := w.Terminal(prepare())
		w.Wait(m, changes)
		changing := time.Now()
		checks = append(checks, changing.Sub(began))
		if text, exit := term.End(); exit != 0 {
			w.t.Fatalf("undisturbed it exits with %d: %s", exit, text)
		}
		rest = append(rest, time.Since(changing))
	}
	slices.Sort(checks)
	slices.Sort(rest)
	for i := range n {
		w.calm()
		m := w.Mark()
		began := time.Now()
		term := w.Terminal(prepare())
		span, part := checks[1], float64(i/2)
		if i%2 == 1 {
			w.Wait(m, changes)
			began, span = time.Now(), rest[1]+rest[1]/10
		}
		time.Sleep(time.Until(began.Add(time.Duration((part + random.Float64()) / float64((n+1)/2) * float64(span)))))
		strike(term)
		text, exit := term.End()
		term.Close()
		judge(m, exit, text)
		if w.t.Failed() {
			w.t.Fatalf("at moment %d of %d", i+1, n)
		}
	}
}

// calm waits until nothing is under way.
func (w *world) calm() {
	w.t.Helper()
	if trouble := w.verdict(w.Mark()); len(trouble) > 0 {
		w.t.Fatal(trouble)
	}
}

// verdict waits until every job has a gateway that runs, and returns what is wrong: jobs that are
// not loaded, or that do not run within their bound, which is exit timeout and throttle interval,
// and what a machine with other work to do takes to start them.
func (w *world) verdict(m launchdtest.Mark) (trouble []string) {
	w.t.Helper()
	const bound = time.Duration(scale*float64((60+30)*time.Second)) + 10*time.Second
	began := time.Now()
	for _, e := range w.Unloads(m) {
		trouble = append(trouble, fmt.Sprintf("a job was unloaded: %v", e))
	}
	for _, g := range w.Gateways() {
		for {
			job, err := w.Client.Inspect(w.t.Context(), g.Target)
			if errors.Is(err, launchd.ErrNotLoaded) {
				trouble = append(trouble, fmt.Sprintf("%s is not loaded", g.Target))
				break
			}
			if err != nil {
				w.t.Fatal(err)
			}
			if job.State == launchd.StateRunning && w.runs(g.Profile, job.PID) && w.idle(m) {
				break
			}
			if time.Since(began) > bound {
				trouble = append(trouble, fmt.Sprintf("%s does not run after %v: %+v", g.Target, bound, job))
				break
			}
			time.Sleep(2 * time.Millisecond)
		}
	}
	return trouble
}

// runs reports whether a gateway of the profile runs in the tree of the job's process.
func (w *world) runs(profile string, job int) bool {
	return slices.ContainsFunc(w.Processes(profile), func(p *fleet.Process) bool {
		if p.Role != standin.RoleGateway || !slices.ContainsFunc(p.Events(), func(e standin.Event) bool {
			return e.Kind == standin.State && e.State == "running"
		}) {
			return false
		}
		above, err := proc.Ancestors(p.PID)
		return p.PID == job || err == nil && slices.ContainsFunc(above, func(id proc.Identity) bool { return id.PID == job })
	})
}

// changes is a request that changes something: kickstart, bootstrap, bootout.
func changes(e launchdtest.Event) bool {
	return e.Kind == launchdtest.Request && (e.Routine == kickstart || e.Routine == 800 || e.Routine == 801)
}

// idle reports whether launchd has answered all that changes something.
func (w *world) idle(m launchdtest.Mark) bool {
	open := map[uint64]bool{}
	for _, e := range w.Trace(m) {
		switch {
		case changes(e):
			open[e.ID] = true
		case e.Kind == launchdtest.Reply:
			delete(open, e.ID)
		}
	}
	return len(open) == 0
}

// answered counts the answers to requests that gave the profile's job another process, by the
// processes that they name.
func (w *world) answered(profile string) int {
	pids := map[int]bool{}
	for _, e := range w.Trace(w.Loaded()) {
		if e.Kind == launchdtest.Reply && e.Routine == kickstart && e.Label == w.Gateway(profile).Label && e.Code == 0 && e.PID > 0 {
			pids[e.PID] = true
		}
	}
	return len(pids)
}

// repair loads the jobs that were lost.
func (w *world) repair() {
	w.t.Helper()
	for _, g := range w.Gateways() {
		if _, err := w.Client.Job(w.t.Context(), g.Target); errors.Is(err, launchd.ErrNotLoaded) {
			w.Load(g.Profile)
		}
	}
}
