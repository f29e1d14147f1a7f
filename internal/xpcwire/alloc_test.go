package xpcwire

import (
	"encoding/binary"
	"runtime"
	"strings"
	"testing"
)

// Decoding allocates at most allocFactor bytes for each byte of the message. The
// dearest thing that bytes can buy is a slot of a long array: an object of 4 bytes
// becomes an interface of 16, append grows by a quarter and so allocates at worst
// 6.25 times what is kept, and a box may hold the value: 16*6.25/4 + 1 = 26. A
// dictionary of one entry is next: a map with a group of eight slots, 336 bytes
// for 20 bytes, and its own slot in an array. Measured over lengths up to 300,000:
// 25.1 and 21.6, tiny keys in one dictionary 22.3. The rest is for size classes.
const allocFactor = 32

// allocSlack is for what the measurement itself and other goroutines allocate.
const allocSlack = 64 << 10

// allocated runs f and returns the bytes it allocated. It needs a quiet process.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// repeated is a message of n equal objects in one array, or with keys in one
// dictionary, by hand. The container's claimed count may differ from n.
func repeated(n int, claim uint32, object string, key func(i int) string) []byte {
	word := binary.LittleEndian.AppendUint32
	rest := word(nil, claim)
	for i := range n {
		if key != nil {
			k := key(i) + "\x00"
			rest = append(rest, k...)
			rest = append(rest, make([]byte, -len(k)&3)...)
		}
		rest = append(rest, object...)
	}
	code := uint32(typeArray)
	if key != nil {
		code = typeDictionary
	}
	inner := append(word(word(nil, code), uint32(len(rest))), rest...)
	outer := append(word(nil, 1), append([]byte("k\x00\x00\x00"), inner...)...)
	b := word(word(nil, Magic), Version)
	return append(word(word(b, typeDictionary), uint32(len(outer))), outer...)
}

func TestDecodeAllocation(t *testing.T) {
	const n = 100_000
	tiny := func(i int) string { // distinct, 1 to 3 bytes, none of them NUL
		b := []byte{byte(1 + i%255)}
		for i /= 255; i > 0; i /= 255 {
			b = append(b, byte(1+i%255))
		}
		return string(b)
	}
	word := func(words ...uint32) string {
		var b []byte
		for _, w := range words {
			b = binary.LittleEndian.AppendUint32(b, w)
		}
		return string(b)
	}
	deep := strings.Builder{}
	for range 64 { // an array in an array in an array ...
		deep.WriteString(word(typeArray, 0x7fffffff, 0x7fffffff))
	}
	for _, v := range []struct {
		name string
		b    []byte
		ok   bool
	}{
		{"nulls", repeated(n, n, word(typeNull), nil), true},
		{"opaques", repeated(n, n, word(typePipe), nil), true},
		{"rights", repeated(n, n, word(typeMachSend, 1<<31), nil), true},
		{"int64s", repeated(n, n, word(typeInt64, 1<<31, 1<<31), nil), true},
		{"dates", repeated(n, n, word(typeDate, 1, 1), nil), true},
		{"uuids", repeated(n, n, word(typeUUID, 1, 2, 3, 4), nil), true},
		{"empty strings", repeated(n, n, word(typeString, 1, 0), nil), true},
		{"empty data", repeated(n, n, word(typeData, 0), nil), true},
		{"data of one byte", repeated(n, n, word(typeData, 1, 1), nil), true},
		{"empty arrays", repeated(n, n, word(typeArray, 4, 0), nil), true},
		{"empty dictionaries", repeated(n, n, word(typeDictionary, 4, 0), nil), true},
		{"arrays of one", repeated(n, n, word(typeArray, 8, 1, typeNull), nil), true},
		{"dictionaries of one", repeated(n, n, word(typeDictionary, 12, 1, 0, typeNull), nil), true},
		{"errors of one", repeated(n, n, word(typeError, 12, 1, 0, typeNull), nil), true},
		{"tiny keys", repeated(n, n, word(typeNull), tiny), true},
		{"tiny keys and dictionaries", repeated(n, n, word(typeDictionary, 12, 1, 0, typeNull), tiny), true},
		{"deep arrays", nest(maxDepth, true), true},
		{"deep dictionaries", nest(maxDepth, false), true},
		{"count too large", repeated(n, n+1, word(typeNull), nil), false},
		{"count enormous", repeated(1, 0xffffffff, word(typeNull), nil), false},
		{"keys with an enormous count", repeated(1, 0xffffffff, word(typeNull), tiny), false},
		{"data of 4 GiB", repeated(1, 1, word(typeData, 0xffffffff), nil), false},
		{"string of 4 GiB", repeated(1, 1, word(typeString, 0xffffffff), nil), false},
		{"enormous arrays in each other", repeated(1, 1, deep.String(), nil), false},
		{"too deep", nest(1000, true), false},
	} {
		t.Run(v.name, func(t *testing.T) {
			var err error
			got := allocated(func() { _, _, _, err = Decode[dict](v.b, nil) })
			if (err == nil) != v.ok {
				t.Errorf("error %v, want one: %v", err, !v.ok)
			}
			t.Logf("%d bytes allocated for %d (%.1f each)", got, len(v.b), float64(got)/float64(len(v.b)))
			if limit := uint64(allocFactor*len(v.b) + allocSlack); got > limit {
				t.Errorf("%d bytes allocated for %d, more than %d", got, len(v.b), limit)
			}
		})
	}
}

func TestAppendRefusesWithoutBuilding(t *testing.T) {
	big := make([]byte, MaxFrame)
	text := strings.Repeat("x", MaxFrame)
	for name, d := range map[string]dict{
		"data":   {"k": big},
		"string": {"k": text},
		"key":    {text: nil},
		"array":  {"k": []any{"a", big}},
	} {
		var err error
		got := allocated(func() { _, _, err = Append(nil, Magic, d) })
		if err == nil || got > allocSlack {
			t.Errorf("%s: %d bytes allocated, error %v", name, got, err)
		}
	}
}
