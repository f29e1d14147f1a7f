package main

import (
	"context"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// environment is where the figures come from.
type environment struct {
	Date   string `json:"date"`
	Commit string `json:"commit"`
	System string `json:"system"`
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Load   string `json:"load"` // of the machine: above the number of cores, others slow the run down
	Go     string `json:"go"`
	Arch   string `json:"arch"`
	subject
}

// subject is what is measured.
type subject struct {
	Launchd   string `json:"launchd"`
	Live      bool   `json:"live"`
	Launchctl string `json:"launchctl"`
	StandIn   bool   `json:"launchctl_is_stand_in"`
}

// look describes the machine before anything is measured on it.
func look(ctx context.Context) environment {
	return environment{
		Date: time.Now().UTC().Format("2006-01-02 15:04 UTC"), Commit: commit(ctx),
		System: systemName(), CPU: cpuName(), Cores: runtime.NumCPU(), Load: loadAverage(),
		Go: runtime.Version(), Arch: runtime.GOOS + "/" + runtime.GOARCH,
	}
}

// subject describes what is measured.
func (w *world) subject(ctx context.Context) (s subject) {
	s.Live = w.live
	version, err := w.client.Version(ctx)
	if err != nil {
		version = "does not say its version"
	}
	if w.live {
		s.Launchd = "live: " + version
	} else {
		s.Launchd = "embedded, a model and not macOS' (" + version + ")"
	}
	s.StandIn = w.launchctl == w.standIn
	s.Launchctl = w.launchctl
	if s.StandIn {
		s.Launchctl = "a stand-in, the smallest Go program that connects, writes and reads; not macOS' launchctl"
	}
	return s
}

// commit is that of the sources, if this is a checkout with git.
func commit(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty", "--abbrev=7", "--match=").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}
