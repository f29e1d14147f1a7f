package sweep

import "strings"

// RedactText is [Redact] for text that is not an argument, a line of a log for instance: what
// looks like a secret is ***, also between quotes and brackets. Nothing is cut, and nothing
// escaped.
func RedactText(text string) string {
	const around = "\"'`()[]{}<>,;"
	text, _ = redact(text)
	var b strings.Builder
	for text != "" {
		end := strings.IndexAny(text, around+blanks)
		if end < 0 {
			end = len(text)
		}
		word := text[:end]
		if isToken(word) {
			word = hiddenValue
		}
		b.WriteString(word)
		if end < len(text) {
			b.WriteByte(text[end])
			end++
		}
		text = text[end:]
	}
	return b.String()
}
