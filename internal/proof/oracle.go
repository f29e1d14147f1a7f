package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/launchd/launchdtest"
)

// evidence is what a schedule with real processes leaves. What must be true of it is the oracle:
// each invariant looks at nothing else, so that a test can break one at a time.
type evidence struct {
	jobs   []launchd.Target // of the fleet
	runs   []*realRun
	own    int                 // pid of the proof, which starts again what was stopped
	trace  []launchdtest.Event // from the beginning of launchd
	from   launchdtest.Mark    // where the schedule began
	others []witness
	killed []int    // pids of gateways that the schedule itself killed
	bare   []string // labels of jobs whose first process is the gateway, with no program around it
}

// witness is a stand-in, and what it says that it got.
type witness struct {
	what    string
	pid     int
	job     string // label of the job that it belongs to, "" if it is no process of the plan
	stray   bool   // a restart --all may sweep it
	ended   bool   // it is to live, and does not
	signals []syscall.Signal
}

// violations is everything that is wrong.
func (v evidence) violations() (list []string) {
	_, reports := v.reports()
	return slices.Concat(v.requests(), v.instances(), v.signals(), v.spared(), reports, v.ends())
}

// played are the events of the schedule. They tell their place themselves: the fleet leaves its own
// out of the trace.
func (v evidence) played() []launchdtest.Event {
	for i, e := range v.trace {
		if e.Next > v.from {
			return v.trace[i:]
		}
	}
	return nil
}

// sender is who sent a request, and what it may ask for.
type sender struct {
	what string
	may  func(routine uint64, target string) bool
}

// sender finds out whose request it is: each client is a process of its own. It goes by the pid,
// never by the label: what one command may do to a job another one may not.
func (v evidence) sender(e launchdtest.Event) sender {
	if e.Peer == v.own {
		return sender{"the proof itself", func(routine uint64, _ string) bool { return routine == bootstrap || routine == kickstart }}
	}
	var run *realRun
	for _, x := range v.runs {
		if x.pid != 0 && x.pid == e.Peer && !x.began.After(e.Time) && (run == nil || x.began.After(run.began)) {
			run = x
		}
	}
	if run != nil {
		return sender{run.String(), run.may}
	}
	for _, s := range v.trace {
		// A worker can be faster than the word that there is one.
		if s.Kind != launchdtest.Spawn || s.PID != e.Peer || !isWorker(s.Label) {
			continue
		}
		own := s.Domain + "/" + s.Label
		return sender{"the worker " + s.Label, func(routine uint64, target string) bool {
			switch routine {
			case bootstrap:
				return true
			case bootout:
				return target == own || workerOf(target) == own
			}
			return routine == kickstart && workerOf(target) == own
		}}
	}
	return sender{fmt.Sprintf("process %d, which is none of the schedule's", e.Peer), func(uint64, string) bool { return false }}
}

// workerOf is the job of a reload's worker, for the job that it loads anew.
func workerOf(target string) string {
	t, err := launchd.ParseTarget(target)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256([]byte(target))
	return t.Domain.String() + "/" + "hermes-gw.reload." + hex.EncodeToString(sum[:4])
}

// may says what a command may ask launchd for. A restart never loads or unloads anything.
func (x *realRun) may(routine uint64, target string) bool {
	named := slices.Contains(x.targets, target)
	switch x.args[0] {
	case "restart":
		return routine == kickstart && named
	case "start":
		return routine == bootstrap || routine == kickstart && named
	case "stop":
		return routine == bootout && named
	case "reload": // by a worker; what is left of an earlier one is in its way
		mine := slices.ContainsFunc(x.targets, func(t string) bool { return workerOf(t) == target })
		return routine == bootstrap || (routine == kickstart || routine == bootout) && mine
	}
	return false
}

func targetOf(e launchdtest.Event) string { return e.Domain + "/" + e.Label }

// requests: nobody asks for what its command does not say, and nobody else takes a job away.
func (v evidence) requests() (list []string) {
	for _, e := range v.played() {
		unload := e.Routine == bootout || e.Routine == remove
		switch from := v.sender(e); {
		case e.Kind == launchdtest.Request && unload && e.Label == "":
			list = append(list, fmt.Sprintf("%s asked to unload without a name: %v", from.what, e))
		case e.Kind == launchdtest.Request && !slices.Contains(asks, e.Routine) && !from.may(e.Routine, targetOf(e)):
			list = append(list, fmt.Sprintf("%s sent %d about %q, which is not its to send", from.what, e.Routine, e.Label))
		case fleet.Unloaded(e) && !from.may(e.Routine, targetOf(e)):
			list = append(list, fmt.Sprintf("%s was unloaded by %s", e.Label, from.what))
		}
	}
	return list
}

