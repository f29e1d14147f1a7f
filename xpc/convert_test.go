package xpc

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/cgoless"
)

// allValues has every type that means the same in a request and in a reply.
func allValues() Dict {
	return Dict{
		"null": nil, "true": true, "false": false,
		"int64": int64(math.MinInt64), "uint64": uint64(math.MaxUint64), "double": -0.5,
		"date": time.Unix(1, 2).UTC(), "data": []byte{0, 1, 2}, "no data": []byte{},
		"string": "größer", "": "an empty key", "uuid": UUID{1, 15: 2},
		"array": []any{int64(1), "two", []any{}, Dict{}, nil},
		"dict":  Dict{"inner": Dict{"deep": []any{Dict{"x": true}}}},
	}
}

func TestConvertRoundTrip(t *testing.T) {
	f := newFake()
	defer f.done(t)
	o, verr := newObject(&f.XPC, allValues())
	if verr != nil {
		t.Fatal(verr)
	}
	got, err := goValue(&f.XPC, o, 0)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, allValues()) {
		t.Errorf("came back as %#v", got)
	}
	f.Release(o)
}

func TestFailingCreationLeavesNothing(t *testing.T) {
	shared, err := NewShmem(1)
	if err != nil {
		t.Fatal(err)
	}
	defer shared.Close()
	msg := allValues()
	msg["fd"], msg["shmem"] = FD(0), shared
	for n := 1; ; n++ {
		f := newFake()
		f.failAt = n
		sent := false
		f.answer(func(uint64, uintptr) (uintptr, int32) { sent = true; return f.build(Dict{}), 0 })
		p, err := newPipe(&f.XPC, routinesFirst)
		if err != nil {
			t.Fatal(err)
		}
		_, err = p.Call(t.Context(), 702, msg)
		f.done(t)
		if err == nil {
			if total := 26; n != total+1 {
				t.Errorf("%d creations in all, want %d", n-1, total)
			}
			break
		}
		var verr *ValueError
		if sent || !errors.As(err, &verr) || verr.Problem == "" {
			t.Fatalf("creation %d fails: sent %v, error %v", n, sent, err)
		}
	}
}

func TestCreationErrorNamesItsPlace(t *testing.T) {
	f := newFake()
	defer f.done(t)
	f.failAt = 5 // the outer dictionary, the array, 0, 1, 2
	_, verr := newObject(&f.XPC, Dict{"paths": []any{"a", "b", FD(7)}})
	if verr == nil || verr.Path != "paths[2]" || !strings.Contains(verr.Problem, "descriptor 7") {
		t.Errorf("got %v", verr)
	}
}

