package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/demo/watch"
)

// state is what the demo reads of gateway_state.json.
type state struct {
	PID       int       `json:"pid"`
	Kind      string    `json:"kind"`
	Argv      []string  `json:"argv"`
	Home      string    `json:"hermes_home"`
	State     string    `json:"gateway_state"` // always "running": as after a kill of Hermes, nobody takes it back
	UpdatedAt time.Time `json:"updated_at"`
}

// gateway runs until a signal ends it, or until the demo that watches it is gone.
// An empty socket means that nobody watches.
func gateway(home, socket string) int {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGUSR1)

	if err := writeState(home); err != nil {
		fmt.Fprintln(os.Stderr, "hermes gateway:", err)
		return exitConfig
	}
	fmt.Println("gateway", os.Getpid(), "running for", home)
	stopping, lost := func() {}, (<-chan struct{})(nil)
	if socket != "" {
		member, err := watch.Join(socket, os.Getpid(), home)
		if err != nil {
			fmt.Fprintln(os.Stderr, "hermes gateway: the demo is gone:", err)
			return exitStopped
		}
		stopping, lost = member.Stopping, member.Lost()
	}

	code := exitStopped
	select {
	case s := <-signals:
		fmt.Println("gateway", os.Getpid(), "got", s)
		switch s {
		case syscall.SIGTERM:
			code = exitSignalled
		case syscall.SIGUSR1:
			code = exitRestart
		}
		stopping()
	case <-lost:
	}
	return code
}

// writeState replaces the state file as a whole, so that no reader sees half.
func writeState(home string) error {
	if home == "" {
		return fmt.Errorf("HERMES_HOME is not set")
	}
	data, err := json.Marshal(state{
		PID: os.Getpid(), Kind: "hermes-gateway", Argv: os.Args, Home: home, State: "running", UpdatedAt: time.Now().UTC(),
	})
	if err != nil {
		return err
	}
	path := filepath.Join(home, "gateway_state.json")
	temp := fmt.Sprintf("%s.%d", path, os.Getpid())
	if err := os.WriteFile(temp, data, 0o600); err != nil {
		return err
	}
	return os.Rename(temp, path)
}
