package main

import (
	"path/filepath"
	"runtime"
	"strings"

	hermesgw "github.com/hermes-gw/hermes-gw"
	"github.com/hermes-gw/hermes-gw/launchd"
)

// installation is that of the user whose jobs are meant.
func (c *command) installation() (*hermesgw.Hermes, error) {
	uid, err := c.user()
	if err != nil {
		return nil, err
	}
	if err := c.connect(); err != nil {
		return nil, err
	}
	return c.hermes(uid)
}

// hermes is the installation of a user, as seen through the launchd of this run.
func (c *command) hermes(uid int) (*hermesgw.Hermes, error) {
	in, err := c.install(uid)
	if err != nil {
		return nil, err
	}
	o := hermesgw.Options{
		Command: c.invocation(), Address: c.address(), Around: c.surroundings(uid), StateDir: c.lockDir(uid),
		GatewayLockDir: c.env.getenv(envGatewayLocks), StateHome: c.env.getenv(envStateHome),
	}
	// Without it a launchd that refuses a restart has no last resort, which is seldom needed.
	if reload, err := c.reloadFor(uid); err == nil {
		o.Reload = reload
	}
	return hermesgw.New(in, c.launchd, o), nil
}

func (c *command) install(uid int) (hermesgw.Install, error) {
	w := hermesgw.Where{UID: uid}
	// HERMES_HOME is the caller's: under sudo, too, it names the installation that is meant.
	w.HermesHome = c.env.getenv(envHome)
	home, err := c.env.home(uid)
	switch {
	case err == nil:
		w.AccountHome = home
	case c.verb.name == "restart" && len(c.args) == 0 && w.HermesHome == "":
		return hermesgw.Install{}, usage("Name the job, or set "+envHome+".", "the home folder of user %d is not known: %v", uid, err)
	default: // what is named, or loaded, is found without it
		w.AccountHome = noHome
	}
	in, err := hermesgw.Locate(w)
	if err != nil && strings.TrimSpace(w.HermesHome) != "" {
		return in, usage("Set it to the absolute path of the installation, or unset it.", "%v", err)
	}
	return in, err
}

// noHome stands for the home folder of an account that has none: nothing is ever there.
const noHome = "/nonexistent"

// invocation is the command line as others may see it: the verb and its flags' names. What
// stands in arguments is nobody else's business.
func (c *command) invocation() string {
	words := []string{"hermes-gw", c.verb.name}
	if c.opts.all {
		words = append(words, "--"+flagAll)
	}
	return strings.Join(words, " ")
}

// address is the launchd to talk to, as --launchd or the environment has it; "" is this Mac's. A
// path is made absolute: the worker of a reload has another folder.
func (c *command) address() string {
	address := c.opts.launchd
	if address == "" {
		address = c.env.getenv(envLaunchd)
	}
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		if path, err := filepath.Abs(path); err == nil {
			return "unix:" + path
		}
	}
	return address
}

func (c *command) surroundings(uid int) launchd.Surroundings {
	around := launchd.Surroundings{UID: uid, SSH: c.env.overSSH(), ConsoleOwner: -1}
	if owner, err := c.env.consoleOwner(); err == nil {
		around.ConsoleOwner = owner
	}
	return around
}

// lockDir is the folder for the locks of restarts: a cache, because all that is lost with it is
// who restarted what in the last minute. "" if the user has no home folder.
func (c *command) lockDir(uid int) string {
	if dir := c.env.getenv(envState); filepath.IsAbs(dir) {
		return dir
	}
	home, err := c.env.home(uid)
	switch {
	case err != nil:
		return ""
	case runtime.GOOS == "darwin":
		return filepath.Join(home, "Library", "Caches", "hermes-gw")
	}
	return filepath.Join(home, ".cache", "hermes-gw")
}