func TestRepliesHoldValuesOnly(t *testing.T) {
	f := newFake()
	defer f.done(t)
	f.answer(func(uint64, uintptr) (uintptr, int32) {
		return f.build(Dict{
			"fd": fakeKind(cgoless.KindFD), "shmem": fakeKind(cgoless.KindShmem), "error object": fakeError("gone"),
			"rights": []any{
				fakeKind(cgoless.KindMachSend), fakeKind(cgoless.KindMachRecv), fakeKind(cgoless.KindMachSendOnce),
				fakeKind(cgoless.KindConnection), fakeKind(cgoless.KindEndpoint), fakeKind(cgoless.KindPipe), fakeKind(cgoless.KindOther),
			},
		}), 0
	})
	p, err := newPipe(&f.XPC, routinesFirst)
	if err != nil {
		t.Fatal(err)
	}
	got, err := p.Call(t.Context(), 800, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := Dict{
		"fd": FD(-1), "shmem": (*Shmem)(nil), "error object": Dict{"XPCErrorDescription": "gone"},
		"rights": []any{Right("mach send"), Right("mach recv"), Right("mach send once"),
			Right("connection"), Right("endpoint"), Right("pipe"), Right("odd 0")},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %#v", got)
	}
}

func TestReplyNestedTooDeep(t *testing.T) {
	deep := any("bottom")
	for range maxDepth + 1 {
		deep = []any{deep}
	}
	f := newFake()
	defer f.done(t)
	f.answer(func(uint64, uintptr) (uintptr, int32) { return f.build(Dict{"d": deep}), 0 })
	p, _ := newPipe(&f.XPC, routinesFirst)
	_, err := p.Call(t.Context(), 708, nil)
	var unknown *UnknownOutcome
	if !errors.As(err, &unknown) || !errors.Is(err, BadResponse) {
		t.Errorf("got %v", err)
	}
}

func TestCheckNamesThePlace(t *testing.T) {
	nested := func(n int, v any) any {
		for range n {
			v = []any{v}
		}
		return v
	}
	loop := Dict{}
	loop["self"] = loop
	bomb := any("x")
	for range 60 {
		bomb = []any{bomb, bomb}
	}
	for name, c := range map[string]struct {
		msg     Dict
		path    string
		problem string
	}{
		"int":           {Dict{"pid": 3}, "pid", "int64 or uint64"},
		"struct":        {Dict{"a": struct{}{}}, "a", "struct {}"},
		"map":           {Dict{"a": map[string]any{}}, "a", "map[string]interface"},
		"strings":       {Dict{"paths": []string{"a"}}, "paths", "[]string"},
		"right":         {Dict{"port": Right("mach send")}, "port", "xpc.Right"},
		"in array":      {Dict{"paths": []any{"a", "b", 1}}, "paths[2]", "no XPC type"},
		"in dict":       {Dict{"envvars": Dict{"PATH": "a\x00b"}}, "envvars.PATH", "NUL"},
		"mixed":         {Dict{"a": []any{Dict{"b": []any{nil, uint8(1)}}}}, "a[0].b[1]", "uint8"},
		"key":           {Dict{"a\x00b": "x"}, `"a\x00b"`, "NUL"},
		"empty key":     {Dict{"": 1}, `""`, "no XPC type"},
		"escape in key": {Dict{"\x1b[31m": 1}, `"\x1b[31m"`, "no XPC type"},
		"long key":      {Dict{strings.Repeat("k", 1000): 1}, `"` + strings.Repeat("k", 64) + `"`, "no XPC type"},
		"date":          {Dict{"t": time.Time{}}, "t", "year 1 "},
		"late date":     {Dict{"t": time.Date(2263, 1, 1, 0, 0, 0, 0, time.UTC)}, "t", "year 2263"},
		"fd":            {Dict{"fd": FD(-1)}, "fd", "-1"},
		"shmem":         {Dict{"shmem": (*Shmem)(nil)}, "shmem", "nil"},
		"deep":          {Dict{"d": nested(maxDepth+1, nil)}, "d" + strings.Repeat("[0]", maxDepth), "nested more"},
		"loop":          {loop, "self" + strings.Repeat(".self", maxDepth), "nested more"},
		"bomb":          {Dict{"b": bomb}, "", "16 MiB"},
		"large":         {Dict{"a": Dict{"b": make([]byte, maxRequest)}}, "a.b", "16 MiB"},
		"large string":  {Dict{"b": strings.Repeat("x", maxRequest)}, "b", "16 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := check(c.msg)
			var verr *ValueError
			if !errors.As(err, &verr) {
				t.Fatalf("got %v", err)
			}
			if c.path != "" && verr.Path != c.path || !strings.Contains(verr.Problem, c.problem) {
				t.Errorf("at %q: %q", verr.Path, verr.Problem)
			}
		})
	}
}

func TestCheckAcceptsWhatItDocuments(t *testing.T) {
	shared, err := NewShmem(1)
	if err != nil {
		t.Fatal(err)
	}
	defer shared.Close()
	deep := any(Dict{})
	for range maxDepth - 1 {
		deep = []any{deep}
	}
	msg := allValues()
	msg["fd"], msg["shmem"], msg["deep"] = FD(0), shared, deep
	msg["nil array"], msg["nil dict"], msg["nil data"] = []any(nil), Dict(nil), []byte(nil)
	msg["first date"], msg["last date"] = time.Unix(0, math.MinInt64), time.Unix(0, math.MaxInt64)
	found, err := check(msg)
	if err != nil || len(found) != 1 || found[0] != shared {
		t.Errorf("got %v, %v", found, err)
	}
	if _, err := check(nil); err != nil {
		t.Errorf("an empty request gave %v", err)
	}
}

// reader makes values of bytes, so that a fuzzer can make requests.
type reader struct{ b []byte }

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) text() string {
	n := min(int(r.byte()), len(r.b))
	s := r.b[:n]
	r.b = r.b[n:]
	return string(s)
}

