package hermesgw_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	hermesgw "github.com/hermes-gw/hermes-gw"
	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
	"github.com/hermes-gw/hermes-gw/internal/embedtest/standin"
	"github.com/hermes-gw/hermes-gw/launchd"
)

// Trap 64: homes with spaces, quotes and letters of all kinds, on another volume, and so long that
// the control socket is elsewhere, where a pointer says; reached by links; and a $HOME that points into a
// profile. Labels, property lists, processes and sockets are found all the same.
func TestTrap64Homes(t *testing.T) {
	t.Parallel()
	const odd = `Volumes/My "Disk" & <Größe>'s 家 $HOME ` + "`x`" + ` \n`
	for _, c := range []struct {
		name string
		root string
		link bool // HERMES_HOME, of the jobs and of the caller, leads there by a link
		home bool // $HOME is a profile's
	}{
		{name: "odd letters", root: odd},
		{name: "long", root: "Volumes/" + strings.Repeat("long/", 20) + "home"},
		{name: "odd, long, by a link", root: odd + "/" + strings.Repeat("长", 30), link: true},
		{name: "$HOME in a profile", home: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			profiles := []fleet.Profile{
				{Name: fleet.Default, Plist: fleet.Newest}, {Name: "work", Plist: fleet.Middle}, {Name: "ops", Plist: fleet.Oldest},
			}
			for i := range profiles {
				profiles[i].Unloaded = c.link
			}
			f := fleet.New(t, fleet.Options{Outside: outside, Root: c.root, Profiles: profiles})
			root := f.Root
			if c.link {
				root = filepath.Join(f.Dir, "by a link")
				if err := os.Symlink(f.Root, root); err != nil {
					t.Fatal(err)
				}
				for _, g := range f.Gateways() {
					home := root + strings.TrimPrefix(g.Home, f.Root)
					f.SetKeys(g.Profile, map[string]any{"EnvironmentVariables": map[string]string{
						"PATH": os.Getenv("PATH"), "HERMES_HOME": home, "TMPDIR": filepath.Join(f.Dir, "tmp"),
					}})
					f.Load(g.Profile)
					f.Up(g.Profile, 0)
				}
			}
			in, err := hermesgw.Locate(hermesgw.Where{UID: f.UID, AccountHome: f.AccountHome, HermesHome: root})
			if err != nil || in.Root != f.Root {
				t.Fatalf("%+v, %v", in, err)
			}
			found, err := hermesgw.New(in, f.Client, hermesgw.Options{}).Discover(t.Context())
			if err != nil || len(found.Gateways) != 3 || len(found.Others) != 0 {
				t.Fatalf("%+v, %v", found, err)
			}
			old := map[string]int{}
			for _, g := range found.Gateways {
				is := f.Gateway(g.Profile)
				if g.Label != is.Label || g.Home != is.Home || g.Plist != is.Plist || g.Process.IsZero() || g.Runtime == nil || len(g.Stale) > 0 {
					t.Errorf("%+v", g)
				}
				// A link can be short enough for a socket where its end is not: then the state file has
				// to do.
				if _, err := os.Stat(filepath.Join(is.Home, standin.FilePointer)); !c.link && (!g.Runtime.Answered || (len(is.Home)+len("/gateway.sock") > 100) != (err == nil)) {
					t.Errorf("%s: a pointer to the socket: %v; %+v", is.Home, err, g.Runtime)
				}
				old[g.Profile] = g.Process.PID
			}
			stray := strayOf(f, "ops", fleet.Python("ops"))
			for _, args := range [][]string{{"restart", "--all", "--wait", "platforms"}, {"restart", "-p", "work", "--graceful", "--wait", "ready"}, {"restart"}} {
				cmd := f.Prepare(append(args, "--json")...)
				cmd.Env = append(cmd.Env, "HERMES_HOME="+root)
				if c.home {
					cmd.Env = append(cmd.Env, "HOME="+f.Gateway("work").Home)
				}
				a := parsed(t, f.Run(cmd))
				if a.Code != 0 {
					t.Errorf("%q: %s%s", args, a.Stdout, a.Stderr)
				}
				for _, r := range a.Results {
					if is := f.Gateway(r.Profile); r.Target != is.Target.String() || r.State != launchd.OutcomeRestarted {
						t.Errorf("%+v", r)
					}
				}
			}
			f.Gone(stray)
			for profile, pid := range old {
				f.Up(profile, pid)
			}
		})
	}
}

// Trap 65: a folder in profiles whose name can be no profile's has a label that is a hash of its path.
// It is one of this installation's gateways, and is restarted with them.
func TestTrap65InvalidNames(t *testing.T) {
	t.Parallel()
	names := []string{"Bad Name!", strings.Repeat("x", 65), "Upper", "-dash", "_under", "a.b", "ü"}
	profiles := []fleet.Profile{{Name: "good_name-1", Plist: fleet.Oldest}}
	for i, name := range names {
		profiles = append(profiles, fleet.Profile{Name: name, Plist: fleet.Generations[i%3]})
	}
	f := fleet.New(t, fleet.Options{Profiles: profiles})
	mark := f.Mark()
	a := ask(t, f, "restart", "--all", "--wait", "ready")
	if a.Code != 0 || len(a.Results) != len(profiles) {
		t.Fatalf("%s%s", a.Stdout, a.Stderr)
	}
	for _, g := range f.Gateways() {
		if suffix, ok := strings.CutPrefix(g.Label, "ai.hermes.gateway-"); !ok || slices.Contains(names, g.Profile) != (len(suffix) == 8 && strings.Trim(suffix, "0123456789abcdef") == "") {
			t.Errorf("%q has the label %s", g.Profile, g.Label)
		}
		if r := a.of(t, f, g.Profile); r.Profile != g.Profile || f.Spawns(g.Profile, mark) != 1 {
			t.Errorf("%+v", r)
		}
	}
	if a := ask(t, f, "restart", f.Gateway("Bad Name!").Label, "--graceful", "--wait", "ready"); a.Code != 0 || a.Results[0].Profile != "Bad Name!" {
		t.Errorf("%s%s", a.Stdout, a.Stderr)
	}
	if a := ask(t, f, "restart", "-p", "Bad Name!"); a.Code != 5 || !strings.Contains(a.Stderr, `no profile \"Bad Name!\"`) && !strings.Contains(a.Stderr, `no profile "Bad Name!"`) {
		t.Errorf("%s%s", a.Stdout, a.Stderr)
	}
	f.NeverUnloaded(mark)
}
