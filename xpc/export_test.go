package xpc

import (
	"maps"
	"testing"
	"unsafe"

	"github.com/hermes-gw/hermes-gw/internal/cgoless"
)

// BothWays runs a test over libxpc's conversion layer, with a fake libxpc that counts its
// objects: through the routines and through a pipe. The test fails if an object is left.
// launchd answers requests; under "shmem" it finds the memory as []byte.
func BothWays(t *testing.T, launchd func(routine uint64, msg Dict) (Dict, Errno), test func(t *testing.T, p *Pipe)) {
	bothWays(t, func(f *fakeXPC, routine uint64, msg uintptr) (uintptr, int32) {
		reply, code := launchd(routine, f.read(msg))
		if code != 0 {
			return 0, int32(code)
		}
		return f.build(reply), 0
	}, test)
}

// read returns a request as launchd sees it.
func (f *fakeXPC) read(msg uintptr) Dict {
	var memory []byte
	d := fakeValue[*fakeDict](f, msg, cgoless.KindDictionary)
	for i := range d.keys {
		if f.Kind(d.values[i]) == cgoless.KindShmem {
			m := fakeValue[fakeShmem](f, d.values[i], cgoless.KindShmem)
			memory = unsafe.Slice((*byte)(m.region), m.size)
		}
	}
	out, err := goDict(&f.XPC, msg, 0)
	if err != nil {
		panic(err)
	}
	out = maps.Clone(out)
	if memory != nil {
		out["shmem"] = memory
	}
	return out
}
