package launchd

import (
	"slices"
	"testing"
	"time"
)

func TestDiffers(t *testing.T) {
	loaded := Job{
		Target: Target{GUI(501), "com.example.agent"}, Type: "LaunchAgent", Program: "/bin/sh",
		Arguments:   []string{"/bin/sh", "-c", "first line", "second", "end"}, // one argument with line breaks
		Environment: map[string]string{"PATH": "/usr/bin", "HERMES_HOME": "/h", "OSLogRateLimit": "64"},
		ExitTimeout: ptr(60 * time.Second), MinimumRuntime: ptr(30 * time.Second),
		KeepAlive: ptr(true), KeepAliveIf: map[string]bool{"successful exit": false},
	}
	file := func(change func(*Plist)) *Plist {
		p := &Plist{
			Label: "com.example.agent", ProgramArguments: []string{"/bin/sh", "-c", "first line\n\tsecond\nend"},
			EnvironmentVariables: map[string]string{"PATH": "/opt/bin", "HERMES_HOME": "/h"},
			ExitTimeOut:          ptr(215), ThrottleInterval: ptr(30), KeepAlive: &KeepAlive{SuccessfulExit: ptr(false)},
		}
		change(p)
		return p
	}
	for _, c := range []struct {
		name   string
		change func(*Plist)
		want   []string
	}{
		{"the same, but for what launchd and PATH add", func(p *Plist) {}, nil},
		{"another argument", func(p *Plist) { p.ProgramArguments[2] = "x" + p.ProgramArguments[2] }, []string{"ProgramArguments"}},
		{"another argument behind a line break, which print does not tell", func(p *Plist) { p.ProgramArguments[2] += " x" }, nil},
		{"more arguments than there are lines", func(p *Plist) {
			p.ProgramArguments = append(p.ProgramArguments, "a", "b", "c", "d")
		}, []string{"ProgramArguments"}},
		{"fewer arguments", func(p *Plist) { p.ProgramArguments = p.ProgramArguments[:2] }, []string{"ProgramArguments"}},
		{"another program", func(p *Plist) { p.Program = "/bin/zsh" }, []string{"Program"}},
		{"another home", func(p *Plist) { p.EnvironmentVariables["HERMES_HOME"] = "/x" }, []string{"EnvironmentVariables"}},
		{"a new variable", func(p *Plist) { p.EnvironmentVariables["A"] = "1" }, []string{"EnvironmentVariables"}},
		{"throttle and exit timeout", func(p *Plist) { p.ThrottleInterval, p.ExitTimeOut = ptr(10), ptr(25) }, []string{"ExitTimeOut", "ThrottleInterval"}},
		{"always alive", func(p *Plist) { p.KeepAlive = &KeepAlive{Always: true} }, []string{"KeepAlive"}},
		{"not alive", func(p *Plist) { p.KeepAlive = nil }, []string{"KeepAlive"}},
		{"the other condition", func(p *Plist) { p.KeepAlive = &KeepAlive{Crashed: ptr(true)} }, []string{"KeepAlive"}},
	} {
		if got := loaded.Differs(file(c.change)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	// The attributes (712) tell that there is a KeepAlive, not of which kind.
	attributes := Job{Target: loaded.Target, KeepAlive: ptr(true)}
	if got := attributes.Differs(file(func(*Plist) {})); got != nil {
		t.Errorf("a job of which only the attributes are known differs in %q", got)
	}
	if got := attributes.Differs(file(func(p *Plist) { p.KeepAlive = nil })); !slices.Equal(got, []string{"KeepAlive"}) {
		t.Errorf("without KeepAlive: %q", got)
	}
	if got := (Job{}).Differs(file(func(*Plist) {})); got != nil {
		t.Errorf("a job of which nothing is known differs in %q", got)
	}
}
