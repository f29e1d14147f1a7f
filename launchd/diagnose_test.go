package launchd

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/launchdsim"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// found returns the ids of what was found for a 5.
func found(t *testing.T, err error) (ids []string) {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Code != xpc.EIO {
		t.Fatalf("got %v, want a 5", err)
	}
	for _, c := range e.Found {
		ids = append(ids, c.ID)
		if c.Problem == "" || !strings.HasSuffix(c.Remedy, ".") || strings.Contains(c.Problem+c.Remedy, "\n") {
			t.Errorf("%+v", c)
		}
	}
	if len(e.Found) > 0 && (!strings.HasSuffix(e.Error(), e.Found[0].Problem) || e.Remedy() != e.Found[0].Remedy) {
		t.Errorf("%v; %s", e, e.Remedy())
	}
	return ids
}

// fives makes an embedded launchd that answers 5 to every bootstrap from now on.
func (e *embedded) fives() {
	e.server.SetFaults(launchdsim.Fault{Kind: launchdsim.Fail, Routine: routineBootstrap, Code: 5})
}

func TestSimDiagnose(t *testing.T) {
	ctx := t.Context()
	e := embed(t, launchdsim.Options{TimeScale: 0.1})
	job := e.target("job")
	path := e.plist("job", sleeper, atLoad)
	check := func(name, path string, is error, want ...string) {
		t.Helper()
		from := e.seen()
		err := e.Bootstrap(ctx, job.Domain, path)
		if got := found(t, err); !slices.Equal(got, want) {
			t.Errorf("%s: found %v, want %v", name, got, want)
		}
		if is != nil && !errors.Is(err, is) {
			t.Errorf("%s: %v is not %v", name, err, is)
		}
		for _, routine := range e.requests(from)[1:] { // questions only
			switch routine {
			case routinePrintService, routineAttributes, routineEnabled:
			default:
				t.Errorf("%s: sent %d", name, routine)
			}
		}
	}

	// What launchd itself answers 5 to.
	check("relative", "job.plist", nil, "relative-path")
	check("none", e.dir+"/none.plist", nil, "no-file")
	check("name", func() string { os.WriteFile(e.dir+"/job.txt", nil, 0o644); return e.dir + "/job.txt" }(), nil, "file-name", "format")
	check("folder", func() string {
		os.Mkdir(e.dir+"/dir.plist", 0o755)
		os.WriteFile(e.dir+"/dir.plist/x", nil, 0o600)
		return e.dir + "/dir.plist/x"
	}(), nil, "file-name", "format")

	e.fives()
	check("nothing wrong", path, nil)
	if r := func() string { e, _ := errors.AsType[*Error](e.Bootstrap(ctx, job.Domain, path)); return e.Remedy() }(); !strings.Contains(r, launchdLog) {
		t.Error(r)
	}
	broken := filepath.Join(e.dir, "broken.plist")
	for text, id := range map[string]string{"": "format", "{ Label = x; }": "format", "<plist><dict/></plist>": "label-missing"} {
		if err := os.WriteFile(broken, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := found(t, e.Bootstrap(ctx, job.Domain, broken)); len(got) == 0 || got[0] != id {
			t.Errorf("%q: found %v", text, got)
		}
	}
	check("no program", e.write("gone", "<string>/none/such</string>", atLoad), nil, "program-not-found")
	check("session", e.plist("session", sleeper, atLoad+"<key>LimitLoadToSessionType</key><string>Background</string>"), nil, "session-domain")
	open := e.plist("open", sleeper, atLoad)
	if err := os.Chmod(open, 0o666); err != nil {
		t.Fatal(err)
	}
	check("mode", open, nil, "file-mode")
	if err := e.SetEnabled(ctx, job, false); err != nil {
		t.Fatal(err)
	}
	check("disabled", path, ErrDisabled, "disabled")
	if err := e.SetEnabled(ctx, job, true); err != nil {
		t.Fatal(err)
	}
	err := e.Bootstrap(ctx, GUI(os.Geteuid()+1), path)
	if got := found(t, err); len(got) == 0 || got[0] != "no-domain" || !errors.Is(err, ErrNoDomain) {
		t.Errorf("found %v", got)
	}

	// Loaded already, here and there.
	e.server.SetFaults()
	if err := e.Bootstrap(ctx, User(os.Geteuid()), path); err != nil {
		t.Fatal(err)
	}
	e.fives()
	check("sibling", path, nil, "loaded-elsewhere")
	e.server.SetFaults()
	if err := e.Bootstrap(ctx, job.Domain, path); err != nil {
		t.Fatal(err)
	}
	e.fives()
	check("loaded", path, ErrAlreadyLoaded, "already-loaded", "loaded-elsewhere")
	err = e.Bootstrap(ctx, job.Domain, path, e.dir+"/none.plist") // several at once
	var all []string
	collect(err, func(one *Error) {
		for _, c := range one.Found {
			all = append(all, c.ID)
		}
	})
	if _, refused := errors.AsType[*Error](err); !refused {
		t.Error(err)
	}
}

// A job that ignores SIGTERM is unloaded, and loaded again while it drains. launchd answers
// 5, a kickstart 37; the 5 is looked into. TestRecipeUnloadedForGood has the whole recipe.
func TestSimDraining(t *testing.T) {
	ctx := t.Context()
	e := embed(t, launchdsim.Options{TimeScale: 0.2})
	job, pid := e.stubborn("job")
	is(t, e.Bootout(ctx, job), ErrStopping)
	err := e.Bootstrap(ctx, job.Domain, e.dir+"/job.plist")
	if got := found(t, err); !slices.Equal(got, []string{"draining"}) || !errors.Is(err, ErrStopping) || errors.Is(err, ErrAlreadyLoaded) {
		t.Errorf("%v: %v", got, err)
	}
	if e, _ := errors.AsType[*Error](err); !strings.Contains(e.Error(), "has not exited") {
		t.Error(e)
	}
	_, err = e.Kickstart(ctx, job, KickstartOptions{Kill: true})
	is(t, err, ErrStopping)
	if e, _ := errors.AsType[*Error](err); e.Code != xpc.EALREADY {
		t.Error(err)
	}
	// Start knows the way: it waits for the exit, and loads it then.
	r, err := e.Start(ctx, job, e.dir+"/job.plist")
	if err != nil || r.PID == pid || !r.Loaded {
		t.Errorf("%+v, %v", r, err)
	}
}

// A launchd that answers nothing more does not hold the error back for ever, nor does one
// that refuses every question.
func TestDiagnoseSilence(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.plist")
	p := &Plist{Label: "x", ProgramArguments: []string{"/bin/sh"}, RunAtLoad: true}
	if err := p.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	for name, answer := range map[string]func(context.Context) (xpc.Dict, error){
		"hangs":   func(ctx context.Context) (xpc.Dict, error) { <-ctx.Done(); return nil, ctx.Err() },
		"refuses": func(context.Context) (xpc.Dict, error) { return nil, xpc.NotEntitled },
		"breaks":  func(context.Context) (xpc.Dict, error) { return nil, xpc.EPIPE },
	} {
		c := New(transport(func(ctx context.Context, routine uint64, _ xpc.Dict) (xpc.Dict, error) {
			if routine == routineBootstrap {
				return nil, xpc.EIO
			}
			return answer(ctx)
		}), nil)
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		err := c.Bootstrap(ctx, GUI(os.Geteuid()), path)
		cancel()
		if got := found(t, err); len(got) != 0 {
			t.Errorf("%s: %v", name, got)
		}
	}
}
