// Package fleet is an installation of Hermes for a test: an account's home, a root with
// profiles, property lists of the three generations that are in the field, an embedded
// launchd with their jobs, and real processes in them that behave as the test says
// (package standin).
//
//	f := fleet.New(t, fleet.Options{Profiles: []fleet.Profile{{Name: "work"}}})
//	f.Behave("work", fleet.Standin{Teardown: 5 * time.Second})
//	... restart f.Gateway("work").Target through f.Address() ...
//	f.NeverUnloaded(0)
//
// Every wait is for an event. At the end of the test nothing of it runs any more, nor
// when the test binary was killed.
package fleet

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/standin"
	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/launchd/launchdtest"
)

// Standin is how a gateway behaves, from its next boot on.
type Standin = standin.Behaviour

// Default is the name of the profile that is the root's own home.
const Default = "default"

// Options say what a fleet has. The zero value is one gateway, of the default profile.
type Options struct {
	Profiles []Profile // nil: {{Name: Default}}

	// Outside puts the root outside of the account's home, as HERMES_HOME may. Then no
	// label depends on the account, which is what the built command needs where it cannot
	// be given an account of the test's, see [Fleet.Command]. The default profile's label is
	// a hash then.
	Outside bool
	// Root is the path of the root below the folder of the fleet; "" is account/.hermes, or
	// root with Outside.
	Root string

	// User, if not 0, is whose account and launchd it is, which only root can have for somebody
	// else: the test is skipped if it is not root. It implies Process, and is not Outside.
	User int

	// Process has launchd run in a process of its own, which goes on when the test binary's
	// threads are busy, and can be traced.
	Process   bool
	Deny      []uint64 // routines that launchd refuses with 144
	TimeScale float64  // 0 is 1
	NoGUI     bool
	Launchd   []launchdtest.Option // of a launchd that is not a process of its own
}

// Profile is a profile of the fleet and its job.
type Profile struct {
	Name  string // Default is the root's own home
	Plist Generation
	// Keys replace those of the property list; nil takes one away.
	Keys map[string]any
	// Label replaces the one that Hermes derives from the home.
	Label string
	// User has the job loaded into the user domain, not the gui domain.
	User bool
	// Absent leaves the property list out, Unloaded writes it and loads nothing.
	Absent, Unloaded bool
	// Standin is how its gateway behaves from the first boot on.
	Standin Standin
	// NoWait keeps New from waiting until its gateway runs.
	NoWait bool
}

// Gateway is where a profile's gateway is.
type Gateway struct {
	Profile string
	Home    string
	Label   string
	Plist   string
	Target  launchd.Target
}

// Fleet is an installation with its launchd. Its methods end the test when they fail, so
// they belong into the test's own goroutine.
type Fleet struct {
	Client *launchd.Client
	// Launchd is the embedded launchd, nil with Options.Process.
	Launchd *launchdtest.Launchd

	Dir         string // of everything
	AccountHome string // holds Library/LaunchAgents
	Root        string // HERMES_HOME of the default profile
	StateDir    string // HERMES_GW_STATE_DIR of the command
	UID         int

	t        testing.TB
	options  Options
	gateways []Gateway
	profiles map[string]Profile
	leash    *leash
	world    world
	loaded   launchdtest.Mark // after the jobs were loaded
	tags     int              // given to the processes that the test starts
}

// patience bounds every wait for an event, far above what any takes.
const patience = 60 * time.Second

// New sets a fleet up and waits until every gateway that it loads says that it runs.
func New(t testing.TB, o Options) *Fleet {
	t.Helper()
	if o.Profiles == nil {
		o.Profiles = []Profile{{Name: Default}}
	}
	f := &Fleet{t: t, options: o, UID: os.Geteuid(), profiles: map[string]Profile{}}
	if o.User != 0 {
		if f.UID != 0 {
			t.Skip("only root can set up a launchd for another user")
		}
		f.UID, f.options.Process = o.User, true
	}
	f.must(f.layOut())
	f.must(f.open())
	for _, p := range o.Profiles {
		f.add(p)
	}
	f.loaded = f.Mark()
	for _, p := range o.Profiles {
		if !p.Absent && !p.Unloaded && !p.NoWait && !p.Standin.NeverRuns {
			f.Running(p.Name, 0)
			// launchd may note the spawn later than the process says that it runs.
			label := f.Gateway(p.Name).Label
			f.Wait(0, func(e launchdtest.Event) bool {
				return e.Kind == launchdtest.State && e.Label == label && e.To == string(launchd.StateRunning)
			})
		}
	}
	return f
}

