package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/xpc"
)

func (x *ctl) bootstrap() int {
	d, exit := x.domain(x.args[0])
	if exit != 0 {
		return exit
	}
	if len(x.args) == 1 {
		fmt.Fprintln(x.stderr, "hermes-gw: a domain is not bootstrapped as a whole: name property lists.")
		return x.usage()
	}
	paths, err := absolute(x.args[1:])
	if err != nil {
		return x.failed(err, d, nothing)
	}
	err = x.launchd.Bootstrap(x.ctx, d, paths...)
	if err == nil {
		return 0
	}
	var failed []*launchd.Error
	each(err, func(e *launchd.Error) { failed = append(failed, e) })
	if len(failed) == 0 {
		return x.failed(err, d, nothing)
	}
	first := failed[0]
	if first.Code == xpc.NoSuchDomain {
		return x.failed(first, d, nothing)
	}
	code := first.Code
	for _, e := range failed {
		if e.Code != code {
			code = xpc.SeveralErrors
		}
		switch loaded := errors.Is(e, launchd.ErrAlreadyLoaded) && e.Code != xpc.EIO; {
		case e.Path == "", !loaded && len(paths) == 1 && len(failed) == 1: // the line below says it
		case loaded:
			fmt.Fprintf(x.stderr, "%s: service already bootstrapped\n", shown(e.Path))
		default:
			fmt.Fprintf(x.stderr, "%s: %v\n", shown(e.Path), e.Code)
		}
	}
	fmt.Fprintf(x.stderr, "Bootstrap failed: %d: %v\n", int32(code), code)
	x.richer()
	for _, e := range failed {
		x.advise(e)
	}
	return int(code)
}

// bootout unloads by name, always: without one launchd would tear the whole domain down,
// and the login session with it.
func (x *ctl) bootout() int {
	if t, err := launchd.ParseTarget(x.args[0]); err == nil {
		return x.bootoutOne(t, xpc.ESRCH)
	}
	d, exit := x.domain(x.args[0])
	if exit != 0 {
		return exit
	}
	if len(x.args) == 1 {
		fmt.Fprintf(x.stderr, "hermes-gw: %s is not torn down as a whole, because that ends the session: name a job.\n", d)
		return x.usage()
	}
	worst := 0
	for _, path := range x.args[1:] {
		p, err := launchd.ReadPlist(path)
		if err != nil {
			fmt.Fprintf(x.stderr, "Boot-out failed: %d: %v\n", int32(xpc.EIO), xpc.EIO)
			fmt.Fprintf(x.stderr, "hermes-gw: %s\n", shown(err.Error()))
			worst = int(xpc.EIO)
			continue
		}
		if exit := x.bootoutOne(launchd.Target{Domain: d, Label: p.Label}, xpc.NoSuchService); exit != 0 {
			worst = exit
		}
	}
	return worst
}

// bootoutOne counts a job that still has to exit as unloaded, as launchctl's
// no-einprogress does. missing is the number for a job that is not loaded: 3 by name, 113 by
// path.
func (x *ctl) bootoutOne(t launchd.Target, missing xpc.Errno) int {
	err := x.launchd.Bootout(x.ctx, t)
	if err == nil || errors.Is(err, launchd.ErrStopping) {
		return 0
	}
	if e, ok := errors.AsType[*launchd.Error](err); ok && errors.Is(err, launchd.ErrNotLoaded) {
		e.Code = missing
		fmt.Fprintf(x.stderr, "Boot-out failed: %d: %v\n", int32(missing), missing)
		x.advise(e)
		return int(missing)
	}
	return x.failed(err, t, line("Boot-out failed"))
}

func (x *ctl) enable() int  { return x.setEnabled(true) }
func (x *ctl) disable() int { return x.setEnabled(false) }

func (x *ctl) setEnabled(on bool) int {
	t, exit := x.service(x.args[0])
	if exit != 0 {
		return exit
	}
	if err := x.launchd.SetEnabled(x.ctx, t, on); err != nil {
		return x.failed(err, t, line("Could not "+x.verb.name+" service"))
	}
	return 0
}

