package launchd

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/launchdsim"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// refusing is a launchd that answers bootstrap with reply and err, and all else with rest.
func refusing(reply xpc.Dict, err error, rest func(context.Context) error) *Client {
	return New(transport(func(ctx context.Context, routine uint64, _ xpc.Dict) (xpc.Dict, error) {
		if routine == routineBootstrap {
			return reply, err
		}
		return nil, rest(ctx)
	}), nil)
}

func notThere(context.Context) error { return xpc.NoSuchService }
func nowhere(context.Context) error  { return xpc.DomainUnsupported }

// soundPlist writes a property list with which nothing is wrong.
func soundPlist(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.plist")
	if err := (&Plist{Label: "x", ProgramArguments: []string{"/bin/sh"}, RunAtLoad: true}).WriteFile(path); err != nil {
		t.Fatal(err)
	}
	return path
}

// launchd can refuse the request as a whole, with one path or several.
func TestDiagnoseWithoutPaths(t *testing.T) {
	sound, none := soundPlist(t), filepath.Join(t.TempDir(), "none.plist")
	for _, c := range []struct {
		name  string
		reply xpc.Dict
		err   error
	}{
		{"bootstrap-error", xpc.Dict{"bootstrap-error": int64(5)}, nil},
		{"refused", nil, xpc.EIO},
	} {
		for _, paths := range [][]string{{sound}, {sound, none}} {
			err := refusing(c.reply, c.err, nowhere).Bootstrap(t.Context(), GUI(501), paths...)
			if got := found(t, err); len(got) == 0 || got[0] != "no-domain" || !errors.Is(err, ErrNoDomain) {
				t.Errorf("%s, %d paths: found %v in %v", c.name, len(paths), got, err)
			}
		}
		err := refusing(c.reply, c.err, notThere).Bootstrap(t.Context(), GUI(os.Geteuid()), sound, none)
		if got := found(t, err); len(got) != 1 || got[0] != "no-file" || !strings.Contains(err.Error(), none) {
			t.Errorf("%s: found %v in %v", c.name, got, err)
		}
	}
}

// "none was found" is said only where everything was looked at.
func TestDiagnoseClaims(t *testing.T) {
	path := soundPlist(t)
	for _, c := range []struct {
		name   string
		rest   func(context.Context) error
		claims bool
	}{
		{"looked", notThere, true},
		{"refused", func(context.Context) error { return xpc.NotEntitled }, false},
		{"broken", func(context.Context) error { return xpc.EPIPE }, false},
	} {
		err := refusing(nil, xpc.EIO, c.rest).Bootstrap(t.Context(), GUI(os.Geteuid()), path)
		e, ok := errors.AsType[*Error](err)
		if !ok || len(e.Found) > 0 || strings.Contains(e.Remedy(), "none was found") != c.claims || !strings.Contains(e.Remedy(), launchdLog) {
			t.Errorf("%s: %v: %s", c.name, err, e.Remedy())
		}
	}
	for _, op := range []string{"kickstart", opBootout} {
		if r := (&Error{Op: op, Target: "gui/501/x", Code: xpc.EIO}).Remedy(); strings.Contains(r, "found") {
			t.Errorf("%s: %s", op, r)
		}
	}
}

