package xpc

import (
	"fmt"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/hermes-gw/hermes-gw/internal/cgoless"
)

// fakeXPC is libxpc in Go, with a memory for what a client does wrong: objects
// left over, released once too often, used after their release, of the wrong kind.
// Unlike libxpc's, its null and bool objects are counted like all others.
type fakeXPC struct {
	cgoless.XPC

	mu       sync.Mutex
	objects  map[uintptr]*fakeObject
	next     uintptr
	created  int
	failAt   int // the creation that is refused, counted from 1
	problems []string
}

type fakeObject struct {
	kind  cgoless.Kind
	refs  int
	value any // of a container: *fakeArray, *fakeDict
}

type fakeArray struct{ items []uintptr }

type fakeDict struct {
	keys   []string
	values []uintptr
}

type fakeShmem struct {
	region unsafe.Pointer
	size   uint64
}

// Objects that only a reply can hold.
type (
	fakeKind  cgoless.Kind
	fakeError string
)

func newFake() *fakeXPC {
	f := &fakeXPC{objects: map[uintptr]*fakeObject{}}
	f.XPC = cgoless.XPC{
		NewNull:   func() uintptr { return f.create(cgoless.KindNull, nil) },
		NewBool:   func(v bool) uintptr { return f.create(cgoless.KindBool, v) },
		NewInt64:  func(v int64) uintptr { return f.create(cgoless.KindInt64, v) },
		NewUint64: func(v uint64) uintptr { return f.create(cgoless.KindUint64, v) },
		NewDouble: func(v float64) uintptr { return f.create(cgoless.KindDouble, v) },
		NewDate:   func(v int64) uintptr { return f.create(cgoless.KindDate, v) },
		NewData:   func(v []byte) uintptr { return f.create(cgoless.KindData, append([]byte{}, v...)) },
		NewString: func(v string) uintptr { return f.create(cgoless.KindString, v) },
		NewUUID:   func(v [16]byte) uintptr { return f.create(cgoless.KindUUID, v) },
		NewFD:     func(v int32) uintptr { return f.create(cgoless.KindFD, v) },
		NewShmem: func(p unsafe.Pointer, n uint64) uintptr {
			return f.create(cgoless.KindShmem, fakeShmem{p, n})
		},
		NewArray: func() uintptr { return f.create(cgoless.KindArray, &fakeArray{}) },
		NewDict:  func() uintptr { return f.create(cgoless.KindDictionary, &fakeDict{}) },
		NewPipe:  func() uintptr { return f.create(cgoless.KindPipe, nil) },

		Append: func(array, v uintptr) {
			f.mu.Lock()
			defer f.mu.Unlock()
			if a, ok := f.get(array, cgoless.KindArray).(*fakeArray); ok && f.retain(v) {
				a.items = append(a.items, v)
			}
		},
		Set: func(dict uintptr, key string, v uintptr) {
			f.mu.Lock()
			defer f.mu.Unlock()
			if d, ok := f.get(dict, cgoless.KindDictionary).(*fakeDict); ok && f.retain(v) {
				d.keys, d.values = append(d.keys, key), append(d.values, v)
			}
		},
		Release: func(o uintptr) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.release(o)
		},

		Kind: func(o uintptr) cgoless.Kind {
			f.mu.Lock()
			defer f.mu.Unlock()
			if object := f.object(o); object != nil {
				return object.kind
			}
			return cgoless.KindOther
		},
		Type:   func(o uintptr) string { return fmt.Sprint("odd ", fakeValue[int](f, o, cgoless.KindOther)) },
		Bool:   func(o uintptr) bool { return fakeValue[bool](f, o, cgoless.KindBool) },
		Int64:  func(o uintptr) int64 { return fakeValue[int64](f, o, cgoless.KindInt64) },
		Uint64: func(o uintptr) uint64 { return fakeValue[uint64](f, o, cgoless.KindUint64) },
		Double: func(o uintptr) float64 { return fakeValue[float64](f, o, cgoless.KindDouble) },
		Date:   func(o uintptr) int64 { return fakeValue[int64](f, o, cgoless.KindDate) },
		Data: func(o uintptr) []byte {
			return append([]byte{}, fakeValue[[]byte](f, o, cgoless.KindData)...)
		},
		String:    func(o uintptr) string { return fakeValue[string](f, o, cgoless.KindString) },
		UUID:      func(o uintptr) [16]byte { return fakeValue[[16]byte](f, o, cgoless.KindUUID) },
		ErrorText: func(o uintptr) string { return fakeValue[string](f, o, cgoless.KindError) },
		EachItem: func(array uintptr, visit func(int, uintptr)) {
			for i, item := range fakeValue[*fakeArray](f, array, cgoless.KindArray).items {
				visit(i, item)
			}
		},
		EachEntry: func(dict uintptr, visit func(string, uintptr)) {
			d := fakeValue[*fakeDict](f, dict, cgoless.KindDictionary)
			for i, key := range d.keys {
				visit(key, d.values[i])
			}
		},
	}
	return f
}