func (x *ctl) kickstart() int {
	var o launchd.KickstartOptions
	print := false
	args := x.args
	for ; len(args) > 0 && strings.HasPrefix(args[0], "-") && args[0] != "-"; args = args[1:] {
		if args[0] == "--" {
			args = args[1:]
			break
		}
		for _, flag := range args[0][1:] {
			switch flag {
			case 'k':
				o.Kill = true
			case 's':
				o.Suspended = true
			case 'u':
				o.Unthrottle = true
			case 'p':
				print = true
			default:
				fmt.Fprintf(x.stderr, "hermes-gw: kickstart has no flag -%s.\n", shown(string(flag)))
				return x.usage()
			}
		}
	}
	if len(args) != 1 {
		return x.usage()
	}
	t, exit := x.service(args[0])
	if exit != 0 {
		return exit
	}
	pid, err := x.launchd.Kickstart(x.ctx, t, o)
	if err != nil {
		return x.failed(err, t, func(code xpc.Errno) string {
			switch code {
			case xpc.EINVAL:
				return "Bad request."
			case xpc.EALREADY:
				return "" // launchctl is silent about it
			}
			return line(fmt.Sprintf("Could not kickstart service %q", shown(t.Label)))(code)
		})
	}
	switch {
	case print && x.env.terminal(x.stdout):
		fmt.Fprintf(x.stdout, "service spawned with pid: %d\n", pid)
	case print:
		fmt.Fprintln(x.stdout, pid)
	}
	return 0
}

func (x *ctl) kill() int {
	sig, err := launchd.ParseSignal(strings.TrimPrefix(x.args[0], "-"))
	if err != nil {
		fmt.Fprintln(x.stderr, "Invalid signal.")
		return x.usage()
	}
	t, exit := x.service(x.args[1])
	if exit != 0 {
		return exit
	}
	if err := x.launchd.Kill(x.ctx, t, sig); err != nil {
		return x.failed(err, t, func(code xpc.Errno) string {
			switch code {
			case xpc.EPERM:
				return "Not privileged to signal service."
			case xpc.ESRCH:
				return "No process to signal."
			}
			return ""
		})
	}
	return 0
}

func (x *ctl) start() int { return x.legacy(x.launchd.StartOwn(x.ctx, x.args[0])) }
func (x *ctl) stop() int  { return x.legacy(x.launchd.StopOwn(x.ctx, x.args[0])) }

func (x *ctl) remove() int {
	err := x.launchd.RemoveOwn(x.ctx, x.args[0])
	if e, ok := errors.AsType[*launchd.Error](err); ok && e.Code == xpc.NoSuchService {
		return 0 // as launchctl has it; by 3 it is an error
	}
	return x.legacy(err)
}

func (x *ctl) legacy(err error) int {
	if err == nil {
		return 0
	}
	return x.failed(err, launchd.Target{Domain: launchd.Own(), Label: x.args[0]}, func(code xpc.Errno) string {
		if code == xpc.EPERM {
			return "Not privileged to " + x.verb.name + " service."
		}
		return ""
	})
}

func (x *ctl) setenv() int {
	if len(x.args)%2 != 0 {
		return x.usage()
	}
	vars := make(map[string]string)
	for i := 0; i < len(x.args); i += 2 {
		vars[x.args[i]] = x.args[i+1]
	}
	return x.environment(x.launchd.Setenv(x.ctx, launchd.Own(), vars))
}

func (x *ctl) unsetenv() int {
	return x.environment(x.launchd.Unsetenv(x.ctx, launchd.Own(), x.args...))
}

func (x *ctl) environment(err error) int {
	if err == nil {
		return 0
	}
	return x.failed(err, launchd.Own(), func(code xpc.Errno) string {
		if code == xpc.EPERM {
			return "Not privileged to set domain environment."
		}
		return line("Could not set environment")(code)
	})
}

// absolute makes paths fit for launchd, which does not know this program's folder.
func absolute(paths []string) ([]string, error) {
	list := make([]string, len(paths))
	for i, p := range paths {
		var err error
		if list[i], err = filepath.Abs(p); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// each calls f for each of launchd's errors in err, which may be several.
func each(err error, f func(*launchd.Error)) {
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		for _, err := range several.Unwrap() {
			each(err, f)
		}
		return
	}
	if e, ok := errors.AsType[*launchd.Error](err); ok {
		f(e)
	}
}
