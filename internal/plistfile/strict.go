package plistfile

import (
	"bytes"
	encxml "encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// checkXML refuses what the parser reads over and CoreFoundation, which launchd uses, does
// not (CFPropertyList.c): a list that is cut off, a key without a value, elements inside of a
// text, more than one value, anything behind the end.
func checkXML(b []byte) error {
	d := encxml.NewDecoder(bytes.NewReader(b))
	var open []element
	roots := 0
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) && len(open) == 0 && roots == 1 {
			return nil
		}
		if errors.Is(err, io.EOF) {
			return errors.New("it ends too early")
		}
		if err != nil {
			return err
		}
		line, _ := d.InputPos()
		bad := func(format string, args ...any) error {
			return fmt.Errorf("line %d: %s", line, fmt.Sprintf(format, args...))
		}
		switch token := token.(type) {
		case encxml.StartElement:
			name := token.Name.Local
			if len(open) == 0 {
				if roots++; name != "plist" || roots > 1 {
					return bad("<%s> outside of the one <plist>", name)
				}
			} else if problem := open[len(open)-1].take(name); problem != "" {
				return bad("%s", problem)
			}
			open = append(open, element{name: name})
		case encxml.EndElement:
			last := open[len(open)-1]
			open = open[:len(open)-1]
			if problem := last.end(); problem != "" {
				return bad("%s", problem)
			}
		case encxml.CharData:
			text := strings.TrimSpace(string(bytes.TrimPrefix(token, []byte("\xef\xbb\xbf"))))
			if text != "" && (len(open) == 0 || open[len(open)-1].container()) {
				return bad("a text stands where there can be none")
			}
		}
	}
}

// element is one that is open.
type element struct {
	name     string
	children int
	key      bool // of a dict: the last child was a key
}

func (e *element) container() bool { return e.name == "plist" || e.name == "dict" || e.name == "array" }

// take tells what is wrong with a child, "" if nothing is.
func (e *element) take(child string) string {
	e.children++
	switch {
	case !e.container():
		return fmt.Sprintf("<%s> inside of <%s>", child, e.name)
	case e.name == "plist" && e.children > 1:
		return "more than one value in <plist>"
	case e.name == "dict" && (child == "key") == e.key:
		if e.key {
			return "a <key> without a value"
		}
		return fmt.Sprintf("<%s> without a <key>", child)
	case e.name != "dict" && child == "key":
		return "a <key> outside of a <dict>"
	case child == "plist":
		return "a <plist> inside of another"
	}
	e.key = e.name == "dict" && child == "key"
	return ""
}

func (e *element) end() string {
	switch {
	case e.key:
		return "a <key> without a value"
	case e.name == "plist" && e.children == 0:
		return "<plist> has no value"
	}
	return ""
}
