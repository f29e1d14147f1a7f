package launchd

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"reflect"

	"howett.net/plist"

	"github.com/hermes-gw/hermes-gw/internal/plistfile"
)

// ReadPlist reads a job's property list as launchd does: a regular file, XML or binary, of
// at most 256 KiB. The error names the path and, if a value is not of the kind that it
// should be, the key; [Lint] tells more.
func ReadPlist(path string) (*Plist, error) {
	b, _, err := plistfile.Read(path)
	if err != nil {
		return nil, fmt.Errorf("property list %s: %w", printable(path), err)
	}
	p, err := ParsePlist(b)
	if err != nil {
		return nil, fmt.Errorf("property list %s: %w", printable(path), err)
	}
	return p, nil
}

// ParsePlist reads a job's property list, XML or binary. Text in the older format that
// begins without a tag is refused, as launchd refuses it, and so is nothing at all. Keys that
// are not known go to Extra. A key that stands there twice counts once, the last time.
func ParsePlist(b []byte) (*Plist, error) {
	d, err := decodePlist(b)
	if err != nil {
		return nil, err
	}
	p := &Plist{read: d}
	if err := decodeStruct("", d, reflect.ValueOf(p).Elem()); err != nil {
		return nil, err
	}
	return p, nil
}

// decodePlist reads a property list whose root is a dictionary.
func decodePlist(b []byte) (map[string]any, error) {
	var root any
	if err := plistfile.Decode(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")), &root); err != nil {
		return nil, err
	}
	d, ok := root.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("it is %s, not a dictionary", kindOf(root))
	}
	return d, nil
}

// Encode returns p as XML, its keys in alphabetical order. Text that XML cannot hold
// (control characters, invalid UTF-8) is an error that names the key, and so are a KeepAlive
// that is Always and has conditions, a MachService that is Off and has options, and a key of
// Extra that has a field.
func (p *Plist) Encode() ([]byte, error) {
	d, err := p.encode()
	if err != nil {
		return nil, err
	}
	return encodePlist(d)
}

func encodePlist(d map[string]any) ([]byte, error) {
	if err := checkTexts("", d); err != nil {
		return nil, err
	}
	b, err := plist.MarshalIndent(d, plist.XMLFormat, "\t")
	if err != nil {
		return nil, err
	}
	return append(b, '\n'), nil
}

// WriteFile writes p to path, as XML with mode 0644, which launchd demands of whoever is
// not the owner. It is written beside path, synced and renamed: path holds the old list or the
// new one at any moment, and the old one if anything fails. (That the rename itself lasts is
// up to the file system: a folder that cannot be synced is no error.) A symbolic link at path is
// replaced, not followed; what is neither a file nor a link is left alone, with an error.
func (p *Plist) WriteFile(path string) error {
	b, err := p.Encode()
	if err != nil {
		return fmt.Errorf("property list %s: %w", printable(path), err)
	}
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() && info.Mode().Type() != fs.ModeSymlink {
		return fmt.Errorf("property list %s: there is something that is not a file (%v)", printable(path), info.Mode().Type())
	}
	return replaceFile(path, b, 0o644, -1)
}
