// Package launchdsim is the embedded launchd: a model of launchd's job control
// for development, demos and tests. It supervises real processes and answers the
// requests of package launchd over a Unix socket. It is not a supervisor for
// production and not macOS: what it answers is what public facts say that
// launchd answers. Where a fact is uncertain the comment at the code says so.
//
// One mutex stands for launchd's main queue: state changes only under it, and
// nothing that waits for others (plists, processes, sockets) happens under it; the log
// and the trace are written there, so that they are in order. A request
// that has to wait is parked on its job and answered when the job moves on, so
// requests of different jobs never wait for each other.
//
// The way of a request: conn.go reads the frame, routines.go finds the handler,
// service.go (7xx) and domainverbs.go (8xx) decide, job.go moves the job through
// the table in state.go, spawn.go makes and reaps the process.
package launchdsim

import (
	"cmp"
	"errors"
	"io"
	"net"
	"os"
	"os/user"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Options configure a Server. The zero value is a launchd with the domains of
// the current user, all of them present, and no faults.
type Options struct {
	// UID is the user whose domains are served, and as whom their jobs run: for a server
	// that runs as root, as launchd does. 0 is the server's own user.
	UID int
	// NoGUI leaves gui/UID out, as for a user without a graphical session.
	NoGUI bool
	// NoGUIError is the answer for a missing gui domain: 125 (the default; seen on
	// macOS 26.4) or 112 (older wording).
	NoGUIError int64
	// ASID numbers the login session in print output; the default is 100017.
	ASID int

	// Log receives lines in the form of launchd.log, Trace one JSON object a line
	// (see Event). OnEvent is called with the same events, in order, and must
	// neither block nor call the Server.
	Log     io.Writer
	Trace   io.Writer
	OnEvent func(Event)

	// SpawnWindow keeps a new process in state xpcproxy for so long (not scaled),
	// as if it had not executed its program yet. A kickstart with kill in that window
	// answers 1 if SpawnWindowDenies is set, as seen on macOS 14 and 15, else it kills
	// the process as the decompiled code does.
	SpawnWindow       time.Duration
	SpawnWindowDenies bool

	// OnDemandOnly starts the domains in on-demand-only mode (routines 806 and 807
	// switch it): starts that nobody asked for are pended. macOS 26 was seen in it
	// during login and with a locked screen.
	OnDemandOnly bool

	// PinCode makes a job whose program has other contents than when it was loaded die by
	// SIGKILL at every spawn, as a launch constraint does (see codeIdentity).
	PinCode bool

	// AlreadyLoaded is the answer for a label that is loaded: 37 (the default) or 17.
	AlreadyLoaded int64

	// Faults are in force from the start, see SetFaults.
	Faults []Fault

	// Deny lists routines that are answered with 144, as a launchd would that
	// demands an entitlement for them.
	Deny []uint64

	// TimeScale multiplies every duration that the model waits for (throttle, exit
	// timeout); 0 means 1. What print shows is not scaled.
	TimeScale float64
}

// Server is an embedded launchd. Use New.
type Server struct {
	opts    Options
	uid     int
	pid     int
	login   map[string]string   // HOME, USER, LOGNAME, SHELL of the uid
	as      *syscall.Credential // of the jobs in the user's domains; nil: the server's own
	deny    map[uint64]bool
	limits  limits
	journal journal
	spawner *spawner

	mu      sync.Mutex
	domains map[domainKey]*domain
	closing bool
	done    chan struct{} // closed when Close begins
	faults  []Fault
	live    sync.WaitGroup // children, until they are reaped and accounted for
	conns   map[*conn]struct{}
	left    chan struct{} // closed and replaced when a connection ends
	nconn   uint64
	nreq    uint64
	serving sync.WaitGroup

	beforeReap func() // tests hold back the end of processes with it
}

// New returns a Server for the domains of one user, not yet
// reachable: see Serve. Close ends it.
func New(o Options) *Server {
	if o.TimeScale == 0 {
		o.TimeScale = 1
	}
	if o.NoGUIError == 0 {
		o.NoGUIError = int64(domainRefuses)
	}
	if o.ASID == 0 {
		o.ASID = 100017
	}
	if o.AlreadyLoaded == 0 {
		o.AlreadyLoaded = int64(ealready)
	}
	s := &Server{
		opts:    o,
		uid:     cmp.Or(o.UID, os.Geteuid()),
		pid:     os.Getpid(),
		domains: map[domainKey]*domain{},
		deny:    map[uint64]bool{},
		limits:  defaultLimits(),
		journal: journal{trace: o.Trace, log: o.Log, onEvent: o.OnEvent},
		spawner: newSpawner(),
		conns:   map[*conn]struct{}{},
		left:    make(chan struct{}),
		done:    make(chan struct{}),
	}
	s.login, s.as = login(s.uid), runAs(s.uid)
	s.SetFaults(o.Faults...)
	for _, r := range o.Deny {
		s.deny[r] = true
	}
	s.makeDomains()
	return s
}

// Serve answers connections from l until Close, which closes l. It returns nil
// after Close, else the error that ended it.
func (s *Server) Serve(l *net.UnixListener) error {
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		return l.Close()
	}
	s.serving.Add(1)
	s.mu.Unlock()
	defer s.serving.Done()
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case <-s.done:
			l.Close()
		case <-stop:
		}
	}()
	pause := time.Millisecond
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			if s.isClosing() {
				return nil
			}
			if errors.Is(err, net.ErrClosed) {
				return err
			}
			// Out of descriptors, most likely: connections that end will free some.
			s.journal.logf("launchdsim", "Error", "accept: %v", err)
			s.mu.Lock()
			s.makeRoom()
			s.mu.Unlock()
			select {
			case <-s.done:
				return nil
			case <-time.After(pause):
			}
			pause = min(2*pause, time.Second)
			continue
		}
		pause = time.Millisecond
		s.serve(c)
	}
}

