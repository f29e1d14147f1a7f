package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	hermesgw "github.com/hermes-gw/hermes-gw"
	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
	"github.com/hermes-gw/hermes-gw/internal/embedtest/standin"
	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/launchd/launchdtest"
)

// patience bounds every wait, far above what any takes.
const patience = 60 * time.Second

const profile = "work"

// embedder is a job whose program is the gateway that embeds the package.
type embedder struct {
	*fleet.Fleet
	t       *testing.T
	program string
	env     []string
	mark    launchdtest.Mark // before the job was loaded
}

// load loads the job. wrapped puts Hermes' wrapper around the gateway; keys change the
// property list.
func load(t *testing.T, o fleet.Options, wrapped bool, keys map[string]any) *embedder {
	t.Helper()
	o.Outside, o.Profiles = true, []fleet.Profile{{Name: profile, Plist: fleet.Oldest, Unloaded: true}}
	e := &embedder{Fleet: fleet.New(t, o), t: t, program: fleet.Built(t, "hermes", "internal/embedtest/selfrestart")}
	g := e.Gateway(profile)
	variables := map[string]string{"HERMES_HOME": g.Home, envLaunchd: e.Address(), envState: e.StateDir}
	for name, value := range variables {
		e.env = append(e.env, name+"="+value)
	}
	argv := []string{e.program, "gateway", "run", "--external-supervisor"}
	if wrapped {
		argv = append([]string{e.Program("hermes"), "stderr-timestamp", "--error-log", filepath.Join(g.Home, "logs", "gateway.error.log"), "--"}, argv...)
	}
	change := map[string]any{"ProgramArguments": argv, "EnvironmentVariables": variables, "ThrottleInterval": 1, "ExitTimeOut": 60}
	for name, value := range keys {
		change[name] = value
	}
	e.SetKeys(profile, change)
	e.mark = e.Mark()
	e.Load(profile)
	return e
}

// dial connects to the gateway, as soon as it is there and is not old.
func (e *embedder) dial(old int) net.Conn {
	e.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		c, err := net.Dial("unix", filepath.Join(e.Gateway(profile).Home, socketName))
		if err == nil && e.state().PID != old {
			e.t.Cleanup(func() { c.Close() })
			return c
		}
		if err == nil {
			c.Close()
		}
		if time.Now().After(deadline) {
			e.t.Fatalf("no gateway but %d: %v\n%s", old, err, e.TraceText(e.mark))
		}
	}
}

// state is what the gateway's state file says; the zero value if there is none.
func (e *embedder) state() (s fleet.State) {
	if _, err := os.Stat(filepath.Join(e.Gateway(profile).Home, standin.FileState)); err != nil {
		return s
	}
	return e.State(profile)
}

// document is a report as the asker gets it.
type document struct {
	Results []hermesgw.ResultDocument `json:"results"`
}

// ask has the gateway restart itself, and returns the report that it made before it sent the
// request, and what it said when Restart had returned, if it came to that.
func (e *embedder) ask(r request) (before hermesgw.ResultDocument, after *hermesgw.ResultDocument) {
	e.t.Helper()
	c := e.dial(0)
	c.SetDeadline(time.Now().Add(patience))
	lines := bufio.NewReader(c)
	mark := e.Mark()
	if err := json.NewEncoder(c).Encode(r); err != nil {
		e.t.Fatal(err)
	}
	read := func(into any) error {
		line, err := lines.ReadBytes('\n')
		if err == nil {
			err = json.Unmarshal(line, into)
		}
		return err
	}
	var report document
	if err := read(&report); err != nil || len(report.Results) != 1 {
		e.t.Fatalf("%+v, %v", report, err)
	}
	for _, q := range e.Requests(mark) {
		if !slices.Contains([]uint64{708, 712, 811, 815, 828}, q.Routine) {
			e.t.Errorf("before the report was taken: %s", q)
		}
	}
	if _, err := io.WriteString(c, "go on\n"); err != nil {
		e.t.Fatal(err)
	}
	var end struct {
		Report *document `json:"report"`
		Err    string    `json:"error"`
	}
	switch err := read(&end); {
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
	case err != nil || end.Err != "" || end.Report == nil || len(end.Report.Results) != 1:
		e.t.Fatalf("%+v, %v", end, err)
	default:
		after = &end.Report.Results[0]
	}
	return report.Results[0], after
}

