package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/probe"
	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// patience bounds every wait for something that must happen.
const patience = time.Minute

// module is the import path under which this module's packages are built.
const module = "github.com/hermes-gw/hermes-gw"

// throttle is the throwaway job's ThrottleInterval, in seconds. launchctl's kickstart waits
// until the job has run for so long; that wait is no part of what is measured, so the job is
// left alone for as long before each restart.
const throttle = 1

// setup says what is measured against what.
type setup struct {
	live      bool
	launchctl string // "" is the stand-in, or macOS' with live
}

// world is a launchd with one throwaway job, and the programs that are run.
type world struct {
	setup
	dir     string
	self    string
	hermes  string
	bare    string // internal/embedtest/oneframe
	standIn string // the stand-in for launchctl, also where another one is measured
	env     []string

	daemon, echo *child // nil with live
	socket       string // of the embedded launchd
	transport    xpc.Transport
	opened       *launchd.Client // owns the transport
	jobs         *probe.Throwaways
	job          probe.Throwaway
	client       *launchd.Client // of jobs: it asks about nothing else
	trace        *trace          // nil with live

	announced *net.UnixListener
	arrivals  chan arrival
	now       arrival // the job's process

	first  *firstByteServer
	floors []floor
}

// arrival is a process of the job that said that it runs.
type arrival struct {
	pid int
	at  time.Time
}

// build builds the programs into dir, as they are shipped: stripped, and without C.
func build(ctx context.Context, dir string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", dir+string(filepath.Separator),
		module+"/cmd/hermes-gw", module+"/internal/embedtest/oneframe", module+"/internal/launchdsim/cmd/launchctl")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build (it needs a folder inside the module %s): %w\n%s", module, err, out)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	// go run puts it into a folder whose name differs in length.
	return os.Symlink(self, filepath.Join(dir, "bench"))
}

// temporaryFolder is one that only this user can enter, with a path short enough for sockets. All of
// them have names of one length: they are in what launchd prints, and so in the bytes that a
// restart allocates.
func temporaryFolder() (string, error) {
	parent := os.TempDir()
	if len(parent) > 60 {
		parent = "/tmp"
	}
	for {
		dir := filepath.Join(parent, fmt.Sprintf("bench%08x", rand.Uint32()))
		err := os.Mkdir(dir, 0o700)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		return filepath.EvalSymlinks(dir)
	}
}

// newWorld starts everything; bin holds what build made. The caller closes the world, also
// one that comes with an error.
func newWorld(ctx context.Context, s setup, bin string) (w *world, err error) {
	w = &world{setup: s, self: filepath.Join(bin, "bench"), hermes: filepath.Join(bin, "hermes-gw"), bare: filepath.Join(bin, "oneframe"), standIn: filepath.Join(bin, "launchctl"), arrivals: make(chan arrival, 16)}
	if w.dir, err = temporaryFolder(); err != nil {
		return w, err
	}
	state := filepath.Join(w.dir, "state")
	switch {
	case w.launchctl == "" && s.live:
		w.launchctl = "/bin/launchctl"
	case w.launchctl == "":
		w.launchctl = w.standIn
	}
	address := ""
	if !s.live {
		if err := w.embed(); err != nil {
			return w, err
		}
		address = "unix:" + w.socket
	}
	// The programs see this launchd, and nothing of the user's own Hermes.
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if !strings.HasPrefix(name, "HERMES_") && !strings.HasPrefix(name, "SUDO_") {
			w.env = append(w.env, v)
		}
	}
	w.env = append(w.env, "HERMES_GW_STATE_DIR="+state, "HERMES_GW_LAUNCHD="+address)

	w.opened, err = launchd.Open(ctx, launchd.Options{Address: address, Wrap: func(t xpc.Transport) xpc.Transport {
		w.transport = t
		return t
	}})
	if err != nil {
		return w, err
	}
	if err := w.listen(); err != nil {
		return w, err
	}
	return w, w.load(ctx, state)
}

// embed starts the embedded launchd and the floor's server.
func (w *world) embed() (err error) {
	w.socket = filepath.Join(w.dir, "launchd")
	path := filepath.Join(w.dir, "trace")
	if w.daemon, err = start(w.self, roleLaunchd, w.socket, path); err != nil {
		return err
	}
	if w.trace, err = openTrace(path); err != nil {
		return err
	}
	w.echo, err = start(w.self, roleEcho, filepath.Join(w.dir, "echo"))
	return err
}

