package hermesgw

import (
	"errors"
	"fmt"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
)

// Install is one installation of Hermes of one user: a root folder and the homes below it.
// Its folders are absolute paths without symbolic links.
type Install struct {
	UID         int    // whose jobs and files
	AccountHome string // of UID, from the user database; as it stands there
	Native      string // AccountHome/.hermes: the home whose label has no suffix
	Root        string // holds profiles/, and is the home of the profile "default"
	Home        string // what is meant when nothing is named: HERMES_HOME, else Native
}

// Where says whose installation is looked for.
type Where struct {
	UID int
	// HermesHome is the value of HERMES_HOME: an absolute path, or one that begins with ~,
	// which is AccountHome. Space around it does not count; empty is unset.
	HermesHome string
	// AccountHome is the account's home folder. Empty asks the user database for that of UID.
	// It is never $HOME, which Hermes points into a profile at times.
	AccountHome string
}

// Locate finds the folders of an installation, which need not exist yet.
//
// Root is Native if HERMES_HOME is not set, is Native or lies below it. Elsewhere
// <root>/profiles/<name> belongs to <root>, and any other folder is a root of its own.
// Source: get_default_hermes_root in hermes_constants.py of NousResearch/hermes-agent.
func Locate(w Where) (Install, error) {
	if w.UID < 0 {
		return Install{}, fmt.Errorf("locate Hermes: %d is no user's number", w.UID)
	}
	account := w.AccountHome
	if account == "" {
		var err error
		if account, err = accountHome(w.UID); err != nil {
			return Install{}, fmt.Errorf("locate Hermes: %w", err)
		}
	}
	if !filepath.IsAbs(account) {
		return Install{}, fmt.Errorf("locate Hermes: the account's home %q is not an absolute path", account)
	}
	in := Install{UID: w.UID, AccountHome: filepath.Clean(account)}
	var err error
	if in.Native, err = resolve(filepath.Join(in.AccountHome, ".hermes")); err != nil {
		return Install{}, fmt.Errorf("locate Hermes: %w", err)
	}
	in.Root, in.Home = in.Native, in.Native
	if strings.TrimSpace(w.HermesHome) == "" {
		return in, nil
	}
	home, err := in.expand(w.HermesHome)
	if err == nil {
		in.Home, err = resolve(home)
	}
	if err == nil {
		in.Root, err = rootOf(in.Native, home, in.Home)
	}
	if err != nil {
		return Install{}, fmt.Errorf("locate Hermes: HERMES_HOME: %w", err)
	}
	return in, nil
}

func accountHome(uid int) (string, error) {
	u, err := user.LookupId(strconv.Itoa(uid))
	if err != nil {
		return "", err
	}
	if u.HomeDir == "" {
		return "", fmt.Errorf("user %d has no home folder in the user database", uid)
	}
	return u.HomeDir, nil
}

// expand makes a value of HERMES_HOME an absolute path.
func (in Install) expand(value string) (string, error) {
	value = strings.TrimSpace(value)
	if rest, ok := strings.CutPrefix(value, "~"); ok && (rest == "" || rest[0] == '/') {
		value = in.AccountHome + rest
	}
	switch {
	case value == "":
		return "", errors.New("it is empty")
	case strings.Contains(value, "\x00"):
		return "", fmt.Errorf("%q has a NUL in it", value)
	case !filepath.IsAbs(value):
		// It would mean another folder wherever one stands, and to launchd none.
		return "", fmt.Errorf("%q is not an absolute path", value)
	}
	return value, nil
}

// rootOf returns the root that a home belongs to. Hermes looks for the folder profiles in the
// path as it was given, before symbolic links are resolved.
func rootOf(native, given, resolved string) (string, error) {
	if resolved == native || strings.HasPrefix(resolved, native+"/") {
		return native, nil
	}
	parts := pathParts(given)
	if n := len(parts); n >= 2 && parts[n-2] == "profiles" {
		return resolve("/" + strings.Join(parts[:n-2], "/"))
	}
	return resolved, nil
}
