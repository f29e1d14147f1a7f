// Package standin is what the stand-in for Hermes (program hermes, below) and the tests
// that use it have in common: how a stand-in is told what to do, and how it tells what
// it did.
//
// The stand-in reads FileBehaviour in its home at every boot, so a test can have the next
// boot go another way than the last. It appends what it does to FileLog, one [Event] a
// line, before the effect can be seen by others, and sends the same lines to the socket
// [Behaviour.Leash]. There it takes an [Order] a line. It ends itself when that connection
// ends: nothing outlives its test.
package standin

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Files in a home that no Hermes has.
const (
	FileBehaviour = "standin.json"
	FileLog       = "standin.log"
)

// Files of a Hermes home, hermes.md 1.5.
const (
	FilePID         = "gateway.pid"
	FileLock        = "gateway.lock"
	FileState       = "gateway_state.json"
	FileHeartbeat   = "state/gateway.heartbeat"
	FileSocket      = "gateway.sock"
	FilePointer     = "gateway.sock.path"
	FileStarts      = "gateway-starts.log"
	FileTakeover    = ".gateway-takeover.json"
	FilePlannedStop = ".gateway-planned-stop.json"
)

// Variables of the environment, for processes whose home says nothing.
const (
	// EnvLeash names the leash where FileBehaviour does not.
	EnvLeash = "STANDIN_LEASH"
	// EnvSit makes the program do nothing but be there, whatever its arguments.
	EnvSit = "STANDIN_SIT"
	// EnvTag is a word that the process says in its hello. Its children say it with a + behind.
	EnvTag = "STANDIN_TAG"
)

// Exit codes of Hermes, hermes.md 1.6.
const (
	ExitStopped   = 0  // a planned stop
	ExitSignalled = 1  // SIGTERM that nobody announced: a supervisor should revive it
	ExitRestart   = 75 // SIGUSR1: drained, to be started again
	ExitConfig    = 78 // nothing that a new start would mend; the wrapper turns it into 0
)

// Behaviour is how a stand-in for the gateway behaves, from its next boot on. The zero
// value runs at once, with everything that a gateway of Hermes has, and ends as soon as
// it is asked to.
type Behaviour struct {
	Leash string `json:"leash,omitempty"` // Unix socket of the test; "": none

	BootDelay time.Duration `json:"boot_delay,omitempty"` // before the lock and all files
	RunDelay  time.Duration `json:"run_delay,omitempty"`  // from state starting to running
	NeverRuns bool          `json:"never_runs,omitempty"` // stays in state starting
	StormNap  time.Duration `json:"storm_nap,omitempty"`  // sleeps at boot after more than 5 starts in 120 s
	Stderr    []string      `json:"stderr,omitempty"`     // lines written at boot
	Exit      *Exit         `json:"exit,omitempty"`       // ends by itself

	// Hasty has it look at gateway.lock once, at once. Otherwise it waits for a lock that is held
	// until BootDelay and 2 s are over: Python takes that long to come to it, so that a
	// predecessor that is about to end is met by no real gateway.
	Hasty bool `json:"hasty,omitempty"`

	NoLock     bool `json:"no_lock,omitempty"`     // takes no gateway.lock
	NoPID      bool `json:"no_pid,omitempty"`      // writes no gateway.pid
	NoState    bool `json:"no_state,omitempty"`    // writes no gateway_state.json
	NoTick     bool `json:"no_tick,omitempty"`     // has no tick socket
	TickSilent bool `json:"tick_silent,omitempty"` // has one that does not answer

	Heartbeat    time.Duration `json:"heartbeat,omitempty"`     // rewritten so often; 0: once, at boot; below: never written
	HeartbeatAge time.Duration `json:"heartbeat_age,omitempty"` // and says that it is so old

	Control Control `json:"control,omitempty"`

	Drain        time.Duration `json:"drain,omitempty"`         // from SIGUSR1 to the teardown
	DrainForever bool          `json:"drain_forever,omitempty"` // no end but by SIGTERM and its like
	DrainedTo    *int          `json:"drained_to,omitempty"`    // the exit code after SIGUSR1; nil: ExitRestart
	Teardown     time.Duration `json:"teardown,omitempty"`      // from the removal of gateway.pid to the exit
	IgnoreTERM   bool          `json:"ignore_term,omitempty"`

	Orphan *Orphan `json:"orphan,omitempty"` // a child that it leaves behind
	Listen string  `json:"listen,omitempty"` // a Unix socket it listens on, as its API server; an orphan inherits it

	Platforms   map[string]Platform `json:"platforms,omitempty"` // nil: telegram, connected once it runs
	ActiveWork  []Work              `json:"active_work,omitempty"`
	Served      []string            `json:"served_profiles,omitempty"`
	CodeSHA     string              `json:"code_sha,omitempty"`
	CodeVersion string              `json:"code_version,omitempty"`
	ExitReason  string              `json:"exit_reason,omitempty"` // of the state file, at the end
}

// Exit ends a gateway without a teardown, as a crash does.
type Exit struct {
	After  time.Duration `json:"after,omitempty"` // counted from the start of the process
	Code   int           `json:"code,omitempty"`
	Signal int           `json:"signal,omitempty"` // by this signal instead
}

// Control is how the control socket gateway.sock behaves.
type Control string

