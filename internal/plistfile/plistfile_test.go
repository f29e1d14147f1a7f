package plistfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"howett.net/plist"
)

const xml = `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0"><dict><key>Label</key><string>a.b</string><key>KeepAlive</key><true/></dict></plist>
`

func binaryList(t testing.TB) []byte {
	t.Helper()
	b, err := plist.Marshal(map[string]any{
		"Label": "a.b", "ProgramArguments": []string{"/bin/sh", "-c", strings.Repeat("é", 300)},
		"ThrottleInterval": 30, "KeepAlive": map[string]any{"SuccessfulExit": false}, "x": 1.5, "y": []byte("abc"),
	}, plist.BinaryFormat)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDecode(t *testing.T) {
	for name, test := range map[string]struct {
		content string
		want    string // "" is no error
	}{
		"XML":      {xml, ""},
		"BOM":      {"\xef\xbb\xbf" + xml, ""},
		"binary":   {string(binaryList(t)), ""},
		"empty":    {"", "empty"},
		"blank":    {" \n", "empty"},
		"OpenStep": {`{ Label = "a.b"; }`, "neither XML nor binary"},
		"GNUstep":  {`{ Label = <*I3>; }`, "neither XML nor binary"},
		"JSON":     {`{"Label":"a.b"}`, "line 0"},
		"words":    {"hello world", ""},
		"cut":      {xml[:200], ""},
		"array":    {`<plist version="1.0"><array><string>x</string></array></plist>`, "array"},
		"header":   {"bplist00", "damaged"},
	} {
		var v map[string]any
		err := Decode([]byte(test.content), &v)
		good := test.content == xml || name == "BOM" || name == "binary"
		if good != (err == nil) || (err != nil && !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
		if good && v["Label"] != "a.b" {
			t.Errorf("%s: %v", name, v)
		}
	}
}

// A damaged byte anywhere is an error or another list, never a panic or a hang.
func TestDamagedBinary(t *testing.T) {
	sound := binaryList(t)
	for i := range sound {
		for _, x := range []byte{0x01, 0x0f, 0x80, 0xff} {
			b := bytes.Clone(sound)
			b[i] ^= x
			var v any
			Decode(b, &v)
		}
		var v any
		if Decode(sound[:i], &v) == nil {
			t.Errorf("cut at %d: %v", i, v)
		}
	}
}

// build makes a binary list of objects, the first on top.
func build(objects ...[]byte) []byte {
	b := []byte("bplist00")
	var offsets []byte
	for _, o := range objects {
		offsets = binary.BigEndian.AppendUint16(offsets, uint16(len(b)))
		b = append(b, o...)
	}
	table := len(b)
	b = append(b, offsets...)
	b = append(b, 0, 0, 0, 0, 0, 0, 2, 1)
	for _, n := range []int{len(objects), 0, table} {
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	return b
}

// The length of a string that wraps around makes the parser read beyond the file.
func TestBinaryLengths(t *testing.T) {
	for _, count := range []uint64{1 << 63, 1<<64 - 1, 1<<64 - 20, 1 << 40, 1000} {
		text := binary.BigEndian.AppendUint64([]byte{0x5f, 0x13}, count)
		var v any
		if err := Decode(build([]byte{0xd1, 1, 2}, []byte("\x55Label"), append(text, 'x')), &v); !errors.Is(err, errDamaged) {
			t.Errorf("count %#x: %v, %v", count, v, err)
		}
	}
}

func TestBinaryReferences(t *testing.T) {
	var v any
	if err := Decode(build([]byte{0xa2, 1, 1}, []byte{0x51, 'x'}), &v); err != nil {
		t.Errorf("the same string twice: %v", err)
	}
	for name, b := range map[string][]byte{
		"itself":  build([]byte{0xa1, 0}),
		"a ring":  build([]byte{0xa1, 1}, []byte{0xa1, 0}),
		"nowhere": build([]byte{0xa1, 7}),
	} {
		if err := Decode(b, &v); !errors.Is(err, errDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Each array holds the next one fourteen times.
	var bomb [][]byte
	for i := byte(1); i <= 30; i++ {
		bomb = append(bomb, append([]byte{0xae}, bytes.Repeat([]byte{i}, 14)...))
	}
	if err := Decode(build(append(bomb, []byte{0x51, 'x'})...), &v); err == nil || !strings.Contains(err.Error(), "unfolds") {
		t.Errorf("a bomb: %v", err)
	}
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(path("good"), []byte(xml), 0o640); err != nil {
		t.Fatal(err)
	}
	if b, info, err := Read(path("good")); string(b) != xml || err != nil || info.Mode() != 0o640 {
		t.Errorf("%q, %v, %v", b, info, err)
	}
	if err := os.WriteFile(path("large"), bytes.Repeat([]byte{' '}, MaxSize+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(path("pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"large": "larger than 256 KiB", "pipe": "regular", ".": "regular", "none": "no such file"} {
		if _, _, err := Read(path(name)); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v, want %q without the path", name, err, want)
		}
	}
	if _, _, err := Read(path("none")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(xml))
	f.Add(binaryList(f))
	f.Add([]byte(`{ Label = "a.b"; }`))
	f.Add(build([]byte{0xa2, 1, 1}, []byte{0x51, 'x'}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var v map[string]any
		if err := Decode(b, &v); err == nil && bytes.HasPrefix(b, []byte("{")) {
			t.Errorf("%q was taken", b)
		}
	})
}