// restarts has the gateway restart itself, and checks that another one comes, and how the old one
// ended.
func (e *embedder) restarts(r request, exit int) (before hermesgw.ResultDocument) {
	e.t.Helper()
	e.dial(0).Close()
	old, job := e.state().PID, e.JobPID(profile)
	before, after := e.ask(r)
	if before.State != launchd.OutcomeRequested || !before.Inside || before.OldPID == nil || *before.OldPID != job {
		e.t.Errorf("%+v", before)
	}
	if after != nil && after.State != launchd.OutcomeRequested {
		e.t.Errorf("Restart returned %+v", after)
	}
	ended := e.Wait(e.mark, func(ev launchdtest.Event) bool { return ev.Kind == launchdtest.Exit && ev.PID == job })
	if ended.Status.ExitStatus() != exit { // had it waited for its own end, launchd would have killed it
		e.t.Errorf("the old gateway: %s", ended)
	}
	e.dial(old)
	e.Mark() // a process can be faster than the trace
	return before
}

// neverUnloaded fails the test if anybody asked to load or unload a job, but the test.
func (e *embedder) neverUnloaded() {
	e.t.Helper()
	loads := 0
	for _, q := range e.Requests(e.mark) {
		switch q.Routine {
		case 800:
			loads++
		case 801, 816:
			e.t.Errorf("%s", q)
		}
	}
	if loads != 1 {
		e.t.Errorf("loaded %d times", loads)
	}
}

func shapes(t *testing.T, test func(t *testing.T, wrapped bool)) {
	for name, wrapped := range map[string]bool{"the job's process": false, "below a wrapper": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, wrapped)
		})
	}
}

// Trap 11: the package is in the gateway's own program. The request goes out, and nobody waits
// for what cannot come.
func TestTrap11RestartsItself(t *testing.T) {
	shapes(t, func(t *testing.T, wrapped bool) {
		e := load(t, fleet.Options{}, wrapped, nil)
		if r := e.restarts(request{}, standin.ExitSignalled); r.Method != launchd.MethodKickstart {
			t.Errorf("%+v", r)
		}
		e.neverUnloaded()
		if n := e.Spawns(profile, e.mark); n != 2 {
			t.Errorf("%d spawns\n%s", n, e.TraceText(e.mark))
		}
	})
}

// It asks itself to finish its work, and does not wait for that.
func TestTrap11RestartsItselfGracefully(t *testing.T) {
	shapes(t, func(t *testing.T, wrapped bool) {
		e := load(t, fleet.Options{TimeScale: 0.01}, wrapped, nil)
		if r := e.restarts(request{Graceful: true}, standin.ExitRestart); r.Method != "" {
			t.Errorf("%+v", r)
		}
		e.neverUnloaded()
	})
}

// A launchd that lets nobody restart a job: with KeepAlive the gateway ends itself, without it
// launchd runs this program as the worker that loads the job anew.
func TestTrap11RestartsItselfWithoutEntitlement(t *testing.T) {
	for name, keys := range map[string]map[string]any{"KeepAlive": {}, "no KeepAlive": {"KeepAlive": nil}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := load(t, fleet.Options{TimeScale: 0.05, Deny: []uint64{702}}, false, keys)
			e.restarts(request{}, standin.ExitSignalled)
			if len(keys) == 0 {
				e.neverUnloaded()
				return
			}
			// The worker's last act is to remove itself.
			e.Wait(e.mark, func(ev launchdtest.Event) bool {
				return ev.Kind == launchdtest.Reply && ev.Routine == 801 && strings.HasPrefix(ev.Label, "hermes-gw.reload.")
			})
			if left, err := filepath.Glob(filepath.Join(e.StateDir, "reload", "*.plist")); err != nil || len(left) > 0 {
				t.Errorf("%v, %v", left, err)
			}
		})
	}
}

// The same program restarts the gateway from outside, and sees that it is ready.
func TestRestartsTheGateway(t *testing.T) {
	t.Parallel()
	e := load(t, fleet.Options{}, false, nil)
	e.dial(0).Close()
	old := e.state().PID
	cmd := exec.Command(e.program, "gateway", "restart")
	cmd.Env = e.env
	text, err := cmd.Output()
	var report document
	if err != nil || json.Unmarshal(text, &report) != nil || len(report.Results) != 1 {
		t.Fatalf("%s, %v", text, err)
	}
	r := report.Results[0]
	if r.State != launchd.OutcomeRestarted || r.Inside || r.NewPID == nil || *r.NewPID != e.JobPID(profile) || r.Phases.Ready == nil {
		t.Errorf("%s", text)
	}
	if e.state().PID == old {
		t.Error("nothing was restarted")
	}
	e.neverUnloaded()
}

// A program that embeds the package cannot start others, because that is not linked in.
func TestLinksNoExec(t *testing.T) {
	t.Parallel()
	deps, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	packages := strings.Fields(string(deps))
	if !slices.Contains(packages, "github.com/hermes-gw/hermes-gw") || slices.Contains(packages, "os/exec") {
		t.Errorf("%v", packages)
	}
}
