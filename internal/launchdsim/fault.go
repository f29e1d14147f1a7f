package launchdsim

import (
	"io"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/xpcwire"
)

// FaultKind is a way for a server to misbehave.
type FaultKind int

const (
	// Late carries the request out and answers after Delay.
	Late FaultKind = iota + 1
	// Never leaves the request without an answer and the connection open.
	Never
	// Hangup closes the connection instead of answering.
	Hangup
	// Garbage answers with a frame that is no XPC message.
	Garbage
	// Mistype answers with a string under Key in place of what belongs there.
	Mistype
	// Fail answers with the error number Code.
	Fail
	// Broken answers with the transport error Code and no message.
	Broken
)

// Fault makes requests that match it go wrong. Zero fields match everything.
type Fault struct {
	Kind    FaultKind
	Routine uint64
	Domain  string // "gui/501"
	Label   string
	// Carry carries the request out all the same; Late and Mistype always do.
	Carry bool
	Delay time.Duration // Late; not scaled
	Key   string        // Mistype
	Code  int64         // Fail, Broken
	Times int           // how often; 0 is always
}

// SetFaults replaces the faults. Requests that hang already go on hanging.
func (s *Server) SetFaults(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append([]Fault(nil), faults...)
}

// fault takes the first fault that matches r; Kind is 0 without one.
func (r *request) fault() Fault {
	domain, label := r.domainName(), r.label()
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	for i, f := range r.s.faults {
		if (f.Routine != 0 && f.Routine != r.routine) || (f.Domain != "" && f.Domain != domain) || (f.Label != "" && f.Label != label) {
			continue
		}
		if f.Times == 1 {
			r.s.faults = append(r.s.faults[:i:i], r.s.faults[i+1:]...)
		} else if f.Times > 1 {
			r.s.faults[i].Times--
		}
		return f
	}
	return Fault{}
}

// misbehave answers r as f says. The frame is what to write, if hangup is not set.
func (c *conn) misbehave(f Fault, r *request, magic uint32) (frame []byte, hangup bool, err error) {
	var reply dict
	if f.Carry || f.Kind == Late || f.Kind == Mistype {
		reply = r.answer()
	} else {
		r.traceRequest()
	}
	head := xpcwire.Reply{Magic: magic}
	switch f.Kind {
	case Late:
		select {
		case <-time.After(f.Delay):
		case <-c.s.done:
		}
	case Never:
		// Until the peer or the server ends it.
		io.Copy(io.Discard, c.c.UnixConn)
		return nil, true, nil
	case Hangup:
		return nil, true, nil
	case Garbage:
		return []byte{12, 0, 0, 0, 0, 0, 0, 0, 'g', 'a', 'r', 'b', 'a', 'g', 'e', '!'}, false, nil
	case Mistype:
		reply[f.Key] = "not what you expect"
	case Fail:
		reply = dict{"error": f.Code}
	case Broken:
		head.Code, reply = int32(f.Code), nil
	}
	frame, _, err = xpcwire.AppendReply(nil, head, reply)
	return frame, false, err
}
