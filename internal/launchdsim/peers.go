package launchdsim

import (
	"time"

	"golang.org/x/sys/unix"
)

// limits bound what one client gone wild takes from the others. Every peer has this
// server's uid or is root, so it could kill the server outright: these are no wall
// against an enemy.
type limits struct {
	// conns is how many connections there are at once. One more takes the place of one
	// from which the server waits for a request, or the rest of one: of those that never
	// sent any if there are such, the one it has waited for the longest. It is refused
	// when all of them wait for an answer.
	conns int
	// frame is how long a request may take to arrive, from its first byte on.
	frame time.Duration
	// files is how many descriptors a request may bring. Those that launchd's clients
	// send bring one or none.
	files int
	// reply is how long a peer may leave its reply unread before it is cut off.
	reply time.Duration
}

func defaultLimits() limits {
	l := limits{conns: 1024, frame: 10 * time.Second, files: 4, reply: 10 * time.Second}
	var files unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &files) == nil {
		// The rest is for descriptors in requests, and for processes.
		l.conns = max(int(min(uint64(l.conns), uint64(files.Cur)/4)), 16)
	}
	return l
}

// makeRoom closes the connection that is the least loss, see limits, and reports
// whether there is one. It is called with the lock held.
func (s *Server) makeRoom() bool {
	var loss *conn
	var since int64
	for c := range s.conns {
		w := c.waiting.Load()
		switch {
		case w == 0:
		case loss == nil, loss.spoke.Load() && !c.spoke.Load(), loss.spoke.Load() == c.spoke.Load() && w < since:
			loss, since = c, w
		}
	}
	if loss == nil {
		return false
	}
	s.journal.logf("launchdsim", "Error", "connection %d is closed to make room for another", loss.id)
	// Its goroutine would take it out, too, but maybe not before the next one comes.
	delete(s.conns, loss)
	loss.shut()
	return true
}
