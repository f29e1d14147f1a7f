package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Design rule 3: the command cannot start a process, because what that takes is not
// linked in. Held against the list of packages and the symbols of the binary. So there is no
// fallback to launchctl where launchd refuses something (trap 62).
func TestNoExec(t *testing.T) {
	t.Parallel()
	for _, system := range []string{"linux/amd64", "darwin/arm64"} {
		t.Run(system, func(t *testing.T) {
			t.Parallel()
			goos, goarch, _ := strings.Cut(system, "/")
			list := exec.Command("go", "list", "-deps", ".")
			list.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+goos, "GOARCH="+goarch)
			deps, err := list.Output()
			if err != nil {
				t.Fatal(err)
			}
			packages := strings.Fields(string(deps))
			seen := map[string]bool{}
			for _, p := range packages {
				seen[p] = true
			}
			if !seen["github.com/hermes-gw/hermes-gw/launchd"] || seen["os/exec"] {
				t.Errorf("the packages of the command: %v", packages)
			}
			out := filepath.Join(t.TempDir(), "hermes-gw")
			if err := goBuild(out, ".", goos, goarch); err != nil {
				t.Fatal(err)
			}
			symbols, err := exec.Command("go", "tool", "nm", out).Output()
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(symbols), " main.main\n") {
				t.Fatal("go tool nm shows no symbols")
			}
			for _, line := range strings.Split(string(symbols), "\n") {
				for _, forbidden := range []string{"os/exec.", "os.StartProcess", "os.startProcess", "syscall.StartProcess", "syscall.ForkExec", "syscall.forkExec", "syscall.Exec", "syscall.forkAndExecInChild"} {
					if strings.Contains(line, " "+forbidden) {
						t.Errorf("linked in: %s", line)
					}
				}
			}
		})
	}
}
