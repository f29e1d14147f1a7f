package hermesgw

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hermes-gw/hermes-gw/launchd"
)

// vector is a line of testdata/labels, which vectors.py there writes.
type vector struct {
	Account    string
	HermesHome string `json:"hermes_home"`
	Native     string
	Root       string
	Home       string
	Label      string

	Dirs  []string
	Links map[string]string
}

func vectors(t *testing.T, name string) (list []vector) {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "labels", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var v vector
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		list = append(list, v)
	}
	return list
}

func (v vector) check(t *testing.T) Install {
	t.Helper()
	in, err := Locate(Where{UID: os.Getuid(), HermesHome: v.HermesHome, AccountHome: v.Account})
	if err != nil {
		t.Fatalf("Locate(%q, %q): %v", v.Account, v.HermesHome, err)
	}
	if in.Native != v.Native || in.Root != v.Root || in.Home != v.Home {
		t.Errorf("Locate(%q, %q):\n got native %q, root %q, home %q\nwant native %q, root %q, home %q",
			v.Account, v.HermesHome, in.Native, in.Root, in.Home, v.Native, v.Root, v.Home)
	}
	if got := in.Label(v.HermesHome); strings.TrimSpace(v.HermesHome) != "" && got != v.Label {
		t.Errorf("Label(%q) = %q, want %q", v.HermesHome, got, v.Label)
	}
	if got := in.Label(in.Home); got != v.Label {
		t.Errorf("Label(%q) = %q, want %q", in.Home, got, v.Label)
	}
	return in
}

// Trap 65, and 64 without links: Python computed these.
func TestLabelVectors(t *testing.T) {
	list := vectors(t, "labels.jsonl")
	if len(list) < 100 {
		t.Fatalf("only %d vectors", len(list))
	}
	for _, v := range list {
		in := v.check(t)
		if !IsGatewayLabel(v.Label) && !strings.ContainsAny(v.Label, "\n") {
			t.Errorf("IsGatewayLabel(%q) is false", v.Label)
		}
		if profile, ok := in.Owns(in.Home); !ok {
			t.Errorf("an install does not own its home %q: profile %q", in.Home, profile)
		}
	}
}

