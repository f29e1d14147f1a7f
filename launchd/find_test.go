package launchd

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/hermes-gw/hermes-gw/internal/launchdsim"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// A label that is loaded nowhere is disabled where a domain of the user says so. The
// question decides nothing else.
func TestFindDisabled(t *testing.T) {
	type settings map[uint64]any // what 811 answers, by domain type: enabled, or an error; absent is 125
	for _, c := range []struct {
		name     string
		enabled  settings
		loaded   uint64 // the domain type that has the job
		refusing uint64 // the domain type that refuses to look
		want     string // the target of the error, or of the job
		err      error
	}{
		{"in gui", settings{8: false, 2: true, 1: true}, 0, 0, "gui/501/x", ErrDisabled},
		{"in user", settings{8: true, 2: false, 1: true}, 0, 0, "user/501/x", ErrDisabled},
		{"in user, no gui", settings{2: false, 1: true}, 0, 0, "user/501/x", ErrDisabled},
		{"in both", settings{8: false, 2: false}, 0, 0, "gui/501/x", ErrDisabled},
		{"in system only", settings{8: true, 2: true, 1: false}, 0, 0, "", ErrNotLoaded},
		{"enabled", settings{8: true, 2: true, 1: true}, 0, 0, "", ErrNotLoaded},
		{"not told", settings{8: xpc.EPERM, 2: io.ErrUnexpectedEOF}, 0, 0, "", ErrNotLoaded},
		{"not told in gui", settings{8: xpc.EPERM, 2: false}, 0, 0, "user/501/x", ErrDisabled},
		{"nonsense", settings{8: "no", 2: nil}, 0, 0, "", ErrNotLoaded},
		{"but loaded in system", settings{8: false, 2: false}, 1, 0, "system/x", nil},
		{"but loaded in gui", settings{8: false, 2: false}, 8, 0, "gui/501/x", nil},
		{"refused", settings{8: false, 2: false}, 0, 2, "", ErrNotEntitled},
	} {
		client := New(transport(func(_ context.Context, routine uint64, msg xpc.Dict) (xpc.Dict, error) {
			kind, _ := msg.Uint64("type")
			if routine == routinePrintService {
				switch kind {
				case c.loaded:
					return nil, xpc.EINVAL
				case c.refusing:
					return nil, xpc.NotEntitled
				}
				return nil, xpc.NoSuchService
			}
			if name, _ := msg.String("name"); routine != routineEnabled || name != "x" {
				t.Errorf("%s: sent %d %v", c.name, routine, msg)
			}
			answer, known := c.enabled[kind]
			if !known {
				return nil, xpc.DomainUnsupported
			}
			if err, ok := answer.(error); ok {
				return nil, err
			}
			return xpc.Dict{"loaded": false, "enabled": answer}, nil
		}), nil)
		got, err := client.Find(t.Context(), "x", 501)
		if c.err == nil {
			if err != nil || got.String() != c.want {
				t.Errorf("%s: %v, %v", c.name, got, err)
			}
			continue
		}
		e, ok := errors.AsType[*Error](err)
		if !ok || !errors.Is(err, c.err) || got != (Target{}) || c.want != "" && e.Target != c.want {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
	}
}

func TestSimFindDisabled(t *testing.T) {
	e := embed(t, launchdsim.Options{})
	at := Target{GUI(os.Geteuid()), "off"}
	if err := e.SetEnabled(t.Context(), at, false); err != nil {
		t.Fatal(err)
	}
	_, err := e.Find(t.Context(), at.Label, os.Geteuid())
	is(t, err, ErrDisabled)
	if _, direct := e.Restart(t.Context(), at, RestartOptions{}); !errors.Is(direct, ErrDisabled) {
		t.Errorf("a restart of the full target says %v, a search %v", direct, err)
	}
}

// A label that is loaded twice is found twice.
func TestSimFindAll(t *testing.T) {
	ctx := t.Context()
	e := embed(t, launchdsim.Options{})
	uid := os.Geteuid()
	gui := e.load("job", sleeper, "")
	if all, err := e.FindAll(ctx, "job", uid); err != nil || !slices.Equal(all, []Target{gui}) {
		t.Errorf("%v, %v", all, err)
	}
	if one, err := e.FindOne(ctx, "job", uid); err != nil || one != gui {
		t.Errorf("%v, %v", one, err)
	}
	if err := e.Bootstrap(ctx, User(uid), e.dir+"/job.plist"); err != nil {
		t.Fatal(err)
	}
	if all, err := e.FindAll(ctx, "job", uid); err != nil || !slices.Equal(all, []Target{gui, {User(uid), "job"}}) {
		t.Errorf("%v, %v", all, err)
	}
	if one, err := e.Find(ctx, "job", uid); err != nil || one != gui {
		t.Errorf("%v, %v", one, err)
	}
	_, err := e.FindOne(ctx, "job", uid)
	is(t, err, ErrAmbiguous)
	_, err = e.FindAll(ctx, "none", uid)
	is(t, err, ErrNotLoaded)
	_, err = e.FindAll(ctx, "job", -1)
	if _, ok := errors.AsType[*SyntaxError](err); !ok {
		t.Error(err)
	}
	// A domain that refuses is no obstacle where another has the job.
	e.server.SetFaults(launchdsim.Fault{Kind: launchdsim.Fail, Domain: gui.Domain.String(), Code: 144})
	if all, err := e.FindAll(ctx, "job", uid); err != nil || !slices.Equal(all, []Target{{User(uid), "job"}}) {
		t.Errorf("%v, %v", all, err)
	}
	_, err = e.FindAll(ctx, "none", uid)
	is(t, err, ErrNotEntitled)
}

// One job, and no guess between gui and user.
func TestFindOne(t *testing.T) {
	type domains map[uint64]int // pids of the domain types that have the job; 0 is none
	for _, c := range []struct {
		name string
		has  domains
		want string // the target, or both of the error
		all  int
	}{
		{"gui", domains{8: 5}, "gui/501/x", 1},
		{"user", domains{2: 5}, "user/501/x", 1},
		{"system", domains{1: 5}, "system/x", 1},
		{"gui and user", domains{8: 5, 2: 6}, "gui/501/x and user/501/x", 2},
		{"gui and user, idle", domains{8: 0, 2: 0}, "gui/501/x and user/501/x", 2},
		{"one of them idle", domains{8: 5, 2: 0}, "gui/501/x and user/501/x", 2},
		{"everywhere", domains{8: 5, 2: 6, 1: 7}, "gui/501/x and user/501/x", 3},
		{"gui and system", domains{8: 5, 1: 7}, "gui/501/x", 2},
		{"user and system", domains{2: 5, 1: 7}, "user/501/x", 2},
		// Whether launchd answers in one domain for a job of another is not known.
		{"one job seen twice", domains{8: 5, 2: 5}, "gui/501/x", 1},
		{"one job seen everywhere", domains{8: 5, 2: 5, 1: 5}, "gui/501/x", 1},
	} {
		client := New(transport(func(_ context.Context, routine uint64, msg xpc.Dict) (xpc.Dict, error) {
			kind, _ := msg.Uint64("type")
			pid, loaded := c.has[kind]
			switch {
			case !loaded:
				return nil, xpc.NoSuchService
			case routine == routinePrintService:
				return nil, xpc.EINVAL
			case routine != routineAttributes:
				t.Errorf("%s: sent %d", c.name, routine)
			}
			return xpc.Dict{"attrs": xpc.Dict{"pid": int64(pid)}}, nil
		}), nil)
		if all, err := client.FindAll(t.Context(), "x", 501); err != nil || len(all) != c.all {
			t.Errorf("%s: all are %v, %v", c.name, all, err)
		}
		got, err := client.FindOne(t.Context(), "x", 501)
		ambiguous, is := errors.AsType[*AmbiguousError](err)
		if !is {
			if err != nil || got.String() != c.want {
				t.Errorf("%s: %v, %v", c.name, got, err)
			}
			continue
		}
		if err.Error() != "find x: the label is loaded in more than one domain: "+c.want || !errors.Is(err, ErrAmbiguous) || got != (Target{}) ||
			outcomeOf(err) != OutcomeAmbiguousDomain || !strings.Contains(ambiguous.Remedy(), " gui/501/x,") {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
	}
	c, _ := answering(nil, xpc.NotEntitled)
	_, err := c.FindOne(t.Context(), "x", 501)
	is(t, err, ErrNotEntitled)
	_, err = c.FindOne(t.Context(), "", 501)
	if _, ok := errors.AsType[*SyntaxError](err); !ok {
		t.Error(err)
	}
}

// gui, unless over ssh without a console; then user.
func TestPlaces(t *testing.T) {
	for _, c := range []struct {
		s    Surroundings
		want []Domain
	}{
		{Surroundings{UID: 501, ConsoleOwner: -1}, []Domain{GUI(501), User(501)}},
		{Surroundings{UID: 501, ConsoleOwner: 502}, []Domain{GUI(501), User(501)}},
		{Surroundings{UID: 501, SSH: true, ConsoleOwner: 501}, []Domain{GUI(501), User(501)}},
		{Surroundings{UID: 501, SSH: true, ConsoleOwner: 0}, []Domain{User(501)}},
		{Surroundings{UID: 501, SSH: true, ConsoleOwner: -1}, []Domain{User(501)}},
		{Surroundings{UID: 0, SSH: true, ConsoleOwner: 0}, []Domain{GUI(0), User(0)}},
		{Surroundings{UID: -1}, nil},
	} {
		if got := Places(c.s); !slices.Equal(got, c.want) {
			t.Errorf("%+v: %v, want %v", c.s, got, c.want)
		}
	}
}