func (r *reader) number() uint64 {
	var n [8]byte
	for i := range n {
		n[i] = r.byte()
	}
	return binary.LittleEndian.Uint64(n[:])
}

func (r *reader) value(depth int) any {
	switch r.byte() % 14 {
	case 1:
		return r.byte()%2 == 1
	case 2:
		return int64(r.number())
	case 3:
		return r.number()
	case 4:
		return float64(int64(r.number()))
	case 5:
		return time.Unix(0, int64(r.number())).UTC()
	case 6:
		return []byte(r.text())
	case 7:
		return r.text()
	case 8:
		var u UUID
		copy(u[:], r.text())
		return u
	case 9:
		return int(r.byte()) // no XPC type
	case 10, 11:
		a := []any{}
		for n := r.byte() % 8; n > 0 && depth < maxDepth+5; n-- {
			a = append(a, r.value(depth+1))
		}
		return a
	case 12, 13:
		return r.dict(depth)
	}
	return nil
}

func (r *reader) dict(depth int) Dict {
	d := Dict{}
	for n := r.byte() % 8; n > 0 && depth < maxDepth+5; n-- {
		d[r.text()] = r.value(depth + 1)
	}
	return d
}

func FuzzConvert(f *testing.F) {
	f.Add([]byte{3, 1, 'a', 2, 1, 2, 3, 4, 5, 6, 7, 8, 1, 'b', 10, 2, 7, 1, 'x', 1, 1, 1, 'c', 12, 1, 0, 0}, uint8(0))
	f.Add([]byte{1, 1, 'a', 9, 9}, uint8(0))
	f.Add([]byte{1, 1, 'a', 7, 3, 'x', 0, 'y'}, uint8(2))
	f.Add([]byte(strings.Repeat("\x01\x00\x0c", 120)), uint8(0))
	f.Fuzz(func(t *testing.T, b []byte, failAt uint8) {
		fake := newFake()
		fake.failAt = int(failAt)
		fake.answer(func(_ uint64, msg uintptr) (uintptr, int32) { // the echo
			fake.mu.Lock()
			defer fake.mu.Unlock()
			fake.retain(msg)
			return msg, 0
		})
		p, err := newPipe(&fake.XPC, routinesFirst)
		if err != nil {
			t.Fatal(err)
		}
		msg := (&reader{b}).dict(0)
		_, refused := check(msg)
		got, err := p.Call(context.Background(), 800, msg)
		fake.done(t)
		var verr *ValueError
		code, _ := msg.Int64("error")
		switch {
		case err == nil:
			if refused != nil || !reflect.DeepEqual(got, msg) {
				t.Errorf("%#v came back as %#v", msg, got)
			}
		case errors.As(err, &verr):
			if refused == nil && (failAt == 0 || fake.created < int(failAt)) {
				t.Errorf("%#v is refused: %v", msg, err)
			}
		case code == 0:
			t.Errorf("%#v gave %v", msg, err)
		}
	})
}

func TestShmem(t *testing.T) {
	for _, size := range []int{0, -1, math.MinInt, math.MaxInt} {
		if s, err := NewShmem(size); err == nil {
			t.Errorf("%d bytes gave %v", size, s)
		}
	}
	s, err := NewShmem(1)
	if err != nil {
		t.Fatal(err)
	}
	b := s.Bytes()
	if len(b) != os.Getpagesize() || s.RegionSize() != uint64(len(b)) {
		t.Errorf("%d bytes, region of %d", len(b), s.RegionSize())
	}
	for i, c := range b {
		if c != 0 {
			t.Fatalf("byte %d is %d", i, c)
		}
	}
	copy(b, "before")
	fd := s.RegionFD()
	if fd < 0 || s.RegionFD() != fd {
		t.Fatalf("descriptor %d, then %d", fd, s.RegionFD())
	}
	// What stands in the memory stands in the file, and the other way round.
	peer := mapDescriptor(t, fd, len(b))
	if got := string(peer[:6]); got != "before" {
		t.Errorf("the peer sees %q", got)
	}
	copy(peer, "answer")
	if got := string(b[:6]); got != "answer" {
		t.Errorf("we see %q", got)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if s.Bytes() != nil || s.RegionFD() != -1 {
		t.Error("closed memory is still there")
	}
	if err := s.hold(); err == nil {
		t.Error("closed memory can be sent")
	}
}
