package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// built holds the programs under test: the command and the embedded launchd.
var built struct{ gw, sim string }

// launch names how this test binary, instead of testing, becomes the program in its
// arguments: with a state that only the process itself can bring about.
const (
	launch     = "HERMES_GW_TEST_LAUNCH"
	launchMark = "HERMES_GW_TEST_MARK"
)

func becomeProgram() error {
	switch how := os.Getenv(launch); how {
	case "reload":
		os.Exit(reloadAs(os.Args[1], os.Args[2], os.Args[3], os.Args[4]))
	case "probe":
		os.Exit(probeAs(os.Args[1], os.Args[2], os.Args[3:]))
	case "two steps":
		os.Exit(twoSteps(os.Args[1], os.Args[2], os.Args[3]))
	case "waiting": // as a process that merely is there
		waitAbove()
		if path := os.Getenv("HERMES_GW_TEST_STARTED"); path != "" {
			os.WriteFile(path, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600)
			time.Sleep(time.Hour)
		}
		os.Stdout.WriteString("ready\n")
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	case "without stdout and stderr":
		syscall.Close(1)
		syscall.Close(2)
	case "ignoring SIGINT":
		signal.Ignore(syscall.SIGINT)
	case "once, then waiting":
		mark, err := os.OpenFile(os.Getenv(launchMark), os.O_CREATE|os.O_EXCL, 0o600)
		if err == nil {
			mark.Close()
			cmd := exec.Command(os.Args[1], os.Args[2:]...)
			cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
			cmd.Run()
		}
		time.Sleep(time.Hour) // a job that runs until it is stopped
	default:
		return fmt.Errorf("%s=%s", launch, how)
	}
	return syscall.Exec(os.Args[1], os.Args[1:], os.Environ())
}

// twoSteps is what this command is there to replace: bootout, then bootstrap, again while
// the job's process still ends.
func twoSteps(target, domain, plist string) int {
	code := run(context.Background(), systemEnv(), []string{"ctl", "bootout", target}, os.Stdout, os.Stderr)
	for range 1000 {
		if code = run(context.Background(), systemEnv(), []string{"ctl", "bootstrap", domain, plist}, io.Discard, io.Discard); code == 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	return code
}

func TestMain(m *testing.M) {
	if os.Getenv(launch) != "" {
		fmt.Fprintln(os.Stderr, becomeProgram())
		os.Exit(99)
	}
	code, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func buildAndRun(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "hgw")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	built.gw, built.sim = filepath.Join(dir, "hermes-gw"), filepath.Join(dir, "launchdsim")
	for out, pkg := range map[string]string{built.gw: ".", built.sim: "../../internal/launchdsim/cmd/launchdsim"} {
		if err := goBuild(out, pkg, runtime.GOOS, runtime.GOARCH); err != nil {
			return 1, err
		}
	}
	return m.Run(), nil
}

func goBuild(out, pkg, goos, goarch string) error {
	cmd := exec.Command("go", "build", "-o", out, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOOS="+goos, "GOARCH="+goarch)
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s for %s/%s: %v\n%s", pkg, goos, goarch, err, text)
	}
	return nil
}

// patience bounds every wait for an event, far above what any takes.
const patience = 30 * time.Second

// event is a line of the embedded launchd's trace (design section 4.3).
type event struct {
	Ev      string `json:"ev"`
	Routine uint64 `json:"routine"`
	Label   string `json:"label"`
	PID     int    `json:"pid"`
	Sig     int    `json:"sig"`
}

// sim is an embedded launchd in its own process, with real jobs. Both its trace and
// what the jobs say at their start come through pipes, so tests wait for events.
type sim struct {
	t      *testing.T
	dir    string
	socket string
	domain string
	trace  *stream[event]
	starts *stream[int] // pids of the jobs' processes, once they are set up
	history
}

// stream collects what comes through a pipe.
type stream[T any] struct {
	mu   sync.Mutex
	list []T
	more chan struct{} // closed and replaced when something comes
}

func (s *stream[T]) add(v T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, v)
	close(s.more)
	s.more = make(chan struct{})
}

