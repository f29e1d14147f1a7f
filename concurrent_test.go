package hermesgw_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	hermesgw "github.com/hermes-gw/hermes-gw"
	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
	"github.com/hermes-gw/hermes-gw/internal/proc"
	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/launchd/launchdtest"
	"github.com/hermes-gw/hermes-gw/xpc"
)

const (
	kickstart  = 702
	attributes = 712
	enabled    = 811
)

// about returns what fleet.Wait takes to wait for a request about a job.
func about(routine uint64, label string) func(launchdtest.Event) bool {
	return func(e launchdtest.Event) bool {
		return e.Kind == launchdtest.Request && e.Routine == routine && e.Label == label
	}
}

// count counts the requests about a profile's job since m, without those of the fleet itself.
func count(f *fleet.Fleet, m launchdtest.Mark, routine uint64, profile string) (n int) {
	for _, e := range f.Requests(m) {
		if about(routine, f.Gateway(profile).Label)(e) {
			n++
		}
	}
	return n
}

// once fails the test unless the profile's job got one new process since m, by one request.
func once(t *testing.T, f *fleet.Fleet, m launchdtest.Mark, profile string) {
	t.Helper()
	if spawns, requests := f.Spawns(profile, m), count(f, m, kickstart, profile); spawns != 1 || requests != 1 {
		t.Errorf("%d new processes by %d requests:\n%s", spawns, requests, f.TraceText(m))
	}
}

// snapshots waits until n commands that were started since m have read the job, as each does before
// it takes the lock: it asks for the text and then whether the label is disabled, over one
// connection. A command that has the lock asks the second over another one.
func snapshots(f *fleet.Fleet, m launchdtest.Mark, n int, profile string) {
	label := f.Gateway(profile).Label
	printed, read := map[uint64]bool{}, map[uint64]bool{}
	f.Wait(m, func(e launchdtest.Event) bool {
		switch {
		case e.Kind != launchdtest.Reply || e.Label != label:
		case e.Routine == 708:
			printed[e.Conn] = true
		case e.Routine == enabled && printed[e.Conn]:
			read[e.Conn] = true
		}
		return len(read) == n
	})
}

