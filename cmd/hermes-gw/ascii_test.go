package main

import (
	"strings"
	"testing"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
)

// Nothing but ASCII, and no escape sequence, is of this program's own making where the locale has
// only that, or where no colour is wanted; there is none anyway.
func TestPlainOutput(t *testing.T) {
	t.Parallel()
	f := fleet.New(t, fleet.Options{Profiles: []fleet.Profile{{Name: "work"}, {Name: "off", Unloaded: true}}})
	f.Manual("work", fleet.Python("work"))
	verbs := [][]string{{"ps", "--tree"}, {"ps"}, {"status"}, {"doctor"}, {"logs", "-p", "work"}, {"help"}, {"help", "restart"}, {"restart", "--all", "--dry-run"}, {"restart", "--all"}, {"ctl", "list"}, {"restart", "-p", "of"}}
	for _, env := range []string{"LC_ALL=C", "NO_COLOR=1", "TERM=dumb"} {
		for _, args := range verbs {
			cmd := f.Prepare(args...)
			cmd.Env = append(cmd.Env, "TERM=xterm", env)
			output, _ := f.Terminal(cmd).End()
			// Progress is moved by nothing but carriage returns, and launchctl's tables have tabs.
			if i := strings.IndexFunc(output, func(r rune) bool { return r != '\r' && r != '\n' && r != '\t' && (r < ' ' || r == 0x7f) }); i >= 0 {
				t.Errorf("%s, %q: %q", env, args, output[i:])
			}
			if i := strings.IndexFunc(output, func(r rune) bool { return r > 0x7f }); i >= 0 && env == "LC_ALL=C" {
				t.Errorf("%s, %q: %q", env, args, output[i:])
			}
		}
	}
	cmd := f.Prepare("ps", "--tree")
	if o := f.Run(cmd); !strings.Contains(o.Stdout, "└ ") || !strings.Contains(o.Stdout, "…") {
		t.Errorf("a locale with UTF-8 gets no tree of lines:\n%s", o.Stdout)
	}
}

func TestLocale(t *testing.T) {
	for env, want := range map[string]bool{
		"": false, "LANG=C.UTF-8": true, "LANG=de_DE.utf8": true, "LC_ALL=C LANG=de_DE.UTF-8": false,
		"LC_CTYPE=UTF-8": true, "LC_CTYPE=C LANG=C.UTF-8": false, "LC_ALL= LANG=C.UTF-8": true, "LANG=de_DE.ISO8859-1": false,
	} {
		e := environment{getenv: func(name string) string {
			for _, v := range strings.Fields(env) {
				if value, ok := strings.CutPrefix(v, name+"="); ok {
					return value
				}
			}
			return ""
		}}
		if got := e.unicode(); got != want {
			t.Errorf("%q: %v", env, got)
		}
	}
}
