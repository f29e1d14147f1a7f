package xpc

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// A program that embeds this package starts no processes on any system, and is
// static where there is no libxpc: purego would link it with the C library.
func TestDependencies(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip(err)
	}
	const purego = "github.com/ebitengine/purego"
	for system, want := range map[string]bool{"linux": false, "darwin": true} {
		list := exec.CommandContext(t.Context(), "go", "list", "-deps", ".")
		list.Env = append(os.Environ(), "GOOS="+system, "GOARCH=amd64", "CGO_ENABLED=0")
		out, err := list.Output()
		if err != nil {
			t.Fatal(err)
		}
		deps := strings.Fields(string(out))
		if slices.Contains(deps, "os/exec") {
			t.Errorf("on %s, os/exec is linked", system)
		}
		if got := slices.Contains(deps, purego); got != want {
			t.Errorf("on %s, purego is linked: %v", system, got)
		}
	}
}