// answer makes both of the routines' entry points answer with fn.
func (f *fakeXPC) answer(fn func(routine uint64, msg uintptr) (uintptr, int32)) *fakeXPC {
	f.ServiceRoutine, f.DomainRoutine = fn, fn
	return f
}

func (f *fakeXPC) create(kind cgoless.Kind, value any) uintptr {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.created++; f.created == f.failAt {
		return 0
	}
	return f.insert(kind, value)
}

func (f *fakeXPC) insert(kind cgoless.Kind, value any) uintptr {
	f.next += 16
	f.objects[f.next] = &fakeObject{kind: kind, refs: 1, value: value}
	return f.next
}

func (f *fakeXPC) complain(format string, args ...any) {
	f.problems = append(f.problems, fmt.Sprintf(format, args...))
}

func (f *fakeXPC) object(o uintptr) *fakeObject {
	object := f.objects[o]
	if object == nil {
		f.complain("%#x is used, which is no living object", o)
	}
	return object
}

func (f *fakeXPC) get(o uintptr, kind cgoless.Kind) any {
	object := f.object(o)
	if object == nil {
		return nil
	}
	if object.kind != kind {
		f.complain("an object of kind %d is used as one of kind %d", object.kind, kind)
		return nil
	}
	return object.value
}

func fakeValue[T any](f *fakeXPC, o uintptr, kind cgoless.Kind) (v T) {
	f.mu.Lock()
	defer f.mu.Unlock()
	v, _ = f.get(o, kind).(T)
	return v
}

func (f *fakeXPC) retain(o uintptr) bool {
	object := f.object(o)
	if object != nil {
		object.refs++
	}
	return object != nil
}

func (f *fakeXPC) release(o uintptr) {
	object := f.object(o)
	if object == nil {
		return
	}
	if object.refs--; object.refs > 0 {
		return
	}
	delete(f.objects, o)
	switch v := object.value.(type) {
	case *fakeArray:
		for _, item := range v.items {
			f.release(item)
		}
	case *fakeDict:
		for _, item := range v.values {
			f.release(item)
		}
	}
}

// build makes an object as launchd would: it is not among the creations that can fail.
func (f *fakeXPC) build(v any) uintptr {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.buildLocked(v)
}

func (f *fakeXPC) buildLocked(v any) uintptr {
	switch v := v.(type) {
	case nil:
		return f.insert(cgoless.KindNull, nil)
	case bool:
		return f.insert(cgoless.KindBool, v)
	case int64:
		return f.insert(cgoless.KindInt64, v)
	case uint64:
		return f.insert(cgoless.KindUint64, v)
	case string:
		return f.insert(cgoless.KindString, v)
	case []byte:
		return f.insert(cgoless.KindData, v)
	case time.Time:
		return f.insert(cgoless.KindDate, v.UnixNano())
	case fakeKind:
		return f.insert(cgoless.Kind(v), int(v))
	case fakeError:
		return f.insert(cgoless.KindError, string(v))
	case []any:
		a := &fakeArray{}
		for _, item := range v {
			a.items = append(a.items, f.buildLocked(item))
		}
		return f.insert(cgoless.KindArray, a)
	case Dict:
		d := &fakeDict{}
		for key, item := range v {
			d.keys, d.values = append(d.keys, key), append(d.values, f.buildLocked(item))
		}
		return f.insert(cgoless.KindDictionary, d)
	}
	panic(fmt.Sprintf("the fake builds no %T", v))
}

// done fails the test if an object is left or was misused.
func (f *fakeXPC) done(t testing.TB) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for o, object := range f.objects {
		t.Errorf("object %#x of kind %d is left, with %d references", o, object.kind, object.refs)
	}
	for _, p := range f.problems {
		t.Error(p)
	}
}
