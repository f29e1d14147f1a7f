package launchdsim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
)

// Domain types as they stand in a request's "type" key (public captures of
// launchk and Procursus' launchctl agree).
const (
	domainSystem        = 1
	domainUser          = 2 // handle: uid
	domainLogin         = 3 // handle: audit session
	domainSession       = 4 // handle: audit session
	domainPID           = 5 // handle: pid
	domainRequestorUser = 6 // the caller's user domain
	domainRequestor     = 7 // the domain whose bootstrap port the request came by
	domainGUI           = 8 // handle: uid
)

type domainKey struct {
	kind uint64
	id   int
}

// domain holds jobs. The server's lock guards everything in it but the fields
// that never change.
type domain struct {
	key       domainKey
	s         *Server
	jobs      map[string]*job
	inOrder   []*job            // jobs by label, nil when they changed since
	env       map[string]string // setenv
	overrides map[string]bool   // label to enabled; shared by user/UID and gui/UID
	gone      atomic.Bool       // torn down

	onDemandOnly bool // only explicit starts; the others are pended
}

func (d *domain) String() string {
	switch d.key.kind {
	case domainSystem:
		return "system"
	case domainUser:
		return fmt.Sprintf("user/%d", d.key.id)
	}
	if d.key.kind == domainPID {
		return fmt.Sprintf("pid/%d", d.key.id)
	}
	return fmt.Sprintf("gui/%d", d.key.id)
}

func (s *Server) makeDomains() {
	users := map[string]bool{}
	s.addDomain(domainSystem, 0, map[string]bool{})
	s.addDomain(domainUser, s.uid, users)
	if !s.opts.NoGUI {
		s.addDomain(domainGUI, s.uid, users)
	}
}

func (s *Server) addDomain(kind uint64, id int, overrides map[string]bool) *domain {
	key := domainKey{kind, id}
	d := &domain{key: key, s: s, jobs: map[string]*job{}, env: map[string]string{}, overrides: overrides, onDemandOnly: s.opts.OnDemandOnly}
	s.domains[key] = d
	return d
}

// find returns a domain that is there; one that is torn down is until its last job
// has gone.
func (s *Server) find(kind uint64, id int) (*domain, errno) {
	if d := s.domains[domainKey{kind, id}]; d != nil && (!d.gone.Load() || len(d.jobs) > 0) {
		return d, ok
	}
	if kind == domainGUI {
		return nil, errno(s.opts.NoGUIError)
	}
	return nil, noDomain
}

// ownDomain is type 7: gui/UID, or user/UID when there is no gui session.
func (s *Server) ownDomain() (*domain, errno) {
	if d, code := s.find(domainGUI, s.uid); code == ok {
		return d, ok
	}
	return s.find(domainUser, s.uid)
}

// domain resolves the request's type and handle. Missing or not a uint64 is 22,
// an unknown type 125, a known type without such a domain 112.
func (r *request) domain() (*domain, errno) {
	kind, isKind := r.args["type"].(uint64)
	handle, isHandle := r.args["handle"].(uint64)
	if !isKind || !isHandle {
		return nil, einval
	}
	switch kind {
	case domainSystem:
		return r.s.find(domainSystem, 0)
	case domainUser, domainGUI:
		if handle != uint64(r.s.uid) {
			return r.s.find(kind, -1)
		}
		return r.s.find(kind, r.s.uid)
	case domainRequestorUser:
		return r.s.find(domainUser, r.s.uid)
	case domainRequestor:
		return r.s.ownDomain()
	case domainPID:
		return r.s.pidDomain(handle)
	case domainLogin, domainSession:
		return nil, noDomain
	}
	return nil, domainRefuses
}

// writable is domain for a request that changes something: the system domain is
// root's.
func (r *request) writable() (*domain, errno) {
	d, code := r.domain()
	if code == ok && d.key.kind == domainSystem && !r.root {
		return nil, eperm
	}
	return d, code
}

// enabledIn says whether label may be loaded: the override wins over the plist's
// Disabled key.
func (d *domain) enabledIn(label string, byDefault bool) bool {
	if on, set := d.overrides[label]; set {
		return on
	}
	return byDefault
}

// overridable says whether labels can be enabled and disabled in d: the domain of a
// process keeps no such thing.
func (d *domain) overridable() errno {
	if d.key.kind == domainPID {
		return domainRefuses
	}
	return ok
}

// teardown stops every job of d and lets nobody in.
func (s *Server) teardown(d *domain) {
	d.gone.Store(true)
	for _, j := range d.jobs {
		j.tearDown()
	}
}

// pidDomain returns the domain of a process, which comes to be when it is first
// asked for and goes with the process. There is one for the processes of the
// server's own uid.
func (s *Server) pidDomain(handle uint64) (*domain, errno) {
	const mostPID = 1 << 30
	if handle == 0 || handle > mostPID {
		return nil, noDomain
	}
	pid := int(handle)
	if d := s.domains[domainKey{domainPID, pid}]; d != nil {
		if d.gone.Load() {
			return nil, noDomain
		}
		return d, ok
	}
	if s.closing {
		return nil, noDomain
	}
	p, err := watchProcess(pid)
	if err != nil {
		return nil, noDomain
	}
	d := s.addDomain(domainPID, pid, map[string]bool{})
	s.serving.Add(1)
	go func() {
		defer s.serving.Done()
		p.waitOr(s.done)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.teardown(d)
		delete(s.domains, d.key)
	}()
	return d, ok
}

// sorted returns the jobs by label.
func (d *domain) sorted() []*job {
	if d.inOrder == nil {
		d.inOrder = slices.SortedFunc(maps.Values(d.jobs), func(a, b *job) int { return strings.Compare(a.def.label, b.def.label) })
	}
	return d.inOrder
}
