package launchd

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// launchd's print texts have one shape: a line "NAME = {", lines with one tab for the
// object's own fields, lines with more tabs for the insides of blocks, and a line "}"
// (launchd-protocol.md 6.2 to 6.3a, from launchd's printing code and public captures). A
// field is "name = value", a block "name = {" to "}" at the same depth. Nothing is escaped,
// so an argument or a name with a line break can forge any line; what depends on that says so.

// printed walks through such a text. It copies nothing, and takes time in proportion to
// the text.
type printed struct {
	header string // what stands before " = {" in the first line
	rest   string // the lines between the first and the last
}

// errNotPrinted says that a text is not of this shape, or that its end is missing.
var errNotPrinted = errors.New("it is not a text that launchd prints, or it is cut off")

func readPrinted(text string) (printed, error) {
	text = strings.TrimRight(text, "\n\x00")
	first, rest, ok := strings.Cut(text, "\n")
	header, isHeader := strings.CutSuffix(first, " = {")
	if !ok || !isHeader || header == "" || strings.HasPrefix(header, "\t") {
		return printed{}, fmt.Errorf("%w: it begins with %q", errNotPrinted, clip(first))
	}
	body, isEnded := strings.CutSuffix(rest, "\n}")
	if rest == "}" {
		body, isEnded = "", true
	}
	if !isEnded {
		return printed{}, fmt.Errorf("%w: it ends with %q", errNotPrinted, clip(rest[strings.LastIndexByte(rest, '\n')+1:]))
	}
	return printed{header: header, rest: body}, nil
}

// line takes the next line; ok is false at the end.
func (p *printed) line() (line string, ok bool) {
	if p.rest == "" {
		return "", false
	}
	line, p.rest, _ = strings.Cut(p.rest, "\n")
	return line, true
}

// field takes lines until one is a field of the object's own. A block's value is "{", and
// its insides follow.
func (p *printed) field() (name, value string, ok bool) {
	for {
		line, more := p.line()
		if !more {
			return "", "", false
		}
		own, isOwn := strings.CutPrefix(line, "\t")
		if !isOwn || strings.HasPrefix(own, "\t") {
			continue
		}
		if name, value, isField := strings.Cut(own, " = "); isField {
			return name, value, true
		}
	}
}

// inside takes the next line of a block that field has begun, without its two tabs. It is
// false at the block's end. An empty line is part of a block.
func (p *printed) inside() (item string, ok bool) {
	before := p.rest
	line, more := p.line()
	if !more {
		return "", false
	}
	if item, ok = strings.CutPrefix(line, "\t\t"); ok || line == "" {
		return item, true
	}
	if line != "\t}" {
		p.rest = before // the end is missing: the line is the object's own
	}
	return "", false
}

// count reads a number of things, or a pid.
func count(s string) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return 0, false // n is the largest number then
	}
	return int(n), true
}

// seconds reads a whole number of seconds, nil if s is none.
func seconds(s string) *time.Duration {
	n, ok := count(s)
	if !ok {
		return nil
	}
	d := time.Duration(n) * time.Second
	return &d
}

// clip keeps an error on one line.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "..."
	}
	return s
}
