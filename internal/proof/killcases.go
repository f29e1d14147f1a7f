package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
	"github.com/hermes-gw/hermes-gw/internal/embedtest/standin"
	"github.com/hermes-gw/hermes-gw/internal/proof/killpoint"
	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/launchd/launchdtest"
)

// What the property lists of a fleet say (hermes.md 1.2).
const (
	newestExit, newestThrottle = 60 * time.Second, 30 * time.Second
	middleExit                 = 25 * time.Second
)

// teardown is how long a gateway takes to end, so that kills can come meanwhile.
const teardown = 10 * time.Millisecond

// parkedRow is of a gateway that leaves with an exit code with which KeepAlive leaves it alone.
const parkedRow = "restart --graceful, killed, of a gateway that KeepAlive does not revive"

func one(plist fleet.Generation) fleet.Options {
	return fleet.Options{Profiles: []fleet.Profile{{Name: fleet.Default, Plist: plist, Standin: fleet.Standin{Teardown: teardown}}}}
}

// kills are the runs that are killed.
func kills() []killed {
	return []killed{
		{
			what: "restart, killed", options: one(fleet.Middle), first: []uint64{kickstart},
			args:  func(*fleet.Fleet) []string { return []string{"restart", "--force"} },
			check: func(r *rig, result killpoint.Result) { r.restarted(result, bound(middleExit, newestThrottle)) },
		},
		{
			what: "restart --all, killed", first: []uint64{kickstart},
			options: fleet.Options{Profiles: []fleet.Profile{
				{Name: fleet.Default, Plist: fleet.Middle, Standin: fleet.Standin{Teardown: teardown}},
				{Name: "work", Plist: fleet.Oldest, Standin: fleet.Standin{Teardown: teardown}},
				{Name: "play", Plist: fleet.Middle, Standin: fleet.Standin{Teardown: teardown}},
			}},
			args:  func(*fleet.Fleet) []string { return []string{"restart", "--all", "--force"} },
			check: func(r *rig, result killpoint.Result) { r.restarted(result, bound(middleExit, newestThrottle)) },
		},
		{
			what: "restart --graceful, killed", options: one(fleet.Newest), first: []uint64{kickstart},
			args:  func(*fleet.Fleet) []string { return []string{"restart", "--graceful", "--force"} },
			check: func(r *rig, result killpoint.Result) { r.restarted(result, bound(newestExit, newestThrottle)) },
		},
		{
			what: parkedRow, first: []uint64{kickstart},
			options: fleet.Options{Profiles: []fleet.Profile{{
				Name: fleet.Default, Plist: fleet.Newest, Standin: fleet.Standin{Teardown: teardown, DrainedTo: new(standin.ExitStopped)},
			}}},
			args:  func(*fleet.Fleet) []string { return []string{"restart", "--graceful", "--force"} },
			check: func(r *rig, result killpoint.Result) { r.restarted(result, bound(newestExit, newestThrottle)) },
			parks: true,
		},
		{
			what: "reload, killed", options: one(fleet.Middle), first: []uint64{bootstrap},
			args: func(f *fleet.Fleet) []string {
				g := f.Gateways()[0]
				return []string{"reload", "--plist", g.Plist, g.Target.String()}
			},
			ready: (*rig).changed,
			check: (*rig).reloaded,
		},
		{
			what: "stop, killed, and a start", options: one(fleet.Middle), first: []uint64{bootout},
			args:  func(f *fleet.Fleet) []string { return []string{"stop", f.Gateways()[0].Target.String()} },
			check: func(r *rig, result killpoint.Result) { r.startsAgain(result) },
		},
		{
			what: "start, killed, and a start", options: one(fleet.Middle), first: []uint64{bootstrap, kickstart},
			args: startArgs,
			ready: func(r *rig) {
				if _, err := r.Client.Stop(r.ctx, r.Gateways()[0].Target); err != nil {
					r.Fatal(err)
				}
			},
			check: func(r *rig, result killpoint.Result) { r.startsAgain(result) },
		},
		{
			what: "for comparison: bootout + bootstrap, killed", options: one(fleet.Middle), first: []uint64{bootout},
			client: func(f *fleet.Fleet) *exec.Cmd {
				cmd := f.Prepare()
				g := f.Gateways()[0]
				cmd.Path, _ = os.Executable()
				cmd.Args = []string{cmd.Path, roleTwoSteps, f.Address(), g.Target.String(), g.Plist}
				return cmd
			},
			check: (*rig).twoSteps, loses: true,
		},
	}
}

