// Launchctl stands in for macOS' launchctl where there is none, so that what it costs to
// run one can be measured: it connects to an embedded launchd, writes one request and reads
// the answer, and is as small as a Go program that does so can be.
//
//	launchctl [unix:PATH] kickstart [-k] [-p] TARGET
//	launchctl [unix:PATH] bootstrap DOMAIN PLIST...
//	launchctl [unix:PATH] bootout TARGET
//	launchctl [unix:PATH] print TARGET|DOMAIN
//	launchctl [unix:PATH] list [LABEL]
//
// Without unix:PATH it asks the launchd that HERMES_GW_LAUNCHD names. The exit code is
// launchd's error number, as launchctl's is; 64 is a command line that was not understood.
// What it prints is close to launchctl's output where programs read that, and not the same.
package main

import (
	"errors"
	"io"
	"net"
	"os"
	"sort"
	"strconv"
	"strings"

	"github.com/hermes-gw/hermes-gw/internal/xpcwire"
)

// exitUsage is EX_USAGE of sysexits(3).
const exitUsage = 64

func main() {
	code, err := run(os.Args[1:], os.Stdout)
	if err != nil {
		os.Stderr.WriteString("launchctl (stand-in): " + err.Error() + "\n")
	}
	os.Exit(code)
}

type dict = map[string]any

// The domain types and routines of launchd-protocol.md sections 2 and 3.
var domainTypes = map[string]uint64{"system": 1, "user": 2, "login": 3, "pid": 5, "gui": 8}

const (
	typeOwn = 7

	kickstart    = 702
	printService = 708
	bootstrap    = 800
	bootout      = 801
	list         = 815
	printDomain  = 828
)

var errUsage = errors.New("usage: launchctl [unix:PATH] kickstart [-k] [-p] TARGET | bootstrap DOMAIN PLIST... | bootout TARGET | print TARGET|DOMAIN | list [LABEL]")

func run(args []string, stdout io.Writer) (code int, err error) {
	address := os.Getenv("HERMES_GW_LAUNCHD")
	if len(args) > 0 && strings.HasPrefix(args[0], "unix:") {
		address, args = args[0], args[1:]
	}
	path, ok := strings.CutPrefix(address, "unix:")
	switch {
	case len(args) == 0:
		return exitUsage, errUsage
	case !ok || path == "":
		return exitUsage, errors.New("no launchd named: set HERMES_GW_LAUNCHD to unix:PATH")
	}
	r, err := parse(args)
	if err != nil {
		return exitUsage, err
	}
	if r.text {
		memory, err := sharedFile()
		if err != nil {
			return 1, err
		}
		defer memory.Close()
		r.memory = memory
		r.msg["shmem"] = xpcwire.Shmem{FD: int(memory.Fd()), Size: printSize}
	}
	reply, err := ask(path, r.routine, r.msg)
	if err != nil {
		return 1, err
	}
	if code := refusal(reply); code != 0 {
		return code, errors.New(args[0] + ": launchd answers " + strconv.Itoa(code))
	}
	return 0, r.show(stdout, reply)
}

// request is what a command line comes to.
type request struct {
	routine uint64
	msg     dict
	pid     bool     // print the pid in the reply
	text    bool     // launchd is to write a text
	memory  *os.File // that it writes to
}

func parse(args []string) (r request, err error) {
	word, args := args[0], args[1:]
	switch word {
	case "kickstart":
		r.routine, r.msg = kickstart, dict{}
		for len(args) > 0 && strings.HasPrefix(args[0], "-") {
			for _, flag := range args[0][1:] {
				switch flag {
				case 'k': // without unthrottle, which is launchctl's hidden -u
					r.msg["kill"] = true
				case 'p':
					r.pid = true
				default:
					return r, errUsage
				}
			}
			args = args[1:]
		}
		return r, about(r.msg, args, true)
	case "bootout":
		// Both keys, as launchctl of macOS 26.6.1: launchd does not wait then
		// (launchd-protocol.md 2.2).
		r.routine, r.msg = bootout, dict{"no-einprogress": true, "wait": true}
		return r, about(r.msg, args, true)
	case "print":
		r.routine, r.msg, r.text = printService, dict{}, true
		err = about(r.msg, args, false)
		if r.msg["name"] == nil {
			r.routine = printDomain
		}
		return r, err
	case "bootstrap":
		if len(args) < 2 {
			return r, errUsage
		}
		paths := make([]any, len(args)-1)
		for i, p := range args[1:] {
			paths[i] = p
		}
		r.routine, r.msg = bootstrap, dict{"paths": paths, "by-cli": true}
		err = about(r.msg, args[:1], false)
		if r.msg["name"] != nil {
			return r, errUsage
		}
		return r, err
	case "list":
		r.routine, r.msg = list, dict{"type": uint64(typeOwn), "handle": uint64(0)}
		if len(args) == 1 {
			r.msg["name"] = args[0]
		} else if len(args) > 1 {
			return r, errUsage
		}
		return r, nil
	}
	return r, errUsage
}

