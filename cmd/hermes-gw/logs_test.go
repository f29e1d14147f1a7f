package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
)

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.WriteString(text)
		f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestLogs(t *testing.T) {
	t.Parallel()
	f := fleet.New(t, fleet.Options{Outside: true, Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Oldest}, {Name: "new", Plist: fleet.Oldest, Unloaded: true}}})
	g := f.Gateway("work")
	log := filepath.Join(g.Home, "logs", "gateway.log")
	out := newFlowing()
	boot := f.Prepare("logs", "-f", "-p", "work")
	boot.Stdout = out
	if err := boot.Start(); err != nil {
		t.Fatal(err)
	}
	out.until(t, func(s string) bool { return strings.Contains(s, "running for") }) // its last line
	boot.Process.Signal(syscall.SIGTERM)
	boot.Wait()
	appendTo(t, log, "one\n\x1b[2Jtwo\ttabbed\nOPENAI_API_KEY=sk-abcdefghijklmnopqrstuvwx\nlast")

	o := f.Command("logs", "-p", "work", "-n", "3")
	if o.Code != 0 || o.Stderr != "" || !strings.HasSuffix(o.Stdout, "\n\\x1b[2Jtwo    tabbed\nOPENAI_API_KEY=***\nlast\n") || strings.Contains(o.Stdout, "one\n") {
		t.Errorf("%+v", o)
	}
	if o := f.Command("logs", g.Target.String(), "-n", "1", "--json"); o.Code != 0 || !strings.Contains(o.Stdout, `"lines":["last"]`) || !strings.Contains(o.Stdout, log) {
		t.Errorf("%+v", o)
	}
	// What was never written to is no mistake, and not silence either.
	if o := f.Command("logs", "-p", "new"); o.Code != 0 || o.Stdout != "" || !strings.Contains(o.Stderr, "nothing was written yet to "+f.Gateway("new").Home) {
		t.Errorf("%+v", o)
	}
	// No line wanted is no empty file.
	if o := f.Command("logs", "-p", "work", "-n", "0"); o.Code != 0 || o.Stdout+o.Stderr != "" {
		t.Errorf("%+v", o)
	}
	if o := f.Command("logs", "-p", "new", "-n", "0"); o.Code != 0 || !strings.Contains(o.Stderr, "nothing was written yet to ") {
		t.Errorf("%+v", o)
	}
	if o := f.Command("logs", "-p", "wrok"); o.Code != exitNotThere || !strings.Contains(o.Stderr, "did you mean work?") {
		t.Errorf("%+v", o)
	}
	if o := f.Command("logs", "-f", "--json"); o.Code != exitUsage || !strings.Contains(o.Stderr, "--follow") {
		t.Errorf("%+v", o)
	}
	// Another user's file could be any.
	errors := filepath.Join(g.Home, "logs", "gateway.error.log")
	os.Remove(errors)
	if err := os.Symlink("/etc/passwd", errors); err != nil {
		t.Fatal(err)
	}
	if o := f.Command("logs", "-p", "work"); o.Code != exitSome || !strings.Contains(o.Stderr, errors) || strings.Contains(o.Stdout, "root:") {
		t.Errorf("%+v", o)
	}
	os.Remove(errors)

	// From now on, over a rotation and an emptied file, in the order in which it was written.
	cmd := f.Prepare("logs", "-f", "-n", "1", "-p", "work")
	out = newFlowing()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	shows := func(want string) {
		t.Helper()
		out.until(t, func(s string) bool { return strings.HasSuffix(s, want) })
	}
	shows("last\n")
	appendTo(t, log, "\nsecond\n")
	shows("gateway.log: second\n")
	if err := os.Rename(log, log+".1"); err != nil {
		t.Fatal(err)
	}
	appendTo(t, log, "after the rotation\n")
	shows("gateway.log: after the rotation\n")
	appendTo(t, errors, "an error\n")
	shows("gateway.error.log: an error\n")
	if err := os.Truncate(log, 0); err != nil {
		t.Fatal(err)
	}
	appendTo(t, log, "x\n")
	shows("gateway.log: x\n")
	cmd.Process.Signal(syscall.SIGINT)
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != exitInterrupted {
		t.Errorf("exit code %d", code)
	}

	fresh := f.Prepare("logs", "-f", "-n", "0", "-p", "work")
	out = newFlowing()
	fresh.Stdout, fresh.Stderr = out, out
	if err := fresh.Start(); err != nil {
		t.Fatal(err)
	}
	for stop := false; !stop; { // it has no more to say than this
		appendTo(t, log, "more\n")
		select {
		case <-out.wrote():
			stop = true
		case <-time.After(20 * time.Millisecond):
		}
	}
	fresh.Process.Signal(syscall.SIGTERM)
	fresh.Wait()
	if text := out.until(t, func(string) bool { return true }); strings.ReplaceAll(text, "gateway.log: more\n", "") != "" {
		t.Errorf("%q", text)
	}
}

// A job that is no gateway has the files that its property list names, or none.
func TestLogsOfAnotherJob(t *testing.T) {
	t.Parallel()
	f := fleet.New(t, fleet.Options{Outside: true, Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Oldest}}})
	out := filepath.Join(f.Dir, "agent.out")
	for label, keys := range map[string]string{
		"org.example.agent": "<key>StandardOutPath</key><string>" + out + "</string>",
		"org.example.quiet": "",
	} {
		plist := filepath.Join(filepath.Dir(f.Gateway("work").Plist), label+".plist")
		text := strings.ReplaceAll(xmlHead, "\t", "") + "<string>" + label + "</string><key>ProgramArguments</key><array><string>/bin/sh</string><string>-c</string><string>echo hello; exec sleep 1000</string></array><key>RunAtLoad</key><true/>" + keys + "</dict></plist>"
		if err := os.WriteFile(plist, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := f.Client.Bootstrap(t.Context(), f.Gateway("work").Target.Domain, plist); err != nil {
			t.Fatal(err)
		}
	}
	cmd := f.Prepare("logs", "-f", "org.example.agent")
	text := newFlowing()
	cmd.Stdout, cmd.Stderr = text, text
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	text.until(t, func(s string) bool { return strings.HasSuffix(s, "hello\n") })
	cmd.Process.Signal(syscall.SIGTERM)
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != exitTerminated {
		t.Errorf("exit code %d", code)
	}
	if o := f.Command("logs", "org.example.quiet"); o.Code != exitFailed || !strings.Contains(o.Stderr, "names no file") || !strings.Contains(o.Stderr, "StandardOutPath") {
		t.Errorf("%+v", o)
	}
}
