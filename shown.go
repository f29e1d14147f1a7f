package hermesgw

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// How much of a text that others wrote is shown, in bytes.
const (
	maxShownWord = 64
	maxShownText = 500
	maxShownPath = 1024
)

// shown returns a text that others wrote as it can go to a terminal: escaped is what it would act
// on (control characters, those that turn the direction of writing, invalid UTF-8), and it is cut
// at limit bytes.
func shown(s string, limit int) string {
	cut := len(s) > limit
	if cut {
		for limit > 0 && !utf8.RuneStart(s[limit]) {
			limit--
		}
		s = s[:limit]
	}
	if !cut && !strings.ContainsFunc(s, hidden) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		if part := s[i : i+size]; hidden(r) && part != "\ufffd" {
			quoted := strconv.Quote(part)
			b.WriteString(quoted[1 : len(quoted)-1])
		} else {
			b.WriteString(part)
		}
		i += size
	}
	if cut {
		b.WriteString("…")
	}
	return b.String()
}

// hidden reports whether a terminal shows no character for r. An invalid byte is decoded to
// RuneError, which is printable, so that one is hidden as well.
func hidden(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }
