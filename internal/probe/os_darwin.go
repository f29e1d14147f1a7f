package probe

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// osName is the version and the build of this macOS.
func osName() string {
	version, err := unix.Sysctl("kern.osproductversion")
	if err != nil {
		version = "?"
	}
	build, err := unix.Sysctl("kern.osversion")
	if err != nil {
		build = "?"
	}
	return fmt.Sprintf("macOS %s (%s)", version, build)
}
