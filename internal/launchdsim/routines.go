package launchdsim

import "fmt"

// routine is one entry of launchd's dispatch tables: 700 and up for services,
// 800 and up for domains.
type routine struct {
	name   string
	handle func(*request)
}

// routines are the requests that the model answers. Any other number is 33, but
// for those in unsupported.
var routines = map[uint64]routine{
	702: {"kickstart", (*request).kickstart},
	707: {"blame", (*request).blame},
	708: {"print service", (*request).printService},
	712: {"attributes", (*request).attributes},
	800: {"bootstrap", (*request).bootstrap},
	801: {"bootout", (*request).bootout},
	806: {"on-demand-only on", (*request).onDemandOnlyOn},
	807: {"on-demand-only off", (*request).onDemandOnlyOff},
	808: {"enable", (*request).enable},
	809: {"disable", (*request).disable},
	811: {"enabled?", (*request).enabled},
	812: {"kill", (*request).kill},
	813: {"start", (*request).legacyStart},
	814: {"stop", (*request).legacyStop},
	815: {"list", (*request).list},
	816: {"remove", (*request).remove},
	819: {"setenv", (*request).setenv},
	820: {"getenv", (*request).getenv},
	828: {"print domain", (*request).printDomain},
}

// unsupported are numbers that launchd knows and refuses: 45 for what it no longer
// does, 142 for what only development builds do (dispatcher of launchd 26.1, where
// 709 has gone altogether and is 33), 144 for what nobody without an entitlement may
// have (seen in iOS; nothing is known of macOS).
var unsupported = map[uint64]errno{
	703: notEntitled, 704: notEntitled, 705: notEntitled, 706: notEntitled, 713: notEntitled, 719: notEntitled,
	721: notEntitled, 722: notEntitled, 723: notEntitled, 821: notEntitled,
	709: enotsup, 817: enotsup, 818: enotsup, 822: development, 823: enotsup, 824: enotsup, 826: development,
	827: enotsup, 836: enotsup, 845: enotsup, 849: development,
}

// request is one request on its way. It is answered exactly once, possibly much
// later and from another goroutine.
type request struct {
	s       *Server
	conn    uint64
	peer    int // pid of the client, 0 if that is not known
	id      uint64
	root    bool
	routine uint64
	args    dict
	done    chan dict
}

func (s *Server) newRequest(c *conn, number uint64, args dict) *request {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nreq++
	if number == 0 {
		// Clients of macOS 11 and older put the number into the dictionary.
		number, _ = args["routine"].(uint64)
	}
	return &request{s: s, conn: c.id, peer: c.peer, id: s.nreq, root: c.root, routine: number, args: args, done: make(chan dict, 1)}
}

// answer dispatches r and waits for its reply.
func (r *request) answer() dict {
	r.traceRequest()
	switch entry, known := routines[r.routine]; {
	case r.s.deny[r.routine]:
		r.fail(notEntitled)
	case unsupported[r.routine] != ok:
		r.fail(unsupported[r.routine])
	case !known:
		r.fail(edom)
	default:
		entry.handle(r)
	}
	return <-r.done
}

func (r *request) traceRequest() {
	r.s.journal.event(Event{Kind: "request", Conn: r.conn, ID: r.id, Peer: r.peer, Routine: r.routine, Domain: r.domainName(), Label: r.label()})
}

func (r *request) traceReply(reply dict) {
	code, _ := reply["error"].(int64)
	pid, _ := reply["pid"].(int64)
	r.s.journal.event(Event{Kind: "reply", Conn: r.conn, ID: r.id, Peer: r.peer, Routine: r.routine, Domain: r.domainName(), Label: r.label(), Error: &code, PID: int(pid)})
}

// reply answers r. It may be called under the server's lock.
func (r *request) reply(d dict) { r.done <- d }

// fail answers r with an error number; ok gives an empty success.
func (r *request) fail(code errno) {
	if code == ok {
		r.reply(dict{})
		return
	}
	r.reply(dict{"error": int64(code)})
}

func (r *request) string(key string) (string, bool) {
	v, ok := r.args[key].(string)
	return v, ok
}

func (r *request) bool(key string) bool {
	v, _ := r.args[key].(bool)
	return v
}

// label is the label that the request names, "" for none.
func (r *request) label() string {
	name, _ := r.string("name")
	return name
}

// domainName is the domain as the request spells it, for the trace: it need not
// exist.
func (r *request) domainName() string {
	kind, _ := r.args["type"].(uint64)
	handle, _ := r.args["handle"].(uint64)
	switch kind {
	case 0:
		return ""
	case domainSystem:
		return "system"
	case domainUser:
		return fmt.Sprintf("user/%d", handle)
	case domainPID:
		return fmt.Sprintf("pid/%d", handle)
	case domainGUI:
		return fmt.Sprintf("gui/%d", handle)
	case domainRequestorUser:
		return fmt.Sprintf("user/%d", r.s.uid)
	case domainRequestor:
		r.s.mu.Lock()
		defer r.s.mu.Unlock()
		if d, code := r.s.ownDomain(); code == ok {
			return d.String()
		}
	}
	return fmt.Sprintf("type %d/%d", kind, handle)
}