// Trap 66: two restarts at once are one; the second says so, and that who held the job's lock
// crashed does not matter.
func TestTrap66TwoRestarts(t *testing.T) {
	t.Parallel()
	newFleet := func(t *testing.T, work fleet.Standin) (*fleet.Fleet, string) {
		f := fleet.New(t, fleet.Options{Outside: true, Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Middle, Standin: work}, {Name: "other", Plist: fleet.Oldest}}})
		f.Behave("work", fleet.Standin{})
		return f, f.Gateway("work").Label
	}
	slow := fleet.Standin{IgnoreTERM: true} // it ends when the test says so
	t.Run("the second waits for the first", func(t *testing.T) {
		t.Parallel()
		f, label := newFleet(t, slow)
		m := f.Mark()
		first := laterJSON(t, f, "restart", "-p", "work")
		f.Wait(m, about(kickstart, label))
		asked := f.Mark()
		other := laterJSON(t, f, "restart", label)
		snapshots(f, asked, 1, "work")
		f.Running("work", 0).End()
		second := other().shows(t, 0, "already-restarting")
		done := first().shows(t, 0, "restarted")
		if done.pid(t, "new_pid") != second.pid(t, "new_pid") || done.pid(t, "new_pid") != f.JobPID("work") {
			t.Errorf("%s%s", done.Stdout, second.Stdout)
		}
		once(t, f, m, "work")
		f.NeverUnloaded(m)
	})
	t.Run("six at the same moment", func(t *testing.T) {
		t.Parallel()
		f, _ := newFleet(t, fleet.Standin{Teardown: 100 * time.Millisecond})
		release := holdFlight(t, f, "work", "")
		m := f.Mark()
		var all []*underWay
		for range 6 {
			all = append(all, start(t, f.Prepare("restart", "-p", "work", "--json")))
		}
		snapshots(f, m, len(all), "work")
		release()
		states := map[any]int{}
		for _, u := range all {
			p := readJSON(t, u.end(), nil)
			if p.Code != 0 {
				t.Error(p.Stdout, p.Stderr)
			}
			states[p.results()[0]["state"]]++
		}
		if !maps.Equal(states, map[any]int{"restarted": 1, "already-restarting": 5}) {
			t.Errorf("%v", states)
		}
		once(t, f, m, "work")
		f.NeverUnloaded(m)
	})
	t.Run("the holder is killed when its request is out", func(t *testing.T) {
		t.Parallel()
		f, label := newFleet(t, slow)
		m := f.Mark()
		first := start(t, f.Prepare("restart", "-p", "work"))
		f.Wait(m, about(kickstart, label))
		asked := f.Mark()
		second := laterJSON(t, f, "restart", "-p", "work")
		snapshots(f, asked, 1, "work")
		first.signal(syscall.SIGKILL)
		first.end()
		f.Wait(asked, about(kickstart, label)) // it is being stopped already
		f.Running("work", 0).End()
		second().shows(t, 0, "already-restarting")
		if n := f.Spawns("work", m); n != 1 {
			t.Errorf("%d new processes:\n%s", n, f.TraceText(m))
		}
		f.AllRunning()
		f.NeverUnloaded(m)
	})
	t.Run("the holder is killed before its request", func(t *testing.T) {
		t.Parallel()
		f, label := newFleet(t, fleet.Standin{})
		// It has the lock and asks for the job's attributes. It would get on without an answer, so it
		// is stopped while it waits for one.
		m := f.Mark() // which asks for attributes itself
		f.Launchd.SetFaults(launchdtest.Fault{Kind: launchdtest.Never, Routine: attributes, Label: label, Times: 1})
		first := start(t, f.Prepare("restart", "-p", "work"))
		f.Wait(m, about(attributes, label))
		first.signal(syscall.SIGSTOP)
		asked := f.Mark()
		second := start(t, f.Prepare("restart", "-p", "work", "--json"))
		snapshots(f, asked, 1, "work")
		first.signal(syscall.SIGKILL)
		first.end()
		readJSON(t, second.end(), nil).shows(t, 0, "restarted")
		once(t, f, m, "work")
		f.NeverUnloaded(m)
	})
	t.Run("a holder that does not end is named", func(t *testing.T) {
		t.Parallel()
		f, label := newFleet(t, fleet.Standin{})
		self := proc.Self()
		note, err := json.Marshal(map[string]any{"pid": self.PID, "start_time": self.Start, "command": "hermes update"})
		if err != nil {
			t.Fatal(err)
		}
		release := holdFlight(t, f, "work", string(note))
		m := f.Mark()
		others := laterJSON(t, f, "restart", "--all", "--timeout", "1s")
		p := inJSON(t, f, "restart", label, "--timeout", "1s").shows(t, 6, "busy")
		if text := fmt.Sprintf("process %d (hermes update)", self.PID); !strings.Contains(p.Stdout, text) || !strings.Contains(p.Stderr, text) {
			t.Errorf("%q is not in %s%s", text, p.Stdout, p.Stderr)
		}
		// The others do not wait for it.
		others().shows(t, 3, "restarted", "busy")
		if n := count(f, m, kickstart, "work"); n != 0 {
			t.Errorf("%d requests", n)
		}
		release()
		// A note of a process that is not there names nobody.
		stale := holdFlight(t, f, "work", fmt.Sprintf(`{"pid":%d,"start_time":%d,"command":"hermes update"}`, self.PID, self.Start+1))
		if p := inJSON(t, f, "restart", label, "--timeout", "1s").shows(t, 6, "busy"); !strings.Contains(p.Stdout, "another process") || strings.Contains(p.Stdout, "hermes update") {
			t.Error(p.Stdout)
		}
		stale()
		if _, err := os.Stat(flightPath(f, f.Gateway("work").Target)); err != nil {
			t.Error("the lock's file must stay: ", err)
		}
		inJSON(t, f, "restart", label).shows(t, 0, "restarted")
	})
}

