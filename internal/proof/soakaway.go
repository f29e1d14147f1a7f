package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
)

// soakAway has a process of its own do the soak, which holds nothing else.
func soakAway(ctx context.Context, f *fleet.Fleet, count int) (first, last footprint, err error) {
	self, err := os.Executable()
	if err != nil {
		return first, last, err
	}
	cmd := exec.CommandContext(ctx, self, roleSoak, f.Address(), f.Gateways()[0].Target.String(), fmt.Sprint(count))
	return footprintsTo(cmd, &strings.Builder{})
}

// footprintsTo runs a soak and reads what it prints; what it says to stderr goes to text.
func footprintsTo(cmd *exec.Cmd, text *strings.Builder) (first, last footprint, err error) {
	cmd.Stderr = text
	out, err := cmd.Output()
	if err != nil {
		return first, last, fmt.Errorf("%w: %s", err, tail([]byte(text.String())))
	}
	_, err = fmt.Sscan(string(out), &first.descriptors, &first.goroutines, &first.threads, &first.heap,
		&last.descriptors, &last.goroutines, &last.threads, &last.heap)
	return first, last, err
}
