package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/xpc"
)

func (x *ctl) blame() int {
	t, exit := x.service(x.args[0])
	if exit != 0 {
		return exit
	}
	reason, err := x.launchd.Blame(x.ctx, t)
	if err != nil {
		return x.failed(err, t, nothing)
	}
	fmt.Fprintln(x.stdout, shown(reason))
	return 0
}

// print prints launchd's text as it is, as launchctl does: a job's arguments and
// environment can hold anything.
func (x *ctl) print() int {
	var what fmt.Stringer
	var text string
	t, err := launchd.ParseTarget(x.args[0])
	if err == nil {
		what = t
		text, err = x.launchd.Print(x.ctx, t)
	} else {
		d, exit := x.domain(x.args[0])
		if exit != 0 {
			return exit
		}
		what = d
		text, err = x.launchd.PrintDomain(x.ctx, d)
	}
	if err != nil {
		return x.failedPrint(err, what)
	}
	io.WriteString(x.stdout, text)
	return 0
}

func (x *ctl) printDisabled() int {
	d, exit := x.domain(x.args[0])
	if exit != 0 {
		return exit
	}
	text, err := x.launchd.PrintDisabled(x.ctx, d)
	if err != nil {
		return x.failedPrint(err, d)
	}
	io.WriteString(x.stdout, text)
	return 0
}

// failedPrint says "Bad request." first, as macOS 13 and later do.
func (x *ctl) failedPrint(err error, what fmt.Stringer) int {
	return x.failed(err, what, func(code xpc.Errno) string {
		switch code {
		case xpc.NoSuchDomain, xpc.NoSuchService, xpc.EINVAL:
			fmt.Fprintln(x.stderr, "Bad request.")
			return ""
		}
		return line("Could not print domain")(code)
	})
}

func (x *ctl) list() int {
	if len(x.args) == 1 {
		service, err := x.launchd.ListOwnJob(x.ctx, x.args[0])
		if err != nil {
			return x.failed(err, launchd.Target{Domain: launchd.Own(), Label: x.args[0]}, nothing)
		}
		writeObject(x.stdout, service, 0)
		return 0
	}
	jobs, err := x.launchd.ListOwn(x.ctx)
	if err != nil {
		return x.failed(err, launchd.Own(), nothing)
	}
	fmt.Fprintln(x.stdout, "PID\tStatus\tLabel")
	for _, j := range jobs {
		pid := "-"
		if j.PID > 0 {
			pid = strconv.Itoa(j.PID)
		}
		status := "0"
		switch j.LastExit.Kind {
		case launchd.ExitCode:
			status = strconv.Itoa(j.LastExit.Code)
		case launchd.ExitSignaled:
			status = strconv.Itoa(-int(j.LastExit.Signal))
		default:
			if j.LastExit.Words != "" {
				status = "???"
			}
		}
		fmt.Fprintf(x.stdout, "%s\t%s\t%s\n", pid, status, shown(j.Label))
	}
	return 0
}

// writeObject prints a dictionary as launchctl list LABEL does, its keys in alphabetical
// order. Rights and descriptors have words instead of values.
func writeObject(w io.Writer, v any, depth int) {
	tabs := strings.Repeat("\t", depth)
	switch v := v.(type) {
	case xpc.Dict:
		fmt.Fprintln(w, "{")
		for _, key := range slices.Sorted(maps.Keys(v)) {
			fmt.Fprintf(w, "%s\t\"%s\" = ", tabs, shown(key))
			writeObject(w, v[key], depth+1)
		}
		fmt.Fprintf(w, "%s};\n", tabs)
	case []any:
		fmt.Fprintln(w, "(")
		for _, item := range v {
			fmt.Fprintf(w, "%s\t", tabs)
			writeObject(w, item, depth+1)
		}
		fmt.Fprintf(w, "%s);\n", tabs)
	case string:
		fmt.Fprintf(w, "\"%s\";\n", shown(v))
	case xpc.FD:
		fmt.Fprintln(w, "file-descriptor-object;")
	case xpc.Right:
		fmt.Fprintln(w, "mach-port-object;")
	default:
		fmt.Fprintf(w, "%v;\n", v)
	}
}

func (x *ctl) getenv() int {
	value, set, err := x.launchd.Getenv(x.ctx, launchd.Own(), x.args[0])
	if err != nil {
		return x.failed(err, launchd.Own(), nothing)
	}
	if set { // else launchctl prints nothing, and that is no error
		fmt.Fprintln(x.stdout, value)
	}
	return 0
}

func (x *ctl) version() int {
	text, err := x.launchd.Version(x.ctx)
	if err != nil {
		return x.failed(err, launchd.System(), line("Could not print variant"))
	}
	fmt.Fprintln(x.stdout, shown(text))
	return 0
}

// error says what a number of launchd means, from the table that the library has, and what
// to do about it. Those of Mach and of the old bootstrap interface are not offered.
func (x *ctl) error() int {
	args := x.args
	if args[0] == "mach" || args[0] == "bootstrap" {
		fmt.Fprintf(x.stderr, "hermes-gw: numbers of %s are not offered.\n", args[0])
		return ctlUsage
	}
	if args[0] == "posix" {
		args = args[1:]
	}
	if len(args) != 1 {
		return x.usage()
	}
	n, err := strconv.ParseUint(args[0], 0, 31) // strtoul(3) with base 0: 0x71 and 0161 too
	if err != nil {
		return x.usage()
	}
	fmt.Fprintf(x.stdout, "%d: %v\n", n, xpc.Errno(n))
	return 0
}