// layOut makes the folders. Their paths are short, for the sockets in them.
func (f *Fleet) layOut() error {
	top, err := shared()
	if err != nil {
		return err
	}
	if f.Dir, err = os.MkdirTemp(top.dir, ""); err != nil {
		return err
	}
	f.t.Cleanup(func() { os.RemoveAll(f.Dir) })
	root := f.options.Root
	switch {
	case root != "":
	case f.options.Outside:
		root = "root"
	default:
		root = "account/.hermes"
	}
	f.AccountHome, f.Root, f.StateDir = filepath.Join(f.Dir, "account"), filepath.Join(f.Dir, root), filepath.Join(f.Dir, "state")
	for _, dir := range []string{f.agents(), f.Root, f.bin(), f.tmp()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	return f.handOver()
}

// handOver gives the fleet to its user, who may pass through the folders around it.
func (f *Fleet) handOver() error {
	if f.UID == os.Geteuid() {
		return nil
	}
	for _, dir := range []string{f.Dir, filepath.Dir(f.Dir), f.bin()} {
		if err := os.Chmod(dir, 0o711); err != nil {
			return err
		}
	}
	return filepath.WalkDir(f.Dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && path != f.Dir && !strings.HasPrefix(path, f.bin()) && !strings.HasPrefix(path, filepath.Join(f.Dir, "launchd")) {
			err = os.Lchown(path, f.UID, f.UID)
		}
		return gone(err) // a gateway's own
	})
}

func (f *Fleet) agents() string { return filepath.Join(f.AccountHome, "Library", "LaunchAgents") }
func (f *Fleet) bin() string    { return filepath.Join(f.Dir, "bin") }
func (f *Fleet) tmp() string    { return filepath.Join(f.Dir, "tmp") }

// open starts the leash and launchd, and sees to their end.
func (f *Fleet) open() (err error) {
	if f.leash, err = listen(filepath.Join(f.Dir, "leash")); err != nil {
		return err
	}
	if f.options.Process {
		f.world, err = f.startProcess()
	} else {
		f.world, err = f.startHere()
	}
	if err != nil {
		f.leash.close()
		return err
	}
	f.t.Cleanup(f.end)
	return nil
}

