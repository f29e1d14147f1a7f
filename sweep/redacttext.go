package sweep

import "strings"

// RedactText is [Redact] for text that is not an argument, a line of a log for instance: what
// looks like a secret is ***, also between quotes and brackets. Nothing is cut, and nothing
// escaped.
func RedactText(text string) string {
	const around = "\"'`()[]{}<>,;"
	header := ""
	for _, name := range []string{"authorization:", "cookie:"} { // its value has several words
		if i := indexFold(text, name); i >= 0 {
			header = text[i:i+len(name)] + " " + hiddenValue
			text = text[:i]
		}
	}
	text = redactWords(text, blanks)
	var b strings.Builder
	bearer := false
	for text != "" {
		end := strings.IndexAny(text, around+blanks)
		if end < 0 {
			end = len(text)
		}
		if word := text[:end]; word != "" {
			if bearer || isToken(word) {
				word = hiddenValue
			}
			b.WriteString(word)
			bearer = strings.EqualFold(word, "bearer")
		}
		if end < len(text) {
			b.WriteByte(text[end])
			end++
		}
		text = text[end:]
	}
	return b.String() + header
}

// indexFold is strings.Index of an ASCII word in any case.
func indexFold(s, word string) int {
	for i := 0; i+len(word) <= len(s); i++ {
		if strings.EqualFold(s[i:i+len(word)], word) {
			return i
		}
	}
	return -1
}
