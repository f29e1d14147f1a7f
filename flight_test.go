package hermesgw

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/proc"
	"github.com/hermes-gw/hermes-gw/launchd"
)

// The window of the rate guard slides: of the restarts of the last 60 s.
func TestFlightAllowed(t *testing.T) {
	target := launchd.Target{Domain: launchd.GUI(501), Label: "ai.hermes.gateway"}
	const here = "unix:/a"
	ago := func(address string, seconds ...float64) (list []flightRequest) {
		now := proc.SinceBoot()
		for _, s := range seconds {
			list = append(list, flightRequest{At: now.Add(-time.Duration(s * float64(time.Second))), Launchd: address})
		}
		return list
	}
	for name, one := range map[string]struct {
		requests []flightRequest
		next     float64 // seconds; 0 is now
	}{
		"never":                {nil, 0},
		"twice":                {ago(here, 20, 10), 0},
		"three times":          {ago(here, 40, 20, 10), 20},
		"one is too old":       {ago(here, 61, 20, 10), 0},
		"forced more":          {ago(here, 59, 50, 40, 30, 20, 10), 30},
		"in any order":         {ago(here, 10, 40, 20), 20},
		"another launchd":      {ago("", 40, 20, 10), 0},
		"two and another's":    {append(ago(here, 20, 10), ago("unix:/b", 5, 4, 3)...), 0},
		"of another boot":      {ago(here, -5, -6, -7), 0},
		"two, one to come":     {ago(here, 20, 10, -1e6), 0},
		"nonsense in the file": {[]flightRequest{{At: math.MinInt64}, {At: math.MaxInt64, Launchd: here}, {Launchd: here}}, 0},
	} {
		err := (&flight{address: here, note: flightNote{Requests: one.requests}}).allowed(target)
		if one.next == 0 {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		rate, ok := errors.AsType[*RateError](err)
		if !ok {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := rate.Next.Seconds(); got > one.next || got < one.next-5 {
			t.Errorf("%s: the next in %v, want %v s", name, rate.Next, one.next)
		}
	}
	if err := (*flight)(nil).allowed(target); err != nil {
		t.Error(err)
	}
}

// A watchdog every 10 s gets three restarts in each minute.
func TestFlightWatchdog(t *testing.T) {
	target := launchd.Target{Domain: launchd.GUI(501), Label: "ai.hermes.gateway"}
	var done []time.Duration
	for at := time.Duration(0); at < 3*time.Minute; at += 10 * time.Second {
		f := &flight{}
		now := proc.SinceBoot()
		for _, d := range done {
			f.note.Requests = append(f.note.Requests, flightRequest{At: now.Add(d - at)})
		}
		if f.allowed(target) == nil {
			done = append(done, at)
		}
	}
	if want := 9; len(done) != want {
		t.Errorf("%d restarts in 3 minutes: %v", len(done), done)
	}
	for i := range done[:len(done)-rateLimit] {
		if done[i+rateLimit]-done[i] < rateWindow {
			t.Errorf("four within a minute: %v", done)
		}
	}
}
