package launchd

import (
	"context"
	"errors"
	"net"
	"testing"

	"github.com/hermes-gw/hermes-gw/internal/launchdsim"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// A wrapper sees every request, of a transport and of an address, whose connection
// Close still closes.
func TestOpenWrap(t *testing.T) {
	var seen []uint64
	var refuse error
	wrap := func(inner xpc.Transport) xpc.Transport {
		return transport(func(ctx context.Context, routine uint64, msg xpc.Dict) (xpc.Dict, error) {
			seen = append(seen, routine)
			if refuse != nil {
				return nil, refuse
			}
			return inner.Call(ctx, routine, msg)
		})
	}
	given := transport(func(context.Context, uint64, xpc.Dict) (xpc.Dict, error) {
		return xpc.Dict{"loaded": true, "enabled": true}, nil
	})
	e := embed(t, launchdsim.Options{})
	job := e.load("u", sleeper, "")
	for name, o := range map[string]Options{
		"transport": {Transport: given, Wrap: wrap},
		"address":   {Address: e.address, Wrap: wrap},
	} {
		seen, refuse = nil, nil
		c, err := Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if loaded, _, err := c.Enabled(t.Context(), job); err != nil || !loaded || len(seen) != 1 || seen[0] != routineEnabled {
			t.Errorf("%s: %v, %v, saw %v", name, loaded, err, seen)
		}
		refuse = errors.New("not now")
		if _, _, err := c.Enabled(t.Context(), job); !errors.Is(err, refuse) {
			t.Errorf("%s: %v", name, err)
		}
		refuse = nil
		c.Close()
		if _, _, err := c.Enabled(t.Context(), job); name == "address" && !errors.Is(err, net.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	}
}

func TestOpenBadAddress(t *testing.T) {
	for _, address := range []string{"/tmp/s", "unix:", "tcp:1", "unix"} {
		_, err := Open(t.Context(), Options{Address: address})
		if e, ok := errors.AsType[*SyntaxError](err); !ok || e.Input != address {
			t.Errorf("%s: %v", address, err)
		}
	}
}
