package main

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Each flag is of a verb, each flag of a verb is in the table, and whoever gives one a wrong value or
// none is told what it takes.
func TestFlagTable(t *testing.T) {
	short := map[string]bool{}
	for _, r := range flagTable() {
		if len(verbsWith(r.name)) == 0 && !slices.Contains(globalFlags, r.name) {
			t.Errorf("no verb has --%s", r.name)
		}
		if short[r.short] && r.short != "" {
			t.Errorf("-%s is two flags", r.short)
		}
		short[r.short] = true
		if (r.value == "") != (r.wants == "") || r.does == "" {
			t.Errorf("--%s: %+v", r.name, r)
		}
		if r.value != "" && !strings.Contains(r.does, r.value) {
			t.Errorf("--%s says nothing about %s: %s", r.name, r.value, r.does)
		}
		for _, w := range r.words {
			if !strings.Contains(r.wants, w) || !strings.Contains(r.does, w) {
				t.Errorf("--%s does not say that it takes %s", r.name, w)
			}
		}
		wantContains(t, flagsText(), "--"+r.name)
	}
	for _, v := range verbs() {
		for _, name := range v.flags {
			if _, ok := findFlag(name); !ok {
				t.Errorf("%s has --%s, which is no flag", v.name, name)
			}
		}
		if set := v.flagSet(&options{}); len(flagNames(set)) != len(v.flags) {
			t.Errorf("%s: %v are bound, of %v", v.name, flagNames(set), v.flags)
		}
	}
}

// The variables that the command reads are those of the table, and help has them all.
func TestEnvTable(t *testing.T) {
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	read := map[string]bool{}
	for _, path := range sources {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		for _, word := range []string{"getenv(\"", "os.Getenv(", "os.LookupEnv(", "os.Environ("} {
			if strings.Contains(string(b), word) {
				t.Errorf("%s: a variable is read by %s, past the table", path, word)
			}
		}
	}
	c := newCall(newFake(t, oneJob().answers).path)
	ask := c.env.getenv
	c.env.getenv = func(name string) string {
		read[name] = true
		return ask(name)
	}
	c.env.euid = 0
	c.env.terminal = func(io.Writer) bool { return true }
	c.run("restart", jobLabel)
	c.run("start", "none")
	c.run("status")
	page := environmentText()
	for _, row := range envTable() {
		wantContains(t, page, row.name)
		ofProbe := slices.Contains([]string{envUserHome, envUser, envLogName, envSudoUser}, row.name) // its tests have these
		if !read[row.name] && row.name != envSSHTTY && !ofProbe {
			t.Errorf("%s is never read", row.name)
		}
		delete(read, row.name)
	}
	for name := range read {
		t.Errorf("%s is read, and not in the table", name)
	}
}

// Whatever word is mistyped, by two letters that changed places, the right one is named.
func TestNearestOfAll(t *testing.T) {
	var ctl, flags []string
	for _, v := range ctlVerbs() {
		ctl = append(ctl, v.name)
	}
	for _, r := range flagTable() {
		flags = append(flags, r.name)
	}
	for _, test := range []struct {
		words []string
		args  func(word string) []string
		says  string
	}{
		{verbNames(), func(w string) []string { return []string{w} }, "Did you mean %?"},
		{slices.Concat(verbNames(), topicNames()), func(w string) []string { return []string{"help", w} }, "Did you mean %?"},
		{ctl, func(w string) []string { return []string{"ctl", w} }, "did you mean %?"},
		{waitWords(), func(w string) []string { return []string{"restart", "--wait", w, "x"} }, "Did you mean %?"},
		{shellNames, func(w string) []string { return []string{"completion", w} }, "Did you mean %?"},
	} {
		for _, word := range test.words {
			mistyped := swapped(word)
			if slices.Contains(test.words, mistyped) || mistyped == word {
				continue
			}
			c := newCall("")
			if code := c.run(test.args(mistyped)...); code == 0 {
				t.Errorf("%q: exit code %d", test.args(mistyped), code)
			}
			wantContains(t, c.stderr.String(), strings.ReplaceAll(test.says, "%", word))
		}
	}
	for _, v := range verbs() {
		for _, name := range v.flags {
			mistyped := swapped(name)
			if slices.Contains(flags, mistyped) || mistyped == name {
				continue
			}
			c := newCall("")
			c.run(v.name, "--"+mistyped)
			wantContains(t, c.stderr.String(), "unknown flag --"+mistyped, "Did you mean --"+name+"?", "hermes-gw help "+v.name)
		}
	}
	// A flag of another verb is not taken for a mistyped one.
	c := newCall("")
	c.run("status", "--all")
	wantContains(t, c.oneLine(t), "only restart has it")
}

// swapped is a word whose second and third letter, or the only two, have changed places.
func swapped(w string) string {
	if len(w) < 3 {
		return w[1:] + w[:1]
	}
	return w[:1] + w[2:3] + w[1:2] + w[3:]
}

// The overview teaches: its examples are lines that parse, and it fits a window.
func TestOverview(t *testing.T) {
	for _, e := range overviewExamples {
		args := strings.Fields(e.line)[1:]
		v, err := findVerb(args[0])
		if err != nil {
			t.Errorf("%s: %v", e.line, err)
			continue
		}
		set := v.flagSet(&options{})
		if err := parse(set, args[1:], ""); err != nil {
			t.Errorf("%s: %v", e.line, err)
		} else if err := v.checkArgs(set.Args()); err != nil {
			t.Errorf("%s: %v", e.line, err)
		}
	}
	text := overview()
	if i, j := strings.Index(text, "Examples:"), strings.Index(text, "Verbs"); i < 0 || j < i {
		t.Error("examples come first")
	}
	pages := []string{text}
	for _, topic := range topics() {
		pages = append(pages, topic.helpPage())
	}
	for _, page := range pages {
		for line := range strings.Lines(page) {
			if len(line) > 112 {
				t.Errorf("%d columns: %s", len(line), line)
			}
		}
	}
}
