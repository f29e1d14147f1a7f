package main

import (
	"errors"
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

// raw prints a text of launchd's, in which a job's arguments and environment can hold
// anything: as it is, as launchctl does, but a terminal gets nothing that it would obey.
func (x *ctl) raw(text string) {
	if x.env.terminal(x.stdout) {
		text = shownLines(text)
	}
	io.WriteString(x.stdout, text)
}

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
	x.raw(text)
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
	x.raw(text)
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
	e, refused := errors.AsType[*launchd.Error](err)
	switch {
	case refused && e.Code != xpc.BadResponse: // launchctl says nothing then and exits with 0
		complain(x.stderr, "ctl getenv", "", explain(err))
	case err != nil:
		return x.failed(err, launchd.Own(), nothing)
	case set: // else launchctl prints nothing, and that is no error
		x.raw(value + "\n")
	}
	return 0
}

func (x *ctl) version() int {
	text, err := x.launchd.Version(x.ctx)
	if err != nil {
		return x.failed(err, launchd.System(), func(code xpc.Errno) string {
			if code == xpc.EINVAL {
				return "Bad request."
			}
			return line("Could not print variant")(code)
		})
	}
	fmt.Fprintln(x.stdout, shown(text))
	return 0
}

// error says what a number means: as one of launchd's (posix), of Mach or of the old
// bootstrap interface. Without that word it is launchd's up to 160, else one of Mach's if it
// is written in hexadecimal, and one of bootstrap's if not: Procursus launchctl, error.c.
func (x *ctl) error() int {
	kind, number := "", x.args[0]
	switch {
	case number == "posix", number == "mach", number == "bootstrap":
		if len(x.args) != 2 {
			return x.usage()
		}
		kind, number = number, x.args[1]
	case len(x.args) != 1:
		return x.usage()
	}
	code, ok := wholeNumber(number)
	if !ok {
		fmt.Fprintf(x.stderr, "hermes-gw: %q is not a number.\n", number)
		return x.usage()
	}
	if kind == "" {
		switch {
		case code < 161:
			kind = "posix"
		case strings.HasPrefix(number, "0x"):
			kind = "mach"
		default:
			kind = "bootstrap"
		}
	}
	switch kind {
	case "posix":
		fmt.Fprintf(x.stdout, "%d: %v\n", uint32(code), xpc.Errno(int32(code)))
	case "bootstrap":
		fmt.Fprintf(x.stdout, "%d: %s\n", uint32(code), bootText(int32(code)))
	case "mach":
		system, sub, _ := machParts(int32(code))
		fmt.Fprintf(x.stdout, "0x%x: %s\nsystem = 0x%x\nsubsystem = 0x%x\ncode = 0x%x\n",
			code, machText(int32(code&0xffffc1ff)), system, sub, code&0x1ff)
		if extra := code & 0x3e00; extra != 0 {
			text := "unknown"
			if n := (extra - 0x400) >> 10; n < uint64(len(machExtra)) {
				text = machExtra[n]
			}
			fmt.Fprintf(x.stdout, "extra = 0x%x: %s\n", extra, text)
		}
	}
	return 0
}

// wholeNumber reads a number as strtoul(3) does with base 0 (113, 0x71, 0161, -308), but for
// text behind it and numbers that no error of 32 bits can be.
func wholeNumber(s string) (n uint64, ok bool) {
	if signed, err := strconv.ParseInt(s, 0, 32); err == nil {
		return uint64(signed), true
	}
	n, err := strconv.ParseUint(s, 0, 32)
	return n, err == nil
}
