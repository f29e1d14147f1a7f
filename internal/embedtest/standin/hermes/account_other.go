//go:build !linux

package main

import (
	"fmt"
	"os"
)

func runAsAccount(string, []string) int {
	fmt.Fprintln(os.Stderr, "hermes (a stand-in): another user database: only on Linux")
	return 126
}