// lost says why a job that is not loaded at rest ought to be: a stop was not the last to take it away.
func (v evidence) lost(t launchd.Target) string {
	by := "nobody"
	stopped := false
	for _, e := range v.played() {
		if fleet.Unloaded(e) && targetOf(e) == t.String() {
			by = v.sender(e).what
			stopped = slices.ContainsFunc(v.runs, func(x *realRun) bool { return x.args[0] == "stop" && x.String() == by })
		}
	}
	if stopped {
		return ""
	}
	return fmt.Sprintf("%s is lost; last unloaded by %s", t.Label, by)
}

// instances: a job has one process at a time.
func (v evidence) instances() (list []string) {
	live := map[string]int{}
	for _, e := range v.trace {
		switch target := targetOf(e); e.Kind {
		case launchdtest.Spawn:
			if live[target] != 0 {
				list = append(list, fmt.Sprintf("%s got process %d while process %d was there", e.Label, e.PID, live[target]))
			}
			live[target] = e.PID
		case launchdtest.Exit:
			delete(live, target)
		}
	}
	return list
}

// signals: launchd signals only the process of a job that somebody whose command names it asked it to
// stop, and no process of a job dies by a signal of anybody else's.
func (v evidence) signals() (list []string) {
	live, asked, sent := map[string]int{}, map[string]bool{}, map[int]bool{}
	for _, e := range v.trace {
		played := e.Next > v.from
		switch target := targetOf(e); e.Kind {
		case launchdtest.Spawn:
			live[target] = e.PID
			delete(sent, e.PID)
		case launchdtest.Exit:
			delete(live, target)
			// A gateway that is still booting dies by the signal that asks it to finish its work.
			drained := e.Status.Signaled() && e.Status.Signal() == syscall.SIGUSR1 && slices.Contains(v.bare, e.Label) && v.graceful(target)
			if e.Status.Signaled() && !sent[e.PID] && !slices.Contains(v.killed, e.PID) && !drained {
				list = append(list, fmt.Sprintf("%s, process %d, ended by %v, which was not launchd's", e.Label, e.PID, e.Status.Signal()))
			}
		case launchdtest.Request:
			if played && (e.Routine == kickstart || e.Routine == bootout) && v.sender(e).may(e.Routine, target) {
				asked[target] = true
			}
		case launchdtest.Signal:
			sent[e.PID] = true
			if live[target] != e.PID {
				list = append(list, fmt.Sprintf("%v went to process %d, and that of %s is %d", e.Signal, e.PID, e.Label, live[target]))
			}
			if played && !asked[target] {
				list = append(list, fmt.Sprintf("%v went to %s, process %d, which no command named", e.Signal, e.Label, e.PID))
			}
		}
	}
	return list
}

// graceful reports whether somebody was to ask the gateway of a job to finish its work.
func (v evidence) graceful(target string) bool {
	return slices.ContainsFunc(v.runs, func(x *realRun) bool {
		return slices.Contains(x.args, "--graceful") && slices.Contains(x.targets, target)
	})
}

// spared: no process outside of the plan gets a signal, and those of the jobs only what a command
// is there to send: SIGUSR1 a graceful restart, all others launchd, and a sweep to a stray.
func (v evidence) spared() (list []string) {
	swept := slices.ContainsFunc(v.runs, func(x *realRun) bool {
		return x.args[0] == "restart" && slices.Contains(x.args, "--all")
	})
	for _, w := range v.others {
		if w.ended && !(w.stray && swept) {
			list = append(list, fmt.Sprintf("%s, process %d, has ended", w.what, w.pid))
		}
		for _, s := range w.signals {
			var ok bool
			switch {
			case w.stray:
				ok = swept && s == syscall.SIGTERM
			case w.job == "":
			case s == syscall.SIGUSR1:
				ok = slices.ContainsFunc(v.jobs, func(t launchd.Target) bool { return t.Label == w.job && v.graceful(t.String()) })
			default:
				ok = slices.ContainsFunc(v.played(), func(e launchdtest.Event) bool { return e.Kind == launchdtest.Signal && e.Label == w.job })
			}
			if !ok {
				list = append(list, fmt.Sprintf("%s, process %d, got %v", w.what, w.pid, s))
			}
		}
	}
	return list
}

// outcome is what a report says about one job.
type outcome struct {
	Target string `json:"target"`
	State  string `json:"state"`
	Old    int    `json:"old_pid"`
	New    int    `json:"new_pid"`
	PID    int    `json:"pid"` // of a start
}

