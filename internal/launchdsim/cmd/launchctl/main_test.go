package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/launchd/launchdtest"
)

// call runs the program and returns its exit code and output.
func call(t *testing.T, address string, args ...string) (code int, out string) {
	t.Helper()
	var b bytes.Buffer
	code, err := run(append([]string{address}, args...), &b)
	if (err != nil) != (code != 0) {
		t.Errorf("%q: exit code %d with %v", args, code, err)
	}
	return code, b.String()
}

func TestWords(t *testing.T) {
	l := launchdtest.Start(t, launchdtest.TimeScale(0.01))
	job := l.Job("org.example.a", "/bin/sleep", "1000")
	pid := func() int {
		j, err := l.Client.Job(t.Context(), job)
		if err != nil {
			t.Fatal(err)
		}
		return j.PID
	}
	plist := l.Plist(launchdtest.Keys{"Label": job.Label, "ProgramArguments": []string{"/bin/sleep", "1000"}, "RunAtLoad": true})

	old := pid()
	if code, out := call(t, l.Address(), "kickstart", "-k", job.String()); code != 0 || out != "" || pid() == old {
		t.Error("kickstart -k:", code, out)
	}
	old = pid()
	if code, out := call(t, l.Address(), "kickstart", "-p", job.String()); code != 0 || out != fmt.Sprintf("service spawned with pid: %d\n", old) || pid() != old {
		t.Error("kickstart -p:", code, out)
	}
	code, out := call(t, l.Address(), "print", job.String())
	if j, err := launchd.ParsePrint(out); code != 0 || err != nil || j.PID != old {
		t.Error("print:", code, err, j)
	}
	if code, out := call(t, l.Address(), "print", l.Domain().String()); code != 0 || !strings.Contains(out, job.Label) {
		t.Error("print of a domain:", code, out)
	}
	if code, out := call(t, l.Address(), "list", job.Label); code != 0 || !strings.Contains(out, fmt.Sprintf("\t\"PID\" = %d;\n", old)) {
		t.Error("list of one:", code, out)
	}
	if code, out := call(t, l.Address(), "list"); code != 0 || !strings.Contains(out, fmt.Sprintf("%d\t-15\t%s\n", old, job.Label)) {
		t.Error("list:", code, out)
	}

	mark := l.Mark()
	if code, _ := call(t, l.Address(), "bootout", job.String()); code != 0 {
		t.Error("bootout:", code)
	}
	if _, err := l.Wait(t.Context(), mark, launchdtest.Is(launchdtest.Exit, job.Label)); err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"print", "bootout", "kickstart"} { // its going takes a moment
		for code = 0; code != 113 && code != 3; code, _ = call(t, l.Address(), word, job.String()) {
			if t.Context().Err() != nil {
				t.Fatal(word, code)
			}
		}
	}
	if code, _ := call(t, l.Address(), "bootstrap", l.Domain().String(), plist); code != 0 || pid() == old {
		t.Error("bootstrap:", code)
	}
	if code, _ := call(t, l.Address(), "bootstrap", l.Domain().String(), plist); code == 0 {
		t.Error("a second bootstrap:", code)
	}
}

func TestUsage(t *testing.T) {
	for _, line := range []string{
		"", "what", "kickstart", "kickstart -x gui/0/a", "kickstart gui/0", "kickstart gui/x/a", "kickstart nowhere/1/a", "bootout", "bootout gui/0",
		"bootstrap gui/0", "bootstrap gui/0/a b", "print", "print a b", "list a b",
	} {
		if code, err := run(append([]string{"unix:/nothing"}, strings.Fields(line)...), &bytes.Buffer{}); code != exitUsage || !errors.Is(err, errUsage) {
			t.Errorf("%q: %d, %v", line, code, err)
		}
	}
	t.Setenv("HERMES_GW_LAUNCHD", "")
	if code, err := run([]string{"list"}, &bytes.Buffer{}); code != exitUsage || err == nil {
		t.Error(code, err)
	}
	if code, err := run([]string{"unix:" + t.TempDir() + "/none", "list"}, &bytes.Buffer{}); code != 1 || !errors.Is(err, os.ErrNotExist) {
		t.Error(code, err)
	}
}

// The launchd can be named by the variable that hermes-gw reads, too.
func TestVariable(t *testing.T) {
	l := launchdtest.Start(t)
	t.Setenv("HERMES_GW_LAUNCHD", l.Address())
	var b bytes.Buffer
	if code, err := run([]string{"list"}, &b); code != 0 || err != nil || !strings.HasPrefix(b.String(), "PID\t") {
		t.Error(code, err, b.String())
	}
}