// A launchd that falls silent holds the error back no longer than the diagnosis may take,
// however many paths failed.
func TestDiagnoseBound(t *testing.T) {
	path := soundPlist(t)
	paths := make([]string, 2*maxDiags)
	errs := xpc.Dict{}
	for i := range paths {
		paths[i] = filepath.Join(filepath.Dir(path), strings.Repeat("x", i+1)+".plist")
		if i > 0 {
			if err := os.Link(path, paths[i]); err != nil {
				t.Fatal(err)
			}
		}
		errs[paths[i]] = int64(5)
	}
	synctest.Test(t, func(t *testing.T) {
		c := refusing(xpc.Dict{"errors": errs}, nil, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		begin := time.Now()
		err := c.Bootstrap(context.Background(), GUI(os.Geteuid()), paths...)
		if took := time.Since(begin); took > 3*time.Second {
			t.Errorf("took %v", took)
		}
		n := 0
		collect(err, func(e *Error) {
			n++
			if strings.Contains(e.Remedy(), "none was found") {
				t.Error(e.Remedy())
			}
		})
		if n != len(paths) {
			t.Errorf("%d errors, want %d", n, len(paths))
		}
	})
}

// Whatever lies at a path, the error is one line, and comes at once.
func TestDiagnoseHostilePaths(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, err := range []error{
		syscall.Mkfifo(at("fifo.plist"), 0o644),
		os.Symlink("/dev/zero", at("zero.plist")),
		os.Symlink(at("loop.plist"), at("loop.plist")),
		os.WriteFile(at("e\x1b[2J\nx.plist"), []byte(`<plist version="1.0"><dict><key>Label</key><string>a&#10;b</string></dict></plist>`), 0o644),
		os.WriteFile(at("long.plist"), []byte(`<plist version="1.0"><dict><key>Label</key><string>`+strings.Repeat("L", 100_000)+`</string></dict></plist>`), 0o644),
		os.Mkdir(at("folder"), 0o755),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	c := refusing(nil, xpc.EIO, notThere)
	for path, want := range map[string]string{
		at("fifo.plist"): "file-kind", at("zero.plist"): "file-kind", at("loop.plist"): "no-file", at("e\x1b[2J\nx.plist"): "label-characters",
		at("long.plist"): "program-missing", at("folder"): "", "rel\x1b": "relative-path", "/a\x00.plist": "no-file", "": "relative-path",
	} {
		err := c.Bootstrap(t.Context(), GUI(os.Geteuid()), path)
		got := strings.Join(found(t, err), " ")
		if first, _, _ := strings.Cut(got, " "); first != want {
			t.Errorf("%q: found %q, want %q", path, got, want)
		}
		e, _ := errors.AsType[*Error](err)
		if text := e.Error() + e.Remedy(); strings.ContainsAny(text, "\x00\n\x1b") || len(text) > 1000 {
			t.Errorf("%q: %q", path, text)
		}
	}
}

// A process that a kickstart stops is not said to be one that is unloaded: launchd has the
// same states for both.
func TestSimDiagnoseStopping(t *testing.T) {
	e := embed(t, launchdsim.Options{})
	job, pid := e.stubborn("job")
	from := e.seen()
	done := make(chan error, 1)
	go func() {
		_, err := e.Kickstart(t.Context(), job, KickstartOptions{Kill: true, Unthrottle: true})
		done <- err
	}()
	e.state(from, "job", string(StateSIGTERMed))
	e.fives()
	err := e.open().Bootstrap(t.Context(), job.Domain, e.dir+"/job.plist")
	if !errors.Is(err, ErrStopping) || strings.Contains(err.Error(), "unload") {
		t.Error(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A command in a remedy has what the command needs: a job, not its domain.
func TestRemedyOfBootstrapNamesAJob(t *testing.T) {
	err := refusing(nil, xpc.ServiceDisabled, notThere).Bootstrap(t.Context(), GUI(501), "/p.plist")
	e, ok := errors.AsType[*Error](err)
	if !ok || !strings.Contains(e.Remedy(), "enable gui/501/LABEL") {
		t.Error(err)
	}
	for code := xpc.Errno(0); code < 200; code++ {
		r := (&Error{Op: opBootstrap, Target: "gui/501", Path: "/p.plist", Code: code}).Remedy()
		if _, after, names := strings.Cut(r, "gui/501"); names && !strings.HasPrefix(after, "/LABEL") {
			t.Errorf("%d: %s", int32(code), r)
		}
	}
	for _, code := range []xpc.Errno{xpc.EINPROGRESS, xpc.EALREADY} {
		if r := (&Error{Op: opBootout, Target: "gui/501/x", Code: code}).Remedy(); !strings.Contains(r, "stop gui/501/x") {
			t.Errorf("%d: %s", int32(code), r)
		}
	}
}