func startArgs(f *fleet.Fleet) []string {
	g := f.Gateways()[0]
	return []string{"start", "--plist", g.Plist, g.Target.String()}
}

// restarted checks what a restart has left: never unloaded, and at rest each job runs. Where
// KeepAlive does not revive a job that its gateway has left, a following restart must start it.
func (r *rig) restarted(result killpoint.Result, bound time.Duration) {
	asked := r.asked()
	for routine := range asked {
		if routine != kickstart {
			r.Errorf("a restart sent request %d", routine)
		}
	}
	drain, sure := signalled(result)
	for _, g := range r.Gateways() {
		if !r.loadedNow(g) {
			r.lost++
			r.Errorf("%s is lost", g.Label)
			r.Load(g.Profile)
			continue
		}
		old := r.gateway[g.Profile]
		switch {
		case asked[kickstart] == 0 && drain && r.ends(g, old, sure):
			r.drained++
			if r.k.parks {
				r.startedByRestart(g)
				break
			}
			// Its exit code has KeepAlive start it again.
			r.next(g)
			r.ranAgain(g, result.At, bound)
		case r.kicked(g):
			r.next(g)
			r.ranAgain(g, result.At, bound)
		default:
			if job, err := r.Client.Job(r.ctx, g.Target); err != nil || job.PID != r.jobs[g.Profile] {
				r.Errorf("nobody asked for a restart of %s, and it is process %d, was %d: %v", g.Label, job.PID, r.jobs[g.Profile], err)
			}
		}
		r.alone(g, 1)
	}
	r.NeverUnloaded(r.mark)
}

// startedByRestart waits until the job of a gateway that has ended rests, which must still be
// loaded, and has a restart make it run.
func (r *rig) startedByRestart(g fleet.Gateway) {
	for {
		from := r.Mark()
		job, err := r.Client.Inspect(r.ctx, g.Target)
		if err != nil {
			r.Errorf("%s, whose gateway has ended: %v", g.Label, err)
			return
		}
		if job.PID == 0 && job.State != launchd.StateRunning {
			break
		}
		if job.PID != r.jobs[g.Profile] && job.PID != 0 {
			r.Errorf("%s was started again as process %d, and its exit code is none on which KeepAlive does", g.Label, job.PID)
			return
		}
		r.Wait(from, func(e launchdtest.Event) bool {
			return e.Label == g.Label && (e.Kind == launchdtest.State || e.Kind == launchdtest.Exit)
		})
	}
	if o := r.Command("restart", "--force"); o.Code != 0 {
		r.Errorf("a restart after it ends with %d: %s", o.Code, o.Stderr)
		return
	}
	r.revived++
	r.next(g)
}

