package launchdsim

import (
	"time"

	"golang.org/x/sys/unix"
)

// limits bound what one client gone wild takes from the others. Every peer has this
// server's uid or is root, so it could kill the server outright: these are no wall
// against an enemy.
type limits struct {
	// conns is how many connections there are at once. One more takes the place of the
	// one that the server has been waiting for the longest, for a request or the rest of
	// one. It is refused when all of them wait for an answer.
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

// makeRoom closes the connection that has been waited for the longest, and reports
// whether there is one. It is called with the lock held.
func (s *Server) makeRoom() bool {
	var oldest *conn
	since := int64(0)
	for c := range s.conns {
		if w := c.waiting.Load(); w != 0 && (oldest == nil || w < since) {
			oldest, since = c, w
		}
	}
	if oldest == nil {
		return false
	}
	s.journal.logf("launchdsim", "Error", "connection %d is closed to make room for another", oldest.id)
	// Its goroutine would take it out, too, but maybe not before the next one comes.
	delete(s.conns, oldest)
	oldest.shut()
	return true
}
