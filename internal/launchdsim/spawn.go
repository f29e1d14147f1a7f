package launchdsim

import (
	"errors"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// command is what to execute and how.
type command struct {
	program string
	argv    []string
	env     []string
	dir     string
	stdin   string // "" is /dev/null, for all three
	stdout  string
	stderr  string
	as      *syscall.Credential // nil: the server's own

	// stillborn marks the stand-ins for a program that cannot be executed: the process
	// is there and ends, and the program never runs.
	stillborn bool
}

// spawner makes all processes from one goroutine that is locked to its thread:
// Linux ties the parent death signal to the thread that forked, so the thread has
// to live as long as the server.
type spawner struct {
	work chan func()
	done chan struct{}
	once sync.Once
}

func newSpawner() *spawner {
	s := &spawner{work: make(chan func(), 64), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for f := range s.work {
			f()
		}
	}()
	return s
}

// start runs c and calls done with the process, from the spawner's goroutine. It
// does not block.
func (s *spawner) start(c command, done func(*process, error)) {
	f := func() { done(c.start()) }
	select {
	case s.work <- f:
	default:
		go func() { s.work <- f }()
	}
}

// close ends the goroutine. No process may be left, and no start may follow.
func (s *spawner) close() {
	s.once.Do(func() { close(s.work) })
	<-s.done
}

// exConfig is a program that exits with 78 (EX_CONFIG), which is what becomes of
// a job whose program, folder or log file cannot be used: launchd's trampoline
// has its pid already when it finds out.
var exConfig = command{program: "/bin/sh", argv: []string{"sh", "-c", "exit 78"}, env: []string{"PATH=" + defaultPath}, stillborn: true}

// defaultPath is what launchd gives to jobs and searches for programs.
const defaultPath = "/usr/bin:/bin:/usr/sbin:/sbin"

// start creates the process in a session of its own, so in its own process group
// and without a terminal.
func (c command) start() (*process, error) {
	p, err := c.try()
	if err != nil {
		p, err = exConfig.try()
	}
	return p, err
}

func (c command) try() (*process, error) {
	files, err := c.open()
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	if err != nil {
		return nil, err
	}
	attr := &syscall.ProcAttr{Dir: c.dir, Env: c.env, Files: make([]uintptr, len(files)), Sys: &syscall.SysProcAttr{Setsid: true, Credential: c.as}}
	for i, f := range files {
		attr.Files[i] = f.Fd()
	}
	p, err := startProcess(lookPath(c.program), c.argv, attr)
	if err == nil {
		p.stillborn = c.stillborn
	}
	return p, err
}

// open opens the three standard files. Nothing here may wait for the other end of
// a FIFO.
func (c command) open() (files []*os.File, err error) {
	for i, path := range []string{c.stdin, c.stdout, c.stderr} {
		flags := os.O_WRONLY | os.O_CREATE | os.O_APPEND
		if i == 0 {
			flags = os.O_RDONLY
		}
		if path == "" {
			path = os.DevNull
		}
		f, err := c.openAs(path, flags|syscall.O_NONBLOCK|syscall.O_NOCTTY)
		if err != nil {
			return files, err
		}
		files = append(files, f)
		if err := syscall.SetNonblock(int(f.Fd()), false); err != nil {
			return files, err
		}
	}
	return files, nil
}

// openAs opens a file; one that it makes belongs to whoever the job runs as.
func (c command) openAs(path string, flags int) (*os.File, error) {
	if c.as == nil || flags&os.O_CREATE == 0 {
		return os.OpenFile(path, flags, 0o644)
	}
	f, err := os.OpenFile(path, flags|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return os.OpenFile(path, flags, 0o644)
	}
	if err == nil {
		err = f.Chown(int(c.as.Uid), int(c.as.Gid))
	}
	return f, err
}

// lookPath finds a program without a slash in its name where posix_spawnp would.
func lookPath(program string) string {
	if strings.Contains(program, "/") {
		return program
	}
	for _, dir := range strings.Split(defaultPath, ":") {
		path := dir + "/" + program
		if info, err := os.Stat(path); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
			return path
		}
	}
	return program
}

// process is a child that is not reaped yet, or somebody else's process that is
// watched.
type process struct {
	pid int
	fd  *os.File // pidfd, where there is one

	stillborn bool // see command
}

// reap collects the status of a process that has ended.
func (p *process) reap() (status syscall.WaitStatus) {
	for {
		if _, err := syscall.Wait4(p.pid, &status, 0, nil); err != syscall.EINTR {
			break
		}
	}
	if p.fd != nil {
		p.fd.Close()
	}
	return status
}

// endGroup waits until the process group that p led is empty, and kills what is
// left of it after the given time. Only a server that ends does that: launchd
// itself leaves alone what ignores the SIGTERM after its leader's exit.
func (p *process) endGroup(timeout time.Duration) {
	for end := time.Now().Add(timeout); GroupRuns(p.pid); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			syscall.Kill(-p.pid, syscall.SIGKILL)
			return
		}
	}
}