// ends reports whether a gateway that may have been asked to end does. If that is not sure, it
// has some time to say that it got the signal: there is no event for one that was never sent.
func (r *rig) ends(g fleet.Gateway, old int, sure bool) bool {
	if sure {
		return true
	}
	for deadline := time.Now().Add(time.Second); ; {
		for _, s := range r.SignalsSeen(g.Profile) {
			if s.PID == old {
				return true
			}
		}
		if r.GatewayPID(g.Profile) != old {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
		r.settle()
	}
}

// kicked reports whether launchd was asked to restart the job.
func (r *rig) kicked(g fleet.Gateway) bool {
	for _, e := range r.Requests(r.mark) {
		if e.Routine == kickstart && e.Label == g.Label {
			return true
		}
	}
	return false
}

// changed makes the property list on disk another one than that which is loaded.
func (r *rig) changed() {
	r.edition++
	r.SetKeys(fleet.Default, map[string]any{"ServiceDescription": fmt.Sprint("edition ", r.edition)})
}

// isWorker reports whether a label is that of a reload's worker.
func isWorker(label string) bool { return strings.HasPrefix(label, "hermes-gw.reload.") }

// reloaded checks what a reload has left: it was carried out as a whole or not begun, and the
// job is loaded and runs within the worker's bound.
func (r *rig) reloaded(result killpoint.Result) {
	g := r.Gateways()[0]
	for {
		from := r.Mark()
		jobs, err := r.Client.List(r.ctx, g.Target.Domain)
		if err != nil {
			r.Fatal(err)
		}
		worker, job := false, launchd.ListEntry{}
		for _, j := range jobs {
			worker = worker || isWorker(j.Label)
			if j.Label == g.Label {
				job = j
			}
		}
		if !worker && job.PID > 0 {
			break
		}
		if !worker {
			r.settle()
			if !r.loadedNow(g) {
				r.lost++
				r.Errorf("%s is lost", g.Label)
				r.Load(g.Profile)
				return
			}
		}
		r.Wait(from, func(e launchdtest.Event) bool {
			return e.Kind == launchdtest.State || e.Kind == launchdtest.Exit || e.Kind == launchdtest.Reply
		})
	}
	switch n := r.unloads(g.Label); n {
	case 0:
		r.alone(g, 0)
	case 1:
		r.next(g)
		// From the kill on: the worker's ThrottleInterval, the exit timeout and 5 s.
		r.ranAgain(g, result.At, time.Duration(timeScale*float64(10*time.Second+middleExit))+5*time.Second)
		r.alone(g, 1)
	default:
		r.Errorf("%s was unloaded %d times", g.Label, n)
	}
}

// settle gives launchd some turns.
func (r *rig) settle() {
	for range 20 {
		r.Mark()
	}
}

// startsAgain checks what a stop or start has left, and that a start works then: it is loaded
// and runs, or it is stopped as a whole.
func (r *rig) startsAgain(result killpoint.Result) {
	g := r.Gateways()[0]
	for { // a job that is being stopped is on its way out
		from := r.Mark()
		job, err := r.Client.Inspect(r.ctx, g.Target)
		if errors.Is(err, launchd.ErrNotLoaded) || err == nil && job.State == launchd.StateRunning {
			break
		}
		if err != nil {
			r.Fatal(err)
		}
		r.Wait(from, func(e launchdtest.Event) bool { return e.Label == g.Label && e.Kind == launchdtest.State })
	}
	stopped := !r.loadedNow(g)
	if stopped {
		for _, p := range r.Processes(g.Profile) {
			select {
			case <-p.Gone():
			case <-time.After(2 * time.Second):
				r.Errorf("%s is not loaded, and its process %d lives", g.Label, p.PID)
			}
		}
	}
	if o := r.Command(startArgs(r.Fleet)...); o.Code != 0 {
		r.Errorf("a start after it ends with %d: %s", o.Code, o.Stderr)
		r.lost++
		r.Load(g.Profile)
	} else if stopped {
		r.revived++
	}
	r.alone(g, 1)
}

// twoSteps checks what a client has left that unloads the job and loads it again.
func (r *rig) twoSteps(result killpoint.Result) {
	g := r.Gateways()[0]
	if r.unloads(g.Label) == 0 {
		r.alone(g, 0)
		return
	}
	for {
		from := r.Mark()
		job, err := r.Client.Inspect(r.ctx, g.Target)
		if errors.Is(err, launchd.ErrNotLoaded) {
			r.lost++
			r.Load(g.Profile)
			break
		}
		if err == nil && job.State == launchd.StateRunning {
			break
		}
		r.Wait(from, func(e launchdtest.Event) bool { return e.Label == g.Label && e.Kind == launchdtest.State })
	}
	r.next(g)
}
