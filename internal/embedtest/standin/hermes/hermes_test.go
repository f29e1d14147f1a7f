package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
	"github.com/hermes-gw/hermes-gw/internal/embedtest/standin"
	"github.com/hermes-gw/hermes-gw/internal/proc"
)

// alone is a home without a job in it: the gateways are the test's children.
func alone(t *testing.T) (f *fleet.Fleet, home string) {
	t.Parallel()
	f = fleet.New(t, fleet.Options{Profiles: []fleet.Profile{{Name: "work", Absent: true}}})
	return f, f.Gateway("work").Home
}

// code is how a shell words an end; -n is signal n.
func code(s syscall.WaitStatus) int {
	if s.Signaled() {
		return -int(s.Signal())
	}
	return s.ExitStatus()
}

func states(p *fleet.Process) (list []string) {
	for _, e := range p.Events() {
		if e.Kind == standin.State {
			list = append(list, e.State)
		}
	}
	return list
}

func read(t *testing.T, path string, into any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatal(err)
	}
}

func missing(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s: %v", path, err)
	}
}

// signalled waits until the process got the signal.
func signalled(f *fleet.Fleet, p *fleet.Process, s syscall.Signal) {
	f.Says(p, func(e standin.Event) bool { return e.Kind == standin.Signal && e.Signal == int(s) })
}

func TestGatewayFiles(t *testing.T) {
	f, home := alone(t)
	work := []standin.Work{{Kind: "cron", Session: "secret-session", Elapsed: 12, PID: 7}}
	f.Behave("work", fleet.Standin{ActiveWork: work, CodeSHA: "abc", Served: []string{"a", "b"}})
	p := f.Manual("work", fleet.Plain)
	id, err := proc.Read(p.PID)
	if err != nil {
		t.Fatal(err)
	}
	start := (id.Start + 5000) / 10000 // microseconds to centiseconds
	for _, name := range []string{standin.FilePID, standin.FileLock, standin.FileState} {
		var r standin.Record
		read(t, filepath.Join(home, name), &r)
		if r.PID != p.PID || r.Kind != "hermes-gateway" || r.Home != home || r.Start != start || !slices.Equal(r.Argv, p.Argv) {
			t.Errorf("%s: %+v, want start %d", name, r, start)
		}
	}
	s := f.State("work")
	if s.State != "running" || s.CodeSHA != "abc" || !slices.Equal(s.ActiveWork, work) || s.Platforms["telegram"].State != "connected" ||
		len(s.Served) != 2 || time.Since(s.UpdatedAt).Abs() > time.Minute {
		t.Errorf("%+v", s)
	}
	var beat struct {
		PID       int       `json:"pid"`
		UpdatedAt time.Time `json:"updated_at"`
		Start     float64   `json:"start_time"`
		Tick      bool      `json:"loop_tick_socket"`
	}
	read(t, filepath.Join(home, standin.FileHeartbeat), &beat)
	if beat.PID != p.PID || !beat.Tick || time.Since(beat.UpdatedAt).Abs() > time.Minute || beat.Start == 0 {
		t.Errorf("%+v", beat)
	}
	lock, err := os.Open(filepath.Join(home, standin.FileLock))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != syscall.EWOULDBLOCK {
		t.Errorf("the lock: %v", err)
	}
	p.Signal(syscall.SIGTERM)
	f.Ended(p)
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		t.Errorf("the lock after the end: %v", err)
	}
	missing(t, filepath.Join(home, standin.FilePID))
	missing(t, filepath.Join(home, standin.FileSocket))
	missing(t, filepath.Join(home, "state", fmt.Sprintf("gateway.loop-tick.%d.sock", p.PID)))
	if s := f.State("work"); s.State != "stopped" {
		t.Errorf("%+v", s)
	}
}

func TestGatewayExitCodes(t *testing.T) {
	for sig, want := range map[syscall.Signal]int{
		syscall.SIGTERM: 1, syscall.SIGUSR1: 75, syscall.SIGINT: 0, syscall.SIGHUP: -int(syscall.SIGHUP), syscall.SIGKILL: -int(syscall.SIGKILL),
	} {
		t.Run(sig.String(), func(t *testing.T) {
			f, _ := alone(t)
			p := f.Manual("work", fleet.Plain)
			p.Signal(sig)
			if got := code(f.Ended(p)); got != want {
				t.Errorf("%d, want %d", got, want)
			}
			if sig != syscall.SIGKILL && !f.SawSignal("work", standin.RoleGateway, sig) {
				t.Errorf("noted: %v", f.SignalsSeen("work"))
			}
		})
	}
}

