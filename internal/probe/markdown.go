package probe

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// Markdown is the report as a text to paste into an issue.
func (r *Report) Markdown() string {
	var b strings.Builder
	s := r.System
	b.WriteString("# hermes-gw probe\n\n")
	for _, row := range [][2]string{
		{"system", s.OS + ", " + s.Arch}, {"launchd", s.Launchd}, {"hermes-gw", s.Release + ", " + s.Go}, {"through", s.Through},
		{"caller", s.Caller + yes(s.Sudo, ", by sudo") + yes(s.SSH, ", over ssh")}, {"throwaway jobs in", s.Domain},
		{"took", fmt.Sprintf("%.1f s", r.Took/1000)}, {"undone", r.undone()},
	} {
		fmt.Fprintf(&b, "- %s: %s\n", row[0], plain(row[1]))
	}
	for i, a := range r.Questions {
		fmt.Fprintf(&b, "\n## %d. %s\n\n", i+1, a.Question)
		fmt.Fprintf(&b, "%s: %s\n", a.ID, plain(a.verdict()))
		if len(a.Raw) > 0 {
			b.WriteByte('\n')
		}
		for _, raw := range a.Raw {
			b.WriteString("- " + plain(raw.line()) + "\n")
		}
		if a.Text != "" {
			fence := strings.Repeat("`", 3)
			for strings.Contains(a.Text, fence) {
				fence += "`"
			}
			fmt.Fprintf(&b, "\n%s\n%s\n%s\n", fence, lines(a.Text), fence)
		}
	}
	return b.String()
}

func (a *Answer) verdict() string {
	if a.Status == Answered {
		return a.Verdict
	}
	return strings.ToUpper(string(a.Status)) + ". " + a.Verdict
}

func (raw Raw) line() string {
	var b strings.Builder
	b.WriteString(raw.Asked)
	if raw.Routine != 0 {
		fmt.Fprintf(&b, " (%d)", raw.Routine)
	}
	b.WriteString(": ")
	if raw.Code != nil {
		fmt.Fprint(&b, *raw.Code)
	}
	if raw.Code != nil && raw.Words != "" {
		b.WriteString(" " + raw.Words)
	} else {
		b.WriteString(raw.Words)
	}
	if raw.Reply != "" {
		b.WriteString("; reply " + raw.Reply)
	}
	if raw.Took > 0 {
		fmt.Fprintf(&b, "; after %.1f ms", raw.Took)
	}
	return b.String()
}

func (r *Report) undone() string {
	words := "everything"
	if !r.Clean() {
		words = "NOT everything: " + strings.Join(append(append([]string(nil), r.Left...), r.Problems...), ", ") + "; run hermes-gw probe again, which removes it"
	}
	if len(r.Removed) > 0 {
		words += fmt.Sprintf("; and %d throwaway jobs that an earlier probe left", len(r.Removed))
	}
	return words
}

func yes(is bool, words string) string {
	if is {
		return words
	}
	return ""
}

// plain keeps a text from elsewhere on one line, and from being read as markup or by a
// terminal.
func plain(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case strings.ContainsRune("\\`*_<>[]|#", r):
			b.WriteByte('\\')
			b.WriteRune(r)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			b.WriteString(escape(r))
		}
	}
	return b.String()
}

// lines is plain for a text that is shown as it is.
func lines(s string) string {
	var b strings.Builder
	for _, r := range strings.TrimRight(s, "\n") {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			b.WriteString(escape(r))
		}
	}
	return b.String()
}

func escape(r rune) string {
	quoted := strconv.QuoteRuneToASCII(r)
	return quoted[1 : len(quoted)-1]
}
