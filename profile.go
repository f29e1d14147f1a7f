package hermesgw

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/hermes-gw/hermes-gw/internal/spell"
)

// DefaultProfile is the name of the profile whose home is the root itself.
const DefaultProfile = "default"

// Profile is one home of an installation, which can have a gateway of its own.
type Profile struct {
	// Name is "default" for the root, else that of the folder in profiles. It is empty for a
	// HERMES_HOME that is neither.
	Name  string
	Home  string // without symbolic links
	Label string // of its job, whether or not there is one
}

// UnknownProfileError says that an installation has no profile of that name.
type UnknownProfileError struct {
	Name    string // as it was asked for
	Root    string // of the installation
	Nearest string // the profile that was meant most likely; empty if none is near
}

func (e *UnknownProfileError) Error() string {
	text := fmt.Sprintf("there is no profile %s in %s", strconv.Quote(e.Name), shown(filepath.Join(e.Root, "profiles"), maxShownPath))
	if e.Nearest != "" {
		text += "; did you mean " + e.Nearest + "?"
	}
	return text
}

// Is makes the error an [fs.ErrNotExist].
func (e *UnknownProfileError) Is(target error) bool { return target == fs.ErrNotExist }

// Profiles returns the profiles of the installation: default first, then the others by name.
// Those are the folders in Root/profiles whose names are profiles' names, without the ones that
// Hermes has marked as deleted. That there is no such folder is no error. The error is of reading
// it; default is returned all the same.
//
// Source: _iter_named_profile_dirs in hermes_cli/profiles.py.
func (in Install) Profiles() ([]Profile, error) {
	list := []Profile{in.profile(DefaultProfile, in.Root)}
	folder := filepath.Join(in.Root, "profiles")
	entries, err := os.ReadDir(folder) // sorted by name
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	} else if err != nil {
		err = fmt.Errorf("list the profiles: %w", err)
	}
	for _, entry := range entries {
		if p, ok := in.named(entry.Name()); ok {
			list = append(list, p)
		}
	}
	return list, err
}

// named returns the profile of that name, if there is one.
func (in Install) named(name string) (Profile, bool) {
	folder := filepath.Join(in.Root, "profiles", name)
	if !validName(name) || name == DefaultProfile {
		return Profile{}, false
	}
	if info, err := os.Stat(folder); err != nil || !info.IsDir() {
		return Profile{}, false
	}
	if _, err := os.Stat(filepath.Join(in.Root, "profiles", ".deleted", name)); err == nil {
		return Profile{}, false
	}
	home, err := resolve(folder)
	if err != nil {
		return Profile{}, false
	}
	// Where the folder is a link, the label depends on both ends.
	return Profile{Name: name, Home: home, Label: in.Label(folder)}, true
}

func (in Install) profile(name, home string) Profile {
	return Profile{Name: name, Home: home, Label: in.Label(home)}
}

// Profile returns the profile of that name, in any case of letters: "default" is the root, ""
// what is meant when nothing is named, which is the profile of in.Home. The error is an
// [*UnknownProfileError].
func (in Install) Profile(name string) (Profile, error) {
	switch asked := strings.ToLower(strings.TrimSpace(name)); asked {
	case "":
		of, _ := in.Owns(in.Home)
		return in.profile(of, in.Home), nil
	case DefaultProfile:
		return in.profile(DefaultProfile, in.Root), nil
	default:
		if p, ok := in.named(asked); ok {
			return p, nil
		}
		list, _ := in.Profiles()
		names := make([]string, len(list))
		for i, p := range list {
			names[i] = p.Name
		}
		return Profile{}, &UnknownProfileError{Name: name, Root: in.Root, Nearest: spell.Nearest(asked, names)}
	}
}

// Owns reports whether a home belongs to the installation, and to which profile: it is the root,
// a folder in Root/profiles (whose name need not be a profile's), or what a link there leads to.
// in.Home belongs to it too; if it is none of these, its profile is "". Where file names ignore
// case or Unicode form, so does Owns.
func (in Install) Owns(home string) (profile string, ok bool) {
	given, err := in.expand(home)
	if err != nil {
		return "", false
	}
	resolved, err := resolve(given)
	if err != nil {
		return "", false
	}
	if sameFolder(resolved, in.Root) {
		return DefaultProfile, true
	}
	profiles, err := resolve(filepath.Join(in.Root, "profiles"))
	if err == nil && resolved != "/" && sameFolder(filepath.Dir(resolved), profiles) {
		return filepath.Base(resolved), true
	}
	list, _ := in.Profiles()
	for _, p := range list {
		if sameFolder(resolved, p.Home) {
			return p.Name, true
		}
	}
	return "", sameFolder(resolved, in.Home)
}