// Before the first state, Python's own actions are in force.
func TestSignalDuringBoot(t *testing.T) {
	f, home := alone(t)
	f.Behave("work", fleet.Standin{BootDelay: time.Hour})
	p := f.Start("work", fleet.Plain)
	missing(t, filepath.Join(home, standin.FilePID))
	p.Signal(syscall.SIGUSR1)
	want := -int(syscall.SIGUSR1)
	if !diesByUSR1 {
		want = 128 + int(syscall.SIGUSR1)
	}
	if got := code(f.Ended(p)); got != want {
		t.Errorf("%d, want %d", got, want)
	}
}

func TestMarkers(t *testing.T) {
	for _, test := range []struct {
		name, file string
		shift      int64         // of the start time
		age        time.Duration // of the marker
		want       int
	}{
		{"takeover", standin.FileTakeover, 0, 0, 0},
		{"planned stop", standin.FilePlannedStop, 0, 0, 0},
		{"of another process", standin.FilePlannedStop, 1, 0, 1},
		{"old", standin.FilePlannedStop, 0, 2 * time.Minute, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			f, home := alone(t)
			p := f.Manual("work", fleet.Plain)
			data, err := json.Marshal(map[string]any{
				"target_pid": p.PID, "target_start_time": f.State("work").Start + test.shift,
				"stopper_pid": os.Getpid(), "written_at": time.Now().Add(-test.age).UTC().Format(isoTime),
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(home, test.file), data, 0o600); err != nil {
				t.Fatal(err)
			}
			p.Signal(syscall.SIGTERM)
			if got := code(f.Ended(p)); got != test.want {
				t.Errorf("%d, want %d", got, test.want)
			}
		})
	}
}

func TestDrain(t *testing.T) {
	f, _ := alone(t)
	f.Behave("work", fleet.Standin{DrainForever: true})
	p := f.Manual("work", fleet.Plain)
	p.Signal(syscall.SIGUSR1)
	f.Says(p, func(e standin.Event) bool { return e.State == "draining" })
	if s := f.State("work"); s.State != "draining" || !s.RestartRequested {
		t.Errorf("%+v", s)
	}
	p.Signal(syscall.SIGTERM)
	if got := code(f.Ended(p)); got != 1 {
		t.Errorf("SIGTERM during a drain: %d", got)
	}
	f.Behave("work", fleet.Standin{Drain: 50 * time.Millisecond})
	p = f.Manual("work", fleet.Plain)
	began := time.Now()
	p.Signal(syscall.SIGUSR1)
	if got := code(f.Ended(p)); got != 75 || time.Since(began) < 50*time.Millisecond {
		t.Errorf("%d after %v", got, time.Since(began))
	}
	if got := states(p); !slices.Equal(got, []string{"starting", "running", "draining", "stopped"}) {
		t.Errorf("%q", got)
	}
	f.Behave("work", fleet.Standin{DrainedTo: new(standin.ExitStopped)})
	p = f.Manual("work", fleet.Plain)
	p.Signal(syscall.SIGUSR1)
	if got := code(f.Ended(p)); got != 0 {
		t.Errorf("%d after a drain that is to end with 0", got)
	}
}

// gateway.pid goes first, long before the process.
func TestTeardown(t *testing.T) {
	f, home := alone(t)
	f.Behave("work", fleet.Standin{Teardown: time.Hour})
	p := f.Manual("work", fleet.Plain)
	p.Signal(syscall.SIGTERM)
	f.Says(p, func(e standin.Event) bool { return e.Kind == standin.Remove && e.Path == standin.FilePID })
	p.Signal(syscall.SIGTERM)
	f.Says(p, func(standin.Event) bool { return len(f.SignalsSeen("work")) == 2 })
	missing(t, filepath.Join(home, standin.FilePID))
	if !p.Alive() || f.State("work").State != "running" {
		t.Errorf("alive: %t, %+v", p.Alive(), f.State("work"))
	}
}

func TestIgnoresTERM(t *testing.T) {
	f, _ := alone(t)
	f.Behave("work", fleet.Standin{IgnoreTERM: true})
	p := f.Manual("work", fleet.Plain)
	p.Signal(syscall.SIGTERM)
	signalled(f, p, syscall.SIGTERM)
	p.Signal(syscall.SIGINT)
	if got := code(f.Ended(p)); got != 0 {
		t.Errorf("%d", got)
	}
}

