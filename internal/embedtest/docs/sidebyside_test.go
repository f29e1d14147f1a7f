package docs

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
	"github.com/hermes-gw/hermes-gw/internal/embedtest/standin"
	"github.com/hermes-gw/hermes-gw/launchd/launchdtest"
)

// today is what Hermes does (hermes.md 2.1, 2.2, 2.4), with launchctl's words answered by
// hermes-gw ctl. Its waits are Hermes' own.
const today = `
launchctl() { echo x >>"$COUNT"; hermes-gw ctl "$@"; }
gone() { while kill -0 "$1" 2>/dev/null; do sleep 0.5; done; }
domain() { launchctl print "gui/$ID/$LABEL" >/dev/null || launchctl print "user/$ID/$LABEL" >/dev/null; }
restart() {
  domain
  kill -USR1 "$OWN"
  gone "$OWN"
  for _ in $(seq 30); do
    now=$(launchctl print "gui/$ID/$LABEL" | sed -n 's/^	pid = //p')
    if [ -n "$now" ] && [ "$now" != "$OWN" ]; then return; fi
    sleep 0.5
  done
  launchctl kickstart -k "gui/$ID/$LABEL"
}
restart_all() {
  domain
  launchctl bootout "gui/$ID/$LABEL" || true
  gone "$OWN"
  kill -TERM $OTHERS
  for pid in $OTHERS; do gone "$pid"; done
  launchctl kickstart "gui/$ID/$LABEL" 2>/dev/null || {
    launchctl bootstrap "gui/$ID" "$PLIST"
    launchctl kickstart "gui/$ID/$LABEL"
  }
}
set -e
`

// Routines of launchd.
const (
	kickstart = 702
	bootstrap = 800
	bootout   = 801
)

// sequence is one row of the table.
type sequence struct {
	name, script string
	changes      []uint64 // the routines of those requests that change something, in their order
}

// seen is what became of a sequence.
type seen struct {
	executions, requests, unloads int
	changes                       []uint64
	took, unloaded                time.Duration
}

// The table in HERMES.md is of both sequences against the same gateways, in the embedded
// launchd: three of them, each of which takes half a second to stop, and none of which launchd
// throttles.
func TestSideBySide(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the documents are tried on Linux")
	}
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("| | launchctl executed | requests | of these, change something | job unloaded | command ended after |\n|---|---|---|---|---|---|\n")
	for _, s := range []sequence{
		{"restart, today", today + "restart", nil},
		{"`hermes-gw restart --graceful --wait ready`", "hermes-gw restart --graceful --wait ready", []uint64{kickstart}},
		{"restart --all, today", today + "restart_all", []uint64{bootout, kickstart, bootstrap, kickstart}},
		{"`hermes-gw restart --all --wait ready`", "hermes-gw restart --all --wait ready", []uint64{kickstart, kickstart, kickstart}},
	} {
		r := play(t, s)
		if len(s.changes) == 1 {
			// launchd can name the old process, which it has not reaped yet: then it is asked again.
			r.changes = slices.Compact(r.changes)
		}
		if !slices.Equal(r.changes, s.changes) {
			t.Errorf("%s: the requests that change something were %d, not %d", s.name, r.changes, s.changes)
		}
		unloaded := "never"
		if r.unloads > 0 {
			unloaded = seconds(r.unloaded)
		}
		words := "none"
		if len(r.changes) > 0 {
			words = strings.Trim(strings.ReplaceAll(fmt.Sprint(r.changes), " ", ", "), "[]")
		}
		fmt.Fprintf(&b, "| %s | %d | %d | %s | %s | %s |\n", s.name, r.executions, r.requests, words, unloaded, seconds(r.took))
	}

	path := filepath.Join(root, "HERMES.md")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- begin side by side -->\n", "<!-- end side by side -->\n"
	before, rest, found := bytes.Cut(text, []byte(begin))
	recorded, after, ended := bytes.Cut(rest, []byte(end))
	if !found || !ended {
		t.Fatal("HERMES.md has no place for the table")
	}
	if vague(string(recorded)) == vague(b.String()) {
		return
	}
	if os.Getenv("UPDATE_DOCS") == "" {
		t.Fatalf("the table would be another now (UPDATE_DOCS=1 records it):\n%s", b.String())
	}
	all := string(before) + begin + b.String() + end + string(after)
	if err := os.WriteFile(path, []byte(all), 0o644); err != nil {
		t.Fatal(err)
	}
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

// play runs a sequence in a fleet of its own.
func play(t *testing.T, s sequence) (r seen) {
	t.Helper()
	in := &scope{TB: t}
	defer in.end()
	behaviour := fleet.Standin{Teardown: 500 * time.Millisecond}
	// A gateway that has run for hours is not throttled.
	keys := map[string]any{"ThrottleInterval": 1}
	names := []string{fleet.Default, "ops", "work"}
	var o fleet.Options
	for _, name := range names {
		o.Profiles = append(o.Profiles, fleet.Profile{Name: name, Standin: behaviour, Keys: keys})
	}
	f := fleet.New(in, o)
	own := f.Gateway(fleet.Default)
	count := filepath.Join(f.Dir, "count")
	cmd := f.Shell(f.Dir, "", "-c", s.script)
	cmd.Env = append(cmd.Env, "COUNT="+count, "ID="+strconv.Itoa(f.UID), "LABEL="+own.Label, "PLIST="+own.Plist,
		fmt.Sprint("OWN=", f.GatewayPID(fleet.Default)), fmt.Sprint("OTHERS=", f.GatewayPID("ops"), " ", f.GatewayPID("work")))
	old := f.JobPID(fleet.Default)
	if strings.HasPrefix(s.script, today) {
		time.Sleep(time.Second) // its throttle, the end of which is no event
	}

	mark := f.Mark()
	out := f.Run(cmd)
	if out.Code != 0 {
		t.Fatalf("%s: exit %d\n%s%s", s.name, out.Code, out.Stdout, out.Stderr)
	}
	r.took = out.Took
	for _, e := range f.Requests(mark) {
		r.requests++
		switch e.Routine {
		case bootstrap, bootout, kickstart:
			r.changes = append(r.changes, e.Routine)
		}
	}
	executions, err := os.ReadFile(count)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	r.executions = bytes.Count(executions, []byte("\n"))
	unloads := f.Unloads(mark)
	r.unloads = len(unloads)
	for _, e := range f.Trace(mark) {
		if e.Kind == launchdtest.Reply && e.Routine == bootstrap && e.Code == 0 && r.unloads > 0 {
			r.unloaded = e.Time.Sub(unloads[0].Time)
		}
	}
	for _, name := range names[1:] {
		if strings.HasSuffix(s.script, "restart_all") && !f.SawSignal(name, standin.RoleGateway, 15) {
			t.Errorf("%s: the gateway of %s got no SIGTERM", s.name, name)
		}
	}
	// Of today's restart of one gateway that cannot be said: it does not wait for it.
	if !strings.HasPrefix(s.script, today) && f.JobPID(fleet.Default) == old {
		t.Errorf("%s: the job has its old process", s.name)
	}
	return r
}
