package xpcwire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestDecodeMalformed(t *testing.T) {
	for _, v := range []struct {
		name, words string
		fds         []int
	}{
		{name: "nothing", words: ""},
		{name: "magic", words: "43505841 05000000 00f00000 04000000 00000000"},
		{name: "magic big-endian", words: "40585043 00000005 0000f000 00000004 00000000"},
		{name: "version", words: "43505840 04000000 00f00000 04000000 00000000"},
		{name: "root array", words: head + "00e00000 04000000 00000000"},
		{name: "root null", words: head + "00100000"},
		{name: "root error", words: head + "00000100 04000000 00000000"},
		{name: "no length", words: head + "00f00000"},
		{name: "length without a count", words: head + "00f00000 00000000"},
		{name: "length of 1", words: head + "00f00000 01000000 00000000"},
		{name: "length of 5", words: head + "00f00000 05000000 00000000 00000000"},
		{name: "length too small", words: head + "00f00000 08000000 01000000  6b000000 00100000"},
		{name: "length too large", words: head + "00f00000 10000000 01000000  6b000000 00100000"},
		{name: "length enormous", words: head + "00f00000 ffffffff 01000000  6b000000 00100000"},
		{name: "count too small", words: head + "00f00000 0c000000 00000000  6b000000 00100000"},
		{name: "count too large", words: head + "00f00000 0c000000 02000000  6b000000 00100000"},
		{name: "count enormous", words: head + "00f00000 0c000000 ffffffff  6b000000 00100000"},
		{name: "trailing word", words: head + "00f00000 04000000 00000000 00000000"},
		{name: "trailing byte", words: head + "00f00000 04000000 00000000 00"},
		{name: "second root", words: head + "00f00000 04000000 00000000 00f00000 04000000 00000000"},

		{name: "key without NUL", words: head + "00f00000 0c000000 01000000  6b6b6b6b 01100101"},
		{name: "key that ends at the end", words: head + "00f00000 08000000 01000000  6b000000"},
		{name: "key with cut padding", words: head + "00f00000 06000000 01000000  6b00"},
		{name: "key twice", words: head + "00f00000 14000000 02000000  6b000000 00100000 6b000000 00100000"},
		{name: "key twice, deeper", words: one("24000000", "00f00000 14000000 02000000  61000000 00100000 61000000 00200000")},
		{name: "empty key twice", words: head + "00f00000 14000000 02000000  00000000 00100000 00000000 00100000"},

		{name: "type 0", words: one("0c000000", "00000000")},
		{name: "type 0x6000", words: one("0c000000", "00600000")},
		{name: "type not aligned", words: one("0c000000", "01100000")},
		{name: "type all ones", words: one("0c000000", "ffffffff")},
		{name: "bool cut", words: one("0c000000", "00200000")},
		{name: "int64 cut", words: one("10000000", "00300000 01000000")},
		{name: "uuid cut", words: one("18000000", "00a00000 00000000 00000000 00000000")},

		{name: "string of length 0", words: one("10000000", "00900000 00000000")},
		{name: "string without NUL", words: one("14000000", "00900000 04000000 61626364")},
		{name: "string with a NUL in the length", words: one("14000000", "00900000 02000000 61620000")},
		{name: "string with an inner NUL", words: one("14000000", "00900000 04000000 61006200")},
		{name: "string with two NULs", words: one("14000000", "00900000 03000000 61000000")},
		{name: "string beyond the dictionary", words: one("14000000", "00900000 05000000 61626364 00000000")},
		{name: "string beyond the message", words: one("14000000", "00900000 05000000 61626364")},
		{name: "string of 4 GiB", words: one("14000000", "00900000 ffffffff 61626300")},
		{name: "string of 4 GiB - 3, which pads to 2^32", words: one("14000000", "00900000 fdffffff 61626300")},
		{name: "string with cut padding", words: head + "00f00000 12000000 01000000  6b000000 00900000 02000000 6100"},
		{name: "data beyond the message", words: one("14000000", "00800000 05000000 61626364")},
		{name: "data of 4 GiB", words: one("10000000", "00800000 ffffffff")},

		{name: "array longer than its dictionary", words: one("14000000", "00e00000 08000000 01000000 00100000")},
		{name: "array count too large", words: one("18000000", "00e00000 08000000 02000000 00100000")},
		{name: "array count too small", words: one("18000000", "00e00000 08000000 00000000 00100000")},
		{name: "array count enormous", words: one("14000000", "00e00000 04000000 ffffffff")},

		{name: "fd without a descriptor", words: one("0c000000", "00b00000")},
		{name: "second fd without a descriptor", fds: []int{7},
			words: head + "00f00000 14000000 02000000  61000000 00b00000 62000000 00b00000"},
		{name: "shmem without a descriptor", words: one("14000000", "00c00000 00001000 00000000")},
		{name: "shmem without a size", words: one("0c000000", "00c00000"), fds: []int{7}},
	} {
		t.Run(v.name, func(t *testing.T) {
			d, _, used, err := Decode[dict](unhex(t, v.words), v.fds)
			if !errors.Is(err, ErrMalformed) {
				t.Errorf("decoded %#v, %v; want ErrMalformed", d, err)
			}
			if d != nil || used > len(v.fds) {
				t.Errorf("a refused message gave %#v and used %d descriptors", d, used)
			}
		})
	}
}

