//go:build !darwin

package probe

import "runtime"

// osName is all there is to say where launchd is a model.
func osName() string { return runtime.GOOS }