// Two callers, each inside another job of the fleet, restart all at the same time, and end each
// other by it: every job is loaded all the time, none is restarted twice, and theirs once.
func TestTwoCallersInside(t *testing.T) {
	t.Parallel()
	fleet.NeedsShell(t)
	f := fleet.New(t, fleet.Options{Outside: true, Profiles: []fleet.Profile{
		{Name: "a", Plist: fleet.Oldest, Unloaded: true}, {Name: "b", Plist: fleet.Oldest, Unloaded: true},
		{Name: "c", Plist: fleet.Oldest, Standin: fleet.Standin{Teardown: 50 * time.Millisecond}},
	}})
	again := filepath.Join(f.Dir, "again")
	fifo := func(path string) *os.File {
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := os.OpenFile(path, os.O_RDWR, 0) // neither waits for the other end nor sees it go
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { file.Close() })
		return file
	}
	back := fifo(again)
	command := f.Prepare()
	var callers []*os.File
	for _, name := range []string{"a", "b"} {
		g := f.Gateway(name)
		path := filepath.Join(f.Dir, name)
		callers = append(callers, fifo(path))
		environment := map[string]string{}
		for _, pair := range command.Env {
			key, value, _ := strings.Cut(pair, "=")
			environment[key] = value
		}
		environment["HERMES_HOME"] = g.Home
		// HERMES_HOME of a profile means the same installation.
		script := fmt.Sprintf(`if mkdir %[1]s.first; then echo ready >%[2]s; read go <%[1]s; %[3]s restart --all >%[1]s.out 2>&1; fi; echo %[4]s >%[2]s; exec sleep 1000`,
			path, again, command.Path, name)
		f.SetKeys(name, map[string]any{"ProgramArguments": []string{"/bin/sh", "-c", script}, "EnvironmentVariables": environment})
		f.Load(name)
	}
	said := make(chan string)
	go func() {
		buffer := make([]byte, 512)
		for {
			n, err := back.Read(buffer)
			if err != nil {
				return
			}
			for _, word := range strings.Fields(string(buffer[:n])) {
				said <- word
			}
		}
	}()
	hear := func() string {
		t.Helper()
		select {
		case word := <-said:
			return word
		case <-time.After(time.Minute):
			for _, name := range []string{"a", "b"} {
				text, err := os.ReadFile(filepath.Join(f.Dir, name+".out"))
				t.Logf("%s: %s, %v", name, text, err)
			}
			t.Fatalf("a job did not come back:\n%s", f.TraceText(0))
			return ""
		}
	}
	hear()
	hear()
	m := f.Mark()
	for _, c := range callers {
		if _, err := c.WriteString("go\n"); err != nil {
			t.Fatal(err)
		}
	}
	if words := []string{hear(), hear()}; words[0] == words[1] {
		t.Errorf("%q", words)
	}
	settled(t, f, m)
	for name, want := range map[string][]int{"a": {1}, "b": {1}, "c": {0, 1}} {
		if n := f.Spawns(name, m); !slices.Contains(want, n) {
			t.Errorf("%s got %d new processes:\n%s", name, n, f.TraceText(m))
		}
	}
	for _, e := range f.Requests(m) {
		if e.Routine >= 800 && e.Routine <= 805 || e.Routine == 816 {
			t.Errorf("%v", e)
		}
	}
	for _, name := range []string{"a", "b", "c"} {
		if f.JobPID(name) == 0 {
			t.Errorf("%s does not run", name)
		}
	}
}

// settled waits until every kickstart since m has its answer.
func settled(t *testing.T, f *fleet.Fleet, m launchdtest.Mark) {
	t.Helper()
	eventually(t, "every request is answered", func() bool {
		open := map[uint64]bool{}
		for _, e := range f.Trace(m) {
			switch {
			case e.Routine != kickstart:
			case e.Kind == launchdtest.Request:
				open[e.ID] = true
			case e.Kind == launchdtest.Reply:
				delete(open, e.ID)
			}
		}
		return len(open) == 0
	})
}

