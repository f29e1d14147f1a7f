package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
)

// flowing is output that can be waited for.
type flowing struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

func newFlowing() *flowing { return &flowing{more: make(chan struct{})} }

func (f *flowing) Write(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.text.Write(b)
	close(f.more)
	f.more = make(chan struct{})
	return len(b), nil
}

// wrote is closed when there is any text.
func (f *flowing) wrote() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.text.Len() > 0 {
		done := make(chan struct{})
		close(done)
		return done
	}
	return f.more
}

// until waits for text that fits.
func (f *flowing) until(t *testing.T, fits func(string) bool) string {
	t.Helper()
	ctx, cancel := contextFor(t)
	defer cancel()
	for {
		f.mu.Lock()
		text, more := f.text.String(), f.more
		f.mu.Unlock()
		if fits(text) {
			return text
		}
		select {
		case <-more:
		case <-ctx.Done():
			t.Fatalf("this is all that came: %q", text)
		}
	}
}

// In a pipe the fleet is printed again when something has changed, and only then; SIGINT ends it
// with 130.
func TestStatusWatchInAPipe(t *testing.T) {
	t.Parallel()
	f := fleet.New(t, fleet.Options{Outside: true, Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Oldest}}})
	for _, args := range [][]string{{"status", "--watch"}, {"status", "--watch", "--json"}, {"status", "--watch", f.Gateway("work").Label}} {
		old := f.JobPID("work")
		cmd := f.Prepare(args...)
		out := newFlowing()
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		out.until(t, func(s string) bool { return strings.Contains(s, "running") && strings.HasSuffix(s, "\n") })
		mark := f.Mark()
		for range 3 { // it looks on, and has nothing to say
			mark = f.Wait(mark, asked828or708).Next
		}
		if o := f.Command("restart", "-p", "work", "--force"); o.Code != 0 {
			t.Fatalf("%+v", o)
		}
		f.Running("work", old)
		now := f.JobPID("work")
		text := out.until(t, func(s string) bool { return strings.Contains(s, itoa(now)) && strings.HasSuffix(s, "\n") })
		cmd.Process.Signal(syscall.SIGINT)
		err := cmd.Wait()
		if cmd.ProcessState.ExitCode() != exitInterrupted {
			t.Errorf("%q: %v", args, err)
		}
		if strings.ContainsAny(text, "\x1b\r") {
			t.Errorf("%q: a pipe gets %q", args, text)
		}
		blocks := strings.Count(text, "PROFILE ")
		switch {
		case args[len(args)-1] == "--json":
			blocks = 0
			for line := range strings.Lines(text) {
				blocks++
				if !json.Valid([]byte(line)) {
					t.Errorf("not one JSON object a line: %s", line)
				}
			}
		case len(args) == 3:
			blocks = strings.Count(text, "gui/")
		}
		// One before, one after, and at most two on the way: without a process, and booting.
		if blocks < 2 || blocks > 4 {
			t.Errorf("%q: %d blocks:\n%s", args, blocks, text)
		}
	}
}

// On a terminal it is redrawn, cut to the window, and Ctrl-C ends it.
func TestStatusWatchOnATerminal(t *testing.T) {
	t.Parallel()
	f := fleet.New(t, fleet.Options{Outside: true, Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Oldest}}})
	cmd := f.Prepare("status", "--watch")
	cmd.Env = append(cmd.Env, "TERM=xterm")
	terminal := f.Terminal(cmd)
	_, at := terminal.Shows(0, func(s string) bool { return strings.Contains(s, "\x1b[2J\x1b[H") && strings.Contains(s, "Ctrl-C") })
	terminal.Shows(at, func(s string) bool { // again, though nothing has changed but the time
		return strings.Contains(s, "\x1b[H") && strings.Contains(s, "work ") && strings.Contains(s, "\x1b[J")
	})
	terminal.Type("\x03")
	if output, code := terminal.End(); code != exitInterrupted || !strings.HasSuffix(output, "\n") {
		t.Errorf("exit code %d: %q", code, output)
	}
}

// Whoever pipes it into head does not have it run for ever; nor logs -f.
func TestWatchEndsWithItsReader(t *testing.T) {
	t.Parallel()
	f := fleet.New(t, fleet.Options{Outside: true, Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Oldest}}})
	if o := f.Run(typed(t, f, "hermes-gw status --watch --json | head -c 1; hermes-gw restart -p work")); o.Code != 0 {
		t.Errorf("%+v", o)
	}
	log := f.Gateway("work").Home + "/logs/gateway.log"
	line := fmt.Sprintf("(while [ ! -e gone ]; do echo more >>'%s'; hermes-gw version >over; done) & hermes-gw logs -f -n 1 -p work | head -n 3; : >gone; wait", log)
	if o := f.Run(typed(t, f, line)); o.Code != 0 || !strings.Contains(o.Stdout, "\ngateway.log: ") {
		t.Errorf("%+v", o)
	}
}

// Nor does what goes on for ever where nothing can be written: it says so once, and its exit code is that of
// the report that is written once.
func TestWatchEndsWhereNothingCanBeWritten(t *testing.T) {
	t.Parallel()
	f := fleet.New(t, fleet.Options{Outside: true, Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Oldest}}})
	log := f.Gateway("work").Home + "/logs/gateway.log"
	const lost = "hermes-gw: warning: the report could not be written: no space left on device\n"
	for line, want := range map[string]struct {
		stderr string
		code   int
	}{
		"hermes-gw status >/dev/full":                       {lost, exitOK},
		"hermes-gw status --watch >/dev/full":               {lost, exitOK},
		"hermes-gw status --watch --json >/dev/full":        {lost, exitOK},
		"hermes-gw status --watch nobody >/dev/full":        {"113", exitNotThere},
		"hermes-gw status --watch --json nobody >/dev/full": {lost, exitNotThere},
		"hermes-gw status --watch >/dev/full 2>&1":          {"", exitOK},
		"hermes-gw logs -f -p work >/dev/full":              {lost, exitOK},
	} {
		o := f.Run(typed(t, f, line))
		if o.Code != want.code || !strings.Contains(o.Stderr, want.stderr) || want.stderr == lost && strings.Count(o.Stderr, lost) != 1 {
			t.Errorf("%s: %+v", line, o)
		}
	}
	// What is written later: it is the first line that cannot be.
	line := fmt.Sprintf("(while [ ! -e gone ]; do echo more >>'%s'; hermes-gw version >over; done) & hermes-gw logs -f -n 0 -p work >/dev/full; echo $?; : >gone; wait", log)
	if o := f.Run(typed(t, f, line)); o.Stdout != "0\n" || o.Stderr != lost {
		t.Errorf("%+v", o)
	}
}

func TestCut(t *testing.T) {
	for _, test := range []struct {
		line    string
		columns int
		want    string
	}{{"abcdefgh", 0, "abcdefgh"}, {"abcdefgh", 8, "abcdefgh"}, {"abcdefgh", 7, "abcd..."}, {"äöüäöüäö", 7, "äöüä..."}, {"abcdefgh", 2, "abcdefgh"}} {
		if got := cut(test.line, test.columns); got != test.want {
			t.Errorf("%q in %d: %q", test.line, test.columns, got)
		}
	}
}
