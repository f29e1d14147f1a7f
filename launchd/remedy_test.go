package launchd

import (
	"errors"
	"strings"
	"testing"

	"github.com/hermes-gw/hermes-gw/xpc"
)

// notMet are the numbers from 100 to 163 that nobody who controls jobs meets, and why.
var notMet = map[xpc.Errno]string{
	100: "xnu: STREAMS", 101: "xnu: STREAMS", 103: "xnu: policies of the MAC framework", 104: "xnu: robust mutexes", 105: "xnu: robust mutexes",
	106: "xnu: network interfaces", 117: "not launchd's: launchctl's own, for a wrong command line", 120: "libxpc's, between its own halves",
	130: "launchd's word for a bug of its own", 131: "check-in of XPC services", 132: "check-in of XPC services", 143: "launchd's own cache",
	148: "launchd's cache of Apple's property lists", 149: "XPC services in app bundles", 151: "launchd's, for shells of its developers",
	160: "its text is not public", 161: "its text is not public", 162: "exec failures of launchd 26.1, text not public", 163: "exec failures of launchd 26.1, text not public",
}

// Each number has a text, and a remedy if users meet it.
func TestRemedies(t *testing.T) {
	ops := []string{"kickstart", opBootstrap, opBootout, opKill, opStart, opStop, opRemove, "print", "enable"}
	for code := xpc.Errno(100); code <= 163; code++ {
		_, unmet := notMet[code]
		hasText := !strings.HasPrefix(code.Error(), "Unknown error")
		if public := code < 160; hasText != public {
			t.Errorf("%d: text %q", int32(code), code.Error())
		}
		if (adviceOn(code).text == "") != unmet {
			t.Errorf("%d (%v): advice %q", int32(code), code, adviceOn(code).text)
		}
	}
	for code := xpc.Errno(-1); code < 200; code++ {
		for _, op := range ops {
			e := &Error{Op: op, Target: "gui/501/x\x1b", Path: "/p\n", Code: code}
			r := e.Remedy()
			if r == "" {
				continue
			}
			if !strings.HasSuffix(r, ".") || strings.ContainsAny(r, "\n\x1b") || strings.Contains(r, "TARGET") || strings.Contains(r, "PATH") || strings.Count(r, ". ") > 0 {
				t.Errorf("%s %d: %q", op, code, r)
			}
		}
	}
	// What the sentinels stand for has advice whatever the operation.
	for _, code := range []xpc.Errno{1, 3, 5, 16, 17, 22, 36, 37, 112, 113, 119, 122, 124, 125, 134, 139, 140, 144, 150, 154, 159} {
		for _, op := range ops {
			if (&Error{Op: op, Code: code}).Remedy() == "" {
				t.Errorf("%s %d has none", op, code)
			}
		}
	}
	if r := (&Error{Op: opBootstrap, Target: "gui/501/x", Code: 119}).Remedy(); !strings.Contains(r, "enable gui/501/x") {
		t.Error(r)
	}
	// A remedy speaks of what the operation means by the number.
	for _, c := range []struct {
		op   string
		code xpc.Errno
		want string
	}{
		{opBootstrap, 37, "loaded already"}, {"kickstart", 37, "being stopped"}, {opBootout, 3, "nothing to unload"}, {opKill, 3, "no process"},
		{opStart, 3, "not loaded"}, {opBootstrap, 1, "system domain"}, {"kickstart", 1, "try again"},
	} {
		e := &Error{Op: c.op, Code: c.code}
		if !strings.Contains(e.Remedy(), c.want) {
			t.Errorf("%s %d: %q", c.op, c.code, e.Remedy())
		}
		if errors.Is(e, ErrAlreadyLoaded) != (c.want == "loaded already") || errors.Is(e, ErrNotLoaded) != (c.want == "nothing to unload" || c.want == "not loaded") {
			t.Errorf("%s %d means something else than its advice", c.op, c.code)
		}
	}
}
