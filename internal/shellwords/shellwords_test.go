package shellwords

import (
	"os/exec"
	"strings"
	"testing"
)

// A shell makes of it the words that went in.
func TestJoin(t *testing.T) {
	words := []string{"plain", "", "a b", "it's", "$(touch x)", "`x`", "a;b", "\n", "é", "~", "#", "*", "\\", "'", "''", `"`, "!1", "-n"}
	line := Join(append([]string{"printf", `%s\0`}, words...)...)
	out, err := exec.Command("/bin/sh", "-c", line).Output()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(out), strings.Join(words, "\x00")+"\x00"; got != want {
		t.Errorf("%s:\n%q, want\n%q", line, got, want)
	}
	if got := Join("hermes-gw", "start", "gui/501/ai.hermes.gateway-work"); got != "hermes-gw start gui/501/ai.hermes.gateway-work" {
		t.Errorf("a plain command is quoted: %s", got)
	}
}
