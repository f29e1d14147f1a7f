package cgoless

import (
	"errors"
	"fmt"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"
)

// openers opens each library once, on first use, for the rest of the process: a
// library that is opened and closed for each call costs microseconds and, in the
// end, dyld's thread keys.
var openers = map[string]func() (uintptr, error){
	libxpc:    opener(libxpc),
	libSystem: opener(libSystem),
}

func opener(path string) func() (uintptr, error) {
	return sync.OnceValues(func() (uintptr, error) {
		handle, err := purego.Dlopen(path, purego.RTLD_LAZY|purego.RTLD_LOCAL)
		if err != nil {
			return 0, fmt.Errorf("open %s: %w: %w", path, errors.ErrUnsupported, err)
		}
		return handle, nil
	})
}

// binder fills a table of functions and keeps the first error, so that a table
// is bound line by line and checked once.
type binder struct{ err error }

// address returns where a symbol is, or 0: then the binder has an error unless
// the symbol is optional. Dlsym comes first because purego's own registration by
// name panics on a missing symbol.
func (b *binder) address(id symbolID) uintptr {
	s := symbols[id]
	handle, err := openers[s.library]()
	if err == nil {
		var addr uintptr
		if addr, err = purego.Dlsym(handle, s.name); err == nil {
			return addr
		}
		err = fmt.Errorf("%s has no symbol %s: %w: %w", s.library, s.name, errors.ErrUnsupported, err)
	}
	if s.fallback == "" && b.err == nil {
		b.err = err
	}
	return 0
}

// fn points fptr, a pointer to a function variable, at the symbol's C function;
// without the symbol the variable stays nil. The variable's type must spell the C
// widths exactly (int32 for int): purego does not cut a result to size.
func (b *binder) fn(fptr any, id symbolID) {
	if addr := b.address(id); addr != 0 {
		purego.RegisterFunc(fptr, addr)
	}
}

// pointer makes a pointer of an address in C memory. It is the one place that
// does: written as a plain conversion, vet must take it for a misuse, since it
// cannot know that the garbage collector never moves or frees what lies there.
// The result must not outlive the C object.
func pointer(addr uintptr) unsafe.Pointer {
	return *(*unsafe.Pointer)(unsafe.Pointer(&addr))
}