// everything is a message with every type in it, encoded.
func everything(t testing.TB) (b []byte, fds []int) {
	t.Helper()
	b, fds, err := Append(nil, Magic, dict{
		"null": nil, "bool": true, "int64": int64(-1), "uint64": uint64(1), "double": 2.5,
		"date": time.Unix(1, 2), "data": []byte("bytes"), "string": "text", "uuid": UUID{1, 15: 2},
		"fd": FD(3), "shmem": Shmem{FD: 4, Size: 4096}, "send": MachSend(1), "recv": MachRecv(2), "once": MachOnce(3),
		"connection": Connection, "endpoint": Endpoint, "pipe": Pipe, "error": Error{"description": "x"},
		"array": []any{"a", []any{}, dict{"": FD(5)}}, "dict": dict{"deep": dict{"deeper": []any{nil}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return b, fds
}

func TestDecodeTruncated(t *testing.T) {
	b, fds := everything(t)
	if d, _, _, err := Decode[dict](b, fds); err != nil || len(d) != 20 {
		t.Fatalf("the whole message: %d keys, %v", len(d), err)
	}
	for n := range b {
		// Cut, and cut with the outer length made to fit, so that the inner ones are tried.
		cut := slices.Clone(b[:n])
		if _, _, _, err := Decode[dict](cut, fds); !errors.Is(err, ErrMalformed) {
			t.Errorf("%d of %d bytes: %v, want ErrMalformed", n, len(b), err)
		}
		if n < 16 {
			continue
		}
		binary.LittleEndian.PutUint32(cut[12:], uint32(n-16))
		if _, _, _, err := Decode[dict](cut, fds); !errors.Is(err, ErrMalformed) {
			t.Errorf("%d of %d bytes, length fitted: %v, want ErrMalformed", n, len(b), err)
		}
	}
}

// nest is a message with n containers below its dictionary, written by hand from
// the inside out.
func nest(n int, array bool) []byte {
	word := binary.LittleEndian.AppendUint32
	inner := word(nil, typeNull)
	for i := range n + 1 {
		outermost := i == n
		var rest []byte
		rest = word(rest, 1)
		if outermost || !array {
			rest = append(rest, 'k', 0, 0, 0)
		}
		rest = append(rest, inner...)
		code := uint32(typeArray)
		if outermost || !array {
			code = typeDictionary
		}
		inner = append(word(word(nil, code), uint32(len(rest))), rest...)
	}
	return append(word(word(nil, Magic), Version), inner...)
}

func TestDepth(t *testing.T) {
	for _, array := range []bool{true, false} {
		deepest := nest(200, array)
		d, _, _, err := Decode[dict](deepest, nil)
		if err != nil {
			t.Fatalf("200 deep: %v", err)
		}
		if again, _, err := Append(nil, Magic, d); err != nil || !bytes.Equal(again, deepest) {
			t.Errorf("200 deep encodes to %d bytes, %v; want the %d that came in", len(again), err, len(deepest))
		}
		if _, _, _, err := Decode[dict](nest(201, array), nil); !errors.Is(err, ErrMalformed) {
			t.Errorf("201 deep: %v, want ErrMalformed", err)
		}
		if _, _, err := Append(nil, Magic, dict{"k": d}); err == nil {
			t.Error("201 deep was encoded")
		}
	}
}

func TestAppendRefuses(t *testing.T) {
	itself := dict{}
	itself["a"] = itself
	itself["b"] = []any{itself, itself}
	wide := []any{}
	for range 100 { // 2^100 objects if it were written out
		wide = []any{wide, wide}
	}
	for _, v := range []struct {
		name string
		d    dict
		want string
	}{
		{"int", dict{"k": 1}, "no XPC type for int"},
		{"other map", dict{"k": map[string]any{}}, "no XPC type for map[string]interface {}"},
		{"NUL in a string", dict{"k": "a\x00b"}, "contains a NUL"},
		{"NUL in a key", dict{"a\x00": nil}, "contains a NUL"},
		{"key path", dict{"outer": []any{nil, dict{"inner": 1}}}, `(key "inner") (index 1) (key "outer")`},
		{"zero time", dict{"k": time.Time{}}, "the year 1 does not fit"},
		{"time too late", dict{"k": time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC)}, "the year 2300 does not fit"},
		{"opaque that is none", dict{"k": Opaque(typeString)}, "0x9000 is no opaque object"},
		{"contains itself", itself, ""},
		{"wide", dict{"k": wide}, "larger than 16 MiB"},
	} {
		t.Run(v.name, func(t *testing.T) {
			b, fds, err := Append([]byte("before"), Magic, v.d)
			if err == nil || !strings.Contains(err.Error(), v.want) {
				t.Errorf("%v, want an error with %q", err, v.want)
			}
			if string(b) != "before" || fds != nil {
				t.Errorf("after the error the buffer is %.20q, descriptors %v", b, fds)
			}
		})
	}
}
