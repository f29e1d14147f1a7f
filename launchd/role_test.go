package launchd

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/proc"
)

// roleVar makes this test binary one of the processes of a job: see play.
const roleVar = "HERMES_GW_TEST_ROLE"

// play is what the processes of jobs do.
//
//	gateway FIFO LOG CODE [ROLE...]
//		says its pid through the FIFO, notes each signal in LOG, and exits: with CODE on
//		SIGUSR1, with 1 on SIGTERM. If there is a ROLE it starts that as a child first.
//	wrapper FIFO LOG CODE
//		runs a gateway as Hermes does: SIGTERM, SIGINT and SIGHUP are passed on, SIGUSR1
//		ends the wrapper alone, and it exits with the gateway's code.
//	inside HOW ADDRESS TARGET REPORT [graceful]
//		restarts the job that it belongs to, at its first run only: itself, from a child, from a
//		child in a session of its own ("detached"), from one that was handed to another parent
//		("orphan"), or at the end of a chain of processes (a number).
func play(role []string) int {
	switch role[0] {
	case "gateway":
		return playGateway(role[1:])
	case "wrapper":
		return playWrapper(role[1:])
	case "inside":
		return playInside(role[1:])
	}
	panic(role[0])
}

// as returns this test binary in a role.
func as(role ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleVar+"="+strings.Join(role, " "))
	return cmd
}

func playGateway(args []string) int {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGUSR1)
	// Only once: at the job's second run it would have nothing to do, and nobody to end it.
	if _, err := os.Stat(args[min(7, len(args)-1)]); len(args) > 7 && err != nil {
		cmd := as(args[3:]...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // it outlives the job, to tell what it saw
		if err := cmd.Start(); err != nil {
			panic(err)
		}
	}
	say(args[0], strconv.Itoa(os.Getpid()))
	s := <-signals
	say(args[1], s.String())
	if s == syscall.SIGUSR1 {
		code, _ := strconv.Atoi(args[2])
		return code
	}
	return 1
}

func playWrapper(args []string) int {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1)
	cmd := as("gateway", args[0], args[1]+".gateway", args[2])
	if err := cmd.Start(); err != nil {
		panic(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); cmd.Wait() }()
	for {
		select {
		case s := <-signals:
			say(args[1], s.String())
			if s == syscall.SIGUSR1 {
				return 128 + int(syscall.SIGUSR1)
			}
			cmd.Process.Signal(s)
		case <-ended:
			return cmd.ProcessState.ExitCode()
		}
	}
}

// say adds a line to a file or a FIFO.
func say(path, line string) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err == nil {
		_, err = f.WriteString(line + "\n")
		f.Close()
	}
	if err != nil {
		panic(err)
	}
}

// said returns what was said to a file, without the last newline.
func said(path string) string {
	text, _ := os.ReadFile(path)
	return strings.TrimSuffix(string(text), "\n")
}

func playInside(args []string) int {
	how, address, name, report := args[0], args[1], args[2], args[3]
	if _, err := os.Stat(report); err == nil {
		// The second run of the job: there is nothing more to do.
		c := make(chan os.Signal, 1)
		signal.Notify(c, syscall.SIGTERM)
		<-c
		return 0
	}
	again := func(how string) *exec.Cmd {
		return as(append([]string{"inside", how}, args[1:]...)...)
	}
	links, _ := strconv.Atoi(how)
	switch {
	case links > 1:
		again(strconv.Itoa(links - 1)).Run()
		return 0
	case how == "child" || how == "detached" || links == 1:
		cmd := again("self")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: how == "detached"}
		cmd.Run()
		return 0
	case how == "orphan": // the parent between it and the job exits
		again("middle").Run()
		select {}
	case how == "middle":
		cmd := again("left")
		cmd.Env = append(cmd.Env, "PARENT="+strconv.Itoa(os.Getpid()))
		if err := cmd.Start(); err != nil {
			panic(err)
		}
		return 0
	case how == "left":
		pid, _ := strconv.Atoi(os.Getenv("PARENT"))
		if parent, err := proc.Open(pid); err == nil {
			parent.Wait(context.Background())
		}
		for os.Getppid() == pid { // it is a zombie for a moment
			time.Sleep(time.Millisecond)
		}
	}
	restartOwnJob(address, name, report, len(args) > 4)
	return 0
}

// restartOwnJob leaves what the caller could tell before the request in a file, and the
// result, if it lives to see it, in another.
func restartOwnJob(address, name, report string, graceful bool) {
	target, err := ParseTarget(name)
	if err != nil {
		panic(err)
	}
	c, err := Open(context.Background(), Options{Address: address})
	if err != nil {
		panic(err)
	}
	o := RestartOptions{Sending: func(r RestartResult) {
		write(report, fmt.Sprintf("sending %d %v", r.Old, r.Inside))
	}}
	if graceful {
		o.Graceful = &Graceful{Signal: syscall.SIGUSR1}
	}
	r, err := c.Restart(context.Background(), target, o)
	write(report+".result", fmt.Sprintf("%s %d %d %v", r.Outcome, r.Old, r.New, err))
}

// role writes a property list whose program is this test binary in a role.
func (e *embedded) role(label, more string, role ...string) string {
	e.t.Helper()
	self, err := os.Executable()
	if err != nil {
		e.t.Fatal(err)
	}
	return e.write(label, "<string>"+self+"</string>", more+
		"<key>EnvironmentVariables</key><dict><key>"+roleVar+"</key><string>"+strings.Join(role, " ")+"</string></dict>")
}

// fifo makes a FIFO and returns what reads a number from it.
func (e *embedded) fifo(name string) (path string, next func() int) {
	e.t.Helper()
	path = filepath.Join(e.dir, name)
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		e.t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { f.Close() })
	return path, func() (n int) {
		e.t.Helper()
		f.SetReadDeadline(time.Now().Add(patience))
		if _, err := fmt.Fscanln(f, &n); err != nil {
			e.t.Fatal(err)
		}
		return n
	}
}