// tempDir is a temporary folder whose path has no links, as on macOS it has, and is short.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "gw")
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// Trap 64: symbolic links, also as parts of a path and to nowhere.
func TestLabelLinks(t *testing.T) {
	python, _ := exec.LookPath("python3")
	for _, v := range vectors(t, "links.jsonl") {
		base := tempDir(t)
		for _, dir := range v.Dirs {
			if err := os.MkdirAll(filepath.Join(base, dir), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		for name, target := range v.Links {
			if err := os.Symlink(strings.ReplaceAll(target, "$BASE", base), filepath.Join(base, name)); err != nil {
				t.Fatal(err)
			}
		}
		digest := strings.HasSuffix(v.Label, "#")
		for _, s := range []*string{&v.Account, &v.HermesHome, &v.Native, &v.Root, &v.Home} {
			*s = strings.ReplaceAll(*s, "$BASE", base)
		}
		if digest { // its path is another each time: Python is asked here, where there is one
			if python == "" {
				v.Label = fmt.Sprintf("ai.hermes.gateway-%.4x", sha256.Sum256([]byte(v.Home)))
			} else {
				out, err := exec.Command(python, filepath.Join("testdata", "labels", "vectors.py"), v.Account, v.HermesHome).Output()
				var live vector
				if err == nil {
					err = json.Unmarshal(out, &live)
				}
				if err != nil {
					t.Fatal(err)
				}
				v.Label = live.Label
			}
		}
		v.check(t)
	}
}

// Trap 64: $HOME may point into a profile.
func TestLocateIgnoresHOME(t *testing.T) {
	t.Setenv("HOME", "/nowhere/.hermes/profiles/work/home")
	t.Setenv("HERMES_HOME", "/nowhere/.hermes/profiles/work")
	in, err := Locate(Where{UID: os.Getuid()})
	if err != nil {
		t.Skip("the user database does not know this user:", err)
	}
	if strings.Contains(in.AccountHome+in.Native+in.Root+in.Home, "nowhere") {
		t.Errorf("Locate took a folder from the environment: %+v", in)
	}
	if in.Home != in.Native || in.Root != in.Native || in.Label(in.Home) != "ai.hermes.gateway" {
		t.Errorf("Locate without HERMES_HOME: %+v", in)
	}
}

func TestLocateRefuses(t *testing.T) {
	base := tempDir(t)
	if err := os.Symlink("loop", filepath.Join(base, "loop")); err != nil {
		t.Fatal(err)
	}
	for _, w := range []Where{
		{UID: -1, AccountHome: base},
		{UID: 1 << 30},
		{AccountHome: "relative"},
		{AccountHome: base, HermesHome: "relative/home"},
		{AccountHome: base, HermesHome: "."},
		{AccountHome: base, HermesHome: "~other/.hermes"},
		{AccountHome: base, HermesHome: "/a\x00b"},
		{AccountHome: base, HermesHome: base + "/loop/x"},
	} {
		if in, err := Locate(w); err == nil {
			t.Errorf("Locate(%+v) = %+v, want an error", w, in)
		}
	}
}

func TestGatewayLabels(t *testing.T) {
	for label, want := range map[string][2]bool{ // gateway, transient
		"ai.hermes.gateway":                                  {true, false},
		"ai.hermes.gateway-work":                             {true, false},
		"ai.hermes.gateway-deadbeef":                         {true, false},
		"ai.hermes.gateway.work":                             {true, false},
		"ai.hermes.gateway-Some Thing":                       {true, false},
		"com.hermes.gateway":                                 {true, false},
		"com.hermes.gateway.x":                               {true, false},
		"ai.hermes.gateway.reload":                           {true, false}, // a profile of that name, with a dot
		"ai.hermes.gateway-reload":                           {true, false},
		"ai.hermes.gateway.reload.x.1":                       {true, false},
		"ai.hermes.gateway.reload.4711.1790000000":           {false, true},
		"ai.hermes.gateway-work.reload.4711.1790000000":      {false, true},
		"ai.hermes.gateway.work.reload.4711.1790000000":      {false, true},
		"ai.hermes.gateway.reload.1.2.reload.3.4":            {false, true},
		"com.hermes.gateway.reload.4711.1790000000":          {false, true},
		"ai.hermes.serve.reload.4711.1790000000":             {false, false},
		"":                                                   {false, false},
		"ai.hermes.gatewayx":                                 {false, false},
		"ai.hermes.gateway-":                                 {false, false},
		"ai.hermes.gateway.":                                 {false, false},
		"AI.hermes.gateway":                                  {false, false},
		"ai.hermes.serve":                                    {false, false},
		"com.hermes.dashboard":                               {false, false},
		"xai.hermes.gateway":                                 {false, false},
		"ai.hermes.gateway-../../evil":                       {false, false},
		"ai.hermes.gateway-\x1b[2J":                          {false, false},
		"ai.hermes.gateway-\u202eevil":                       {false, false},
		"hermes-gw.reload.0123abcd":                          {false, false},
		"ai.hermes.gateway-x.reload.1.":                      {true, false},
		"ai.hermes.gateway" + strings.Repeat(".reload.1", 9): {true, false},
	} {
		if got := [2]bool{IsGatewayLabel(label), IsTransientLabel(label)}; got != want {
			t.Errorf("%q: gateway, transient = %v, want %v", label, got, want)
		}
	}
}

func TestPlistPath(t *testing.T) {
	in := Install{AccountHome: "/Users/ada"}
	for label, want := range map[string]string{
		"ai.hermes.gateway-work": "/Users/ada/Library/LaunchAgents/ai.hermes.gateway-work.plist",
		"":                       "",
		"../x":                   "",
		"a\x00":                  "",
	} {
		if got := in.PlistPath(label); got != want {
			t.Errorf("PlistPath(%q) = %q, want %q", label, got, want)
		}
	}
}

func TestHomeOfPlist(t *testing.T) {
	for _, c := range []struct {
		p    *launchd.Plist
		want string
	}{
		{nil, ""},
		{&launchd.Plist{}, ""},
		{&launchd.Plist{EnvironmentVariables: map[string]string{"HERMES_HOME": " /a b "}}, "/a b"},
		{&launchd.Plist{EnvironmentVariables: map[string]string{"HERMES_HOME": " "}}, ""},
		{&launchd.Plist{EnvironmentVariables: map[string]string{"HOME": "/x"}, ProgramArguments: []string{"hermes", "-p", "work", "gateway", "run"}}, ""},
	} {
		if got, ok := homeOfPlist(c.p); got != c.want || ok != (c.want != "") {
			t.Errorf("homeOfPlist(%+v) = %q, %v", c.p, got, ok)
		}
	}
}

// install makes an account with profiles: valid ones, and what is none.
func install(t *testing.T) Install {
	t.Helper()
	base := tempDir(t)
	for _, dir := range []string{"work", "ops", "ops-2", "default", "Bad Name!", strings.Repeat("a", 64), strings.Repeat("b", 65), ".deleted/gone", "gone"} {
		if err := os.MkdirAll(filepath.Join(base, ".hermes", "profiles", dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(base, ".hermes", "profiles", "file"), "")
	if err := os.MkdirAll(filepath.Join(base, "profiles", "foo"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"linked": filepath.Join(base, "profiles", "foo"), "broken": "nowhere"} {
		if err := os.Symlink(target, filepath.Join(base, ".hermes", "profiles", name)); err != nil {
			t.Fatal(err)
		}
	}
	in, err := Locate(Where{UID: os.Getuid(), AccountHome: base})
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestProfiles(t *testing.T) {
	in := install(t)
	list, err := in.Profiles()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range list {
		names = append(names, p.Name)
		want := "ai.hermes.gateway-" + p.Name
		switch p.Name {
		case "default":
			want = "ai.hermes.gateway"
		case "linked": // neither its own name nor that of the folder
			want = fmt.Sprintf("ai.hermes.gateway-%.4x", sha256.Sum256([]byte(p.Home)))
		}
		if p.Label != want {
			t.Errorf("profile %s has the label %s, want %s", p.Name, p.Label, want)
		}
		if got, err := in.Profile(p.Name); err != nil || got != p {
			t.Errorf("Profile(%q) = %+v, %v, want %+v", p.Name, got, err, p)
		}
		if got, ok := in.Owns(p.Home); !ok || got != p.Name {
			t.Errorf("Owns(%q) = %q, %v", p.Home, got, ok)
		}
	}
	if want := []string{"default", strings.Repeat("a", 64), "linked", "ops", "ops-2", "work"}; !slices.Equal(names, want) {
		t.Errorf("profiles %q, want %q", names, want)
	}
	if list[0] != (Profile{Name: "default", Home: in.Root, Label: "ai.hermes.gateway"}) {
		t.Errorf("the default profile: %+v", list[0])
	}

	empty, err := Locate(Where{UID: os.Getuid(), AccountHome: in.AccountHome, HermesHome: in.AccountHome + "/new"})
	if err != nil {
		t.Fatal(err)
	}
	if list, err := empty.Profiles(); err != nil || len(list) != 1 || list[0].Name != "default" || list[0].Label == "ai.hermes.gateway" {
		t.Errorf("profiles of a root that does not exist: %+v, %v", list, err)
	}
}

func TestProfileByName(t *testing.T) {
	in := install(t)
	for name, want := range map[string]string{"": "default", " ": "default", "Default": "default", "WORK": "work", " ops-2\n": "ops-2"} {
		if p, err := in.Profile(name); err != nil || p.Name != want {
			t.Errorf("Profile(%q) = %+v, %v, want %s", name, p, err, want)
		}
	}
	for name, near := range map[string]string{
		"wrok": "work", "opps": "ops", "zzzzzzzz": "", "gone": "", "file": "", "broken": "", "../x": "", "work/x": "work",
		"Bad Name!": "", strings.Repeat("b", 65): "", ".deleted": "", "x\x1b[2J": "",
	} {
		_, err := in.Profile(name)
		var unknown *UnknownProfileError
		if !errors.As(err, &unknown) || !errors.Is(err, fs.ErrNotExist) || unknown.Nearest != near || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("Profile(%q): %v (%+v), want one that suggests %q", name, err, unknown, near)
		}
	}

	at := func(home string) Install {
		in, err := Locate(Where{UID: os.Getuid(), AccountHome: in.AccountHome, HermesHome: home})
		if err != nil {
			t.Fatal(err)
		}
		return in
	}
	for home, want := range map[string]string{"~/.hermes/profiles/work": "work", "~/.hermes/profiles/Bad Name!": "Bad Name!", "~/.hermes/x": "", "~/.hermes/profiles/linked": "linked"} {
		in := at(home)
		p, err := in.Profile("")
		if err != nil || p.Name != want || p.Home != in.Home || p.Label != in.Label(in.Home) {
			t.Errorf("HERMES_HOME=%s: Profile(\"\") = %+v, %v, want %q", home, p, err, want)
		}
	}
}

// Trap 63: what belongs to another installation is told apart.
func TestOwns(t *testing.T) {
	in := install(t)
	for home, want := range map[string]string{
		"~/.hermes": "default", "~/.hermes/": "default", in.Root: "default", "~/.hermes/profiles/work": "work",
		"~/.hermes/profiles/Bad Name!": "Bad Name!", "~/.hermes/profiles/not-yet": "not-yet", "~/profiles/foo": "linked",
		"~/.hermes/profiles/work/../ops": "ops",
	} {
		if got, ok := in.Owns(home); !ok || got != want {
			t.Errorf("Owns(%q) = %q, %v, want %q", home, got, ok, want)
		}
	}
	for _, home := range []string{"", "relative", ".hermes", "/", "~", "~/.hermes2", "~/.hermes/profiles", "~/.hermes/x", "~/.hermes/profiles/work/x", "/Users/eve/.hermes", "/a\x00"} {
		if got, ok := in.Owns(home); ok {
			t.Errorf("Owns(%q) = %q, true", home, got)
		}
	}
	// The same folder by another name, as APFS has them; a second mount is not to be had here.
	upper := filepath.Join(filepath.Dir(in.Root), strings.ToUpper(filepath.Base(in.Root)))
	if _, err := os.Stat(upper); err == nil {
		if got, ok := in.Owns(upper); !ok || got != "default" {
			t.Errorf("Owns(%q) = %q, %v on a volume that ignores case", upper, got, ok)
		}
	}
}
