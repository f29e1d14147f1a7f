package main

import (
	"testing"

	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// A daemon of the system's and an agent of a user's are two jobs, though they have one label; two of a
// user's are one, and so are a gateway's wherever they are.
func TestApart(t *testing.T) {
	for _, test := range []struct {
		label       string
		named, in   launchd.Domain
		code        xpc.Errno
		apart       bool
		explanation string
	}{
		{"org.example.x", launchd.GUI(501), launchd.System(), xpc.NoSuchService, true, "an agent beside a daemon"},
		{"org.example.x", launchd.System(), launchd.User(501), xpc.NoSuchService, true, "a daemon beside an agent"},
		{"org.example.x", launchd.GUI(501), launchd.User(501), xpc.NoSuchService, false, "an agent twice"},
		{"org.example.x", launchd.GUI(501), launchd.System(), xpc.NoSuchDomain, false, "nothing can be loaded there"},
		{"ai.hermes.gateway", launchd.GUI(501), launchd.System(), xpc.NoSuchService, false, "a gateway twice"},
	} {
		e := &launchd.ElsewhereError{Target: launchd.Target{Domain: test.named, Label: test.label},
			Found: []launchd.Target{{Domain: test.in, Label: test.label}}, Err: &launchd.Error{Code: test.code}}
		if apart(e) != test.apart {
			t.Errorf("%s: %v", test.explanation, e)
		}
	}
}
