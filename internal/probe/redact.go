package probe

import (
	"slices"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Secret is a text that a report must not hold, and what stands there instead.
type Secret struct{ Text, Instead string }

// redactor takes secrets out of texts. The longest goes first, so that a home folder is
// not cut up by the user's name in it.
type redactor []Secret

func newRedactor(secrets []Secret) redactor {
	r := slices.DeleteFunc(slices.Clone(secrets), func(s Secret) bool { return s.Text == "" })
	sort.SliceStable(r, func(i, j int) bool { return len(r[i].Text) > len(r[j].Text) }) // as in sweep.NewPlan
	return r
}

// in returns s without the secrets. What is only a part of a longer word is not meant.
func (r redactor) in(s string) string {
	for _, secret := range r {
		s = replaceWord(s, secret.Text, secret.Instead)
	}
	return s
}

func replaceWord(s, old, with string) string {
	var b strings.Builder
	for from := 0; ; {
		i := strings.Index(s[from:], old)
		if i < 0 {
			b.WriteString(s[from:])
			return b.String()
		}
		start, end := from+i, from+i+len(old)
		b.WriteString(s[from:start])
		before, _ := utf8.DecodeLastRuneInString(s[:start])
		first, _ := utf8.DecodeRuneInString(old)
		last, _ := utf8.DecodeLastRuneInString(old)
		after, _ := utf8.DecodeRuneInString(s[end:])
		if wordly(before) && wordly(first) || wordly(last) && wordly(after) {
			b.WriteString(old)
		} else {
			b.WriteString(with)
		}
		from = end
	}
}

func wordly(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

// withoutEnvironment empties the values in the blocks of a print text that hold environment
// variables: whatever somebody put there is nobody else's business.
func withoutEnvironment(text string) string {
	lines := strings.Split(text, "\n")
	inside := ""
	for i, line := range lines {
		trimmed := strings.TrimLeft(line, "\t")
		indent := line[:len(line)-len(trimmed)]
		switch {
		case inside == "" && strings.Contains(trimmed, "environment") && strings.HasSuffix(trimmed, " = {"):
			inside = indent + "}"
		case line == inside:
			inside = ""
		case inside != "":
			name, _, ok := strings.Cut(trimmed, " => ")
			if ok && isVariable(name) && indent+"}" == "\t"+inside {
				lines[i] = indent + name + " => (not shown)"
			} else if trimmed != "" { // the rest of a value with a line break in it
				lines[i] = indent + "(not shown)"
			}
		}
	}
	return strings.Join(lines, "\n")
}

func isVariable(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool { return !wordly(r) && r != '_' })
}

// clean takes the secrets out of everything that the report holds.
func (r *Report) clean(red redactor) {
	for _, a := range r.Questions {
		a.Verdict, a.Text = red.in(a.Verdict), red.in(a.Text)
		for i := range a.Raw {
			a.Raw[i].Words, a.Raw[i].Reply = red.in(a.Raw[i].Words), red.in(a.Raw[i].Reply)
		}
	}
	for i := range r.Problems {
		r.Problems[i] = red.in(r.Problems[i])
	}
	r.System.OS, r.System.Launchd = red.in(r.System.OS), red.in(r.System.Launchd)
}