// end lets go of everything. launchd first asks its jobs to end; what takes long about it
// loses its leash.
func (f *Fleet) end() {
	f.t.Helper()
	f.leash.drop(func(p *Process) bool {
		return p.Tag != "" || p.Role == standin.RoleOrphan || p.Role == standin.RoleOther
	})
	closed := make(chan error, 1)
	go func() { closed <- f.world.Close() }()
	const courtesy = 300 * time.Millisecond
	var err error
	select {
	case err = <-closed:
		f.leash.close()
	case <-time.After(courtesy):
		f.leash.close()
		err = <-closed
	}
	if err != nil {
		f.t.Error(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := f.leash.wait(ctx, func() bool { return f.leash.alive() == 0 }); err != nil {
		f.t.Errorf("stand-ins are left: %v", f.leash.list())
	}
}

// add makes a profile's home and property list, and loads its job.
func (f *Fleet) add(p Profile) {
	f.t.Helper()
	g := Gateway{Profile: p.Name, Home: f.Root}
	if p.Name != Default {
		g.Home = filepath.Join(f.Root, "profiles", p.Name)
	}
	if g.Label = p.Label; g.Label == "" {
		g.Label = f.label(p.Name, g.Home)
	}
	g.Plist = filepath.Join(f.agents(), g.Label+".plist")
	domain := launchd.GUI(f.UID)
	if p.User || f.options.NoGUI {
		domain = launchd.User(f.UID)
	}
	g.Target = launchd.Target{Domain: domain, Label: g.Label}
	f.must(os.MkdirAll(filepath.Join(g.Home, "logs"), 0o700))
	f.gateways, f.profiles[p.Name] = append(f.gateways, g), p
	f.Behave(p.Name, p.Standin)
	if p.Absent {
		return
	}
	f.must(f.writePlist(g, p))
	f.must(f.handOver())
	if !p.Unloaded {
		f.Load(p.Name)
	}
}

var profileName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)

// label is Hermes' own rule (hermes.md 1.1), for the homes that a fleet has.
func (f *Fleet) label(name, home string) string {
	const bare = "ai.hermes.gateway"
	if name != Default && profileName.MatchString(name) {
		return bare + "-" + name
	}
	if home == filepath.Join(f.AccountHome, ".hermes") {
		return bare
	}
	sum := sha256.Sum256([]byte(home))
	return bare + "-" + hex.EncodeToString(sum[:4])
}

// Load loads a profile's job from its property list.
func (f *Fleet) Load(profile string) {
	f.t.Helper()
	g := f.Gateway(profile)
	ctx, cancel := f.soon()
	defer cancel()
	if err := f.Client.Bootstrap(ctx, g.Target.Domain, g.Plist); err != nil {
		f.t.Fatalf("load %s: %v", g.Target, err)
	}
}

// Gateway tells where a profile's gateway is.
func (f *Fleet) Gateway(profile string) Gateway {
	f.t.Helper()
	i := slices.IndexFunc(f.gateways, func(g Gateway) bool { return g.Profile == profile })
	if i < 0 {
		f.t.Fatalf("the fleet has no profile %q", profile)
	}
	return f.gateways[i]
}

// Gateways are all of them, in the order of Options.Profiles.
func (f *Fleet) Gateways() []Gateway { return slices.Clone(f.gateways) }

// Address is where launchd listens, as launchd.Options and HERMES_GW_LAUNCHD take it.
func (f *Fleet) Address() string { return f.world.Address() }

// Behave says how a profile's gateway behaves, from its next boot on.
func (f *Fleet) Behave(profile string, s Standin) {
	f.t.Helper()
	s.Leash = f.leash.path
	f.must(standin.WriteBehaviour(f.Gateway(profile).Home, s))
	f.must(f.handOver())
}

// State is what the profile's gateway_state.json says.
type State struct {
	standin.Record
	State            string                      `json:"gateway_state"`
	ExitReason       string                      `json:"exit_reason"`
	RestartRequested bool                        `json:"restart_requested"`
	ActiveWork       []standin.Work              `json:"active_work"`
	Platforms        map[string]standin.Platform `json:"platforms"`
	Served           []string                    `json:"served_profiles"`
	UpdatedAt        time.Time                   `json:"updated_at"`
	CodeSHA          string                      `json:"code_sha"`
}

// State reads a profile's state file.
func (f *Fleet) State(profile string) (s State) {
	f.t.Helper()
	data, err := os.ReadFile(filepath.Join(f.Gateway(profile).Home, standin.FileState))
	f.must(err)
	f.must(json.Unmarshal(data, &s))
	return s
}

// Running waits until a gateway of the profile's job runs whose pid is not old (0: any),
// and returns it. It may have ended again meanwhile.
func (f *Fleet) Running(profile string, old int) *Process {
	f.t.Helper()
	return f.Reached(profile, "running", old)
}

// Reached is [Fleet.Running] for another state: starting, draining, stopped.
func (f *Fleet) Reached(profile, state string, old int) *Process {
	f.t.Helper()
	g := f.Gateway(profile)
	ctx, cancel := f.soon()
	defer cancel()
	var found *Process
	err := f.leash.wait(ctx, func() bool {
		found = f.leash.last(func(p *Process) bool {
			return p.isGatewayOf(g) && p.PID != old && p.entered(state)
		})
		return found != nil
	})
	if err != nil {
		f.t.Fatalf("no gateway of %s came to be %s (not pid %d): %v\n%s", profile, state, old, err, f.leash.list())
	}
	return found
}

// Successor waits until a gateway of a profile's job runs that began after old, one of its
// gateways. It may have ended again meanwhile.
func (f *Fleet) Successor(profile string, old *Process) *Process {
	f.t.Helper()
	return f.runs(profile, func(list []*Process) []*Process {
		return list[slices.Index(list, old)+1:]
	})
}

// runs waits for a gateway of a profile's job that runs and is one of those that count, and
// returns the last one. It is given them in the order in which they began.
func (f *Fleet) runs(profile string, count func([]*Process) []*Process) *Process {
	f.t.Helper()
	g := f.Gateway(profile)
	ctx, cancel := f.soon()
	defer cancel()
	var found []*Process
	err := f.leash.wait(ctx, func() bool {
		found = count(f.leash.all(func(p *Process) bool { return p.isGatewayOf(g) && p.entered("running") }))
		return len(found) > 0
	})
	if err != nil {
		f.t.Fatalf("no gateway of %s runs: %v\n%s", g.Target, err, f.leash.list())
	}
	return found[len(found)-1]
}

// GatewayPID is the pid of the gateway in the profile's job, 0 when none is there. It is
// not launchd's, which is the outermost program's.
func (f *Fleet) GatewayPID(profile string) int {
	f.t.Helper()
	g := f.Gateway(profile)
	p := f.leash.last(func(p *Process) bool { return p.isGatewayOf(g) && p.Alive() })
	if p == nil {
		return 0
	}
	return p.PID
}

// JobPID is launchd's pid of the profile's job, 0 when it has none.
func (f *Fleet) JobPID(profile string) int {
	f.t.Helper()
	ctx, cancel := f.soon()
	defer cancel()
	job, err := f.Client.Job(ctx, f.Gateway(profile).Target)
	f.must(err)
	return job.PID
}

// Processes are the profile's stand-ins that are alive, oldest first.
func (f *Fleet) Processes(profile string) []*Process {
	f.t.Helper()
	home := f.Gateway(profile).Home
	return f.leash.all(func(p *Process) bool { return p.Home == home && p.Alive() })
}

func (f *Fleet) soon() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), patience)
}

func (f *Fleet) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(fmt.Errorf("fleet: %w", err))
	}
}
