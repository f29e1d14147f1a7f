package cgoless

import (
	"sync"
	"sync/atomic"

	"github.com/ebitengine/purego"
)

// visits holds the Go side of each walk that is under way, by the number that C
// carries for it as the context.
var (
	visits    sync.Map // uintptr -> *visit
	lastVisit atomic.Uintptr
)

type visit struct {
	fn       func(first, value uintptr)
	panicked any
}

// callback is the C function of every walk. There is one for the process because
// purego can make 2000 and never frees one. Both xpc_dictionary_apply_f and
// xpc_array_apply_f call it with three words of pointer size: the key or the
// index, the object, the context.
var callback = sync.OnceValue(func() uintptr {
	// libxpc's visitors are void by every source; if one were a bool after all, as in
	// the forms that take blocks, true goes on.
	const goOn = 1
	return purego.NewCallback(func(first, value, context uintptr) uintptr {
		state, ok := visits.Load(context)
		if !ok {
			return goOn
		}
		v := state.(*visit)
		if v.panicked != nil {
			return goOn // a void visitor cannot stop
		}
		// A panic that reaches C ends the process without a trace of its origin.
		defer func() { v.panicked = recover() }()
		v.fn(first, value)
		return goOn
	})
})

// walk runs one of libxpc's apply functions over object. A panic of fn is raised
// again on this side of C, once C has returned.
func walk(object uintptr, apply func(object, context, visit uintptr), fn func(first, value uintptr)) {
	v := &visit{fn: fn}
	context := lastVisit.Add(1)
	visits.Store(context, v)
	apply(object, context, callback())
	visits.Delete(context)
	if v.panicked != nil {
		panic(v.panicked)
	}
}
