package proc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
)

// Process is a process that is held on to: what it waits for and signals is that
// one, whoever gets the pid later. Its methods may be called concurrently. Close
// it when done.
type Process struct {
	id Identity
	h  *handle

	mu       sync.Mutex
	watching bool
	closed   bool
	done     chan struct{} // closed when there is nothing more to wait for
	err      error         // set before done is closed; nil: the process has exited
}

// Open holds the process that has the pid now. The error wraps [ErrGone] when
// there is none or it is a zombie.
func Open(pid int) (*Process, error) {
	if err := checkPID(pid); err != nil {
		return nil, err
	}
	h, id, err := openHandle(pid)
	if err != nil {
		return nil, err
	}
	return &Process{id: id, h: h, done: make(chan struct{})}, nil
}

// OpenIdentity holds the process that id names. The error wraps [ErrGone] when it
// is gone, also if another process has its pid by now.
func OpenIdentity(id Identity) (*Process, error) {
	p, err := Open(id.PID)
	if err != nil {
		return nil, err
	}
	if p.id != id {
		p.Close()
		return nil, goneError(id.PID)
	}
	return p, nil
}

// Identity returns the identity of the process, also after it exited.
func (p *Process) Identity() Identity { return p.id }

// Wait returns nil once the process has exited, whether or not its parent has
// reaped it. It returns ctx's error if ctx ends first, os.ErrClosed (wrapped) if p
// is closed first, and an error that wraps errors.ErrUnsupported on a system that
// reports no exits (a Linux without pidfds).
func (p *Process) Wait(ctx context.Context) error {
	p.mu.Lock()
	if !p.watching && !p.closed {
		p.watching = true
		go p.watch()
	}
	p.mu.Unlock()
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
	}
	select {
	case <-p.done: // both are true, then the exit counts
		return p.err
	default:
		return ctx.Err()
	}
}

// watch is the one waiter of a process; Wait's callers wait for it, so each can
// give up on its own.
func (p *Process) watch() {
	if err := p.h.wait(); err != nil {
		p.err = fmt.Errorf("wait for process %d: %w", p.id.PID, err)
	}
	close(p.done)
}

// Signal sends sig to the process and to no other. The error wraps [ErrGone] when
// it has exited. Pids up to 1 are never signalled, nor is signal 0 sent.
//
// On a Linux without pidfds and on a macOS without proc_signal_with_audittoken,
// the identity is checked right before kill(2), which leaves a gap of microseconds.
func (p *Process) Signal(sig syscall.Signal) error { return p.SignalIf(sig, nil) }

// SignalIf is Signal if check, asked right before the signal, returns nil; otherwise it
// returns check's error, and nothing is sent. Where the signal is bound to the identity
// only by a look at it (a Linux without pidfds, a macOS without
// proc_signal_with_audittoken), check comes before that look: it can compare what a
// successor of the pid would have different, its arguments for instance.
func (p *Process) SignalIf(sig syscall.Signal, check func() error) error {
	p.mu.Lock()
	closed := p.closed
	p.mu.Unlock()
	var err error
	switch {
	case p.id.PID <= 1:
		return fmt.Errorf("process %d is never signalled", p.id.PID)
	case sig <= 0:
		return fmt.Errorf("%d is not a signal", int(sig))
	case closed:
		err = os.ErrClosed
	default:
		if check != nil {
			if err := check(); err != nil {
				return err
			}
		}
		err = p.h.signal(sig)
	}
	if errors.Is(err, ErrGone) {
		return goneError(p.id.PID)
	}
	if err != nil {
		return fmt.Errorf("send %s to process %d: %w", signalName(sig), p.id.PID, err)
	}
	return nil
}

// Close lets go of the process, which is not affected. Waits that have not
// returned do so now. A second Close returns os.ErrClosed.
func (p *Process) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return fmt.Errorf("process %d: %w", p.id.PID, os.ErrClosed)
	}
	p.closed = true
	watching := p.watching
	p.mu.Unlock()
	if watching {
		if err := p.h.interrupt(); err != nil {
			return fmt.Errorf("end the wait for process %d: %w", p.id.PID, err)
		}
		<-p.done
	} else {
		p.err = fmt.Errorf("wait for process %d: %w", p.id.PID, os.ErrClosed)
		close(p.done)
	}
	return p.h.release()
}
