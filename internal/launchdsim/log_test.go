package launchdsim

import (
	"bytes"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// safeBuffer is a log that can be read while it is written.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

// A restart reads as in launchd.log of macOS 12 (NixOS/nix#5698).
func TestLogOfARestart(t *testing.T) {
	log := &safeBuffer{}
	f := newFixture(t, Options{Log: log})
	c := f.dial()
	c.load(f.write("a", sleeper+atLoad))
	c.kick("a", nil)
	log.mu.Lock()
	log.b.Reset()
	log.mu.Unlock()
	c.kick("a", dict{"kill": true, "unthrottle": true})
	c.kick("a", nil) // the log of the spawn is complete now

	log.mu.Lock()
	defer log.mu.Unlock()
	var got []string
	form := regexp.MustCompile(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6} \(gui/\d+/a(?: \[\d+\])?\) <(\w+)>: (.*)$`)
	number := regexp.MustCompile(`\d{2,}`)
	for _, line := range strings.Split(strings.TrimSpace(log.b.String()), "\n") {
		m := form.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("line %q", line)
		}
		if m[1] == "Notice" {
			got = append(got, number.ReplaceAllString(m[2], "N"))
		}
	}
	want := `signaled service: Terminated: N
service state: SIGTERMed
scheduling cleanup in 5 sec after sending Terminated: N
service exited: dirty = 0, supported pressured-exit = 0
exited due to SIGTERM | sent by launchd[N], ran for Nms
service state: exited
internal event: EXITED, code = 0
service state: not running
internal event: WILL_SPAWN, code = 0
service state: spawning
launching: non-ipc demand
xpcproxy spawned with pid N
internal event: SPAWNED, code = 0
service state: xpcproxy
internal event: SOURCE_ATTACH, code = 0
service state: running
internal event: INIT, code = 0
Successfully spawned /bin/sleep[N] because non-ipc demand`
	text := regexp.MustCompile(`ran for \dms`).ReplaceAllString(strings.Join(got, "\n"), "ran for Nms")
	if text != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
}
