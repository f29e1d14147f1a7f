package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	hermesgw "github.com/hermes-gw/hermes-gw"
	"github.com/hermes-gw/hermes-gw/internal/embedtest/standin"
	"github.com/hermes-gw/hermes-gw/internal/proc"
)

// socketName is where the gateway takes requests, in its home.
const socketName = "selfrestart.sock"

// gateway runs until it is told to end. Before it does, it waits for what it has begun: a restart
// of itself that waited for its own exit would wait until launchd kills it.
func gateway() (code int, err error) {
	home := os.Getenv("HERMES_HOME")
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGUSR1)
	path := filepath.Join(home, socketName)
	os.Remove(path) // the last gateway's
	listener, err := net.Listen("unix", path)
	if err != nil {
		return 1, err
	}
	if err := says(home, "running"); err != nil {
		return 1, err
	}
	var begun sync.WaitGroup
	begun.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			begun.Go(func() {
				defer c.Close()
				if err := serve(c); err != nil {
					fmt.Fprintln(os.Stderr, "hermes gateway:", err)
				}
			})
		}
	})
	code = standin.ExitSignalled
	if <-signals == syscall.SIGUSR1 {
		code = standin.ExitRestart
	}
	listener.Close()
	begun.Wait()
	return code, says(home, "stopped")
}

// request is a line that asks the gateway to restart itself.
type request struct {
	Graceful bool `json:"graceful"`
}

// returned is the last line that the asker gets.
type returned struct {
	Report *hermesgw.Report `json:"report,omitempty"`
	Err    string           `json:"error,omitempty"`
}

// serve restarts this gateway on a request. The first line that the asker gets is the report, and
// launchd is not asked before the asker has taken it, with a line of its own. The second line says
// that Restart has returned, if it does before this process ends.
func serve(c net.Conn) error {
	lines := bufio.NewReader(c)
	line, err := lines.ReadBytes('\n')
	if err != nil {
		return err
	}
	var asked request
	if err := json.Unmarshal(line, &asked); err != nil {
		return err
	}
	ctx := context.Background()
	h, client, err := installation(ctx, "hermes gateway run")
	if err != nil {
		return err
	}
	defer client.Close()
	report, err := h.Restart(ctx, hermesgw.RestartOptions{
		Graceful: asked.Graceful,
		Wait:     hermesgw.WaitReady,
		Sending: func(r hermesgw.Report) {
			if json.NewEncoder(c).Encode(r) == nil {
				lines.ReadBytes('\n')
			}
		},
	})
	if err != nil {
		return json.NewEncoder(c).Encode(returned{Err: err.Error()})
	}
	return json.NewEncoder(c).Encode(returned{Report: &report})
}

// says writes the state file, as the gateway of Hermes does.
func says(home, state string) error {
	self := proc.Self()
	text, err := json.Marshal(struct {
		standin.Record
		State     string    `json:"gateway_state"`
		UpdatedAt time.Time `json:"updated_at"`
	}{
		standin.Record{PID: self.PID, Kind: "hermes-gateway", Argv: os.Args, Start: (self.Start + 5_000) / 10_000, Home: home},
		state, time.Now().UTC(),
	})
	if err != nil {
		return err
	}
	path := filepath.Join(home, standin.FileState)
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
