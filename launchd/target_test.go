package launchd

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
)

func TestParseTarget(t *testing.T) {
	for _, c := range []struct {
		in   string
		want Target
	}{
		{"gui/501/ai.hermes.gateway", Target{GUI(501), "ai.hermes.gateway"}},
		{"user/0/x", Target{User(0), "x"}},
		{"system/com.example.daemon", Target{System(), "com.example.daemon"}},
		{"login/100017/a b", Target{Login(100017), "a b"}},
		{"session/1/é", Target{Session(1), "é"}},
		{"pid/1/x", Target{PID(1), "x"}},
		{"pid/2147483647/x", Target{PID(math.MaxInt32), "x"}},
		{"gui/4294967294/x", Target{GUI(4294967294), "x"}},
		{"system/501", Target{System(), "501"}}, // a label of digits
		{"gui/501/gui", Target{GUI(501), "gui"}},
	} {
		got, err := ParseTarget(c.in)
		if err != nil || got != c.want {
			t.Errorf("ParseTarget(%q) = %#v, %v; want %#v", c.in, got, err, c.want)
		}
		if got.String() != c.in {
			t.Errorf("ParseTarget(%q).String() = %q", c.in, got)
		}
	}
}

func TestParseTargetMalformed(t *testing.T) {
	for in, want := range map[string]string{
		"":                            "is empty",
		"ai.hermes.gateway":           "names no domain",
		"/":                           "is not a kind of domain",
		"/501/x":                      "is not a kind of domain",
		"GUI/501/x":                   "is not a kind of domain",
		"gui":                         "is missing",
		"gui/":                        "is missing",
		"gui//x":                      "is missing",
		"gui/501":                     "has no label",
		"gui/501/":                    "ends with a slash",
		"system":                      "has no label",
		"system/":                     "ends with a slash",
		"gui/501/a/b":                 "contains a slash",
		"gui/501/a/":                  "contains a slash",
		"gui/501//":                   "contains a slash",
		"system/a/b":                  "contains a slash",
		"gui/-1/x":                    "not a plain decimal",
		"gui/+501/x":                  "not a plain decimal",
		"gui/0501/x":                  "leading zero",
		"gui/00/x":                    "leading zero",
		"gui/ 501/x":                  "not a plain decimal",
		"gui/5_0/x":                   "not a plain decimal",
		"gui/0x1f/x":                  "not a plain decimal",
		"gui/٥/x":                     "not a plain decimal",
		"gui/4294967295/x":            "above 4294967294",
		"gui/18446744073709551617/x":  "above 4294967294",
		"pid/0/x":                     "below 1",
		"pid/2147483648/x":            "above 2147483647",
		"gui/501/a\x00b":              "control character",
		"gui/501/a\nb":                "control character",
		"gui/501/\x1b[31m":            "control character",
		"gui/501/a\u0085":             "control character",
		"gui/501/\xff":                "not valid UTF-8",
		"users/501/x":                 "is not a kind of domain",
		"gui/501/" + "\x7f":           "control character",
		"com.apple.thing/with/slash":  "is not a kind of domain",
		"gui/99999999999999999999/xx": "above",
	} {
		got, err := ParseTarget(in)
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || got != (Target{}) {
			t.Errorf("ParseTarget(%q) = %v, %v", in, got, err)
			continue
		}
		text := err.Error()
		if !strings.Contains(text, want) || !strings.Contains(text, "expected something like ") || strings.ContainsAny(text, "\x00\n\x1b\x7f") {
			t.Errorf("ParseTarget(%q): %s; want it to say %q, with an example", in, text, want)
		}
		if _, err := ParseTarget(syntax.Example); err != nil {
			t.Errorf("the example for %q does not parse: %v", in, err)
		}
	}
}

func TestParseDomain(t *testing.T) {
	for _, in := range []string{"system", "gui/501", "user/0", "login/7", "session/7", "pid/1"} {
		d, err := ParseDomainTarget(in)
		if err != nil || d.String() != in || d.IsZero() {
			t.Errorf("ParseDomainTarget(%q) = %v, %v", in, d, err)
		}
	}
	for in, want := range map[string]string{
		"": "is empty", "system/": "ends with a slash", "gui/501/": "ends with a slash", "gui/501/x": "more than a domain",
		"system/x": "more than a domain", "gui": "is missing", "gui/01": "leading zero", "invalid domain": "names no domain",
	} {
		d, err := ParseDomainTarget(in)
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || !d.IsZero() || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseDomainTarget(%q) = %v, %v; want it to say %q", in, d, err, want)
			continue
		}
		if _, err := ParseDomainTarget(syntax.Example); err != nil {
			t.Errorf("the example for %q does not parse: %v", in, err)
		}
	}
}

func TestDomainOutOfRange(t *testing.T) {
	for _, d := range []Domain{GUI(-1), User(math.MinInt), Login(1<<32 - 1), Session(-2), PID(0), PID(1 << 31)} {
		if !d.IsZero() {
			t.Errorf("%v is not the zero Domain", d)
		}
	}
}

// Numbers of launchd-protocol.md section 3.
func TestDomainOnTheWire(t *testing.T) {
	for d, want := range map[Domain][2]uint64{
		System(): {1, 0}, User(501): {2, 501}, Login(9): {3, 9}, Session(9): {4, 9}, PID(77): {5, 77}, GUI(501): {8, 501},
	} {
		got := d.dict()
		kind, ok := got.Uint64("type")
		handle, ok2 := got.Uint64("handle")
		if !ok || !ok2 || len(got) != 2 || kind != want[0] || handle != want[1] {
			t.Errorf("%v: %v", d, got)
		}
	}
}

func TestTargetText(t *testing.T) {
	type doc struct {
		D Domain
		T Target
	}
	in := doc{User(7), Target{System(), `a"b`}}
	text, err := json.Marshal(in)
	if err != nil || string(text) != `{"D":"user/7","T":"system/a\"b"}` {
		t.Fatalf("%s, %v", text, err)
	}
	var out doc
	if err := json.Unmarshal(text, &out); err != nil || out != in {
		t.Errorf("%+v, %v", out, err)
	}
	for _, bad := range []any{Domain{}, Target{}, Target{Domain: GUI(1)}, Target{GUI(1), "a/b"}} {
		if text, err := json.Marshal(bad); err == nil {
			t.Errorf("%#v was written as %s", bad, text)
		}
	}
	before := out
	if err := json.Unmarshal([]byte(`{"T":"gui/x/y"}`), &out); err == nil || out != before {
		t.Errorf("%+v, %v", out, err)
	}
}

func FuzzParseTarget(f *testing.F) {
	for _, s := range []string{"gui/501/ai.hermes.gateway", "system/x", "pid/1/x", "gui/0501/x", "user//", "gui/501/a/b", "gui/4294967295/x", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		target, err := ParseTarget(s)
		if err == nil {
			if target.String() != s {
				t.Errorf("%q printed as %q", s, target)
			}
			again, err := ParseTarget(target.String())
			if err != nil || again != target {
				t.Errorf("%q parsed again as %v, %v", s, again, err)
			}
			if d, err := ParseDomainTarget(strings.TrimSuffix(s, "/"+target.Label)); err != nil || d != target.Domain {
				t.Errorf("domain of %q: %v, %v", s, d, err)
			}
		}
		if _, err := ParseDomainTarget(s); err == nil && target != (Target{}) {
			t.Errorf("%q is a domain and a target", s)
		}
	})
}
