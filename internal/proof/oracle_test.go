package main

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/launchd/launchdtest"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// story is a schedule that went well, of which a test changes something.
type story struct {
	evidence
	began   time.Time
	restart *realRun
}

const (
	label   = "ai.hermes.gateway-work"
	other   = "ai.hermes.gateway-0badcafe"
	target  = "gui/501/" + label
	own     = 9
	victim  = 900 // a bystander
	oldPID  = 100
	newPID  = 101
	lastPID = 102
)

// event adds one, a millisecond after the last.
func (s *story) event(e launchdtest.Event) {
	if e.Domain == "" {
		e.Domain = "gui/501"
	}
	e.Next = launchdtest.Mark(len(s.trace) + 1)
	e.Time = s.began.Add(time.Duration(e.Next) * time.Millisecond)
	s.trace = append(s.trace, e)
}

// ask adds a request and its answer.
func (s *story) ask(peer int, routine uint64, label string, code xpc.Errno) {
	s.event(launchdtest.Event{Kind: launchdtest.Request, Peer: peer, Routine: routine, Label: label})
	s.event(launchdtest.Event{Kind: launchdtest.Reply, Peer: peer, Routine: routine, Label: label, Code: code})
}

func (s *story) process(kind launchdtest.Kind, label string, pid int) {
	s.event(launchdtest.Event{Kind: kind, Label: label, PID: pid, Signal: syscall.SIGTERM})
}

// replaced has launchd replace the process of the job, of which somebody asked it.
func (s *story) replaced(old, new int) {
	s.process(launchdtest.Signal, label, old)
	s.process(launchdtest.Exit, label, old)
	s.process(launchdtest.Spawn, label, new)
}

// run adds a command that began now, and ends at the end of the story.
func (s *story) run(pid int, report string, args ...string) *realRun {
	x := &realRun{args: args, pid: pid, targets: []string{target}, began: s.now(), ended: s.began.Add(time.Second)}
	x.stdout.WriteString(report)
	s.runs = append(s.runs, x)
	return x
}

// now is right after the last event.
func (s *story) now() time.Time {
	return s.began.Add(time.Duration(len(s.trace))*time.Millisecond + time.Microsecond)
}

func reportOf(state string, old, new int) string {
	return fmt.Sprintf(`{"results":[{"target":%q,"state":%q,"old_pid":%d,"new_pid":%d}]}`, target, state, old, new)
}

// newStory is a job, and a restart of it that is told of truly.
func newStory() *story {
	s := &story{began: time.Now()}
	t, err := launchd.ParseTarget(target)
	if err != nil {
		panic(err)
	}
	s.jobs, s.own = []launchd.Target{t}, own
	s.ask(own, bootstrap, "", 0)
	s.process(launchdtest.Spawn, label, oldPID)
	s.process(launchdtest.Spawn, other, victim)
	s.from = launchdtest.Mark(len(s.trace))
	s.restart = s.run(10, reportOf("restarted", oldPID, newPID), "restart", "--graceful")
	s.others = []witness{
		{what: "a bystander", pid: victim},
		{what: "the gateway", pid: oldPID, job: label, signals: []syscall.Signal{syscall.SIGTERM, syscall.SIGUSR1}},
	}
	s.ask(10, kickstart, label, 0)
	s.replaced(oldPID, newPID)
	return s
}

