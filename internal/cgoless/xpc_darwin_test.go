package cgoless

import (
	"bytes"
	"errors"
	"math"
	"os"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

func load(t testing.TB) *XPC {
	t.Helper()
	x, err := LoadXPC()
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestEveryRequiredSymbolResolves(t *testing.T) {
	for id, s := range symbols {
		var b binder
		if addr := b.address(symbolID(id)); addr == 0 && s.fallback == "" {
			t.Errorf("%s: %v", s.name, b.err)
		}
	}
}

func TestMissingSymbolIsAnErrorThatNamesIt(t *testing.T) {
	defer func(s symbol) { symbols[xpcRelease] = s }(symbols[xpcRelease])
	symbols[xpcRelease].name = "xpc_no_such_function"
	x, err := loadXPC()
	if x != nil || !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "xpc_no_such_function") {
		t.Errorf("a missing symbol gave %v, %v", x, err)
	}
}

func TestMissingEntryPointsAreNil(t *testing.T) {
	ids := []symbolID{xpcServiceRoutine, xpcPipeInterfaceRoutine}
	for _, id := range ids {
		defer func(s symbol) { symbols[id] = s }(symbols[id])
		symbols[id].name = "xpc_no_such_function"
	}
	x, err := loadXPC()
	if err != nil {
		t.Fatal(err)
	}
	if x.ServiceRoutine != nil || x.NewPipe != nil || x.PipeRoutine != nil {
		t.Error("an entry point whose symbol is missing is there")
	}
	if x.DomainRoutine == nil {
		t.Error("_xpc_domain_routine is gone too")
	}
}

func TestMissingLibraryIsAnError(t *testing.T) {
	const path = "/usr/lib/no-such-library.dylib"
	_, err := opener(path)()
	if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), path) {
		t.Errorf("a missing library gave %v", err)
	}
}

func TestScalarsKeepTheirWidth(t *testing.T) {
	x := load(t)
	keep := func(object uintptr, kind Kind) uintptr {
		t.Helper()
		if object == 0 {
			t.Fatal("no object")
		}
		t.Cleanup(func() { x.Release(object) })
		if got := x.Kind(object); got != kind {
			t.Errorf("kind %d, want %d", got, kind)
		}
		if x.Type(object) == "" {
			t.Error("a type without a name")
		}
		return object
	}
	keep(x.NewNull(), KindNull)
	for _, v := range []bool{false, true} {
		if got := x.Bool(keep(x.NewBool(v), KindBool)); got != v {
			t.Errorf("bool %v came back as %v", v, got)
		}
	}
	for _, v := range []int64{0, -1, math.MinInt64, math.MaxInt64, 1 << 32} {
		if got := x.Int64(keep(x.NewInt64(v), KindInt64)); got != v {
			t.Errorf("int64 %d came back as %d", v, got)
		}
		if got := x.Date(keep(x.NewDate(v), KindDate)); got != v {
			t.Errorf("date %d came back as %d", v, got)
		}
		if got := x.Uint64(keep(x.NewUint64(uint64(v)), KindUint64)); got != uint64(v) {
			t.Errorf("uint64 %d came back as %d", uint64(v), got)
		}
	}
	for _, v := range []float64{0, -1.5, math.MaxFloat64, math.Inf(-1)} {
		if got := x.Double(keep(x.NewDouble(v), KindDouble)); got != v {
			t.Errorf("double %v came back as %v", v, got)
		}
	}
	for _, v := range []string{"", "a", "größer", strings.Repeat("x", 1<<16)} {
		if got := x.String(keep(x.NewString(v), KindString)); got != v {
			t.Errorf("string of %d bytes came back with %d", len(v), len(got))
		}
		if got := x.Data(keep(x.NewData([]byte(v)), KindData)); !bytes.Equal(got, []byte(v)) || got == nil {
			t.Errorf("data of %d bytes came back with %d", len(v), len(got))
		}
	}
	id := [16]byte{1, 2, 3, 15: 255}
	if got := x.UUID(keep(x.NewUUID(id), KindUUID)); got != id {
		t.Errorf("uuid came back as %x", got)
	}
	keep(x.NewFD(2), KindFD)
	if object := x.NewFD(-1); object != 0 {
		t.Error("a descriptor of -1 became an object")
	}
}

func TestShmemSharesPages(t *testing.T) {
	x := load(t)
	size := uintptr(os.Getpagesize())
	region, err := unix.MmapPtr(-1, 0, nil, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.MunmapPtr(region, size)
	object := x.NewShmem(region, uint64(size))
	if object == 0 {
		t.Fatal("no object")
	}
	defer x.Release(object)
	if got := x.Kind(object); got != KindShmem {
		t.Errorf("kind %d", got)
	}
	*(*byte)(region) = 7 // the pages are still ours
	_ = unsafe.Slice((*byte)(region), size)
}

func TestWalksSeeEverythingOnce(t *testing.T) {
	x := load(t)
	array, dict := x.NewArray(), x.NewDict()
	defer x.Release(array)
	defer x.Release(dict)
	const n = 100
	for i := range n {
		v := x.NewInt64(int64(i))
		x.Append(array, v)
		x.Set(dict, strings.Repeat("k", i+1), v)
		x.Release(v)
	}
	if x.Kind(array) != KindArray || x.Kind(dict) != KindDictionary {
		t.Error("wrong kinds")
	}
	next := 0
	x.EachItem(array, func(i int, v uintptr) {
		if i != next || x.Int64(v) != int64(i) {
			t.Errorf("item %d, value %d, want %d", i, x.Int64(v), next)
		}
		next++
		// A walk within a walk has a state of its own.
		inner := 0
		x.EachItem(array, func(int, uintptr) { inner++ })
		if inner != n {
			t.Errorf("the inner walk saw %d", inner)
		}
	})
	if next != n {
		t.Errorf("%d items seen", next)
	}
	seen := map[string]int64{}
	x.EachEntry(dict, func(k string, v uintptr) { seen[k] = x.Int64(v) })
	if len(seen) != n {
		t.Errorf("%d entries seen", len(seen))
	}
	for k, v := range seen {
		if int64(len(k)) != v+1 {
			t.Errorf("%d under a key of %d letters", v, len(k))
		}
	}
}

func TestPanicInAWalkSurfacesInGo(t *testing.T) {
	x := load(t)
	array, v := x.NewArray(), x.NewInt64(1)
	defer x.Release(array)
	x.Append(array, v)
	x.Append(array, v)
	x.Release(v)
	calls := 0
	func() {
		defer func() {
			if r := recover(); r != "stop" {
				t.Errorf("recovered %v", r)
			}
		}()
		x.EachItem(array, func(int, uintptr) { calls++; panic("stop") })
	}()
	if calls != 1 {
		t.Errorf("%d calls after the panic", calls)
	}
	visits.Range(func(k, _ any) bool { t.Errorf("walk %v is still registered", k); return true })
}

func BenchmarkDictionary(b *testing.B) {
	x := load(b)
	for b.Loop() {
		d, v := x.NewDict(), x.NewString("com.example.job")
		x.Set(d, "name", v)
		x.Release(v)
		x.EachEntry(d, func(string, uintptr) {})
		x.Release(d)
	}
}
