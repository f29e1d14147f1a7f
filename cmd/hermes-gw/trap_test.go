package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Trap 4: nine jobs, and the command is killed after some of the requests: each job was
// restarted once or not at all, and all of them are loaded and run. (What --all means is for
// another layer; these are named.)
func TestTrap04KilledAmongNine(t *testing.T) {
	t.Parallel()
	var labels []string
	for i := range 9 {
		labels = append(labels, fmt.Sprint(jobLabel, ".", i))
	}
	s := newSim(t, false, labels...)
	for _, after := range []int{1, 4, 8} {
		seen := s.synced()
		p := s.command(append([]string{"restart"}, labels...)...).start()
		asked := map[string]bool{}
		s.trace.await(t, "the requests", seen, func(e event) bool {
			if e.Ev == "request" && e.Routine == 702 {
				asked[e.Label] = true
			}
			return len(asked) == after
		})
		p.signal(syscall.SIGKILL)
		p.end()
		for _, l := range labels {
			s.running(l)
		}
		s.synced()
		for _, l := range labels {
			// What was sent is carried out, once, whoever is gone: before the next run, which
			// would be told 37 otherwise.
			kicks, _ := s.count(l)
			s.trace.await(t, fmt.Sprintf("%d more processes of %s", kicks, l), 0, func(e event) bool {
				_, spawns := s.count(l)
				return spawns == 1+kicks
			})
		}
	}
	for _, l := range labels {
		if kicks, spawns := s.count(l); kicks > 3 || spawns != 1+kicks {
			t.Errorf("%d requests and %d processes of %s in 3 runs", kicks, spawns, l)
		}
	}
}

// Trap 61: the domain does not answer about one job: that one fails at the bound, the other is
// restarted, and the exit code says that some failed.
func TestTrap61HangsForOne(t *testing.T) {
	t.Parallel()
	good := oneJob()
	f := newFake(t, func(r request) answer {
		if name, _ := r.msg.String("name"); name != jobLabel {
			return answer{hang: true}
		}
		return good.answers(r)
	})
	p := processOn(t, f.path, "restart", "--json", "--timeout", "1s", "user/501/stuck", "user/501/"+jobLabel).start()
	if code := p.end(); code != exitSome {
		t.Errorf("exit %d: %s%s", code, &p.stdout, &p.stderr)
	}
	results := parseJSON(t, p.stdout.Bytes()).Results
	if results[0].State == "restarted" || results[1].State != "restarted" {
		t.Errorf("%s", &p.stdout)
	}
}

// mache#641, a program that was replaced: the restart fails and names the remedy, which works.
func TestProcessReplacedProgram(t *testing.T) {
	t.Parallel()
	s := newSimWith(t, []string{"--pin-code", "--time-scale", "0.1"}, false)
	program := filepath.Join(s.dir, "program")
	install := func(version string) {
		t.Helper()
		text := "#!/bin/sh\n# " + version + "\nexec sleep 1000\n"
		if err := os.WriteFile(program+".new", []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(program+".new", program); err != nil {
			t.Fatal(err)
		}
	}
	install("1")
	path := filepath.Join(s.dir, jobLabel+".plist")
	text := fmt.Sprintf(xmlHead+`<string>%s</string><key>ProgramArguments</key><array><string>%s</string></array>
<key>RunAtLoad</key><true/><key>KeepAlive</key><true/></dict></plist>`, jobLabel, program)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if p := s.command("start", jobLabel, "--plist", path); p.start().end() != exitOK {
		t.Fatalf("start: %s", &p.stderr)
	}
	restart := func(want int) string {
		t.Helper()
		p := s.command("restart", jobLabel)
		if code := p.start().end(); code != want {
			t.Fatalf("exit %d, want %d: %s%s", code, want, &p.stdout, &p.stderr)
		}
		return p.stderr.String()
	}
	restart(exitOK)
	install("2")
	stderr := restart(exitNotReady)
	if !strings.Contains(stderr, "Killed: 9") || !strings.Contains(stderr, "hermes-gw reload "+s.domain+"/"+jobLabel) {
		t.Errorf("%s", stderr)
	}
	c := s.reloading()
	if code := c.run("reload", jobLabel); code != exitOK {
		t.Fatalf("reload: exit %d: %s", code, &c.stderr)
	}
	restart(exitOK)
}
