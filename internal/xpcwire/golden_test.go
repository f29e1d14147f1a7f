package xpcwire

import (
	"encoding/hex"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

// dict stands for the map type of a package that uses the codec.
type dict map[string]any

// A vector is a message written out by hand from the format (package comment and
// launchd-protocol.md, section 8), never by the encoder: words in memory order, so
// "00f00000" is the little-endian 0xf000.
type vector struct {
	name  string
	words string
	magic uint32
	value dict
	fds   []int
}

const (
	head       = "43505840 05000000 " // Magic ("CPX@"), version 5
	headRemote = "42371342 05000000 " // MagicRemote
)

func unhex(t testing.TB, words string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(words), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// one is a message that holds a single object under the key "k". A dictionary's
// length counts its count field and what follows.
func one(length, object string) string {
	return head + "00f00000 " + length + " 01000000  6b000000 " + object
}

var vectors = []vector{
	{name: "empty", words: head + "00f00000 04000000 00000000", magic: Magic, value: dict{}},
	{name: "empty remote", words: headRemote + "00f00000 04000000 00000000", magic: MagicRemote, value: dict{}},
	{name: "remote", words: headRemote + "00f00000 0c000000 01000000  6b000000 00100000", magic: MagicRemote, value: dict{"k": nil}},

	{name: "null", words: one("0c000000", "00100000"), magic: Magic, value: dict{"k": nil}},
	{name: "true", words: one("10000000", "00200000 01000000"), magic: Magic, value: dict{"k": true}},
	{name: "false", words: one("10000000", "00200000 00000000"), magic: Magic, value: dict{"k": false}},
	{name: "int64", words: one("14000000", "00300000 feffffff ffffffff"), magic: Magic, value: dict{"k": int64(-2)}},
	{name: "int64 least", words: one("14000000", "00300000 00000000 00000080"), magic: Magic, value: dict{"k": int64(math.MinInt64)}},
	{name: "uint64", words: one("14000000", "00400000 10203040 50607080"), magic: Magic, value: dict{"k": uint64(0x8070605040302010)}},
	{name: "double", words: one("14000000", "00500000 00000000 0000f83f"), magic: Magic, value: dict{"k": 1.5}},
	{name: "double -0", words: one("14000000", "00500000 00000000 00000080"), magic: Magic, value: dict{"k": math.Copysign(0, -1)}},
	{name: "double +Inf", words: one("14000000", "00500000 00000000 0000f07f"), magic: Magic, value: dict{"k": math.Inf(1)}},
	{name: "double NaN", words: one("14000000", "00500000 0d000000 0000f87f"), magic: Magic, value: dict{"k": math.Float64frombits(0x7ff800000000000d)}},
	// 1700000000123456789 = 0x17979cfe3d85cd15
	{name: "date", words: one("14000000", "00700000 15cd853d fe9c9717"), magic: Magic, value: dict{"k": time.Unix(1700000000, 123456789)}},
	{name: "date before 1970", words: one("14000000", "00700000 ffffffff ffffffff"), magic: Magic, value: dict{"k": time.Unix(-1, 999999999)}},

	{name: "data 0", words: one("10000000", "00800000 00000000"), magic: Magic, value: dict{"k": []byte{}}},
	{name: "data 1", words: one("14000000", "00800000 01000000 ff000000"), magic: Magic, value: dict{"k": []byte{0xff}}},
	{name: "data 2", words: one("14000000", "00800000 02000000 ff000000"), magic: Magic, value: dict{"k": []byte{0xff, 0}}},
	{name: "data 3", words: one("14000000", "00800000 03000000 01020300"), magic: Magic, value: dict{"k": []byte{1, 2, 3}}},
	{name: "data 4", words: one("14000000", "00800000 04000000 01020304"), magic: Magic, value: dict{"k": []byte{1, 2, 3, 4}}},
	{name: "data 5", words: one("18000000", "00800000 05000000 01020304 05000000"), magic: Magic, value: dict{"k": []byte{1, 2, 3, 4, 5}}},

	// A string's length includes its NUL.
	{name: "string 0", words: one("14000000", "00900000 01000000 00000000"), magic: Magic, value: dict{"k": ""}},
	{name: "string 1", words: one("14000000", "00900000 02000000 61000000"), magic: Magic, value: dict{"k": "a"}},
	{name: "string 2", words: one("14000000", "00900000 03000000 61620000"), magic: Magic, value: dict{"k": "ab"}},
	{name: "string 3", words: one("14000000", "00900000 04000000 61626300"), magic: Magic, value: dict{"k": "abc"}},
	{name: "string 4", words: one("18000000", "00900000 05000000 61626364 00000000"), magic: Magic, value: dict{"k": "abcd"}},
	{name: "string not UTF-8", words: one("14000000", "00900000 03000000 fffe0000"), magic: Magic, value: dict{"k": "\xff\xfe"}},

	{name: "key 0", words: head + "00f00000 0c000000 01000000  00000000 00100000", magic: Magic, value: dict{"": nil}},
	{name: "key 2", words: head + "00f00000 0c000000 01000000  6b650000 00100000", magic: Magic, value: dict{"ke": nil}},
	{name: "key 3", words: head + "00f00000 0c000000 01000000  6b657900 00100000", magic: Magic, value: dict{"key": nil}},
	{name: "key 4", words: head + "00f00000 10000000 01000000  6b657973 00000000 00100000", magic: Magic, value: dict{"keys": nil}},

	{name: "uuid", words: one("1c000000", "00a00000 00010203 04050607 08090a0b 0c0d0eff"), magic: Magic,
		value: dict{"k": UUID{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255}}},
	{name: "fd", words: one("0c000000", "00b00000"), magic: Magic, value: dict{"k": FD(7)}, fds: []int{7}},
	{name: "shmem", words: one("14000000", "00c00000 00001000 00000000"), magic: Magic,
		value: dict{"k": Shmem{FD: 5, Size: 1 << 20}}, fds: []int{5}},
	{name: "mach send", words: one("10000000", "00d00000 07070000"), magic: Magic, value: dict{"k": MachSend(0x707)}},
	{name: "mach recv", words: one("10000000", "00500100 03000000"), magic: Magic, value: dict{"k": MachRecv(3)}},
	{name: "mach once", words: one("10000000", "00b00100 00000000"), magic: Magic, value: dict{"k": MachOnce(0)}},
	{name: "connection", words: one("0c000000", "00100100"), magic: Magic, value: dict{"k": Connection}},
	{name: "endpoint", words: one("0c000000", "00200100"), magic: Magic, value: dict{"k": Endpoint}},
	{name: "pipe", words: one("0c000000", "00400100"), magic: Magic, value: dict{"k": Pipe}},

	{name: "array empty", words: one("14000000", "00e00000 04000000 00000000"), magic: Magic, value: dict{"k": []any{}}},
	{name: "array", words: one("28000000", `00e00000 18000000 02000000
		00200000 01000000
		00900000 02000000 78000000`), magic: Magic, value: dict{"k": []any{true, "x"}}},
	{name: "dict empty", words: one("14000000", "00f00000 04000000 00000000"), magic: Magic, value: dict{"k": dict{}}},
	{name: "error", words: one("1c000000", "00000100 0c000000 01000000  64000000 00100000"), magic: Magic, value: dict{"k": Error{"d": nil}}},
	{name: "nested", words: head + `
		00f00000 64000000 02000000
		61000000 00e00000 38000000 03000000
			00f00000 18000000 01000000
				6e616d65 00000000 00e00000 04000000 00000000
			00e00000 08000000 01000000
				00100000
			00100000
		62000000 00f00000 10000000 01000000
			63000000 00200000 01000000`, magic: Magic,
		value: dict{
			"a": []any{dict{"name": []any{}}, []any{nil}, nil},
			"b": dict{"c": true},
		}},
	{name: "keys in order", words: head + `
		00f00000 2c000000 05000000
		00000000 00100000
		41000000 00100000
		61000000 00100000
		61610000 00100000
		62000000 00100000`, magic: Magic,
		value: dict{"b": nil, "aa": nil, "": nil, "a": nil, "A": nil}},
	{name: "descriptors in order", words: head + `
		00f00000 38000000 03000000
		61000000 00b00000
		62000000 00e00000 18000000 03000000
			00b00000
			00c00000 01000000 00000000
			00b00000
		63000000 00b00000`, magic: Magic,
		value: dict{
			"c": FD(3),
			"a": FD(9),
			"b": []any{FD(4), Shmem{FD: 8, Size: 1}, FD(4)},
		}, fds: []int{9, 4, 8, 4, 3}},
	// The kickstart request of launchd-protocol.md, section 1.1.
	{name: "kickstart", words: head + `
		00f00000 68000000 05000000
		68616e64 6c650000 00400000 f5010000 00000000
		6b696c6c 00000000 00200000 01000000
		6e616d65 00000000 00900000 08000000 61692e64 656d6f00
		74797065 00000000 00400000 08000000 00000000
		756e7468 726f7474 6c650000 00200000 01000000`, magic: Magic,
		value: dict{"type": uint64(8), "handle": uint64(501), "name": "ai.demo", "kill": true, "unthrottle": true}},
}

func TestGoldenEncode(t *testing.T) {
	for _, v := range vectors {
		t.Run(v.name, func(t *testing.T) {
			want := unhex(t, v.words)
			prefix := []byte("before")
			b, fds, err := Append(slices.Clone(prefix), v.magic, v.value)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(b, append(prefix, want...)) {
				t.Errorf("encoded\n%x, want\n%x", b[len(prefix):], want)
			}
			if !slices.Equal(fds, v.fds) {
				t.Errorf("descriptors %v, want %v", fds, v.fds)
			}
		})
	}
}

func TestGoldenDecode(t *testing.T) {
	for _, v := range vectors {
		t.Run(v.name, func(t *testing.T) {
			// One descriptor more than the message names.
			d, magic, used, err := Decode[dict](unhex(t, v.words), append(slices.Clone(v.fds), 99))
			if err != nil {
				t.Fatal(err)
			}
			if magic != v.magic || used != len(v.fds) {
				t.Errorf("magic %#x, %d descriptors used; want %#x, %d", magic, used, v.magic, len(v.fds))
			}
			if !same(d, v.value) {
				t.Errorf("decoded %#v, want %#v", d, v.value)
			}
		})
	}
}

// What the encoder never writes but others may.
func TestDecodeTolerates(t *testing.T) {
	for _, v := range []vector{
		{name: "bool above 1", words: one("10000000", "00200000 00000080"), value: dict{"k": true}},
		{name: "padding of a string", words: one("14000000", "00900000 02000000 6100ffff"), value: dict{"k": "a"}},
		{name: "padding of data", words: one("14000000", "00800000 01000000 01ffffff"), value: dict{"k": []byte{1}}},
		{name: "padding of a key", words: head + "00f00000 0c000000 01000000  6b00ffff 00100000", value: dict{"k": nil}},
		{name: "keys out of order", words: head + "00f00000 14000000 02000000  62000000 00100000 61000000 00100000", value: dict{"a": nil, "b": nil}},
	} {
		t.Run(v.name, func(t *testing.T) {
			d, _, _, err := Decode[dict](unhex(t, v.words), nil)
			if err != nil || !same(d, v.value) {
				t.Errorf("decoded %#v, %v; want %#v", d, err, v.value)
			}
		})
	}
}

func TestDecodedDataIsACopy(t *testing.T) {
	b := unhex(t, one("24000000", `00e00000 14000000 01000000
		00800000 08000000 01010101 01010101`))
	d, _, _, err := Decode[dict](b, nil)
	if err != nil {
		t.Fatal(err)
	}
	clear(b)
	if got := d["k"].([]any)[0].([]byte); !slices.Equal(got, []byte{1, 1, 1, 1, 1, 1, 1, 1}) {
		t.Errorf("data changed with the buffer: %x", got)
	}
}
