package main

import (
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
	"github.com/hermes-gw/hermes-gw/internal/embedtest/standin"
	"github.com/hermes-gw/hermes-gw/internal/proc"
	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/sweep"
)

// crowd are the processes of a schedule that belong to no job of the fleet. All of them have
// something that a sweep looks for, and all but a stray are to be left alone.
type crowd struct {
	spared []bystander
	// caller is a gateway that somebody started by hand, in which the restarts of all are called: it
	// is a stray, and an ancestor. nil: they are called from outside.
	caller *fleet.Process
	stray  *fleet.Process // the same without a call; nil if there is a caller
}

type bystander struct {
	what string
	*fleet.Process
}

// bare leaves no file, lock or socket in its home, so that it can run beside a job of the same.
var bare = fleet.Standin{NoLock: true, NoPID: true, NoState: true, Control: standin.Off, NoTick: true, Heartbeat: -1}

// gather starts them. They are older than any command of the schedule: what began later is spared
// for that alone.
func gather(t *trial, f *fleet.Fleet, profile string, calls bool) (c crowd) {
	home := f.Gateway(profile).Home
	behaviour, err := standin.ReadBehaviour(home)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, abroad := filepath.Join(f.Dir, "elsewhere"), filepath.Join(f.Dir, "abroad")
	if err := os.Mkdir(elsewhere, 0o700); err != nil {
		t.Fatal(err)
	}
	add := func(what string, p *fleet.Process) { c.spared = append(c.spared, bystander{what, p}) }
	manual := func(what string, s fleet.Shape) { add(what, f.Manual(profile, s)) }

	manual("another installation's gateway, started by hand", fleet.Shape{Args: []string{"gateway", "run"}, Env: []string{"HERMES_HOME=" + elsewhere}, Parent: fleet.OfInit})
	manual("an editor of Hermes' source", fleet.Shape{Program: "vim", Args: []string{"gateway/run.py"}, Sit: true, Session: true})
	manual("somebody's restart of a gateway", fleet.Shape{Args: []string{"-p", profile, "gateway", "restart"}, Sit: true})
	manual("a dashboard in a shell", fleet.Shape{Args: []string{"-p", profile, "dashboard"}, Sit: true, Parent: fleet.OfShell})
	gui := launchd.GUI(f.UID)
	add("another installation's job", f.Submit(gui, "ai.hermes.gateway-0badcafe", abroad, nil, f.Program("hermes"), "gateway", "run"))
	add("the user's own job, a gateway of this installation", f.Submit(gui, "com.example.mine", home, map[string]any{
		"EnvironmentVariables": map[string]string{"HERMES_HOME": f.Root, standin.EnvTag: "com.example.mine", standin.EnvSit: "1"},
	}, f.Program("hermes"), "-p", profile, "gateway", "run"))

	f.Behave(profile, bare)
	by := f.Manual(profile, fleet.Shape{Session: true})
	f.Behave(profile, behaviour)
	if calls {
		c.caller = by
		add("the gateway that called the command", by)
	} else {
		c.stray = by
	}
	for id, err := proc.Read(by.PID); err == nil && sweep.Now() <= id.Start; { // the last one
		time.Sleep(time.Millisecond)
	}
	return c
}

// call makes the calls of the schedule that come from within, in their order, and waits for their end.
func (c crowd) call(f *fleet.Fleet, runs []*realRun) {
	began := time.Now()
	runs = slices.DeleteFunc(slices.Clone(runs), func(x *realRun) bool { return !x.called })
	slices.SortFunc(runs, func(a, b *realRun) int { return int(a.at - b.at) })
	calls := make([]*fleet.Call, len(runs))
	for i, x := range runs {
		time.Sleep(x.at - time.Since(began))
		x.began = time.Now()
		calls[i] = f.Call(c.caller, fleet.Within{Session: true, Depth: i % 2}, f.Prepare(x.args...))
		for _, e := range calls[i].Caller().Events() {
			if e.Kind == standin.Called {
				x.pid = e.Child
			}
		}
		if x.kill > 0 {
			defer time.AfterFunc(x.kill, func() { calls[i].Signal(syscall.SIGKILL) }).Stop()
		}
	}
	for i, x := range runs {
		o := calls[i].End()
		x.ended, x.code = x.began.Add(o.Took), o.Code
		if o.Code < 0 {
			x.signal = syscall.Signal(-o.Code)
		}
		x.stdout.WriteString(o.Stdout)
		x.stderr.WriteString(o.Stderr)
	}
}

// witnesses are they and the processes of the jobs, and what they got.
func (c crowd) witnesses(f *fleet.Fleet) (list []witness) {
	known := map[int]bool{}
	add := func(w witness, p *fleet.Process) {
		known[p.PID] = true
		w.pid, w.ended = p.PID, !p.Alive()
		for _, e := range p.Events() {
			if e.Kind == standin.Signal {
				w.signals = append(w.signals, syscall.Signal(e.Signal))
			}
		}
		list = append(list, w)
	}
	for _, b := range c.spared {
		add(witness{what: b.what}, b.Process)
	}
	if c.stray != nil {
		add(witness{what: "a gateway started by hand", stray: true}, c.stray)
	}
	for _, g := range f.Gateways() {
		for _, s := range f.SignalsSeen(g.Profile) {
			if !known[s.PID] {
				list = append(list, witness{what: s.Role + " of " + g.Label, pid: s.PID, job: g.Label, signals: []syscall.Signal{s.Signal}})
			}
		}
	}
	return list
}
