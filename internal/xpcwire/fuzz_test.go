package xpcwire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"
)

func FuzzDecode(f *testing.F) {
	for _, v := range vectors {
		f.Add(unhex(f, v.words), byte(len(v.fds)))
	}
	b, fds := everything(f)
	f.Add(b, byte(len(fds)))
	f.Add(nest(maxDepth, true), byte(0))
	f.Add(nest(maxDepth+1, false), byte(0))
	f.Fuzz(func(t *testing.T, b []byte, n byte) {
		fds := make([]int, n)
		for i := range fds {
			fds[i] = 1000 + i
		}
		in := slices.Clone(b)
		var d dict
		var used int
		var magic uint32
		var err error
		got := allocated(func() { d, magic, used, err = Decode[dict](b, fds) })
		if limit := uint64(allocFactor*len(b) + allocSlack); got > limit {
			t.Fatalf("%d bytes allocated for %d", got, len(b))
		}
		if !bytes.Equal(b, in) {
			t.Fatal("Decode changed its input")
		}
		if used > len(fds) {
			t.Fatalf("%d descriptors used of %d", used, len(fds))
		}
		if err != nil {
			if !errors.Is(err, ErrMalformed) || d != nil {
				t.Fatalf("%v with %#v", err, d)
			}
			return
		}
		// What decodes encodes, to a form that stays as it is.
		once, sent, err := Append(nil, magic, d)
		if err != nil {
			t.Fatalf("decoded %#v cannot be encoded: %v", d, err)
		}
		if len(once) != len(b) || len(sent) != used {
			t.Fatalf("%d bytes and %d descriptors became %d and %d", len(b), used, len(once), len(sent))
		}
		again, _, _, err := Decode[dict](once, sent)
		if err != nil || !same(again, d) {
			t.Fatalf("%#v became %#v, %v", d, again, err)
		}
		twice, sent2, err := Append(nil, magic, again)
		if err != nil || !bytes.Equal(twice, once) || !slices.Equal(sent2, sent) {
			t.Fatalf("%x became %x, descriptors %v became %v, %v", once, twice, sent, sent2, err)
		}
	})
}

// source makes values of fuzz bytes; when they run out, everything is zero.
type source struct{ b []byte }

func (s *source) byte() byte {
	if len(s.b) == 0 {
		return 0
	}
	c := s.b[0]
	s.b = s.b[1:]
	return c
}

func (s *source) u64() uint64 {
	var w [8]byte
	s.b = s.b[copy(w[:], s.b):]
	return binary.LittleEndian.Uint64(w[:])
}

func (s *source) bytes() []byte {
	n := min(int(s.byte())%24, len(s.b))
	p := slices.Clone(s.b[:n])
	s.b = s.b[n:]
	if p == nil {
		p = []byte{}
	}
	return p
}

func (s *source) text() string { return string(bytes.ReplaceAll(s.bytes(), []byte{0}, []byte("0"))) }

func (s *source) dict(depth int) dict {
	d := dict{}
	for n := s.byte() % 8; n > 0; n-- {
		k := s.text()
		d[k] = s.object(depth + 1)
	}
	return d
}

func (s *source) object(depth int) any {
	kinds := byte(18)
	if depth > 20 { // without the containers
		kinds = 15
	}
	switch s.byte() % kinds {
	case 0:
		return nil
	case 1:
		return s.byte()&1 == 1
	case 2:
		return int64(s.u64())
	case 3:
		return s.u64()
	case 4:
		return math.Float64frombits(s.u64())
	case 5:
		return time.Unix(0, int64(s.u64()))
	case 6:
		return s.bytes()
	case 7:
		return s.text()
	case 8:
		var u UUID
		copy(u[:], s.bytes())
		return u
	case 9:
		return FD(s.byte())
	case 10:
		return Shmem{FD: int(s.byte()), Size: s.u64()}
	case 11:
		return MachSend(s.u64())
	case 12:
		return MachRecv(s.u64())
	case 13:
		return MachOnce(s.u64())
	case 14:
		return []Opaque{Connection, Endpoint, Pipe}[s.byte()%3]
	case 15:
		a := []any{}
		for n := s.byte() % 8; n > 0; n-- {
			a = append(a, s.object(depth+1))
		}
		return a
	case 16:
		return s.dict(depth)
	default:
		return Error(s.dict(depth))
	}
}

func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte{}, false)
	for kind := range byte(18) {
		f.Add([]byte{2, 1, 'k', kind, 3, 1, 2, 3, 4, 5, 6, 7, 2, 'x', 'y', kind, 2, 15, 2, 4, 9, 1, 16, 1, 0, kind}, kind%2 == 0)
	}
	// A signalling NaN, and the least date.
	f.Add([]byte{1, 1, 'n', 4, 1, 0, 0, 0, 0, 0, 0xf0, 0x7f}, true)
	f.Add([]byte{1, 1, 'd', 5, 0, 0, 0, 0, 0, 0, 0, 0x80}, true)
	f.Fuzz(func(t *testing.T, b []byte, remote bool) {
		in := (&source{b}).dict(0)
		magic := uint32(Magic)
		if remote {
			magic = MagicRemote
		}
		wire, fds, err := Append(nil, magic, in)
		if err != nil {
			t.Fatalf("%#v: %v", in, err)
		}
		if len(wire)%4 != 0 {
			t.Fatalf("%d bytes: not a multiple of 4", len(wire))
		}
		out, gotMagic, used, err := Decode[dict](wire, fds)
		if err != nil {
			t.Fatalf("%#v: %v", in, err)
		}
		if gotMagic != magic || used != len(fds) || !same(in, out) {
			t.Fatalf("%#v became %#v; magic %#x became %#x; %d of %d descriptors used", in, out, magic, gotMagic, used, len(fds))
		}
		if len(fds) > 0 {
			if _, _, _, err := Decode[dict](wire, fds[1:]); !errors.Is(err, ErrMalformed) {
				t.Fatalf("with a descriptor too few: %v", err)
			}
		}
	})
}

// The generator must reach every type, or FuzzRoundTrip shows less than it says.
func TestFuzzSourceReachesEveryType(t *testing.T) {
	seen := map[string]bool{}
	for kind := range byte(18) {
		seen[fmt.Sprintf("%T", (&source{[]byte{kind, 1}}).object(0))] = true
	}
	for _, v := range vectors {
		for _, o := range v.value {
			if typ := fmt.Sprintf("%T", o); !seen[typ] {
				t.Errorf("never makes a %s", typ)
			}
		}
	}
}
