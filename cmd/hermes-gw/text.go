package main

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// shown makes a string from elsewhere (a label, a path, launchd's words) safe to
// print: it stays on one line and sends nothing to the terminal.
func shown(s string) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, hidden) {
		return s
	}
	quoted := strconv.Quote(s)
	return quoted[1 : len(quoted)-1]
}

// shownLines makes a text of several lines safe to print, its tabs and line breaks kept.
func shownLines(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		text, end := strings.CutSuffix(line, "\n")
		for i, field := range strings.Split(text, "\t") {
			if i > 0 {
				b.WriteByte('\t')
			}
			b.WriteString(shown(field))
		}
		if end {
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// shownJSON writes what a terminal would obey, or show out of order, as \u escapes: the same
// JSON for a program.
func shownJSON(b []byte) []byte {
	unfit := func(r rune) bool { return r != '\n' && hidden(r) }
	if !bytes.ContainsFunc(b, unfit) {
		return b
	}
	var out []byte
	for _, r := range string(b) {
		switch {
		case !unfit(r):
			out = utf8.AppendRune(out, r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, "\\u%04x\\u%04x", high, low)
		default:
			out = fmt.Appendf(out, "\\u%04x", r)
		}
	}
	return out
}

// drawn writes what this program draws with ASCII only. What others named stays as it is.
type drawn struct{ io.Writer }

var asciiDrawing = strings.NewReplacer("\u2026", "...", "\u2514 ", "`-")

func (d drawn) Write(b []byte) (int, error) {
	if _, err := asciiDrawing.WriteString(d.Writer, string(b)); err != nil {
		return 0, err
	}
	return len(b), nil
}

func hidden(r rune) bool { return !unicode.IsPrint(r) }

// took prints a duration as a person reads it.
func took(d time.Duration) string {
	switch ms := float64(d) / float64(time.Millisecond); {
	case ms < 10:
		return fmt.Sprintf("%.1f ms", ms)
	case ms < 1000:
		return fmt.Sprintf("%.0f ms", ms)
	default:
		return fmt.Sprintf("%.2f s", d.Seconds())
	}
}

// milliseconds is a duration as JSON has it.
func milliseconds(d time.Duration) float64 {
	return float64(d.Round(time.Microsecond)) / float64(time.Millisecond)
}
