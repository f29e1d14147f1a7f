package hermesgw

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/proc"
	"github.com/hermes-gw/hermes-gw/launchd"
)

// A request's time is on the clock of the rate guard, and the compiler knows: on Linux the other clock is
// the same, so no test would tell them apart by what they say.
var _ proc.BootTime = flightRequest{}.At

// What nobody asked for are launchd's starts since the last request, as long as the job fails. What it
// was before that request counts for as long as it may show again.
func TestUnasked(t *testing.T) {
	const here = "unix:/a"
	home := t.TempDir()
	failed := launchd.Exit{Kind: launchd.ExitCode, Code: 1}
	note := func(ago time.Duration, runs, unasked int) *flightRequest {
		return &flightRequest{At: proc.SinceBoot().Add(-ago), Launchd: here, Runs: runs, Unasked: unasked}
	}
	job := func(runs int, state launchd.State, reason string, age time.Duration, exit launchd.Exit) *Gateway {
		g := &Gateway{Job: launchd.Job{Runs: &runs, State: state, Reason: reason, LastExit: exit}}
		if state == launchd.StateRunning {
			g.Job.PID = 77
			g.job = Identity{PID: 77, Start: (proc.Clock() - age).Microseconds()}
		}
		return g
	}
	const held, runs, stays = launchd.StateSpawnScheduled, launchd.StateRunning, launchd.StateNotRunning
	h := New(Install{UID: os.Getuid()}, nil, Options{})
	for name, one := range map[string]struct {
		g      *Gateway
		last   *flightRequest
		starts int // in Hermes' log
		want   int
		mended bool
	}{
		"held back":                              {g: job(19, held, "", 0, failed), want: 18},
		"between two":                            {g: job(19, launchd.StateExited, "", 0, failed), want: 18},
		"started again":                          {g: job(19, runs, "semaphore", time.Second, failed), want: 18},
		"for a reason that is not known":         {g: job(19, runs, "inefficient", time.Second, failed), want: 18},
		"running since":                          {g: job(19, runs, "semaphore", flapOver+time.Second, failed)},
		"left alone":                             {g: job(19, stays, "", 0, failed)},
		"it wanted to be started":                {g: job(19, runs, "semaphore", time.Second, launchd.Exit{Kind: launchd.ExitCode, Code: exitRestart})},
		"it never failed":                        {g: job(19, runs, "semaphore", time.Second, launchd.Exit{Kind: launchd.ExitCode})},
		"launchd cannot start it":                {g: job(19, held, "", 0, launchd.Exit{Kind: launchd.ExitCode, Code: exitConfig})},
		"a configuration that it refuses":        {g: job(5, held, "", 0, launchd.Exit{Kind: launchd.ExitCode, Code: exitConfig}), starts: 5, want: 4},
		"launchd does not tell":                  {g: &Gateway{Job: launchd.Job{LastExit: failed}}},
		"loaded just now":                        {g: job(1, runs, "speculative", time.Second, failed)},
		"asked for with launchctl":               {g: job(19, runs, "non-ipc demand", time.Second, failed)},
		"most of them long ago":                  {g: job(19, runs, "semaphore", time.Second, failed), starts: 1, want: 1},
		"all of them lately":                     {g: job(6, held, "", 0, failed), starts: 6, want: 5},
		"nine loads, of which the log tells":     {g: job(2, runs, "non-ipc demand", time.Second, failed), last: note(time.Second, 1, 0), starts: 10},
		"restarted again and again":              {g: job(5, runs, "non-ipc demand", time.Second, failed), last: note(time.Second, 4, 0)},
		"and then it failed":                     {g: job(6, held, "", 0, failed), last: note(time.Second, 3, 0), want: 2},
		"asked for, and not there yet":           {g: job(5, launchd.StateSpawning, "", 0, failed), last: note(time.Second, 5, 0)},
		"a graceful restart":                     {g: job(6, runs, "semaphore", time.Second, failed), last: note(time.Second, 5, 0)},
		"loaded anew after that":                 {g: job(4, held, "", 0, failed), last: note(time.Second, 9, 0), want: 3},
		"it was failing when it was restarted":   {g: job(19, runs, "non-ipc demand", time.Second, failed), last: note(time.Second, 18, 17), want: 17, mended: true},
		"and fails on":                           {g: job(20, held, "", 0, failed), last: note(20*time.Second, 18, 17), want: 18},
		"it was, and has long been mended":       {g: job(20, held, "", 0, failed), last: note(flapWindow+time.Second, 18, 17), want: 1},
		"restarted longer ago than is guarded":   {g: job(5, held, "", 0, failed), last: note(rateWindow+5*time.Second, 3, 0), want: 1},
		"an older hermes-gw noted no such thing": {g: job(5, held, "", 0, failed), last: note(time.Second, 0, 0), want: 4},
	} {
		if one.starts > 0 {
			one.g.Home = filepath.Join(home, name)
			text := ""
			for range one.starts {
				text += fmt.Sprintf("%d.5\n", time.Now().Unix()-1)
			}
			if err := os.MkdirAll(one.g.Home, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(one.g.Home, "gateway-starts.log"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if n, mended := h.unasked(one.g, one.last); n != one.want || mended != one.mended {
			t.Errorf("%s: %d, %v; want %d, %v", name, n, mended, one.want, one.mended)
		}
	}
}

// The last request stays noted for longer than the rate guard needs it, and what was noted of the job
// is not lost with the next one.
func TestFlightLast(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "lock"))
	if err != nil {
		t.Fatal(err)
	}
	long := proc.SinceBoot().Add(-rateWindow - 30*time.Second)
	f := &flight{file: file, address: "unix:/a", note: flightNote{Requests: []flightRequest{
		{At: long, Launchd: "unix:/a", Runs: 3, Unasked: 2}, {At: long.Add(1), Launchd: "unix:/b"}, {At: proc.SinceBoot().Add(time.Hour), Launchd: "unix:/a"},
	}}}
	f.land() // as the one who sent it does
	if f.file, err = os.OpenFile(file.Name(), os.O_RDWR, 0); err != nil {
		t.Fatal(err)
	}
	defer f.file.Close()
	if last := readFlightNote(f.file).last(f.address); last == nil || last.Runs != 3 || last.Unasked != 2 || last.At != long {
		t.Errorf("%+v", last)
	}
	seven := 7
	g := &Gateway{Job: launchd.Job{Runs: &seven, State: launchd.StateSpawnScheduled, LastExit: launchd.Exit{Kind: launchd.ExitCode, Code: 1}}}
	h := New(Install{UID: os.Getuid()}, nil, Options{})
	if err := f.sending(h.startsOf(g, f)); err != nil {
		t.Fatal(err)
	}
	// 7 starts; the one after the third was asked for, and two before it had not been.
	if last := readFlightNote(f.file).last(f.address); last == nil || last.Runs != 7 || last.Unasked != 2+3 {
		t.Errorf("%+v", last)
	}
	if last := (flightNote{}).last(""); last != nil {
		t.Errorf("%+v", last)
	}
}