func TestSecondGateway(t *testing.T) {
	f, home := alone(t)
	first := f.Manual("work", fleet.Plain)
	f.Behave("work", fleet.Standin{Hasty: true})
	second := f.Manual("work", fleet.Python("work"))
	if got := code(f.Ended(second)); got != 1 {
		t.Errorf("the second ended with %d", got)
	}
	var r standin.Record
	if read(t, filepath.Join(home, standin.FilePID), &r); r.PID != first.PID {
		t.Errorf("gateway.pid names %d", r.PID)
	}
	// What a killed one leaves is no obstacle.
	first.Signal(syscall.SIGKILL)
	f.Ended(first)
	third := f.Manual("work", fleet.Plain)
	if read(t, filepath.Join(home, standin.FilePID), &r); r.PID != third.PID || !third.Alive() {
		t.Errorf("gateway.pid names %d, not %d", r.PID, third.PID)
	}
	// Without the lock two can run.
	f.Behave("work", fleet.Standin{NoLock: true, NoPID: true})
	if fourth := f.Manual("work", fleet.Plain); !fourth.Alive() {
		t.Error("ended without a lock to take")
	}
}

// One that is about to end is met by no gateway that boots as slowly as a real one.
func TestSuccessor(t *testing.T) {
	f, _ := alone(t)
	f.Behave("work", fleet.Standin{Teardown: 100 * time.Millisecond})
	first := f.Manual("work", fleet.Plain)
	first.Signal(syscall.SIGTERM)
	signalled(f, first, syscall.SIGTERM)
	if second := f.Manual("work", fleet.Plain); !second.Alive() {
		t.Error("it met the first one's lock")
	}
}

func TestStorm(t *testing.T) {
	f, home := alone(t)
	var starts string
	for range 5 {
		starts += fmt.Sprintf("%.3f\n", float64(time.Now().UnixMilli())/1e3)
	}
	if err := os.WriteFile(filepath.Join(home, standin.FileStarts), []byte("1.5\n"+starts), 0o600); err != nil {
		t.Fatal(err)
	}
	f.Behave("work", fleet.Standin{StormNap: time.Hour})
	p := f.Start("work", fleet.Plain)
	f.Says(p, func(e standin.Event) bool { return e.Kind == standin.Write && e.Path == standin.FileStarts })
	text, err := os.ReadFile(filepath.Join(home, standin.FileStarts))
	for err == nil && strings.Count(string(text), "\n") < 7 { // the note comes right before the file
		text, err = os.ReadFile(filepath.Join(home, standin.FileStarts))
	}
	if err != nil {
		t.Fatal(err)
	}
	if !p.Alive() || len(states(p)) > 0 {
		t.Errorf("alive: %t, %q", p.Alive(), states(p))
	}
}

func ask(t *testing.T, path, verb string) (answer struct {
	OK     bool           `json:"ok"`
	ID     int            `json:"id"`
	Result map[string]any `json:"result"`
}) {
	t.Helper()
	text := talk(t, path, fmt.Sprintf(`{"verb": %q, "id": 1, "protocol": 1}`+"\n", verb))
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return answer
}

func talk(t *testing.T, path, request string) string {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, request)
	text, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestControlSocket(t *testing.T) {
	f, home := alone(t)
	p := f.Manual("work", fleet.Plain)
	path := filepath.Join(home, standin.FileSocket)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	a := ask(t, path, "identify")
	if !a.OK || a.ID != 1 || a.Result["pid"] != float64(p.PID) || a.Result["hermes_home"] != home || a.Result["profile"] != "work" {
		t.Errorf("%+v", a)
	}
	if a := ask(t, path, "status"); a.Result["gateway_state"] != "running" || a.Result["answering_pid"] != float64(p.PID) {
		t.Errorf("%+v", a)
	}
	if a := ask(t, path, "dance"); a.OK {
		t.Errorf("%+v", a)
	}
	if text := talk(t, filepath.Join(home, "state", fmt.Sprintf("gateway.loop-tick.%d.sock", p.PID)), ""); text != "1" {
		t.Errorf("the tick socket said %q", text)
	}
	next := func(b fleet.Standin) {
		p.Signal(syscall.SIGTERM)
		f.Ended(p)
		f.Behave("work", b)
		p = f.Manual("work", fleet.Plain)
	}
	next(fleet.Standin{Control: standin.Lying})
	if a := ask(t, path, "identify"); a.Result["pid"] == float64(p.PID) || a.Result["hermes_home"] == home {
		t.Errorf("%+v", a)
	}
	next(fleet.Standin{Control: standin.Garbled})
	if text := talk(t, path, "{}\n"); json.Valid([]byte(text)) {
		t.Errorf("%q", text)
	}
	next(fleet.Standin{Control: standin.Hanging, TickSilent: true, HeartbeatAge: 2 * time.Minute})
	for _, silent := range []string{path, filepath.Join(home, "state", fmt.Sprintf("gateway.loop-tick.%d.sock", p.PID))} {
		c, err := net.Dial("unix", silent)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, "{}\n")
		c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		if n, err := c.Read(make([]byte, 1)); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: %d, %v", silent, n, err)
		}
		c.Close()
	}
	if info, err := os.Stat(filepath.Join(home, standin.FileHeartbeat)); err != nil || time.Since(info.ModTime()) < time.Minute {
		t.Errorf("the heartbeat: %v, %v", info, err)
	}
	next(fleet.Standin{Control: standin.Off, NoTick: true, NoState: true, NoPID: true, Heartbeat: -1})
	for _, name := range []string{standin.FileSocket, standin.FilePID} {
		missing(t, filepath.Join(home, name))
	}
}

