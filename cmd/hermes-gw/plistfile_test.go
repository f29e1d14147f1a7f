package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"howett.net/plist"

	"github.com/hermes-gw/hermes-gw/internal/plistfile"
)

const xmlHead = `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0"><dict><key>Label</key>`

func goodXML(label string) string {
	return xmlHead + "<string>" + label + "</string><key>KeepAlive</key><true/></dict></plist>\n"
}

func goodBinary(t testing.TB, label string) []byte {
	t.Helper()
	b, err := plist.Marshal(map[string]any{
		"Label": label, "ProgramArguments": []string{"/bin/sh", "-c", strings.Repeat("é", 300)},
		"ThrottleInterval": 30, "KeepAlive": map[string]any{"SuccessfulExit": false}, "x": 1.5, "y": []byte("abc"),
	}, plist.BinaryFormat)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCheckPlist(t *testing.T) {
	dir := t.TempDir()
	for _, test := range []struct {
		name    string
		content []byte
		want    string // "" is no error
	}{
		{"good.plist", []byte(goodXML("a.b")), ""},
		{"bom.plist", []byte("\xef\xbb\xbf" + goodXML("a.b")), ""},
		{"binary.plist", goodBinary(t, "a.b"), ""},
		{"good.xml", []byte(goodXML("a.b")), ".plist"},
		{"missing.plist", nil, "no such file"},
		{"missing.xml", nil, "no such file"},
		{"missing/good", nil, "no such file"},
		{"empty.plist", []byte{}, "empty"},
		{"blank.plist", []byte(" \n"), "empty"},
		{"openstep.plist", []byte(`{ Label = "a.b"; }`), "neither XML nor binary"},
		{"json.plist", []byte(`{"Label":"a.b"}`), "not a property list"},
		{"words.plist", []byte("hello world"), "not a property list"},
		{"cut.plist", []byte(goodXML("a.b")[:len(xmlHead)+8]), "not a property list"},
		{"array.plist", []byte(`<plist version="1.0"><array><string>x</string></array></plist>`), "not a property list"},
		{"other.plist", []byte(goodXML("a.c")), "property list of a.c, not of a.b"},
		{"unlabelled.plist", []byte(`<plist version="1.0"><dict><key>X</key><true/></dict></plist>`), "no Label"},
		{"number.plist", []byte(xmlHead + "<integer>3</integer></dict></plist>"), "not a property list"},
		{"evil.plist", []byte(goodXML("a.b\n\x1b[2J")), ""},
		{"large.plist", bytes.Repeat([]byte(" "), plistfile.MaxSize+1), "larger than"},
	} {
		path := filepath.Join(dir, test.name)
		if test.content != nil {
			if err := os.WriteFile(path, test.content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		err := checkPlist(path, "a.b")
		if test.name == "evil.plist" {
			if err == nil || strings.ContainsAny(explain(err).Message, "\n\x1b") {
				t.Errorf("evil.plist: %q", err)
			}
			continue
		}
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
		if err != nil && explain(err).Remedy == "" {
			t.Errorf("%s: %v: no remedy", test.name, err)
		}
	}
	for name, make := range map[string]func(string) error{
		"folder.plist": func(p string) error { return os.Mkdir(p, 0o700) },
		"pipe.plist":   func(p string) error { return syscall.Mkfifo(p, 0o600) },
	} {
		path := filepath.Join(dir, name)
		if err := make(path); err != nil {
			t.Fatal(err)
		}
		if err := checkPlist(path, "a.b"); err == nil || !strings.Contains(err.Error(), "regular") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