func (s *stream[T]) all() []T {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]T(nil), s.list...)
}

// await returns the first item after the first skip ones that fits.
func (s *stream[T]) await(t *testing.T, what string, skip int, fits func(T) bool) T {
	t.Helper()
	deadline := time.After(patience)
	for {
		s.mu.Lock()
		list, more := s.list, s.more
		s.mu.Unlock()
		for i := skip; i < len(list); i++ {
			if fits(list[i]) {
				return list[i]
			}
		}
		select {
		case <-more:
		case <-deadline:
			t.Fatalf("%s did not come: %+v", what, list)
		}
	}
}

// fifo makes a named pipe and reads its lines until the test ends.
func fifo[T any](t *testing.T, path string, parse func(string) (T, error)) *stream[T] {
	t.Helper()
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	// Open for writing too, so that it neither waits for writers nor ends with them.
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	s := &stream[T]{more: make(chan struct{})}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(f); lines.Scan() && lines.Text() != ""; {
			v, err := parse(lines.Text())
			if err != nil {
				t.Errorf("%s: %q: %v", path, lines.Text(), err)
				continue
			}
			s.add(v)
		}
	}()
	t.Cleanup(func() {
		fmt.Fprintln(f) // a close does not wake a reader on every system
		<-read
		f.Close()
	})
	return s
}

// newSim starts an embedded launchd with one job for each of the labels. If slow is
// set, a job's first process ignores SIGTERM for its exit timeout of 1 s; all others
// end at once.
func newSim(t *testing.T, slow bool, labels ...string) *sim {
	t.Helper()
	return newSimWith(t, nil, slow, labels...)
}

// newSimWith is newSim with flags of launchdsim's.
func newSimWith(t *testing.T, flags []string, slow bool, labels ...string) *sim {
	t.Helper()
	dir, err := os.MkdirTemp("", "hgw")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &sim{t: t, dir: dir, socket: filepath.Join(dir, "s"), domain: "gui/" + strconv.Itoa(os.Getuid())}
	s.starts = fifo(t, filepath.Join(dir, "starts"), strconv.Atoi)
	s.trace = fifo(t, filepath.Join(dir, "trace"), func(line string) (e event, err error) {
		return e, json.Unmarshal([]byte(line), &e)
	})
	args := append([]string{"--socket", s.socket, "--trace", filepath.Join(dir, "trace")}, flags...)
	for _, label := range labels {
		args = append(args, "--load", s.plist(label, slow))
	}
	cmd := exec.Command(built.sim, args...)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		io.Copy(io.Discard, stdout)
		cmd.Wait()
	})
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || line != "ready "+s.socket+"\n" {
		t.Fatalf("the embedded launchd says %q, %v", line, err)
	}
	if n := len(labels); n > 0 {
		s.starts.await(t, "the last job", n-1, func(int) bool { return true })
	}
	t.Cleanup(s.keptLoaded)
	return s
}

