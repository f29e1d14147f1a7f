package probe

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hermes-gw/hermes-gw/xpc"
)

func TestRedactor(t *testing.T) {
	r := newRedactor([]Secret{{"joe", "USER"}, {"/Users/joe", "~"}, {"", "nothing"}, {"gui/501", "gui/UID"}})
	for in, want := range map[string]string{
		"/Users/joe/x joe":    "~/x USER",
		"/Users/joey/x":       "/Users/joey/x",
		"joe_old, _joe, joes": "USER_old, _USER, joes",
		"gui/501/a gui/5010":  "gui/UID/a gui/5010",
		"joejoe joe":          "joejoe USER",
		"":                    "",
	} {
		if got := r.in(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestWithoutEnvironment(t *testing.T) {
	in := "gui/501/a = {\n\tstate = running\n\tinherited environment = {\n\t\tTOKEN => secret\n\t\tKEY => one\ntwo => three\n\t\t\tdeep => four\n\t\todd name => five\n\n\t}\n\n\tenvironment = {\n\t}\n\tpid = 5\n}"
	want := "gui/501/a = {\n\tstate = running\n\tinherited environment = {\n\t\tTOKEN => (not shown)\n\t\tKEY => (not shown)\n(not shown)\n\t\t\t(not shown)\n\t\t(not shown)\n\n\t}\n\n\tenvironment = {\n\t}\n\tpid = 5\n}"
	if got := withoutEnvironment(in); got != want {
		t.Errorf("%s", got)
	}
}

func TestUnknownNames(t *testing.T) {
	fields, properties := unknownNames("gui/501/a = {\n\tstate = running\n\tnovelty = 1\n\tblock = {\n\t\tinside = 2\n\t}\n\tproperties = keepalive | shiny | runatload\n}")
	if !slices.Equal(fields, []string{"novelty", "block"}) || !slices.Equal(properties, []string{"shiny"}) {
		t.Errorf("%q, %q", fields, properties)
	}
	// What the captures have is known.
	files, err := filepath.Glob("../../launchd/testdata/print/*")
	if err != nil || len(files) == 0 {
		t.Fatal("no samples: ", err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(b), "\tspawn type = ") { // of a job, not of a domain
			continue
		}
		if fields, properties := unknownNames(string(b)); len(fields)+len(properties) > 0 {
			t.Errorf("%s: %q, %q", file, fields, properties)
		}
	}
}

// Nothing that comes from elsewhere is markup, or reaches the terminal.
func TestMarkdown(t *testing.T) {
	code := int32(144)
	r := &Report{
		System: System{OS: "macOS 26.4 (25E1)", Launchd: "launchd <b>\x1b[31m"},
		Left:   []string{labelPrefix + "0123abcd"},
		Questions: []*Answer{
			{ID: "one", Question: "One?", Status: Answered, Verdict: "Yes.\n# no", Raw: []Raw{{Asked: "kickstart", Routine: 702, Code: &code, Words: xpc.NotEntitled.Error(), Took: 1.25}}, Text: "a\n```\n\x1b]0;x\x07b"},
			{ID: "two", Question: "Two?", Status: NotAsked, Verdict: "For want of *it*."},
		},
	}
	want := "# hermes-gw probe\n\n- system: macOS 26.4 (25E1), \n- launchd: launchd \\<b\\>\\x1b\\[31m\n- hermes-gw: , \n- through: \n- caller: \n- throwaway jobs in: \n" +
		"- took: 0.0 s\n- undone: NOT everything: hermes-gw.probe.0123abcd; run hermes-gw probe again, which removes it\n" +
		"\n## 1. One?\n\none: Yes.\\n\\# no\n\n- kickstart (702): 144 Requestor lacks required entitlement; after 1.2 ms\n" +
		"\n````\na\n```\n\\x1b]0;x\\ab\n````\n" +
		"\n## 2. Two?\n\ntwo: NOT ASKED. For want of \\*it\\*.\n"
	if got := r.Markdown(); got != want {
		t.Errorf("%s\n%q", got, got)
	}
}

func TestRender(t *testing.T) {
	got := render(xpc.Dict{"b": true, "a": xpc.Dict{"n": int64(-1)}, "m": xpc.Right("mach send"), "l": []any{"x\n", uint64(2)}, "d": []byte{1, 2}, "z": nil})
	want := `a = {n = -1 (int64)}, b = true (bool), d = (data, 2 bytes), l = ["x\n", 2 (uint64)], m = (mach send), z = null`
	if got != want {
		t.Errorf("%s", got)
	}
}