// Each invariant sees its own breach, and none anything in what is as it should be.
func TestOracle(t *testing.T) {
	worker := strings.TrimPrefix(workerOf(target), "gui/501/")
	for _, c := range []struct {
		name string
		do   func(*story)
		want string // what is said, "" is nothing
	}{
		{"a restart", func(*story) {}, ""},
		{"a stop", func(s *story) {
			s.run(11, reportOf("stopped", newPID, 0), "stop")
			s.ask(11, bootout, label, xpc.EINPROGRESS)
			s.process(launchdtest.Signal, label, newPID)
			s.process(launchdtest.Exit, label, newPID)
		}, ""},
		{"a reload", func(s *story) {
			s.run(11, reportOf("restarted", newPID, lastPID), "reload")
			s.ask(11, bootstrap, "", 0)
			s.process(launchdtest.Spawn, worker, 500)
			s.ask(500, bootout, label, xpc.EINPROGRESS)
			s.replaced(newPID, lastPID)
			s.ask(500, bootout, worker, xpc.EINPROGRESS)
			s.ask(11, bootout, worker, xpc.NoSuchService) // what another one left
		}, ""},
		{"a start", func(s *story) {
			s.run(11, fmt.Sprintf(`{"results":[{"target":%q,"state":"started","pid":%d}]}`, label, newPID), "start")
			s.ask(11, bootstrap, "", xpc.EALREADY)
			s.ask(11, kickstart, label, 0)
		}, ""},
		{"a stray that is swept", func(s *story) {
			s.run(11, reportOf("failed", 0, 0), "restart", "--all")
			s.others = append(s.others, witness{what: "a stray", pid: 901, stray: true, ended: true, signals: []syscall.Signal{syscall.SIGTERM}})
		}, ""},
		{"a gateway that the schedule killed", func(s *story) {
			s.killed = []int{newPID}
			s.event(launchdtest.Event{Kind: launchdtest.Exit, Label: label, PID: newPID, Status: syscall.WaitStatus(syscall.SIGKILL)})
		}, ""},
		{"a graceful stop of a gateway that is booting", func(s *story) {
			s.bare = []string{label}
			s.event(launchdtest.Event{Kind: launchdtest.Exit, Label: label, PID: newPID, Status: syscall.WaitStatus(syscall.SIGUSR1)})
		}, ""},
		{"nothing was there", func(s *story) { s.run(11, `{"results":[]}`, "restart", "--all").code = 5 }, ""},

		// The control: a restart that unloads and loads again. launchd answers 36, since the process runs.
		{"a restart unloads", func(s *story) { s.ask(10, bootout, label, xpc.EINPROGRESS) }, label + " was unloaded by"},
		{"a restart unloads what is stopped", func(s *story) { s.ask(10, bootout, label, 0) }, label + " was unloaded by"},
		{"a restart unloads beside a stop of the same job", func(s *story) {
			s.run(11, "", "stop")
			s.ask(11, bootout, label, xpc.EINPROGRESS)
			s.ask(10, bootout, label, xpc.EINPROGRESS)
		}, label + ` was unloaded by ["restart"`},
		{"a restart tries to", func(s *story) { s.ask(10, bootout, label, xpc.NoSuchService) }, "sent 801"},
		{"a restart removes", func(s *story) { s.ask(10, remove, label, 0) }, label + " was unloaded by"},
		{"a restart loads", func(s *story) { s.ask(10, bootstrap, "", 0) }, "sent 800"},
		{"a restart of another job", func(s *story) { s.ask(10, kickstart, other, 0) }, "sent 702"},
		{"a stop of another job", func(s *story) {
			s.run(11, "", "stop")
			s.ask(11, bootout, other, xpc.EINPROGRESS)
		}, other + " was unloaded by"},
		{"a reload that unloads by itself", func(s *story) {
			s.run(11, "", "reload")
			s.ask(11, bootout, label, xpc.EINPROGRESS)
		}, label + " was unloaded by"},
		{"a worker of another job", func(s *story) {
			s.process(launchdtest.Spawn, "hermes-gw.reload.00000000", 500)
			s.ask(500, bootout, label, xpc.EINPROGRESS)
		}, "was unloaded by the worker"},
		{"a status changes something", func(s *story) {
			s.run(11, "", "status")
			s.ask(11, kickstart, label, 0)
		}, "sent 702"},
		{"somebody else", func(s *story) { s.ask(0, bootout, label, 0) }, "none of the schedule's"},
		{"the pid of a command that had not begun", func(s *story) {
			s.ask(11, bootout, label, 0)
			s.run(11, "", "stop")
		}, "none of the schedule's"},
		{"without a name", func(s *story) {
			s.run(11, "", "stop")
			s.event(launchdtest.Event{Kind: launchdtest.Request, Peer: 11, Routine: bootout})
		}, "without a name"},

		{"two instances", func(s *story) { s.process(launchdtest.Spawn, label, lastPID) }, "got process 102 while process 101 was there"},

		{"a signal to a job that nobody named", func(s *story) { s.process(launchdtest.Signal, other, victim) }, "which no command named"},
		{"a signal to a process that had gone", func(s *story) { s.process(launchdtest.Signal, label, oldPID) }, "and that of " + label + " is 101"},
		{"a job's process killed by somebody", func(s *story) {
			s.event(launchdtest.Event{Kind: launchdtest.Exit, Label: label, PID: newPID, Status: syscall.WaitStatus(syscall.SIGKILL)})
		}, "which was not launchd's"},
		{"a graceful stop of the program around the gateway", func(s *story) {
			s.event(launchdtest.Event{Kind: launchdtest.Exit, Label: label, PID: newPID, Status: syscall.WaitStatus(syscall.SIGUSR1)})
		}, "which was not launchd's"},
		{"a signal to a bystander", func(s *story) { s.others[0].signals = []syscall.Signal{syscall.SIGTERM} }, "a bystander, process 900, got terminated"},
		{"a bystander that is gone", func(s *story) { s.others[0].ended = true }, "a bystander, process 900, has ended"},
		{"a stray that nobody was to sweep", func(s *story) {
			s.others = append(s.others, witness{what: "a stray", pid: 901, stray: true, ended: true})
		}, "a stray, process 901, has ended"},
		{"a graceful stop that nobody asked for", func(s *story) {
			s.restart.args = []string{"restart"}
		}, "the gateway, process 100, got user defined signal 1"},
		{"a SIGTERM that is not launchd's", func(s *story) {
			s.trace = slices.DeleteFunc(s.trace, func(e launchdtest.Event) bool { return e.Kind == launchdtest.Signal })
		}, "the gateway, process 100, got terminated"},

		{"a report of a process that was not the job's", func(s *story) { s.tells(reportOf("restarted", oldPID, 777)) }, "process 777 was not the job's"},
		{"a report of an old process that was not the job's", func(s *story) { s.tells(reportOf("restarted", 777, newPID)) }, "process 777 was not the job's"},
		{"a report of nothing before", func(s *story) { s.tells(reportOf("restarted", 0, newPID)) }, "nothing was there"},
		{"a report of nothing new", func(s *story) { s.tells(reportOf("already-restarting", oldPID, 0)) }, "no new process"},
		{"a report of the old one", func(s *story) { s.tells(reportOf("restarted", newPID, newPID)) }, "the new process is the old one"},
		{"a report of one that was there before", func(s *story) {
			s.run(11, reportOf("already-restarting", 0, newPID), "restart")
		}, "was there before"},
		{"a report of a stop that has not happened", func(s *story) { s.run(11, reportOf("stopped", newPID, 0), "stop") }, "did not end meanwhile"},
		{"a report of another job", func(s *story) {
			s.tells(strings.ReplaceAll(reportOf("restarted", oldPID, newPID), label, other))
		}, "not what it is about"},
		{"a report that is none", func(s *story) { s.tells("oh") }, "its report"},
		{"a report of no job", func(s *story) { s.tells(`{"results":[]}`) }, "its report"},

		{"a command that does not end", func(s *story) { s.restart.ended = s.began.Add(runLimit + time.Second) }, "had not ended after"},
		{"a command that crashes", func(s *story) { s.restart.signal = syscall.SIGSEGV }, "ended by segmentation fault"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStory()
			c.do(s)
			list := s.violations()
			switch {
			case c.want == "" && len(list) > 0:
				t.Errorf("%q", list)
			case c.want != "" && !slices.ContainsFunc(list, func(text string) bool { return strings.Contains(text, c.want) }):
				t.Errorf("%q is not in %q\n%v", c.want, list, s.trace)
			}
		})
	}
}

