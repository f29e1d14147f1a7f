package launchd

import (
	"context"
	"errors"
	"io"
	"os"
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
