package main

import (
	"context"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/probe"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// probeJobArg makes this program a throwaway job of a probe: launchd runs it so.
const probeJobArg = "probe-job"

// probeTimeout bounds a probe, which takes a quarter of a minute where all is answered.
const probeTimeout = 3 * time.Minute

func runProbe(c *command) report {
	o, err := c.probeOptions()
	if err != nil {
		return report{err: err}
	}
	ctx, stop := c.untilHangup()
	defer stop()
	limit := c.opts.timeout
	if limit <= 0 {
		limit = probeTimeout
	}
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	found, err := probe.Run(bounded, o)
	if err != nil {
		return report{err: err}
	}
	r := report{fields: fields{Probe: found}}
	if !c.opts.json {
		r.text = found.Markdown()
	}
	switch {
	case !found.Clean():
		r.exit = exitFailed
		r.warning = "not everything was undone; run hermes-gw probe again, which removes what is left"
	case !found.Complete():
		r.exit = exitSome
	}
	return r
}

// probeOptions opens the launchd that is meant, without the gate for other verbs'
// requests: after an interruption a probe has to undo what it did.
func (c *command) probeOptions() (probe.Options, error) {
	o := probe.Options{
		UID: c.env.euid, Release: c.env.buildVersion(),
		Sudo: c.env.euid == 0 && c.env.getenv(envSudoUID) != "", SSH: c.env.overSSH(),
	}
	err := c.open(func(t xpc.Transport) xpc.Transport {
		o.Transport = t
		return t
	})
	if err != nil {
		return o, err
	}
	self, err := c.env.executable()
	if err != nil {
		return o, err
	}
	o.Program = []string{self, probeJobArg}
	if o.StateDir, err = c.stateDir(o.UID); err != nil {
		return o, err
	}
	o.Secrets = c.secrets(o.UID)
	return o, nil
}

// secrets are the names that a report must not hold: home folders, users, this machine.
func (c *command) secrets(uid int) (list []probe.Secret) {
	if home, err := c.env.home(uid); err == nil && filepath.Clean(home) != "/" {
		list = append(list, probe.Secret{Text: filepath.Clean(home), Instead: "~"})
	}
	if home := c.env.getenv(envUserHome); home != "" && filepath.Clean(home) != "/" {
		list = append(list, probe.Secret{Text: filepath.Clean(home), Instead: "~"})
	}
	names := []string{c.env.getenv(envUser), c.env.getenv(envLogName), c.env.getenv(envSudoUser)}
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		names = append(names, u.Username)
	}
	for _, name := range names {
		if name != "" && name != "root" { // every Mac has one
			list = append(list, probe.Secret{Text: name, Instead: "USER"})
		}
	}
	if host, err := os.Hostname(); err == nil {
		short, _, _ := strings.Cut(host, ".")
		list = append(list, probe.Secret{Text: host, Instead: "HOST"}, probe.Secret{Text: short, Instead: "HOST"})
	}
	return list
}