// A home whose path is too long for a socket has a file that says where it is.
func TestPointer(t *testing.T) {
	t.Parallel()
	f := fleet.New(t, fleet.Options{Root: "Ein Wald/" + strings.Repeat("ä", 40), Profiles: []fleet.Profile{{Name: "work", Absent: true}}})
	home := f.Gateway("work").Home
	p := f.Manual("work", fleet.Plain)
	missing(t, filepath.Join(home, standin.FileSocket))
	path, err := os.ReadFile(filepath.Join(home, standin.FilePointer))
	if err != nil {
		t.Fatal(err)
	}
	if a := ask(t, string(path), "identify"); a.Result["hermes_home"] != home {
		t.Errorf("%+v", a)
	}
	p.Signal(syscall.SIGTERM)
	f.Ended(p)
	missing(t, string(path))
	missing(t, filepath.Join(home, standin.FilePointer))
}

func TestHeartbeat(t *testing.T) {
	f, _ := alone(t)
	f.Behave("work", fleet.Standin{Heartbeat: time.Millisecond})
	p := f.Manual("work", fleet.Plain)
	beats := 0
	f.Says(p, func(e standin.Event) bool { return e.Path == standin.FileHeartbeat })
	f.Says(p, func(e standin.Event) bool {
		if e.Path == standin.FileHeartbeat {
			beats++
		}
		return beats >= 3
	})
}

func TestExit(t *testing.T) {
	for name, test := range map[string]struct {
		exit standin.Exit
		want int
	}{
		"at once":     {standin.Exit{Code: 78}, 78},
		"later":       {standin.Exit{After: 30 * time.Millisecond, Code: 3}, 3},
		"by a signal": {standin.Exit{After: time.Millisecond, Signal: int(syscall.SIGKILL)}, -int(syscall.SIGKILL)},
	} {
		t.Run(name, func(t *testing.T) {
			f, home := alone(t)
			f.Behave("work", fleet.Standin{Exit: &test.exit, BootDelay: time.Hour})
			p := f.Start("work", fleet.Plain)
			if got := code(f.Ended(p)); got != test.want {
				t.Errorf("%d, want %d", got, test.want)
			}
			missing(t, filepath.Join(home, standin.FilePID))
		})
	}
}

// An orphan keeps the lock and the port: the next gateway meets both.
func TestOrphan(t *testing.T) {
	f, home := alone(t)
	port := filepath.Join(f.Dir, "port")
	f.Behave("work", fleet.Standin{Listen: port, Orphan: &standin.Orphan{Session: true, Lock: true}})
	p := f.Manual("work", fleet.Plain)
	if s := f.State("work"); s.Platforms["api_server"].State != "connected" {
		t.Errorf("%+v", s.Platforms)
	}
	p.Signal(syscall.SIGTERM)
	f.Ended(p)
	left := f.Processes("work")
	if len(left) != 1 || left[0].Role != standin.RoleOrphan || left[0].Parent != p.PID {
		t.Fatalf("left: %+v", left)
	}
	orphan := left[0]
	orphan.Signal(syscall.SIGTERM) // ignored
	f.Behave("work", fleet.Standin{Listen: port, Hasty: true})
	if got := code(f.Ended(f.Manual("work", fleet.Plain))); got != 1 {
		t.Errorf("with a held lock: %d", got)
	}
	f.Behave("work", fleet.Standin{Listen: port, NoLock: true})
	f.Manual("work", fleet.Plain)
	if s := f.State("work"); s.Platforms["api_server"].State != "retrying" {
		t.Errorf("%+v", s.Platforms)
	}
	if !orphan.Alive() {
		t.Error("the orphan did not hold on")
	}
	missing(t, filepath.Join(home, standin.FilePlannedStop))
}

