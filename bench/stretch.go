package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// part is what the process of one stretch tells of it.
type part struct {
	Subject subject
	Groups  []group
	Samples map[string][]sample // by the method's name
	Error   string              // "": none
	Usage   bool                // Error is one of the command line
	Left    bool                // Error says what could not be cleaned up
}

// leftovers say what could not be cleaned up.
type leftovers struct{ error }

func (l leftovers) Unwrap() error { return l.error }

// fail keeps what err says.
func (p *part) fail(err error) {
	if err != nil {
		p.Error = err.Error()
		_, p.Usage = errors.AsType[usageError](err)
		_, p.Left = errors.AsType[leftovers](err)
	}
}

// err is what fail was given, for the parent.
func (p *part) err() error {
	switch {
	case p.Left:
		return leftovers{errors.New(p.Error)}
	case p.Usage:
		return usageError{errors.New(p.Error)}
	case p.Error != "":
		return errors.New(p.Error)
	}
	return nil
}

// measureApart measures one stretch in a process and a world of its own: how a process happens
// to lie in memory makes it faster or slower for as long as it lives, and with one client and one
// launchd a run would have figures that the next run does not have.
func (o options) measureApart(ctx context.Context, bin string, rounds int) (p part, err error) {
	c, err := start(filepath.Join(bin, "bench"), append([]string{roleStretch, bin, strconv.Itoa(rounds)}, o.args...)...)
	if err != nil {
		return p, err
	}
	// Which tells it to clean up.
	stop := context.AfterFunc(ctx, func() { c.stdin.Close() })
	defer stop()
	err = json.NewDecoder(c.stdout).Decode(&p)
	if err = errors.Join(err, c.stop()); err != nil {
		return p, fmt.Errorf("the process of a stretch: %w", err)
	}
	return p, p.err()
}

// serveStretch is the process of a stretch. It was given the options of the command line.
func serveStretch(bin, rounds string, args []string) error {
	n, err := strconv.Atoi(rounds)
	if err != nil {
		return err
	}
	o, err := parse(args, os.Stderr)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	fmt.Println("ready")
	go func() {
		untilAlone()
		cancel(interruption{syscall.SIGTERM})
	}()
	var p part
	p.fail(o.measureHere(ctx, bin, n, &p))
	return json.NewEncoder(os.Stdout).Encode(p)
}

// measureHere measures a stretch in a world that is gone when it returns.
func (o options) measureHere(ctx context.Context, bin string, rounds int, p *part) (err error) {
	w, err := newWorld(ctx, o.setup, bin)
	defer func() {
		if closing := w.close(ctx); closing != nil {
			err = errors.Join(err, leftovers{fmt.Errorf("clean up: %w", closing)})
		}
	}()
	if err != nil {
		return err
	}
	p.Subject = w.subject(ctx)
	groups, err := w.groups()
	if err != nil {
		return err
	}
	if p.Groups, err = choose(groups, o.methods); err != nil {
		return usageError{err}
	}
	p.Samples, err = stretch(ctx, p.Groups, rounds)
	return err
}