// Strangers returns how many connections there are of other processes than this one. left is
// closed when one ends.
func (s *Server) Strangers() (n int, left <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if c.peer != 0 && c.peer != s.pid {
			n++
		}
	}
	return n, s.left
}

func (s *Server) isClosing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}

// Load loads a property list into gui/UID (user/UID when there is no gui), as a
// bootstrap request would.
func (s *Server) Load(path string) error {
	s.mu.Lock()
	d, code := s.ownDomain()
	s.mu.Unlock()
	if code == ok {
		code = s.bootstrapPath(d, path)[path]
	}
	if code != ok {
		return &LoadError{Path: path, Code: int64(code)}
	}
	return nil
}

// Close stops every job (SIGTERM to its process group, its exit timeout, then
// SIGKILL), waits until all are reaped, and closes the listeners and
// connections. Requests that still waited get pid 0. It may be called again.
func (s *Server) Close() error {
	s.mu.Lock()
	if !s.closing {
		s.closing = true
		close(s.done)
		for _, d := range s.domains {
			s.teardown(d)
		}
	}
	s.mu.Unlock()
	s.live.Wait()
	s.spawner.close()
	s.mu.Lock()
	for c := range s.conns {
		c.finish()
	}
	s.mu.Unlock()
	s.serving.Wait()
	return nil
}

// scaled applies Options.TimeScale.
func (s *Server) scaled(d time.Duration) time.Duration {
	return time.Duration(float64(d) * s.opts.TimeScale)
}

// login returns what a login sets for uid, from the user database and not from
// the environment: $HOME may point anywhere.
func login(uid int) map[string]string {
	env := map[string]string{"SHELL": "/bin/sh"}
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		env["HOME"], env["USER"], env["LOGNAME"] = u.HomeDir, u.Username, u.Username
	}
	return env
}

// runAs is the credential of a user who is not the server's own.
func runAs(uid int) *syscall.Credential {
	if uid == os.Geteuid() {
		return nil
	}
	as := &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		as.Gid = number(u.Gid)
	}
	return as
}

// SetPenaltyBox puts a loaded job into launchd's penalty box, or takes it out: a
// start without unthrottle is refused with 139 then. What puts jobs there is not
// public. It reports whether the job is loaded.
func (s *Server) SetPenaltyBox(domain, label string, on bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.domains {
		if j := d.jobs[label]; j != nil && d.String() == domain {
			j.penalty = on
			return true
		}
	}
	return false
}
