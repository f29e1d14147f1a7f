package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// environment is everything the command takes from its surroundings, so that
// tests can stand in for it.
type environment struct {
	getenv       func(string) string
	euid         int
	home         func(uid int) (string, error) // the account's home, whatever $HOME says
	executable   func() (string, error)        // the path of this program
	consoleOwner func() (uid int, err error)   // who is logged in at the screen
	unread       func(io.Writer) bool          // whether its reader is gone
	buildVersion func() string
	terminal     func(io.Writer) bool                // whether a person reads there
	size         func(io.Writer) (columns, rows int) // of a terminal; 0 where it does not tell
	signals      func() <-chan os.Signal
	hangups      func() <-chan os.Signal
	ignoreHangup func()
	exit         func(code int)
}

func systemEnv() environment {
	return environment{
		getenv:       os.Getenv,
		euid:         os.Geteuid(),
		home:         accountHome,
		executable:   executable,
		consoleOwner: consoleOwner,
		buildVersion: buildVersion,
		terminal:     isTerminal,
		size:         windowSize,
		unread:       isUnread,
		signals:      listen,
		hangups:      listenHangup,
		ignoreHangup: ignoreHangup,
		exit:         os.Exit,
	}
}

// accountHome asks the user database: launchd looks for agents there, while $HOME
// may point into a Hermes profile or, under sudo, to another user.
func accountHome(uid int) (string, error) {
	u, err := user.LookupId(strconv.Itoa(uid))
	if err != nil {
		return "", err
	}
	if u.HomeDir == "" {
		return "", fmt.Errorf("user %d has no home folder", uid)
	}
	return u.HomeDir, nil
}

// consoleOwner is the user to whom loginwindow gave the console.
func consoleOwner() (int, error) {
	info, err := os.Stat("/dev/console")
	if err != nil {
		return 0, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, &fs.PathError{Op: "stat", Path: "/dev/console", Err: syscall.ENOTSUP}
	}
	return int(st.Uid), nil
}

// buildVersion is the module version that the go command stamped in, with the
// commit when it is a build from a checkout.
func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}

// overSSH reports whether the command runs in an ssh session.
func (e environment) overSSH() bool {
	return e.getenv(envSSHConnection) != "" || e.getenv(envSSHTTY) != ""
}

// unicode reports whether text may have more than ASCII in it: setlocale(3).
func (e environment) unicode() bool {
	for _, name := range []string{envAll, envCharset, envLang} {
		if value := strings.ToLower(e.getenv(name)); value != "" {
			return strings.Contains(value, "utf-8") || strings.Contains(value, "utf8")
		}
	}
	return false
}

// windowSize asks a terminal for the size of its window.
func windowSize(w io.Writer) (columns, rows int) {
	f, ok := w.(*os.File)
	if !ok {
		return 0, 0
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0
	}
	return int(size.Col), int(size.Row)
}

// isUnread reports whether w is a pipe that nobody reads any more: poll(2).
func isUnread(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	ask := []unix.PollFd{{Fd: int32(f.Fd())}}
	_, err := unix.Poll(ask, 0)
	return err == nil && ask[0].Revents&(unix.POLLERR|unix.POLLHUP|unix.POLLNVAL) != 0
}

// isTerminal reports whether w is a terminal, or any other device that is read character by
// character.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
