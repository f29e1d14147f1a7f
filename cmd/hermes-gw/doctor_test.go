package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"howett.net/plist"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
	"github.com/hermes-gw/hermes-gw/internal/embedtest/standin"
	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/launchd/launchdtest"
)

// A fleet with one gateway for each thing that can be wrong. doctor finds each and nothing else, and
// the command that it names, typed into a shell, mends it.
func TestDoctor(t *testing.T) {
	t.Parallel()
	logs := filepath.Join(t.TempDir(), "not there yet", "logs")
	abroad := t.TempDir()
	crash := &standin.Exit{After: 30 * time.Millisecond, Code: 1}
	f := fleet.New(t, fleet.Options{TimeScale: 0.02, Profiles: []fleet.Profile{
		{Name: fleet.Default, Standin: fleet.Standin{NoLock: true}},
		{Name: "absent", Unloaded: true},
		{Name: "off", Unloaded: true},
		{Name: "offnext"},
		{Name: "background", User: true},
		{Name: "twice", Standin: fleet.Standin{NoLock: true}},
		{Name: "stale"},
		{Name: "shared", Standin: fleet.Standin{NoLock: true}},
		{Name: "flaps", Plist: fleet.Middle, Keys: map[string]any{"ThrottleInterval": 5}, Standin: fleet.Standin{Exit: crash}, NoWait: true},
		{Name: "refused", Standin: fleet.Standin{Exit: &standin.Exit{Code: standin.ExitConfig}}, NoWait: true},
		{Name: "nologs", Keys: map[string]any{"StandardOutPath": filepath.Join(logs, "out"), "StandardErrorPath": filepath.Join(logs, "err")}, NoWait: true},
		{Name: "unreadable"},
		{Name: "heldback", Keys: map[string]any{"ThrottleInterval": 100000}, Standin: fleet.Standin{Exit: crash}, NoWait: true},
		{Name: "replaced", Plist: fleet.Oldest},
		{Name: "abroad", Plist: fleet.Middle, NoWait: true, Keys: map[string]any{
			"ProgramArguments":     []string{"/bin/sleep", "1000"},
			"EnvironmentVariables": map[string]string{"HERMES_HOME": abroad}}},
		{Name: "broken", Unloaded: true},
		{Name: "deaf", Keys: map[string]any{"StandardErrorPath": os.DevNull}}, // nothing is wrong with that
	}})
	ctx := t.Context()

	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(f.Client.SetEnabled(ctx, f.Gateway("off").Target, false))
	must(f.Client.SetEnabled(ctx, f.Gateway("offnext").Target, false))
	f.SetKeys("background", map[string]any{"LimitLoadToSessionType": "Aqua"})
	must(f.Client.Bootstrap(ctx, launchd.User(f.UID), f.Gateway("twice").Plist))
	f.SetKeys("stale", map[string]any{"ThrottleInterval": 77})
	second := copyJob(t, f.Gateway("shared").Plist, "ai.hermes.gateway-0123abcd")
	must(f.Client.Bootstrap(ctx, launchd.GUI(f.UID), second))
	f.Manual(fleet.Default, fleet.Orphan)
	whole, err := os.ReadFile(f.Gateway("broken").Plist)
	must(err)
	must(os.WriteFile(f.Gateway("broken").Plist, whole[:len(whole)/2], 0o644))
	unreadable := filepath.Join(f.Gateway("unreadable").Home, "logs", "gateway.log")
	if os.Geteuid() == 0 {
		must(os.Chown(unreadable, 1234, -1))
	} else {
		must(os.Chmod(unreadable, 0))
	}
	// Newer than its process by a bit more than a clock and a file system may differ.
	started := time.Now()
	python := f.Program("python3")
	program, err := os.ReadFile(python)
	must(err)
	must(os.WriteFile(python+".new", program, 0o755))
	must(os.Chtimes(python+".new", time.Time{}, started.Add(2*time.Second+50*time.Millisecond)))
	must(os.Rename(python+".new", python))
	const begin = launchdtest.Mark(0)
	for mark, n := begin, 0; n < 4; n++ {
		mark = f.Wait(mark, launchdtest.Is(launchdtest.Exit, f.Gateway("flaps").Label)).Next
	}
	f.Wait(begin, launchdtest.Became("spawn scheduled", f.Gateway("heldback").Label))
	f.Wait(begin, launchdtest.Became("not running", f.Gateway("refused").Label))
	f.Wait(begin, launchdtest.Became("spawn scheduled", f.Gateway("nologs").Label))
	for _, p := range []string{"flaps", "refused", "heldback"} {
		f.Behave(p, fleet.Standin{}) // from the next start on
	}

	all := doctor(t, f)
	has := func(id, label string) (one found, ok bool) {
		for _, f := range all {
			if f.ID == id && strings.HasSuffix(f.Target, "/"+label) {
				return f, true
			}
		}
		return found{}, false
	}
	label := func(profile string) string { return f.Gateway(profile).Label }
	expected := []struct {
		id, label string
		mends     bool
	}{
		{"not-loaded", label("absent"), true},
		{"disabled", label("off"), true},
		{"disabled", label("offnext"), true},
		{"wrong-domain", label("background"), true},
		{"both-domains", label("twice"), true},
		{"stale", label("stale"), true},
		{"duplicate", "ai.hermes.gateway-0123abcd", true},
		{"parked", label("refused"), true},
		{"log-path", label("nologs"), true},
		{"log-path", label("unreadable"), true},
		{"throttled", label("heldback"), true},
		{"flapping", label("flaps"), true},
		{"foreign", label("abroad"), false},
		{"plist-unreadable", label("broken"), false},
		{"duplicate", label(fleet.Default), true}, // restarts all, so near the end
		{"replaced-program", label("replaced"), true},
	}
	for _, e := range expected {
		one, ok := has(e.id, e.label)
		if !ok {
			t.Errorf("doctor does not find that %s is %s", e.label, e.id)
			continue
		}
		if one.Command == "" || !strings.HasSuffix(one.Problem, ".") {
			t.Errorf("%s of %s: %+v", e.id, e.label, one)
		}
	}
	for _, one := range all {
		expect := one.ID == "throttled" && strings.HasSuffix(one.Target, label("nologs")) // its start failed
		for _, e := range expected {
			expect = expect || e.id == one.ID && strings.HasSuffix(one.Target, "/"+e.label)
		}
		if !expect {
			t.Errorf("doctor finds something that is not so: %+v", one)
		}
	}
	if t.Failed() {
		t.Fatalf("%+v", all)
	}
	for _, e := range expected {
		one, ok := has(e.id, e.label)
		if !ok || !e.mends {
			continue
		}
		if e.id == "replaced-program" {
			time.Sleep(time.Until(started.Add(2 * time.Second))) // the file must be older than the next process, and is of the future
		}
		line := one.Command
		if os.Geteuid() == 0 {
			line = strings.ReplaceAll(line, "sudo ", "")
		}
		if o := f.Run(typed(t, f, line)); o.Code != 0 && !(o.Code == exitSome && strings.Contains(line, "--all")) { // the foreign one is not restarted
			t.Errorf("%s of %s: %q: exit code %d\n%s%s", e.id, e.label, line, o.Code, o.Stdout, o.Stderr)
			continue
		}
		all = doctor(t, f)
		if one, ok := has(e.id, e.label); ok && !(e.id == "duplicate" && strings.Contains(one.Command, " ctl disable ")) { // of that, see below
			t.Errorf("%q did not mend it: %+v", line, one)
		}
	}
	// These say what to look at first; the mending is the user's.
	for id, want := range map[string]string{"foreign": abroad, "plist-unreadable": "unexpected EOF"} {
		e := map[string]string{"foreign": "abroad", "plist-unreadable": "broken"}[id]
		one, _ := has(id, label(e))
		if o := f.Run(typed(t, f, one.Command)); o.Code == exitUsage || !strings.Contains(o.Stdout+o.Stderr+one.Advice, want) {
			t.Errorf("%s: %q: %+v", id, one.Command, o)
		}
	}
	must(os.WriteFile(f.Gateway("broken").Plist, whole, 0o644))
	// What is left by those that stopped something: a job that does not run, a list that the next login loads.
	for _, one := range doctor(t, f) {
		switch {
		case one.ID == "foreign":
			continue
		case one.ID == "duplicate" && strings.Contains(one.Advice, second), one.ID == "not-loaded":
		default:
			t.Errorf("left: %+v", one)
		}
		if o := f.Run(typed(t, f, one.Command)); o.Code != 0 {
			t.Errorf("%q: %+v", one.Command, o)
		}
	}
	for _, one := range doctor(t, f) {
		if one.ID != "foreign" {
			t.Errorf("left at the end: %+v", one)
		}
	}
}

// copyJob writes the property list again, as another job.
func copyJob(t *testing.T, path, label string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var keys map[string]any
	if _, err := plist.Unmarshal(b, &keys); err != nil {
		t.Fatal(err)
	}
	keys["Label"] = label
	if b, err = plist.Marshal(keys, plist.XMLFormat); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(filepath.Dir(path), label+".plist")
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
