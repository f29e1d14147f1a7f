package main

import (
	"fmt"

	"github.com/hermes-gw/hermes-gw/internal/cgoless"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// bareXPC is the floor of libxpc: a request that was built before, sent from this thread, and
// a reply that is released unread.
type bareXPC struct {
	x       *cgoless.XPC
	send    func(routine uint64, msg uintptr) (reply uintptr, code int32)
	routine uint64
	msg     uintptr
	code    int32 // the answer
}

// newBareXPC makes the floor of one request, which holds only what the two requests that are
// measured need.
func newBareXPC(routine uint64, msg xpc.Dict) (floor, error) {
	x, err := cgoless.LoadXPC()
	if err != nil {
		return nil, err
	}
	b := &bareXPC{x: x, routine: routine, send: x.ServiceRoutine}
	if routine >= 800 {
		b.send = x.DomainRoutine
	}
	if b.send == nil {
		return nil, fmt.Errorf("this libxpc has no entry point for routine %d", routine)
	}
	b.msg = x.NewDict()
	for key, value := range msg {
		var v uintptr
		switch value := value.(type) {
		case uint64:
			v = x.NewUint64(value)
		case string:
			v = x.NewString(value)
		default:
			return nil, fmt.Errorf("%s is a %T", key, value)
		}
		x.Set(b.msg, key, v)
		x.Release(v)
	}
	reply, code := b.send(routine, b.msg)
	if reply != 0 {
		x.Release(reply)
	}
	b.code = code
	return b, nil
}

func (b *bareXPC) exchange() error {
	reply, code := b.send(b.routine, b.msg)
	if reply != 0 {
		b.x.Release(reply)
	}
	if code != b.code {
		return fmt.Errorf("routine %d: %w", b.routine, xpc.Errno(code))
	}
	return nil
}

func (b *bareXPC) Close() error {
	b.x.Release(b.msg)
	return nil
}