// plist writes a job's property list.
func (s *sim) plist(label string, slow bool) string {
	s.t.Helper()
	script := fmt.Sprintf("echo $$ >%s; exec sleep 1000", filepath.Join(s.dir, "starts"))
	if slow {
		again := filepath.Join(s.dir, label+".again")
		script = fmt.Sprintf(`[ -e %s ] || trap "" TERM; : >%s; `, again, again) + script
	}
	path := filepath.Join(s.dir, label+".plist")
	text := fmt.Sprintf(xmlHead+`<string>%s</string><key>ProgramArguments</key><array><string>/bin/sh</string><string>-c</string><string>%s</string></array>
<key>RunAtLoad</key><true/><key>KeepAlive</key><true/><key>ExitTimeOut</key><integer>1</integer></dict></plist>`,
		label, strings.NewReplacer("&", "&amp;", ">", "&gt;", `"`, "&quot;").Replace(script))
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// sent waits until the embedded launchd has read a request.
func (s *sim) sent(routine uint64) {
	s.t.Helper()
	s.trace.await(s.t, fmt.Sprintf("a request %d", routine), 0, func(e event) bool { return e.Ev == "request" && e.Routine == routine })
}

// process is a run of the built command.
type process struct {
	*exec.Cmd
	t              *testing.T
	stdout, stderr bytes.Buffer
}

func processOn(t *testing.T, socket string, args ...string) *process {
	p := &process{Cmd: exec.Command(built.gw, args...), t: t}
	// A darwinhost's report on stderr is only for the test that asks for it.
	p.Env = append(os.Environ(), envLaunchd+"=unix:"+socket, "DARWINHOST_XPC_LEAKS=")
	p.Stdout, p.Stderr = &p.stdout, &p.stderr
	return p
}

func (s *sim) command(args ...string) *process {
	s.ran(args)
	return processOn(s.t, s.socket, args...)
}

// launched has the test binary become the command.
func (p *process) launched(how string) *process {
	self, err := os.Executable()
	if err != nil {
		p.t.Fatal(err)
	}
	p.Env = append(p.Env, launch+"="+how)
	p.Args = append([]string{self}, p.Args...)
	p.Path = self
	return p
}

func (p *process) start() *process {
	p.t.Helper()
	if err := p.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { p.Process.Kill() })
	return p
}

// end waits for the command and returns its exit code, or minus the signal that
// ended it.
func (p *process) end() int {
	p.t.Helper()
	stop := time.AfterFunc(patience, func() { p.Process.Kill() })
	defer stop.Stop()
	err := p.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	if status := p.ProcessState.Sys().(syscall.WaitStatus); status.Signaled() {
		return -int(status.Signal())
	}
	return p.ProcessState.ExitCode()
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.Process.Signal(s); err != nil {
		p.t.Error(err)
	}
}

// running is the pid that status tells.
func (s *sim) running(label string) int {
	s.t.Helper()
	p := s.command("status", label, "--json")
	if code := p.start().end(); code != exitOK {
		s.t.Fatalf("status: exit %d: %s", code, &p.stderr)
	}
	r := parseJSON(s.t, p.stdout.Bytes()).Results[0]
	if r.PID == nil {
		s.t.Fatalf("%s does not run: %s", label, &p.stdout)
	}
	return *r.PID
}

// isBack fails unless the job runs as another process than old.
func (s *sim) isBack(label string, old int) {
	s.t.Helper()
	s.starts.await(s.t, "a new process of the job", 0, func(pid int) bool { return pid != old })
	if pid := s.running(label); pid == old {
		s.t.Errorf("%s still runs as %d", label, pid)
	}
	if err := syscall.Kill(old, 0); err == nil {
		s.t.Errorf("the old process %d is still there", old)
	}
}

func TestProcessRestart(t *testing.T) {
	t.Parallel()
	s := newSim(t, false, jobLabel)
	old := s.running(jobLabel)
	p := s.command("restart", jobLabel)
	if code := p.start().end(); code != exitOK {
		t.Fatalf("exit %d: %s", code, &p.stderr)
	}
	wantContains(t, p.stdout.String(), fmt.Sprintf("restarted %s/%s: pid %d -> ", s.domain, jobLabel, old))
	s.isBack(jobLabel, old)
	kills := 0
	for _, e := range s.trace.all() {
		switch {
		case e.Ev != "request":
		case e.Routine == 702:
			kills++
		case !onlyAsks(e.Routine):
			t.Errorf("a restart sent routine %d", e.Routine)
		}
	}
	if kills != 1 {
		t.Errorf("%d requests 702", kills)
	}
}

