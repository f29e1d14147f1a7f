package probe

import (
	"context"
	"testing"

	"github.com/hermes-gw/hermes-gw/xpc"
)

// counting is a launchd that takes everything.
type counting struct{ calls int }

func (c *counting) Call(context.Context, uint64, xpc.Dict) (xpc.Dict, error) {
	c.calls++
	return xpc.Dict{}, nil
}

func TestFence(t *testing.T) {
	const ours = labelPrefix + "0123abcd"
	to := &counting{}
	f := &fence{to: to, dir: "/state/probe"}
	about := func(name any, more ...any) xpc.Dict {
		d := xpc.Dict{"type": uint64(8), "handle": uint64(501)}
		if name != nil {
			d["name"] = name
		}
		for i := 0; i < len(more); i += 2 {
			d[more[i].(string)] = more[i+1]
		}
		return d
	}
	for routine := uint64(690); routine < 900; routine++ {
		for name, msg := range map[string]xpc.Dict{
			"no name":       about(nil),
			"an empty name": about(""),
			"a number":      about(int64(1)),
			"a gateway":     about("ai.hermes.gateway"),
			"a worker":      about("hermes-gw.reload.0123abcd"),
			"the prefix":    about(labelPrefix),
			"more digits":   about(ours + "0"),
			"capitals":      about(labelPrefix + "0123ABCD"),
			"by pid":        about(ours, "pid", int64(1)),
			"by self":       about(ours, "self", true),
			"by port":       about(ours, "service-port", xpc.Right("mach send")),
			"by instance":   about(ours, "_instance", xpc.UUID{}),
			"a path":        about(nil, "paths", []any{"/Library/LaunchAgents/a.plist"}),
			"our path":      about(nil, "paths", []any{"/state/probe/" + ours + ".plist"}),
			"several":       about(nil, "paths", []any{"/state/probe/" + ours + ".plist", "/a.plist"}),
			"a folder":      about(nil, "paths", []any{"/state/probe"}),
			"no paths":      about(nil, "paths", []any{}),
			"paths of keys": about(nil, "paths", xpc.Dict{"/a.plist": true}),
			"beside":        about(nil, "paths", []any{"/state/probe/../" + ours + ".plist"}),
			"ours":          about(ours),
		} {
			before := to.calls
			_, err := f.Call(t.Context(), routine, msg)
			passed := to.calls > before
			var want bool
			switch routine {
			case 702, 703, 708, 711, 712, 713, 714, 801, 811, 812, 813, 814:
				want = name == "ours"
			case 815:
				want = name == "ours" || name == "no name"
			case 828:
				want = name == "no name"
			case 800:
				want = name == "our path"
			}
			if passed != want || passed != (err == nil) {
				t.Errorf("%d with %s: passed %v, %v", routine, name, passed, err)
			}
		}
	}
	if n := f.seen().answers; n != to.calls {
		t.Errorf("%d answers of %d", n, to.calls)
	}
}

// The fence counts what is asked for at the end.
func TestFenceCounts(t *testing.T) {
	answers := []struct {
		reply xpc.Dict
		err   error
	}{{xpc.Dict{"pid": int64(7)}, nil}, {xpc.Dict{"pid": int64(0)}, nil}, {nil, xpc.Reentrancy}, {xpc.Dict{}, nil}, {nil, xpc.NotEntitled}}
	i := 0
	f := &fence{to: callFunc(func() (xpc.Dict, error) { i++; return answers[i-1].reply, answers[i-1].err })}
	for range answers {
		f.Call(t.Context(), routineKickstart, xpc.Dict{"name": labelPrefix + "0123abcd"})
	}
	if got, want := f.seen(), (counts{answers: 5, reentrancy: 1, pids: 2, zeros: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

type callFunc func() (xpc.Dict, error)

func (f callFunc) Call(context.Context, uint64, xpc.Dict) (xpc.Dict, error) { return f() }
