//go:build !linux

package fleet

import "os/exec"

// asAccount skips the test: only Linux has mount namespaces.
func (f *Fleet) asAccount(*exec.Cmd) {
	f.t.Helper()
	f.t.Skip("this system lets no test give a command another user database")
}
