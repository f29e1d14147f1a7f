package xpc

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/hermes-gw/hermes-gw/internal/cgoless"
)

// Pipe carries requests to the launchd of this Mac, through libxpc.
// libxpc authenticates launchd. There is nothing to close.
type Pipe struct {
	x               *cgoless.XPC
	service, domain send
	port            uintptr // the pipe object behind send, or 0
}

// send carries one request object and returns the reply object, which the caller
// owns, and the error of libxpc or launchd.
type send func(routine uint64, msg uintptr) (reply uintptr, code int32)

// Bootstrap returns the connection to the launchd of this Mac. It is opened once;
// every call returns the same.
//
// The error wraps errors.ErrUnsupported on systems without libxpc, and on a macOS
// whose libxpc lacks an entry point; then it names the symbol.
func Bootstrap() (*Pipe, error) { return bootstrap() }

var bootstrap = sync.OnceValues(func() (*Pipe, error) {
	x, err := cgoless.LoadXPC()
	var p *Pipe
	if err == nil {
		p, err = newPipe(x, routinesFirst)
	}
	if err != nil {
		return nil, fmt.Errorf("xpc: cannot reach launchd through libxpc: %w (an embedded launchd can be used with unix:PATH)", err)
	}
	return p, nil
})

// choice is which of libxpc's entry points are used.
type choice bool

const (
	routinesFirst choice = false // _xpc_service_routine and _xpc_domain_routine, where they exist
	pipeOnly      choice = true  // as if they did not; tests use this
)

func newPipe(x *cgoless.XPC, c choice) (*Pipe, error) {
	p := &Pipe{x: x}
	if c == routinesFirst {
		p.service, p.domain = x.ServiceRoutine, x.DomainRoutine
	}
	if p.service != nil && p.domain != nil {
		return p, nil
	}
	if x.NewPipe == nil || x.PipeRoutine == nil {
		return nil, fmt.Errorf("it has neither _xpc_service_routine with _xpc_domain_routine nor xpc_pipe_create_from_port with _xpc_pipe_interface_routine: %w", errors.ErrUnsupported)
	}
	// Kept for the rest of the process, as libxpc keeps its own: whether releasing
	// a pipe gives up the bootstrap port, which is the whole process's, is not documented.
	if p.port = x.NewPipe(); p.port == 0 {
		return nil, errors.New("xpc_pipe_create_from_port made no pipe to the bootstrap port")
	}
	through := func(routine uint64, msg uintptr) (uintptr, int32) { return x.PipeRoutine(p.port, routine, msg) }
	if p.service == nil {
		p.service = through
	}
	if p.domain == nil {
		p.domain = through
	}
	return p, nil
}

// entry returns the way for a routine: launchd has one table for services (700
// on) and one for domains (800 on).
func (p *Pipe) entry(routine uint64) (send, error) {
	switch {
	case 700 <= routine && routine < 800:
		return p.service, nil
	case 800 <= routine && routine < 900:
		return p.domain, nil
	}
	return nil, fmt.Errorf("xpc: %d is neither a service routine (700 to 799) nor a domain routine (800 to 899)", routine)
}

// Call implements [Transport]. A request cannot be called back: when ctx ends
// before the answer, launchd goes on, one thread waits for its answer, and what
// comes is released.
func (p *Pipe) Call(ctx context.Context, routine uint64, msg Dict) (Dict, error) {
	send, err := p.entry(routine)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	shared, err := check(msg)
	if err != nil {
		return nil, err
	}
	if err := holdAll(shared); err != nil {
		return nil, err
	}
	request, verr := newObject(p.x, msg)
	if verr != nil {
		doneAll(shared)
		return nil, verr
	}

	type answer struct {
		reply Dict
		err   error
	}
	answered := make(chan answer, 1)
	go func() {
		reply, err := p.exchange(send, routine, request)
		doneAll(shared)
		answered <- answer{reply, err}
	}()
	select {
	case a := <-answered:
		return a.reply, a.err
	case <-ctx.Done():
	}
	select {
	case a := <-answered: // both came: the answer says more
		return a.reply, a.err
	default:
		return nil, &UnknownOutcome{Routine: routine, Err: ctx.Err()}
	}
}

// exchange sends the request, which it releases, and copies the answer.
func (p *Pipe) exchange(send send, routine uint64, request uintptr) (Dict, error) {
	reply, code := send(routine, request)
	p.x.Release(request)
	if reply != 0 {
		defer p.x.Release(reply)
	}
	switch {
	case code != 0:
		return nil, numbered(routine, Errno(code))
	case reply == 0 || p.x.Kind(reply) != cgoless.KindDictionary:
		return nil, &UnknownOutcome{Routine: routine, Err: BadResponse}
	}
	d, err := goDict(p.x, reply, 0)
	if err != nil {
		return nil, &UnknownOutcome{Routine: routine, Err: err}
	}
	if err := replyError(routine, d); err != nil {
		return nil, err
	}
	return d, nil
}
