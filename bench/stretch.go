package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

// order is what the process of one stretch is told to do.
type order struct {
	Bin       string // where build made the programs
	Live      bool
	Launchctl string
	Methods   []string
	Rounds    int
}

// part is what that process tells of its stretch.
type part struct {
	Subject subject
	Groups  []group
	Samples map[string][]sample // by the method's name
	Error   string              // "": none
	Usage   bool                // Error is one of the command line
	Left    string              // what could not be cleaned up
}

// leftovers say what could not be cleaned up.
type leftovers struct{ error }

func (l leftovers) Unwrap() error { return l.error }

// err is what went wrong in the stretch, as if it had been here.
func (p part) err() (err error) {
	if p.Error != "" {
		err = errors.New(p.Error)
	}
	if p.Usage {
		err = usageError{err}
	}
	if p.Left != "" {
		err = errors.Join(err, leftovers{errors.New(p.Left)})
	}
	return err
}

// apart measures one stretch in a process and a world of its own: how a process happens
// to lie in memory makes it faster or slower for as long as it lives, and with one client and one
// launchd a run would have figures that the next run does not have.
func (o order) apart(ctx context.Context) (p part, err error) {
	words, err := json.Marshal(o)
	if err != nil {
		return p, err
	}
	c, err := start(filepath.Join(o.Bin, "bench"), roleStretch, string(words))
	if err != nil {
		return p, err
	}
	// Which tells it to clean up.
	stop := context.AfterFunc(ctx, func() { c.stdin.Close() })
	defer stop()
	err = json.NewDecoder(c.stdout).Decode(&p)
	c.stdin.Close()
	io.Copy(io.Discard, c.stdout) // or it might wait for a reader, and stop for it
	if err = errors.Join(err, c.stop()); err != nil {
		return p, leftovers{fmt.Errorf("the process of a stretch ended without a word, and with --live may have left its job, which the next run removes: %w", err)}
	}
	return p, p.err()
}

// serveStretch is the process of a stretch.
func serveStretch(words string) error {
	var o order
	if err := json.Unmarshal([]byte(words), &o); err != nil {
		return err
	}
	// A parent that has gone away is an error of the write.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	ctx, cancel := context.WithCancelCause(context.Background())
	fmt.Println("ready")
	go func() {
		untilAlone()
		cancel(interruption{syscall.SIGTERM})
	}()
	p := o.here(ctx)
	if err := json.NewEncoder(os.Stdout).Encode(p); err != nil {
		return errors.Join(p.err(), err)
	}
	return nil
}

// here measures a stretch in a world that is gone when it returns.
func (o order) here(ctx context.Context) (p part) {
	w, err := newWorld(ctx, setup{o.Live, o.Launchctl}, o.Bin)
	if err == nil {
		err = w.part(ctx, o, &p)
	}
	if err != nil {
		p.Error = err.Error()
		_, p.Usage = errors.AsType[usageError](err)
	}
	if err := w.close(ctx); err != nil {
		p.Left = "clean up: " + err.Error()
	}
	return p
}

func (w *world) part(ctx context.Context, o order, p *part) error {
	p.Subject = w.subject(ctx)
	groups, err := w.groups()
	if err != nil {
		return err
	}
	if p.Groups, err = choose(groups, o.Methods); err != nil {
		return usageError{err}
	}
	p.Samples, err = stretch(ctx, p.Groups, o.Rounds)
	return err
}