// before is a transport that does something right before a routine's first request, about a job if
// that is named.
type before struct {
	xpc.Transport
	routine uint64
	label   string
	do      func()
	once    sync.Once
}

func (b *before) Call(ctx context.Context, routine uint64, msg xpc.Dict) (xpc.Dict, error) {
	if name, _ := msg.String("name"); routine == b.routine && (b.label == "" || name == b.label) {
		b.once.Do(b.do)
	}
	return b.Transport.Call(ctx, routine, msg)
}

// library is the package over a fleet, with a connection of its own.
func library(t *testing.T, f *fleet.Fleet, wrap func(xpc.Transport) xpc.Transport) *hermesgw.Hermes {
	t.Helper()
	client, err := launchd.Open(t.Context(), launchd.Options{Address: f.Address(), Wrap: wrap})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	in, err := hermesgw.Locate(hermesgw.Where{UID: f.UID, HermesHome: f.Root, AccountHome: f.AccountHome})
	if err != nil {
		t.Fatal(err)
	}
	return hermesgw.New(in, client, hermesgw.Options{StateDir: f.StateDir, Address: f.Address()})
}

// restartThrough restarts one profile's gateway and returns its result.
func restartThrough(t *testing.T, h *hermesgw.Hermes, profile string, o hermesgw.RestartOptions) hermesgw.Result {
	t.Helper()
	o.Select.Profiles = []string{profile}
	report, err := h.Restart(t.Context(), o)
	if err != nil || len(report.Results) != 1 {
		t.Fatalf("%+v, %v", report, err)
	}
	return report.Results[0]
}

// Trap 67: hermes update restarts the job, too, with no lock of ours. Where the process changed
// since our snapshot there is no second kill.
func TestTrap67UpdateAtTheSameTime(t *testing.T) {
	t.Parallel()
	slow := fleet.Standin{IgnoreTERM: true} // it ends when the test says so
	f := fleet.New(t, fleet.Options{Outside: true, Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Middle}, {Name: "slow", Plist: fleet.Middle, Standin: slow},
		{Name: "busy", Plist: fleet.Middle, Standin: fleet.Standin{DrainForever: true}}}})
	update := func(f *fleet.Fleet, profile string) {
		if _, err := f.Client.Kickstart(context.Background(), f.Gateway(profile).Target, launchd.KickstartOptions{Kill: true, Unthrottle: true}); err != nil {
			t.Error(err)
		}
	}
	t.Run("between our snapshot and our request", func(t *testing.T) {
		m := f.Mark()
		h := library(t, f, func(tr xpc.Transport) xpc.Transport {
			return &before{Transport: tr, routine: attributes, do: func() { update(f, "work") }}
		})
		r := restartThrough(t, h, "work", hermesgw.RestartOptions{})
		if r.Outcome != launchd.OutcomeAlreadyRestarting || r.New != f.JobPID("work") || r.New == r.Old {
			t.Errorf("%+v", r)
		}
		once(t, f, m, "work") // by the update
	})
	t.Run("while we look at the job", func(t *testing.T) {
		// Between launchd's word about the job's process and a look at the process itself.
		f := fleet.New(t, fleet.Options{Outside: true, Profiles: []fleet.Profile{{Name: "plain", Plist: fleet.Oldest}}})
		for _, selection := range []hermesgw.Selection{{Profiles: []string{"plain"}}, {All: true}} {
			jobOf(t, f, "plain")
			m := f.Mark()
			h := library(t, f, func(tr xpc.Transport) xpc.Transport {
				return &before{Transport: tr, routine: enabled, label: f.Gateway("plain").Label, do: func() { update(f, "plain") }}
			})
			report, err := h.Restart(t.Context(), hermesgw.RestartOptions{Select: selection, Force: true})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range report.Results {
				if r.Profile == "plain" && (r.Outcome != launchd.OutcomeAlreadyRestarting || r.New != f.JobPID("plain")) {
					t.Errorf("%+v", r)
				}
			}
			once(t, f, m, "plain") // by the update
		}
	})
	t.Run("while we wait for the lock", func(t *testing.T) {
		release := holdFlight(t, f, "work", "")
		m := f.Mark()
		u := start(t, f.Prepare("restart", "-p", "work", "--json"))
		snapshots(f, m, 1, "work")
		update(f, "work")
		release()
		readJSON(t, u.end(), nil).shows(t, 0, "already-restarting")
		once(t, f, m, "work")
	})
	t.Run("its request is under way", func(t *testing.T) {
		m := f.Mark()
		var updated sync.WaitGroup
		updated.Go(func() { update(f, "slow") })
		f.Wait(m, launchdtest.Is(launchdtest.Signal, f.Gateway("slow").Label))
		f.Behave("slow", fleet.Standin{})
		asked := f.Mark()
		ours := laterJSON(t, f, "restart", "-p", "slow")
		f.Wait(asked, about(kickstart, f.Gateway("slow").Label))
		f.Running("slow", 0).End()
		ours().shows(t, 0, "already-restarting")
		updated.Wait()
		if n := f.Spawns("slow", m); n != 1 {
			t.Errorf("%d new processes:\n%s", n, f.TraceText(m))
		}
	})
	t.Run("while the gateway finishes its work", func(t *testing.T) {
		old := f.Running("busy", 0)
		f.Behave("busy", fleet.Standin{})
		m := f.Mark()
		u := start(t, f.Prepare("restart", "-p", "busy", "--graceful=20s", "--json"))
		f.Reached("busy", "draining", 0)
		update(f, "busy")
		readJSON(t, u.end(), nil).shows(t, 0, "restarted")
		f.Running("busy", old.PID)
		if n := f.Spawns("busy", m); n != 1 {
			t.Errorf("%d new processes:\n%s", n, f.TraceText(m))
		}
	})
	f.NeverUnloaded(f.Loaded())
	f.AllRunning()
}