// about reads DOMAIN/LABEL, or DOMAIN where no label is demanded, into a request.
func about(msg dict, args []string, labelled bool) error {
	if len(args) != 1 {
		return errUsage
	}
	word, rest, _ := strings.Cut(args[0], "/")
	var handle uint64
	if word != "system" {
		id, label, _ := strings.Cut(rest, "/")
		n, err := strconv.ParseUint(id, 10, 32)
		if err != nil {
			return errUsage
		}
		handle, rest = n, label
	}
	kind, known := domainTypes[word]
	if !known || labelled && rest == "" {
		return errUsage
	}
	msg["type"], msg["handle"] = kind, handle
	if rest != "" {
		msg["name"] = rest
	}
	return nil
}

// ask sends one request over a connection of its own.
func ask(path string, routine uint64, msg dict) (dict, error) {
	frame, fds, err := xpcwire.AppendRequest(nil, xpcwire.Request{Routine: routine, Magic: xpcwire.Magic}, msg)
	if err != nil {
		return nil, err
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		return nil, err
	}
	conn := xpcwire.NewConn(c.(*net.UnixConn))
	defer conn.Close()
	if err := conn.WriteFrame(frame, fds); err != nil {
		return nil, err
	}
	body, fds, err := conn.ReadFrame()
	if err != nil {
		return nil, err
	}
	defer xpcwire.CloseAll(fds)
	head, reply, _, err := xpcwire.DecodeReply[dict](body, fds)
	if err == nil && head.Code != 0 {
		reply = dict{"error": int64(head.Code)}
	}
	return reply, err
}

// refusal is launchd's error number, that of the first path for a bootstrap.
func refusal(reply dict) int {
	if code, _ := reply["error"].(int64); code != 0 {
		return int(code)
	}
	failed, _ := reply["errors"].(dict)
	for _, v := range failed {
		if code, _ := v.(int64); code != 0 {
			return int(code)
		}
	}
	code, _ := reply["bootstrap-error"].(int64)
	return int(code)
}

func (r request) show(stdout io.Writer, reply dict) (err error) {
	var b strings.Builder
	switch {
	case r.pid:
		pid, _ := reply["pid"].(int64)
		b.WriteString("service spawned with pid: " + strconv.FormatInt(pid, 10) + "\n")
	case r.text:
		n, _ := reply["bytes-written"].(uint64)
		_, err = io.Copy(&b, io.NewSectionReader(r.memory, 0, int64(min(n, printSize))))
	case r.routine == list && r.msg["name"] != nil:
		service, _ := reply["service"].(dict)
		b.WriteString("{\n")
		for _, key := range sorted(service) {
			switch v := service[key].(type) {
			case string:
				b.WriteString("\t\"" + key + "\" = \"" + v + "\";\n")
			case int64:
				b.WriteString("\t\"" + key + "\" = " + strconv.FormatInt(v, 10) + ";\n")
			case bool:
				b.WriteString("\t\"" + key + "\" = " + strconv.FormatBool(v) + ";\n")
			}
		}
		b.WriteString("};\n")
	case r.routine == list:
		services, _ := reply["services"].(dict)
		b.WriteString("PID\tStatus\tLabel\n")
		for _, label := range sorted(services) {
			row, _ := services[label].(dict)
			pid, status := "-", int64(0)
			if n, _ := row["pid"].(int64); n > 0 {
				pid = strconv.FormatInt(n, 10)
			}
			if raw, _ := row["status"].(int64); raw&0x7f != 0 { // as wait(2) gives it
				status = -(raw & 0x7f)
			} else {
				status = raw >> 8
			}
			b.WriteString(pid + "\t" + strconv.FormatInt(status, 10) + "\t" + label + "\n")
		}
	}
	if err != nil {
		return err
	}
	_, err = io.WriteString(stdout, b.String())
	return err
}

func sorted(d dict) []string {
	keys := make([]string, 0, len(d))
	for key := range d {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}

// printSize is launchctl's: Procursus launchctl, print.c (0x100000).
const printSize = 1 << 20

// sharedFile is a file without a name, for launchd to write to.
func sharedFile() (*os.File, error) {
	f, err := os.CreateTemp("", "launchctl-")
	if err != nil {
		return nil, err
	}
	if err := errors.Join(os.Remove(f.Name()), f.Truncate(printSize)); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