func TestProcessSeveral(t *testing.T) {
	t.Parallel()
	labels := []string{jobLabel, jobLabel + "-a", jobLabel + "-b"}
	s := newSim(t, true, labels...)
	old := map[string]int{}
	for _, l := range labels {
		old[l] = s.running(l)
	}
	p := s.command("restart", "--json", labels[2], "no.such.label", labels[0], labels[1])
	if code := p.start().end(); code != exitSome {
		t.Fatalf("exit %d: %s", code, &p.stderr)
	}
	results := parseJSON(t, p.stdout.Bytes()).Results
	var sum float64
	for i, l := range []string{labels[2], "", labels[0], labels[1]} {
		if r := results[i]; l != "" && (r.Target != s.domain+"/"+l || r.State != "restarted" || *r.OldPID != old[l] || *r.NewPID == old[l]) {
			t.Errorf("result %d: %+v", i, r)
		}
		sum += results[i].Phases["request"]
	}
	// Each takes its exit timeout: together they take as long as one, not three.
	if longest := results[0].Phases["request"]; sum < 2.5*longest {
		t.Errorf("the requests took %v ms together, the first %v ms: not at the same time?", sum, longest)
	}
	// Trap 34: that they had to be killed is said.
	var errors []string
	killed := 0
	for line := range strings.Lines(p.stderr.String()) {
		if strings.Contains(line, "warning: ") && strings.Contains(line, "was killed by SIGKILL") && strings.Contains(line, "exit timeout (1s)") {
			killed++
		} else {
			errors = append(errors, line)
		}
	}
	oneLine(t, strings.Join(errors, ""))
	if killed != len(labels) {
		t.Errorf("%d warnings of a kill:\n%s", killed, &p.stderr)
	}
	for _, l := range labels {
		if pid := s.running(l); pid == old[l] {
			t.Errorf("%s still runs as %d", l, pid)
		}
	}
}

func TestProcessErrors(t *testing.T) {
	t.Parallel()
	s := newSim(t, false)
	for _, test := range []struct {
		args []string
		code int
	}{
		{[]string{"restart", "no.such.label"}, exitNotThere},
		{[]string{"restart", "gui/501"}, exitUsage},
		{[]string{"restart", "--launchd", "unix:/nonexistent/socket", "x"}, exitFailed},
		{[]string{"status"}, exitNotThere},
		{[]string{"stop", "no.such.label"}, exitNotThere},
		{[]string{"start", "no.such.label", "--plist", "/nonexistent/no.such.label.plist"}, exitFailed},
	} {
		p := s.command(test.args...)
		if code := p.start().end(); code != test.code {
			t.Errorf("%q: exit %d, want %d", test.args, code, test.code)
		}
		if p.stdout.Len() == 0 {
			oneLine(t, p.stderr.String())
		}
	}
}

func TestProcessStopStart(t *testing.T) {
	t.Parallel()
	s := newSim(t, true, jobLabel)
	old := s.running(jobLabel)
	p := s.command("stop", jobLabel)
	if code := p.start().end(); code != exitOK {
		t.Fatalf("stop: exit %d: %s", code, &p.stderr)
	}
	wantContains(t, p.stdout.String(), fmt.Sprintf("pid %d is gone", old), "next login loads it again")
	if err := syscall.Kill(old, 0); err == nil {
		t.Errorf("process %d is still there", old)
	}
	if code := s.command("status", jobLabel).start().end(); code != exitNotThere {
		t.Errorf("status after stop: exit %d", code)
	}
	p = s.command("start", jobLabel, "--plist", filepath.Join(s.dir, jobLabel+".plist"))
	if code := p.start().end(); code != exitOK {
		t.Fatalf("start: exit %d: %s", code, &p.stderr)
	}
	wantContains(t, p.stdout.String(), "loaded and started "+s.domain+"/"+jobLabel)
	s.isBack(jobLabel, old)
	now := s.running(jobLabel)
	p = s.command("start", jobLabel)
	if code := p.start().end(); code != exitOK {
		t.Fatalf("start again: exit %d: %s", code, &p.stderr)
	}
	wantContains(t, p.stdout.String(), fmt.Sprintf("was running already: pid %d", now))
	if pid := s.running(jobLabel); pid != now {
		t.Errorf("a start of a running job replaced %d by %d", now, pid)
	}
}

