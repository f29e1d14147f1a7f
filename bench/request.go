package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// The requests that are measured, launchd-protocol.md section 2.
const (
	routinePrintService = 708
	routineList         = 815
)

// message is the request about the job that a routine is sent with: of 815 the caller's own
// domain, the only one that it takes; of 708 the job's, without memory to write to, which makes
// it the question whether the job is loaded.
func (w *world) message(routine uint64) (xpc.Dict, error) {
	name := w.job.Target.Label
	if routine == routineList {
		return xpc.Dict{"type": uint64(7), "handle": uint64(0), "name": name}, nil
	}
	for kind, d := range map[uint64]launchd.Domain{1: launchd.System(), 2: launchd.User(w.uid()), 8: launchd.GUI(w.uid())} {
		if d == w.job.Target.Domain {
			handle := uint64(w.uid())
			if kind == 1 {
				handle = 0
			}
			return xpc.Dict{"type": kind, "handle": handle, "name": name}, nil
		}
	}
	return nil, fmt.Errorf("the throwaway job is in %s", w.job.Target.Domain)
}

// newFloor makes the floor of one request.
func (w *world) newFloor(routine uint64) (f floor, err error) {
	msg, err := w.message(routine)
	if err != nil {
		return nil, err
	}
	if w.live {
		f, err = newBareXPC(routine, msg)
	} else {
		f, err = newPingPong(w.socket, filepath.Join(w.dir, "echo"), routine, msg)
	}
	if err != nil {
		return nil, fmt.Errorf("the floor of routine %d: %w", routine, err)
	}
	w.floors = append(w.floors, f)
	return f, nil
}

// requestBurst is how many requests there are to one pair.
const requestBurst = 25

// timed measures a call that tells nothing but how long it took.
func timed(call func(context.Context) error) func(context.Context) (sample, error) {
	return func(ctx context.Context) (sample, error) {
		start := time.Now()
		err := call(ctx)
		return sample{total: float64(time.Since(start))}, err
	}
}

// list asks for one job in the domain of the caller. A caller whose domain has not got it
// (over ssh) is told so, which costs about as much.
func (w *world) list(ctx context.Context) error {
	_, err := w.client.ListOwnJob(ctx, w.job.Target.Label)
	if w.live && (errors.Is(err, launchd.ErrNotLoaded) || errors.Is(err, launchd.ErrNoDomain)) {
		err = nil
	}
	return err
}

// probe asks whether the job is loaded.
func (w *world) probe(ctx context.Context) error {
	t, err := w.client.Find(ctx, w.job.Target.Label, w.uid())
	if err == nil && t != w.job.Target {
		err = fmt.Errorf("the job was found in %s", t.Domain)
	}
	return err
}

// requests are one request in several ways.
func (w *world) requests(name, what, call string, routine uint64, ask func(context.Context) error) (group, error) {
	f, err := w.newFloor(routine)
	return group{
		Name: name, Reference: "floor", burst: requestBurst, What: what,
		Methods: []method{
			{"xpc", call + " of this module", timed(ask)},
			{"floor", w.floorWhat(), timed(func(context.Context) error { return f.exchange() })},
		},
	}, err
}

func (w *world) lists() (group, error) {
	return w.requests("Request/list", "one job is listed (routine 815) by a client that is connected", "Client.ListOwnJob", routineList, w.list)
}

func (w *world) probes() (group, error) {
	return w.requests("Request/print-probe", "is the job loaded? (routine 708 without memory)", "Client.Find", routinePrintService, w.probe)
}

func (w *world) floorWhat() string {
	if w.live {
		return "the same request, built before, given to libxpc; the reply is not read"
	}
	return "frames of the same sizes to and from a process that only reads and writes"
}

// commands are whole programs that ask for one job.
func (w *world) commands() group {
	run := func(name string, args ...string) func(context.Context) (sample, error) {
		return func(ctx context.Context) (sample, error) {
			start := time.Now()
			r, err := w.program(ctx, true, name, args...)
			return sample{total: float64(time.Since(start)), clientCPU: float64(r.cpu)}, w.listed(r, err)
		}
	}
	label := w.job.Target.Label
	return group{
		Name: "CLI", Reference: "xpc", burst: 2,
		What: "one job is listed, by a program that is run for it",
		Methods: []method{
			{"xpc", "no program: Client.ListOwnJob of this module", timed(w.list)},
			{"launchctl", "launchctl list LABEL", run(w.launchctl, "list", label)},
			{"hermes-gw", "hermes-gw ctl list LABEL", run(w.hermes, "ctl", "list", label)},
		},
	}
}

// listed refuses an answer other than that there is the job.
func (w *world) listed(r ran, err error) error {
	if err == nil && r.code != 0 && !w.live {
		return fmt.Errorf("list: exit code %d", r.code)
	}
	return err
}