// tells changes what the restart says.
func (s *story) tells(report string) {
	s.restart.stdout.Reset()
	s.restart.stdout.WriteString(report)
}

// A job is lost unless a stop was the last to take it away.
func TestOracleLost(t *testing.T) {
	worker := strings.TrimPrefix(workerOf(target), "gui/501/")
	for _, c := range []struct {
		name string
		do   func(*story)
		want string
	}{
		{"nobody", func(*story) {}, "last unloaded by nobody"},
		{"a restart", func(s *story) { s.ask(10, bootout, label, xpc.EINPROGRESS) }, "last unloaded by [\"restart\""},
		{"a stop", func(s *story) {
			s.run(11, "", "stop")
			s.ask(11, bootout, label, xpc.EINPROGRESS)
		}, ""},
		{"a stop that was refused", func(s *story) {
			s.run(11, "", "stop")
			s.ask(11, bootout, label, xpc.NoSuchService)
		}, "last unloaded by nobody"},
		{"a reload after a stop", func(s *story) {
			s.run(11, "", "stop")
			s.ask(11, bootout, label, xpc.EINPROGRESS)
			s.process(launchdtest.Spawn, worker, 500)
			s.ask(500, bootout, label, xpc.EINPROGRESS)
		}, "last unloaded by the worker"},
	} {
		s := newStory()
		c.do(s)
		if text := s.lost(s.jobs[0]); c.want == "" && text != "" || !strings.Contains(text, c.want) {
			t.Errorf("%s: %q, want %q", c.name, text, c.want)
		}
	}
}