// Trap 1, a closed terminal: nobody reads stdout, or there is none at all.
func TestProcessStdoutClosed(t *testing.T) {
	t.Parallel()
	s := newSim(t, false, jobLabel)
	for _, name := range []string{"broken pipe", "closed"} {
		old := s.running(jobLabel)
		p := s.command("restart", jobLabel)
		if name == "closed" {
			p.launched("without stdout and stderr")
		} else {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			r.Close()
			defer w.Close()
			p.Stdout, p.Stderr = w, w
		}
		if code := p.start().end(); code != exitOK {
			t.Errorf("%s: exit %d", name, code)
		}
		if pid := s.running(jobLabel); pid == old {
			t.Errorf("%s: not restarted", name)
		}
	}
}

// Trap 1: a signal while launchd waits for the old process: the command ends with the signal's
// code and says what it knows, and launchd goes on.
func TestProcessInterrupted(t *testing.T) {
	t.Parallel()
	for sig, code := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			s := newSim(t, true, jobLabel)
			old := s.running(jobLabel)
			p := s.command("restart", jobLabel, "--json").start()
			s.sent(702)
			p.signal(sig)
			if got := p.end(); got != code {
				t.Errorf("exit %d, want %d", got, code)
			}
			r := parseJSON(t, p.stdout.Bytes())
			if r.ExitCode != code || r.Results[0].State != "unknown" || *r.Results[0].OldPID != old {
				t.Errorf("%s", &p.stdout)
			}
			s.isBack(jobLabel, old)
		})
	}
}

// Trap 1: a terminal that goes away does not end a restart that is under way.
func TestProcessHangup(t *testing.T) {
	t.Parallel()
	s := newSim(t, true, jobLabel)
	old := s.running(jobLabel)
	p := s.command("restart", jobLabel).start()
	s.sent(702)
	p.signal(syscall.SIGHUP)
	if code := p.end(); code != exitOK {
		t.Errorf("exit %d: %s", code, &p.stderr)
	}
	wantContains(t, p.stdout.String(), "restarted ")
	s.isBack(jobLabel, old)
}

// Before anything was sent it does.
func TestProcessHangupBefore(t *testing.T) {
	t.Parallel()
	f := newFake(t, func(request) answer { return answer{hang: true} })
	p := processOn(t, f.path, "restart", jobLabel).start()
	<-f.came
	p.signal(syscall.SIGHUP)
	if code := p.end(); code != -int(syscall.SIGHUP) {
		t.Errorf("exit %d", code)
	}
	if got := f.routines(true); len(got) > 0 {
		t.Errorf("sent %v", got)
	}
}

// The second signal does not wait for the look that follows the first: no report.
func TestProcessSecondSignal(t *testing.T) {
	t.Parallel()
	j := oneJob()
	var mu sync.Mutex
	sent := false
	f := newFake(t, func(r request) answer {
		mu.Lock()
		defer mu.Unlock()
		if sent = sent || r.routine == 702; sent {
			return answer{hang: true}
		}
		return j.answers(r)
	})
	p := processOn(t, f.path, "restart", "user/501/"+jobLabel).start()
	for (<-f.came).routine != 702 {
	}
	p.signal(syscall.SIGINT)
	for look := uint64(0); look != 708 && look != 712; look = (<-f.came).routine {
	}
	p.signal(syscall.SIGINT)
	if code := p.end(); code != exitInterrupted {
		t.Errorf("exit %d", code)
	}
	if p.stdout.Len() > 0 || p.stderr.Len() > 0 {
		t.Errorf("a report after all: %s%s", &p.stdout, &p.stderr)
	}
}

