package launchdsim

import (
	"fmt"
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
	env       map[string]string // setenv
	overrides map[string]bool   // label to enabled; shared by user/UID and gui/UID
	gone      atomic.Bool       // torn down
}

func (d *domain) String() string {
	switch d.key.kind {
	case domainSystem:
		return "system"
	case domainUser:
		return fmt.Sprintf("user/%d", d.key.id)
	}
	return fmt.Sprintf("gui/%d", d.key.id)
}

func (s *Server) makeDomains() {
	users := map[string]bool{}
	add := func(kind uint64, id int, overrides map[string]bool) {
		key := domainKey{kind, id}
		s.domains[key] = &domain{key: key, s: s, jobs: map[string]*job{}, env: map[string]string{}, overrides: overrides}
	}
	add(domainSystem, 0, map[string]bool{})
	add(domainUser, s.uid, users)
	if !s.opts.NoGUI {
		add(domainGUI, s.uid, users)
	}
}

// find returns a domain that is there. The map never changes after New.
func (s *Server) find(kind uint64, id int) (*domain, errno) {
	if d := s.domains[domainKey{kind, id}]; d != nil && !d.gone.Load() {
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
	case domainLogin, domainSession, domainPID:
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

// teardown stops every job of d and lets nobody in.
func (s *Server) teardown(d *domain) {
	d.gone.Store(true)
	for _, j := range d.jobs {
		j.tearDown()
	}
}
