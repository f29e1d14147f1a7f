package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	someNote = `{"version": 1, "id": "ABC", "path": "/x.plist", "step": "unload", "deadline_ns": 5}` + "\n"
	someID   = "0123456789abcdef"
	somePart = ".reload-0123abcd.hermes-gw-new-123"
	somePl   = `<?xml version="1.0" encoding="UTF-8"?>
<plist version="1.0"><dict><key>Label</key><string>x</string></dict></plist>
`
)

// Each kind of file is looked into, and half of one is found.
func TestLeftIn(t *testing.T) {
	for _, c := range []struct {
		name, whole, half string
		passes            bool
	}{
		{"reload-0123abcd.json", someNote, someNote[:40], true},
		{"reload-0123abcd." + someID + ".result.json", someNote, "", false},
		{"reload-0123abcd.plist", somePl, somePl[:len(somePl)-20], true},
		{"reload-0123abcd.saved.plist", somePl, "", true},
		{"reload-0123abcd.lock", someID, someID[:9], false},
		{"reload-0123abcd.log", "a line\n", "half a li", false},
		{"0123abcd.lock", `{"requests": []}` + "\nof the last one", `{"requests": [`, false},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, c.name)
		for _, half := range []bool{false, true} {
			text := c.whole
			if half {
				text = c.half
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			wrong, passing := leftIn(dir)
			if (len(wrong) == 1) != half || (len(passing) == 1) != c.passes {
				t.Errorf("%s with %q: %q is wrong, %q passes", c.name, text, wrong, passing)
			}
			if left := remains(dir); len(left) > 0 != (half || c.passes) {
				t.Errorf("%s with %q: %q", c.name, text, left)
			}
		}
	}
	for _, name := range []string{"reload-0123abcd.json.new", "reload-0123abcd.part", "x"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(someNote), 0o600); err != nil {
			t.Fatal(err)
		}
		if wrong, _ := leftIn(dir); len(wrong) != 1 || !strings.Contains(wrong[0], name) {
			t.Errorf("%s: %q", name, wrong)
		}
	}
	if wrong, passing := leftIn(filepath.Join(t.TempDir(), "none")); len(wrong)+len(passing) > 0 {
		t.Errorf("%q, %q", wrong, passing)
	}
}

// What somebody was writing may be there after a kill, and not after a whole run.
func TestRemains(t *testing.T) {
	state, agents := t.TempDir(), t.TempDir()
	for _, path := range []string{filepath.Join(state, somePart), filepath.Join(agents, "a.plist"), filepath.Join(agents, ".hermes-gw-new-1")} {
		if err := os.WriteFile(path, []byte("ha"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if wrong, passing := leftIn(state); len(wrong) > 0 || !slices.Equal(passing, []string{somePart}) {
		t.Errorf("%q, %q", wrong, passing)
	}
	want := []string{".hermes-gw-new-1 is left beside the property lists", somePart + " is left after a whole run"}
	if got := remains(state, agents); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
