package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/hermes-gw/hermes-gw/internal/launchdsim"
	"github.com/hermes-gw/hermes-gw/internal/probe"
)

// What this program can be besides: its children and the throwaway job are this very
// program, so that nothing else has to be built for them.
const (
	roleLaunchd = "bench-launchd" // SOCKET TRACE
	roleEcho    = "bench-echo"    // SOCKET
	roleJob     = "bench-job"     // SOCKET, and what a throwaway job is given
	roleStretch = "bench-stretch" // ORDER, in JSON
)

// timeScale shortens the embedded launchd's timers, above all the time for which a job that
// was just started is not started again.
const timeScale = 0.01

// role carries out what the arguments ask for. It reports false if this is the benchmark
// itself.
func role(args []string) (exit int, isRole bool) {
	if len(args) < 2 {
		return 0, false
	}
	var err error
	switch {
	case args[0] == roleLaunchd && len(args) == 3:
		err = serveLaunchd(args[1], args[2])
	case args[0] == roleEcho && len(args) == 2:
		err = serveEcho(args[1])
	case args[0] == roleJob && len(args) == 4:
		announce(args[1])
		return probe.JobMain(args[2:]), true
	case args[0] == roleStretch && len(args) == 2:
		err = serveStretch(args[1])
	default:
		return 0, false
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", args[0], err)
		return 1, true
	}
	return 0, true
}

// announce tells the benchmark that the job runs, if it still listens.
func announce(socket string) {
	c, err := net.Dial("unix", socket)
	if err != nil {
		return
	}
	defer c.Close()
	c.Write([]byte(strconv.Itoa(os.Getpid()) + "\n"))
}

// untilAlone returns when standard input ends, which is when the benchmark does, however it
// does, or when it is told to.
func untilAlone() {
	done := make(chan os.Signal, 1)
	signal.Notify(done, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	go func() {
		io.Copy(io.Discard, os.Stdin)
		done <- syscall.SIGTERM
	}()
	<-done
}

func serveLaunchd(socket, trace string) error {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		return err
	}
	var r recorder
	if err := r.serve(trace); err != nil {
		return err
	}
	server := launchdsim.New(launchdsim.Options{OnEvent: r.note, TimeScale: timeScale})
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	fmt.Println("ready")
	untilAlone()
	return errors.Join(server.Close(), <-served)
}

// child is a role in a process of its own.
type child struct {
	cmd    *exec.Cmd
	stdin  io.Closer
	stdout io.Reader // after the line that says that it is ready
}

// start starts a role and waits until it is ready. It is in a process group of its own, so
// that a terminal's Ctrl-C does not reach it: it ends when stop is called, or with this
// process.
func start(self string, args ...string) (*child, error) {
	cmd := exec.Command(self, args...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &child{cmd, stdin, stdout}
	var line [6]byte
	if _, err := io.ReadFull(stdout, line[:]); err != nil {
		return nil, errors.Join(fmt.Errorf("%s did not start: %w", args[0], err), c.stop())
	}
	return c, nil
}

func (c *child) stop() error {
	c.stdin.Close()
	return c.cmd.Wait()
}
