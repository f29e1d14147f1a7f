package sweep

import (
	"bytes"
	"slices"
	"sync"
)

// programs are such as have the words of a gateway among their arguments without being one.
var programs = []struct {
	reason string
	wraps  bool // runs the command line in its arguments
	names  []string
}{
	{"a shell", false, []string{"sh", "bash", "zsh", "fish", "dash", "ksh", "tcsh", "csh", "nu", "xonsh", "pwsh"}},
	{"an editor", false, []string{"vim", "vi", "nvim", "view", "emacs", "emacsclient", "nano", "pico", "ed", "code", "cursor", "subl", "mate", "micro", "hx", "helix", "zed"}},
	{"a pager", false, []string{"less", "more", "most", "bat", "cat", "head", "man"}},
	{"a search", false, []string{"grep", "egrep", "fgrep", "rg", "ag", "ack", "find", "fd", "pgrep", "pkill", "killall", "fzf", "awk", "sed", "xargs"}},
	{"follows a file", false, []string{"tail", "multitail", "lnav", "log"}},
	{"a terminal", false, []string{"tmux", "screen", "zellij", "dtach", "abduco", "mosh", "mosh-client", "script", "expect", "iterm2", "terminal", "alacritty", "kitty", "wezterm", "ghostty", "login"}},
	{"another machine", false, []string{"ssh", "autossh", "scp", "rsync", "kubectl", "docker", "podman", "limactl", "vagrant"}},
	{"a test runner", false, []string{"pytest", "py.test", "tox", "nox", "coverage"}},
	{"a debugger", false, []string{"lldb", "gdb", "dtruss", "dtrace", "strace", "ltrace", "py-spy", "austin", "sample", "spindump", "pdb"}},
	{"looks at processes", false, []string{"ps", "top", "htop", "btop", "lsof", "watch", "pstree"}},
	{"version control", false, []string{"git", "gh", "hub", "tig", "lazygit"}},
	{"this tool", false, []string{"hermes-gw"}},
	{"launchd", false, []string{"launchd", "launchctl", "xpcproxy"}},
	{"runs another program", true, []string{"sudo", "doas", "su", "nohup", "caffeinate", "env", "nice", "renice", "time", "gtime", "timeout", "gtimeout", "setsid", "stdbuf",
		"arch", "taskpolicy", "uv", "uvx", "pipx", "poetry", "pdm", "rye", "hatch", "conda", "mamba", "mise", "direnv", "op", "doppler", "dotenv", "chronic", "ionice", "chroot", "watchexec", "entr", "nodemon"}},
}

// wrapper reports whether a program runs the command line in its arguments.
func wrapper(name string) (reason string, wraps bool) {
	for _, p := range programs {
		if p.wraps && slices.Contains(p.names, name) {
			return p.reason, true
		}
	}
	return "", false
}

// never reports whether a program is none of Hermes' whatever its arguments.
func never(name string) (reason string, known bool) {
	for _, p := range programs {
		if slices.Contains(p.names, name) {
			return p.reason, true
		}
	}
	return "", false
}

// Candidate reports whether a process of that name (comm) may be a gateway, so that it is
// worth reading its arguments. It is false for programs that never are one. A name that is not
// known is a candidate: comm is Python, python3.12, osascript or hermes, and any process can
// change it.
//
// sh, env and the other wrappers of a gateway are no candidates: they are not signalled
// anyway, and what they execute is a process, or a name, of its own.
func Candidate(comm string) bool { return candidate([]byte(comm)) }

// candidate allocates nothing: it is asked about every process.
func candidate(comm []byte) bool {
	comm = bytes.TrimPrefix(comm, []byte("-")) // a login shell's name begins with one
	var lower [maxComm]byte
	n := copy(lower[:], comm)
	for i, c := range lower[:n] {
		if 'A' <= c && c <= 'Z' {
			lower[i] = c + 'a' - 'A'
		}
	}
	return !denied()[string(lower[:n])]
}

// denied has the names that are no candidates, as comm cuts them.
var denied = sync.OnceValue(func() map[string]bool {
	names := map[string]bool{}
	add := func(name string) {
		for _, limit := range []int{15, 16} { // Linux, macOS
			names[name[:min(len(name), limit)]] = true
		}
	}
	for _, p := range programs {
		for _, name := range p.names {
			add(name)
		}
	}
	for _, name := range systemNames {
		add(name)
	}
	return names
})

// systemNames are processes of macOS and Linux that are many, or large, and never a
// gateway. They are as comm has them: 15 bytes on Linux, 16 on macOS.
var systemNames = []string{
	"kernel_task", "launchd", "windowserver", "finder", "dock", "loginwindow", "systemuiserver", "controlcenter", "spotlight", "mds", "mds_stores",
	"mdworker", "mdworker_shared", "cfprefsd", "distnoted", "trustd", "secd", "securityd", "nsurlsessiond", "cloudd", "bird", "runningboardd", "logd",
	"syslogd", "notifyd", "usernoted", "coreaudiod", "bluetoothd", "airportd", "powerd", "configd", "opendirectoryd", "sshd", "sshd-session", "sftp-server",
	"google chrome", "safari", "firefox", "slack", "systemd", "init", "kthreadd", "dbus-daemon", "containerd", "dockerd", "agetty", "cron",
}
