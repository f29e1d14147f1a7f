package xpc_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// verbs calls each method of a launchd.Client once.
func verbs(path string) map[string]func(context.Context, *launchd.Client) error {
	t := launchd.Target{Domain: launchd.GUI(501), Label: "a"}
	d := launchd.GUI(501)
	return map[string]func(context.Context, *launchd.Client) error{
		"attributes": func(ctx context.Context, c *launchd.Client) error { _, err := c.Attributes(ctx, t); return err },
		"blame":      func(ctx context.Context, c *launchd.Client) error { _, err := c.Blame(ctx, t); return err },
		"bootout":    func(ctx context.Context, c *launchd.Client) error { return c.Bootout(ctx, t) },
		"bootstrap":  func(ctx context.Context, c *launchd.Client) error { return c.Bootstrap(ctx, d, path) },
		"enable":     func(ctx context.Context, c *launchd.Client) error { return c.SetEnabled(ctx, t, true) },
		"disable":    func(ctx context.Context, c *launchd.Client) error { return c.SetEnabled(ctx, t, false) },
		"enabled":    func(ctx context.Context, c *launchd.Client) error { _, _, err := c.Enabled(ctx, t); return err },
		"find":       func(ctx context.Context, c *launchd.Client) error { _, err := c.Find(ctx, "a", 501); return err },
		"find all":   func(ctx context.Context, c *launchd.Client) error { _, err := c.FindAll(ctx, "a", 501); return err },
		"find one":   func(ctx context.Context, c *launchd.Client) error { _, err := c.FindOne(ctx, "a", 501); return err },
		"getenv":     func(ctx context.Context, c *launchd.Client) error { _, _, err := c.Getenv(ctx, d, "A"); return err },
		"setenv": func(ctx context.Context, c *launchd.Client) error {
			return c.Setenv(ctx, d, map[string]string{"A": "b", "C": ""})
		},
		"unsetenv": func(ctx context.Context, c *launchd.Client) error { return c.Unsetenv(ctx, d, "A", "C") },
		"inspect":  func(ctx context.Context, c *launchd.Client) error { _, err := c.Inspect(ctx, t); return err },
		"job":      func(ctx context.Context, c *launchd.Client) error { _, err := c.Job(ctx, t); return err },
		"kickstart": func(ctx context.Context, c *launchd.Client) error {
			_, err := c.Kickstart(ctx, t, launchd.KickstartOptions{Kill: true})
			return err
		},
		"kill":           func(ctx context.Context, c *launchd.Client) error { return c.Kill(ctx, t, syscall.SIGTERM) },
		"list":           func(ctx context.Context, c *launchd.Client) error { _, err := c.List(ctx, d); return err },
		"list own":       func(ctx context.Context, c *launchd.Client) error { _, err := c.ListOwn(ctx); return err },
		"list own job":   func(ctx context.Context, c *launchd.Client) error { _, err := c.ListOwnJob(ctx, "a"); return err },
		"overrides":      func(ctx context.Context, c *launchd.Client) error { _, err := c.Overrides(ctx, d); return err },
		"print":          func(ctx context.Context, c *launchd.Client) error { _, err := c.Print(ctx, t); return err },
		"print domain":   func(ctx context.Context, c *launchd.Client) error { _, err := c.PrintDomain(ctx, d); return err },
		"print disabled": func(ctx context.Context, c *launchd.Client) error { _, err := c.PrintDisabled(ctx, d); return err },
		"start own":      func(ctx context.Context, c *launchd.Client) error { return c.StartOwn(ctx, "a") },
		"stop own":       func(ctx context.Context, c *launchd.Client) error { return c.StopOwn(ctx, "a") },
		"remove own":     func(ctx context.Context, c *launchd.Client) error { return c.RemoveOwn(ctx, "a") },
		"version":        func(ctx context.Context, c *launchd.Client) error { _, err := c.Version(ctx); return err },
	}
}

// answers is a launchd that knows every routine.
func answers(routine uint64, msg xpc.Dict) (xpc.Dict, xpc.Errno) {
	say := func(text string) (xpc.Dict, xpc.Errno) {
		memory, ok := msg["shmem"].([]byte)
		if !ok {
			return nil, xpc.EINVAL
		}
		return xpc.Dict{"bytes-written": uint64(copy(memory, text))}, 0
	}
	one, _ := msg.String("name")
	switch {
	case routine == 702:
		return xpc.Dict{"pid": int64(77)}, 0
	case routine == 707:
		return xpc.Dict{"reason": "speculative"}, 0
	case routine == 708:
		return say("gui/501/a = {\n\tstate = running\n\tpid = 77\n}\n")
	case routine == 712:
		return xpc.Dict{"attrs": xpc.Dict{"label": "a", "pid": int64(77), "keep-alive": true}}, 0
	case routine == 811:
		return xpc.Dict{"loaded": true, "enabled": true}, 0
	case routine == 815 && one != "":
		return xpc.Dict{"service": xpc.Dict{"Label": "a", "ProgramArguments": []any{"/bin/sh", "-c"}}}, 0
	case routine == 815:
		return xpc.Dict{"services": xpc.Dict{"a": xpc.Dict{"pid": int64(77), "status": int64(0)}}}, 0
	case routine == 820:
		return xpc.Dict{"value": "b"}, 0
	case routine == 828 && msg["disabled"] == true:
		return say("disabled services = {\n\t\"a\" => disabled\n}\n")
	case routine == 828 && msg["version"] == true:
		return say("Version 7\n")
	case routine == 828:
		return say("gui/501 = {\n\tservices = {\n\t\t      77      - \ta\n\t}\n}\n")
	}
	return xpc.Dict{}, 0
}

// successes are the numbers that a verb takes for one.
var successes = map[string][]xpc.Errno{"getenv": {3}, "start own": {36, 37}, "stop own": {36, 37}}

// Every verb through libxpc's conversion leaves no object behind, whatever launchd says.
func TestVerbsLeaveNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.plist")
	text := `<plist version="1.0"><dict><key>Label</key><string>a</string></dict></plist>`
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, verb := range verbs(path) {
		xpc.BothWays(t, answers, func(t *testing.T, p *xpc.Pipe) {
			c := launchd.New(p, nil)
			defer c.Close()
			if err := verb(t.Context(), c); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
		// Refusals, replies that lack what they must hold, and such that are of other kinds.
		for _, code := range []xpc.Errno{1, 3, 5, 36, 37, 112, 113, 118, 125, 144, 150} {
			refuse := func(uint64, xpc.Dict) (xpc.Dict, xpc.Errno) { return nil, code }
			xpc.BothWays(t, refuse, func(t *testing.T, p *xpc.Pipe) {
				c := launchd.New(p, nil)
				defer c.Close()
				err := verb(t.Context(), c)
				several := name == "inspect" || name == "job" || strings.HasPrefix(name, "find") // more than one answer decides
				if err == nil != slices.Contains(successes[name], code) || err != nil && !errors.Is(err, code) && !several {
					t.Errorf("%s, %d: %v", name, code, err)
				}
			})
		}
		for _, reply := range []xpc.Dict{{}, {"pid": "x", "reason": int64(1), "attrs": []any{nil, xpc.Dict{}}, "loaded": "x", "services": true, "service": nil, "value": int64(1), "bytes-written": "x"}} {
			odd := func(uint64, xpc.Dict) (xpc.Dict, xpc.Errno) { return reply, 0 }
			xpc.BothWays(t, odd, func(t *testing.T, p *xpc.Pipe) {
				c := launchd.New(p, nil)
				defer c.Close()
				verb(t.Context(), c)
			})
		}
	}
}