// A signal that the caller ignores (a background job of a script) stays ignored.
func TestProcessIgnoredSignal(t *testing.T) {
	t.Parallel()
	s := newSim(t, true, jobLabel)
	p := s.command("restart", jobLabel).launched("ignoring SIGINT").start()
	s.sent(702)
	p.signal(syscall.SIGINT)
	if code := p.end(); code != exitOK {
		t.Errorf("exit %d: %s", code, &p.stderr)
	}
}

// Trap 6: a job that restarts itself: the report is written before the request that ends the
// command, and the job is back.
func TestProcessInside(t *testing.T) {
	t.Parallel()
	s := newSim(t, false)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(s.dir, "report")
	text := fmt.Sprintf(xmlHead+`<string>%s</string><key>ProgramArguments</key><array><string>%s</string><string>%s</string><string>restart</string><string>--json</string><string>%s</string></array>
<key>EnvironmentVariables</key><dict><key>%s</key><string>once, then waiting</string><key>%s</key><string>%s</string><key>%s</key><string>unix:%s</string></dict>
<key>StandardOutPath</key><string>%s</string><key>RunAtLoad</key><true/></dict></plist>`,
		jobLabel, self, built.gw, jobLabel, launch, launchMark, filepath.Join(s.dir, "mark"), envLaunchd, s.socket, out)
	path := filepath.Join(s.dir, jobLabel+".plist")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if p := s.command("start", jobLabel, "--plist", path); p.start().end() != exitOK {
		t.Fatalf("start: %s", &p.stderr)
	}
	spawned := func(e event) bool { return e.Ev == "spawn" }
	old := s.trace.await(t, "the job", 0, spawned).PID
	now := s.trace.await(t, "the job again", 0, func(e event) bool { return spawned(e) && e.PID != old }).PID
	report, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	r := parseJSON(t, report)
	if r.ExitCode != exitRequested || r.Results[0].State != "requested" || *r.Results[0].OldPID != old {
		t.Errorf("%s", report)
	}
	if pid := s.running(jobLabel); pid != now {
		t.Errorf("%d runs, not %d", pid, now)
	}
}

// Traps 1 and 2: killed right after sending, the founding bug's moment.
func TestProcessKilled(t *testing.T) {
	t.Parallel()
	s := newSim(t, true, jobLabel)
	old := s.running(jobLabel)
	p := s.command("restart", jobLabel).start()
	s.sent(702)
	p.signal(syscall.SIGKILL)
	if code := p.end(); code != -int(syscall.SIGKILL) {
		t.Errorf("exit %d", code)
	}
	s.isBack(jobLabel, old)
	// The trace comes through a pipe, and may be behind what launchd answers.
	s.trace.await(t, "its second spawn", 0, func(e event) bool { return e.Ev == "spawn" && e.Label == jobLabel && e.PID != old })
	if kicks, spawns := s.count(jobLabel); kicks != 1 || spawns != 2 { // with the one at the load
		t.Errorf("%d requests, %d spawns", kicks, spawns)
	}
}

// Through libxpc, where the tests run on a darwinhost whose launchd may be chosen.
func TestProcessLibxpc(t *testing.T) {
	if runtime.GOOS != "darwin" || os.Getenv("DARWINHOST_LAUNCHD") == "" {
		t.Skip("needs a darwinhost with DARWINHOST_LAUNCHD")
	}
	t.Parallel()
	s := newSim(t, false, jobLabel)
	old := s.running(jobLabel)
	p := s.command("restart", "--json", jobLabel)
	p.Env = append(p.Env, envLaunchd+"=", "DARWINHOST_LAUNCHD="+s.socket, "DARWINHOST_XPC_LEAKS=1")
	if code := p.start().end(); code != exitOK {
		t.Fatalf("exit %d: %s", code, &p.stderr)
	}
	if r := parseJSON(t, p.stdout.Bytes()).Results[0]; *r.OldPID != old || *r.NewPID == old {
		t.Errorf("%s", &p.stdout)
	}
	wantContains(t, p.stderr.String(), "darwinhost: xpc live objects: none")
	s.isBack(jobLabel, old)
}