// wrapper starts the wrapper around a gateway, and waits until that runs.
func wrapper(t *testing.T, f *fleet.Fleet, home string) (w, g *fleet.Process) {
	t.Helper()
	w = f.Start("work", fleet.Shape{Args: []string{"stderr-timestamp", "--error-log", filepath.Join(home, "errors"), "--",
		f.Program("hermes"), "--profile", "work", "gateway", "run"}})
	return w, f.ChildOf(w)
}

func TestWrapper(t *testing.T) {
	for sig, want := range map[syscall.Signal]int{
		syscall.SIGTERM: 1, syscall.SIGINT: 0, syscall.SIGHUP: 128 + int(syscall.SIGHUP),
	} {
		t.Run(sig.String(), func(t *testing.T) {
			f, home := alone(t)
			f.Behave("work", fleet.Standin{Stderr: []string{"Traceback", "  oh no"}})
			w, g := wrapper(t, f, home)
			f.Says(g, func(e standin.Event) bool { return e.State == "running" })
			w.Signal(sig)
			if got := code(f.Ended(w)); got != want {
				t.Errorf("%d, want %d", got, want)
			}
			for _, role := range []string{standin.RoleWrapper, standin.RoleGateway} {
				if !f.SawSignal("work", role, sig) {
					t.Errorf("%s did not see it: %v", role, f.SignalsSeen("work"))
				}
			}
			if text, err := os.ReadFile(filepath.Join(home, "errors")); err != nil || !strings.Contains(string(text), "oh no") {
				t.Errorf("%q, %v", text, err)
			}
		})
	}
}

// As in Hermes, SIGUSR1 ends the wrapper and does not reach the gateway.
func TestWrapperKeepsSIGUSR1(t *testing.T) {
	f, home := alone(t)
	w, g := wrapper(t, f, home)
	f.Says(g, func(e standin.Event) bool { return e.State == "running" })
	w.Signal(syscall.SIGUSR1)
	want := -int(syscall.SIGUSR1)
	if !diesByUSR1 {
		want = 128 + int(syscall.SIGUSR1)
	}
	if got := code(f.Ended(w)); got != want {
		t.Errorf("the wrapper ended with %d, want %d", got, want)
	}
	if !g.Alive() || f.SawSignal("work", standin.RoleGateway, syscall.SIGUSR1) || !f.SawSignal("work", standin.RoleWrapper, syscall.SIGUSR1) {
		t.Errorf("alive: %t, %v", g.Alive(), f.SignalsSeen("work"))
	}
}

func TestWrapperCode(t *testing.T) {
	for _, c := range []struct {
		status syscall.WaitStatus
		want   int
	}{
		{0, 0}, {1 << 8, 1}, {75 << 8, 75}, {78 << 8, 0}, {9, 137}, {15, 143},
	} {
		if got := wrapperCode(c.status); got != c.want {
			t.Errorf("wait status %#x: %d, want %d", c.status, got, c.want)
		}
	}
}

func TestBehindPython(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"-m hermes_cli.main -p a gateway run", "-p a gateway run"},
		{"-I -X utf8 -c import%20hermes_cli.main gateway run", "gateway run"},
		{"-u /opt/hermes_cli/main.py gateway", "gateway"},
		{"-m hermes_cli.stderr_timestamp --error-log f -- x", "stderr-timestamp --error-log f -- x"},
		{"-I -c hermes_cli.stderr_timestamp --error-log f -- x", "stderr-timestamp --error-log f -- x"},
		{"-i", ""},
	} {
		if got := strings.Join(behindPython(strings.Fields(c.args)), " "); got != c.want {
			t.Errorf("%s: %q, want %q", c.args, got, c.want)
		}
	}
}

func TestHomeOf(t *testing.T) {
	for _, c := range []struct{ env, profile, want string }{
		{"/r", "", "/r"}, {"/r", "default", "/r"}, {"/r", "a", "/r/profiles/a"},
		{"/r/profiles/a", "a", "/r/profiles/a"}, {"/r/profiles/a", "", "/r/profiles/a"},
	} {
		t.Setenv("HERMES_HOME", c.env)
		if got := homeOf(c.profile); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
	t.Setenv("HERMES_HOME", "")
	t.Setenv("HOME", "/h")
	if got := homeOf("a"); got != "/h/.hermes/profiles/a" {
		t.Error(got)
	}
}