// The ways of a control socket.
const (
	Serving Control = ""        // answers identify and status
	Off     Control = "off"     // is not there
	Hanging Control = "hang"    // takes the request and does not answer
	Garbled Control = "garbage" // answers with what is no JSON
	Lying   Control = "lie"     // identifies as the gateway of another home and pid
)

// Orphan is a child of the gateway that stays when the gateway ends.
type Orphan struct {
	Session bool `json:"session,omitempty"` // in a session of its own
	Lock    bool `json:"lock,omitempty"`    // with gateway.lock, which stays locked
}

// Order is what the test tells a stand-in while it runs.
type Order struct {
	Call *Call `json:"call,omitempty"`
}

// Call is a command that a stand-in runs, as a gateway runs one for a chat. A process of
// RoleCaller stands between: it outlives the stand-in, and tells how the command ended.
type Call struct {
	Argv   []string `json:"argv"` // of the command; the first is its path
	Env    []string `json:"env"`
	Dir    string   `json:"dir"`
	Stdout string   `json:"stdout"` // a file
	Stderr string   `json:"stderr"` // a file
	Tag    string   `json:"tag"`    // of the caller's hello

	Session    bool `json:"session,omitempty"`    // in a session of its own, so in a process group of its own
	Reparented bool `json:"reparented,omitempty"` // the caller's parent has ended: init is its parent
	Depth      int  `json:"depth,omitempty"`      // so many more processes between the stand-in and the caller
	Leaves     int  `json:"leaves,omitempty"`     // set on the way: the parent that ends
}

// Platform is one entry of the state file's platforms.
type Platform struct {
	State          string `json:"state"` // connected, connecting, retrying, error
	ErrorCode      string `json:"error_code,omitempty"`
	ErrorMessage   string `json:"error_message,omitempty"`
	NeedsAttention bool   `json:"needs_attention,omitempty"`
}

// Work is one entry of the state file's active_work.
type Work struct {
	Kind    string  `json:"kind"` // chat, cron, api, deferred
	Session string  `json:"session_id,omitempty"`
	Elapsed float64 `json:"elapsed_s"`
	PID     int     `json:"pid,omitempty"`
}

// Record is what gateway.pid and gateway.lock hold, and the state file begins with.
type Record struct {
	PID   int      `json:"pid"`
	Kind  string   `json:"kind"` // hermes-gateway
	Argv  []string `json:"argv"`
	Start int64    `json:"start_time"` // centiseconds: since the epoch on macOS, since boot on Linux
	Home  string   `json:"hermes_home"`
}

// Kind says what an [Event] is about.
type Kind string

// The kinds of events.
const (
	Hello   Kind = "hello"   // the process is there
	State   Kind = "state"   // it wrote State to its state file, or would have
	Signal  Kind = "signal"  // it got a signal
	Write   Kind = "write"   // it is about to put this content at Path
	Remove  Kind = "remove"  // it is about to remove Path
	Exiting Kind = "exiting" // it ends with this code; a caller with that of its command, -n by signal n
	Called  Kind = "called"  // a caller's command runs as Child
)

// Event is one thing that a stand-in did.
type Event struct {
	Time time.Time `json:"time"`
	Kind Kind      `json:"ev"`
	Role string    `json:"role"` // gateway, wrapper, osascript, orphan, caller, other
	PID  int       `json:"pid"`
	Home string    `json:"home,omitempty"`

	Parent  int      `json:"parent,omitempty"` // Hello
	Argv    []string `json:"argv,omitempty"`   // Hello
	Tag     string   `json:"tag,omitempty"`    // Hello
	State   string   `json:"state,omitempty"`  // State
	Signal  int      `json:"signal,omitempty"` // Signal, the host's number
	Code    int      `json:"code,omitempty"`   // Exiting
	Child   int      `json:"child,omitempty"`  // Called
	Path    string   `json:"path,omitempty"`   // Write, Remove: below the home
	SHA256  string   `json:"sha256,omitempty"` // Write
	ModTime int64    `json:"mtime,omitempty"`  // Write: nanoseconds since the epoch
}

// The roles of a stand-in.
const (
	RoleGateway   = "gateway"
	RoleWrapper   = "wrapper"
	RoleOsascript = "osascript"
	RoleOrphan    = "orphan"
	RoleCaller    = "caller"
	RoleOther     = "other"
)

// ReadBehaviour reads how to behave in a home. Without a file it is the zero value.
func ReadBehaviour(home string) (b Behaviour, err error) {
	data, err := os.ReadFile(filepath.Join(home, FileBehaviour))
	if errors.Is(err, fs.ErrNotExist) {
		return b, nil
	}
	if err != nil {
		return b, err
	}
	return b, json.Unmarshal(data, &b)
}

// WriteBehaviour replaces the file as a whole: a boot may read it at any moment.
func WriteBehaviour(home string, b Behaviour) error {
	data, err := json.Marshal(b)
	if err != nil {
		return err
	}
	path := filepath.Join(home, FileBehaviour)
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// ReadLog reads what the stand-ins of a home did so far, in its order.
func ReadLog(home string) (events []Event, err error) {
	data, err := os.ReadFile(filepath.Join(home, FileLog))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for line := range bytes.Lines(data) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // being written: a write over the end of a page is seen in two steps
		}
		var e Event
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	return events, nil
}