// Trap 69: hermes gateway stop comes between our snapshot and our request: the result is
// not-loaded, and the gateway stays stopped.
func TestTrap69StoppedMeanwhile(t *testing.T) {
	t.Parallel()
	for name, one := range map[string]struct {
		routine uint64
		options hermesgw.RestartOptions
	}{
		"before we look again":     {attributes, hermesgw.RestartOptions{}},
		"right before our request": {kickstart, hermesgw.RestartOptions{}},
		"with --bootstrap":         {attributes, hermesgw.RestartOptions{Bootstrap: true}},
		"after a drain":            {kickstart, hermesgw.RestartOptions{Graceful: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := fleet.New(t, fleet.Options{Outside: true, Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Middle}}})
			g := f.Gateway("work")
			h := library(t, f, func(tr xpc.Transport) xpc.Transport {
				return &before{Transport: tr, routine: one.routine, do: func() {
					if _, err := f.Client.Stop(context.Background(), g.Target); err != nil {
						t.Error(err)
					}
				}}
			})
			m := f.Mark()
			one.options.Wait = hermesgw.WaitReady
			r := restartThrough(t, h, "work", one.options)
			if r.Outcome != launchd.OutcomeNotLoaded || r.New != 0 || r.Err == nil {
				t.Errorf("%+v", r)
			}
			if doc := r.Document(); doc.Error == nil || doc.Error.Code != "not-loaded" {
				t.Errorf("%+v", doc)
			}
			if _, err := f.Client.Job(t.Context(), g.Target); err == nil {
				t.Error("it is loaded again")
			}
			bootouts := 0
			for _, e := range f.Requests(m) {
				switch e.Routine {
				case 800:
					t.Errorf("%v", e)
				case 801:
					bootouts++
				}
			}
			if bootouts != 1 {
				t.Errorf("%d bootouts", bootouts)
			}
		})
	}
}