// reports: what a command says of itself is what launchd's trace has: each process that it names
// was the job's, the new one began after the command did, and the old one ended before that. checked counts the
// reports of a process that was replaced, begun or stopped.
func (v evidence) reports() (checked int, list []string) {
	for _, x := range v.runs {
		if x.signal != 0 || len(x.stdout.Bytes()) == 0 || x.args[0] == "status" {
			continue
		}
		var report struct {
			Results []outcome `json:"results"`
		}
		const nothingThere = 5 // all jobs were stopped at that moment
		if err := json.Unmarshal(x.stdout.Bytes(), &report); err != nil || len(report.Results) == 0 && x.code != nothingThere {
			list = append(list, fmt.Sprintf("%s: exit %d, its report: %v: %s", x, x.code, err, &x.stdout))
		}
		for _, one := range report.Results {
			switch one.State {
			case "restarted", "already-restarting", "started", "stopped":
				checked++
			}
			if why := v.untrue(x, one); why != "" {
				list = append(list, fmt.Sprintf("%s reports %+v: %s", x, one, why))
			}
		}
	}
	return checked, list
}

// untrue says what is wrong with a report.
func (v evidence) untrue(x *realRun, one outcome) string {
	// when is the last such event about a process of the job before the command's end.
	when := func(kind launchdtest.Kind, pid int) (at time.Time) {
		for _, e := range v.trace {
			if e.Kind == kind && targetOf(e) == one.Target && e.PID == pid && e.Time.Before(x.ended) {
				at = e.Time
			}
		}
		return at
	}
	i := slices.IndexFunc(x.targets, func(t string) bool { return t == one.Target || strings.HasSuffix(t, "/"+one.Target) })
	if i < 0 {
		return "that is not what it is about"
	}
	one.Target = x.targets[i] // one that is not loaded has no domain in the report
	for _, pid := range []int{one.Old, one.New, one.PID} {
		if pid != 0 && when(launchdtest.Spawn, pid).IsZero() {
			return fmt.Sprintf("process %d was not the job's", pid)
		}
	}
	replaced := one.State == "restarted" || one.State == "already-restarting"
	switch {
	case one.State == "restarted" && one.Old == 0:
		return "nothing was there to be replaced"
	case one.State == "started" && one.New == 0 && one.PID == 0, replaced && one.New == 0:
		return "no new process is named"
	case replaced && one.New == one.Old:
		return "the new process is the old one"
	case one.New != 0 && !when(launchdtest.Spawn, one.New).After(x.began):
		return "the new process was there before"
	case replaced && one.Old != 0 && !when(launchdtest.Exit, one.Old).After(x.began),
		replaced && one.Old != 0 && when(launchdtest.Exit, one.Old).After(when(launchdtest.Spawn, one.New)),
		one.State == "stopped" && one.Old != 0 && !when(launchdtest.Exit, one.Old).After(x.began):
		return "the old process did not end meanwhile"
	}
	return ""
}

// ends: every command ends by itself, or by our hand.
func (v evidence) ends() (list []string) {
	for _, x := range v.runs {
		switch {
		case x.ended.Sub(x.began) >= runLimit:
			list = append(list, fmt.Sprintf("%s had not ended after %v", x, runLimit))
		case x.signal != 0 && x.signal != syscall.SIGKILL:
			list = append(list, fmt.Sprintf("%s ended by %v: %s", x, x.signal, &x.stderr))
		}
	}
	return list
}

// story is what happened, in its order, as far as it can matter to a violation.
func (v evidence) story() string {
	type line struct {
		at   time.Time
		text string
	}
	var lines []line
	for _, x := range v.runs {
		lines = append(lines, line{x.began, fmt.Sprintf("%s begins", x)}, line{x.ended, fmt.Sprintf("%s ends: exit %d, %v", x, x.code, x.signal)})
	}
	for _, e := range v.trace {
		if (e.Kind == launchdtest.Request || e.Kind == launchdtest.Reply) && slices.Contains(asks, e.Routine) {
			continue
		}
		text := e.String()
		if e.Peer != 0 {
			text += fmt.Sprintf(", of process %d", e.Peer)
		}
		lines = append(lines, line{e.Time, text})
	}
	slices.SortStableFunc(lines, func(a, b line) int { return a.at.Compare(b.at) })
	var b strings.Builder
	for _, l := range lines {
		fmt.Fprintf(&b, "%10v %s\n", l.at.Sub(lines[0].at).Round(10*time.Microsecond), l.text)
	}
	return b.String()
}