// listen receives what the job's processes announce.
func (w *world) listen() (err error) {
	w.announced, err = net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(w.dir, "announce"), Net: "unix"})
	if err != nil {
		return err
	}
	go func() {
		var line [16]byte
		for {
			c, err := w.announced.Accept()
			if err != nil {
				return
			}
			n, _ := c.Read(line[:])
			at := time.Now()
			c.Close()
			if pid, err := strconv.Atoi(strings.TrimSpace(string(line[:n]))); err == nil {
				w.arrivals <- arrival{pid, at}
			}
		}
	}()
	return nil
}

// load loads the throwaway job.
func (w *world) load(ctx context.Context, state string) error {
	if w.live {
		// One place for all runs, so that the next removes what a killed one left.
		home, err := os.UserConfigDir()
		if err != nil {
			return err
		}
		state = filepath.Join(home, "hermes-gw-bench")
	}
	var err error
	w.jobs, err = probe.OpenThrowaways(ctx, probe.Options{
		Transport: w.transport, UID: os.Geteuid(), StateDir: state,
		Program: []string{w.self, roleJob, w.announced.Addr().String()},
	})
	if err != nil {
		return err
	}
	w.client = w.jobs.Client()
	w.job, err = w.jobs.Load(ctx, func(p *launchd.Plist) {
		interval, exit := throttle, 60
		p.ThrottleInterval, p.ExitTimeOut = &interval, &exit
	})
	if err != nil {
		return err
	}
	w.now, err = w.arrived(ctx, 0)
	return err
}

// arrived waits until a process of the job other than old says that it runs.
func (w *world) arrived(ctx context.Context, old int) (arrival, error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case a := <-w.arrivals:
			if a.pid != old {
				return a, nil
			}
		case <-timer.C:
			return arrival{}, fmt.Errorf("the throwaway job has no new process after %v", patience)
		case <-ctx.Done():
			return arrival{}, context.Cause(ctx)
		}
	}
}

// close ends everything and leaves nothing behind, whatever became of ctx.
func (w *world) close(ctx context.Context) error {
	var errs []error
	for _, f := range w.floors {
		f.Close()
	}
	if w.first != nil {
		w.first.close()
	}
	if w.jobs != nil {
		errs = append(errs, w.jobs.Close(ctx))
	}
	if w.announced != nil {
		w.announced.Close()
	}
	if w.opened != nil {
		w.opened.Close()
	}
	for _, c := range []*child{w.echo, w.daemon} {
		if c != nil {
			errs = append(errs, c.stop())
		}
	}
	if w.trace != nil {
		w.trace.c.Close()
	}
	if w.dir != "" {
		errs = append(errs, os.RemoveAll(w.dir))
	}
	return errors.Join(errs...)
}

// ran is what became of a program.
type ran struct {
	code int
	cpu  time.Duration
	out  string // with output
}

// program runs a program to its end. An exit code other than 0 is no error.
func (w *world) program(ctx context.Context, output bool, name string, args ...string) (r ran, err error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = w.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var out bytes.Buffer
	if output {
		cmd.Stdout = &out
	}
	err = cmd.Run()
	if state := cmd.ProcessState; state != nil {
		r = ran{state.ExitCode(), state.UserTime() + state.SystemTime(), out.String()}
	}
	if _, exited := errors.AsType[*exec.ExitError](err); exited && ctx.Err() == nil && r.code >= 0 {
		err = nil
	} else if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return r, err
}

// demand is program for one that must exit with 0.
func (w *world) demand(ctx context.Context, name string, args ...string) (ran, error) {
	r, err := w.program(ctx, false, name, args...)
	if err == nil && r.code != 0 {
		err = fmt.Errorf("%s %s: exit code %d", filepath.Base(name), strings.Join(args, " "), r.code)
	}
	return r, err
}

func (w *world) uid() int { return os.Geteuid() }

// groups are all that is measured.
func (w *world) groups() ([]group, error) {
	lists, err := w.lists()
	if err != nil {
		return nil, err
	}
	probes, err := w.probes()
	if err != nil {
		return nil, err
	}
	starts, err := w.starts()
	return []group{w.restarts(), lists, probes, w.commands(), starts}, err
}
