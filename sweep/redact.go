package sweep

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// hiddenValue stands for a value that is not shown.
const hiddenValue = "***"

// maxShown is how much of an argument is shown: a program of python -c has thousands of bytes.
const maxShown = 80

// Redact returns argv as it can be shown: what looks like a secret is ***, and so are the
// password of a URL and the rest of a header that authorizes; long arguments are cut; control
// characters are escaped, so that none reaches a terminal. It goes by names and forms, so a
// secret in an argument that looks like any other is shown.
func Redact(argv []string) []string {
	shown := make([]string, len(argv))
	hide := false // the next one
	for i, a := range argv {
		switch {
		case hide:
			shown[i], hide = hiddenValue, false
		case i > 0:
			shown[i], hide = redact(a)
		default:
			shown[i] = a
		}
		shown[i] = visible(shown[i])
	}
	return shown
}

// redact hides what is secret in one argument; next says that the one after it is.
func redact(a string) (shown string, next bool) {
	if name, value, joined := strings.Cut(a, "="); joined && value != "" && secretName(name) {
		return name + "=" + hiddenValue, false
	}
	if strings.HasPrefix(a, "-") && !strings.Contains(a, "=") && secretName(a) {
		return a, true
	}
	lower := strings.ToLower(a)
	if header, _, ok := strings.Cut(a, ":"); ok && (strings.Contains(lower, "authorization:") || secretName(header)) {
		return header + ": " + hiddenValue, false
	}
	for _, scheme := range []string{"bearer ", "basic ", "token "} {
		if strings.HasPrefix(lower, scheme) {
			return a[:len(scheme)] + hiddenValue, false
		}
	}
	for _, prefix := range []string{"sk-", "ghp_", "gho_", "github_pat_", "xoxb-", "xoxp-", "xapp-", "eyj"} {
		if strings.HasPrefix(lower, prefix) && len(a) > len(prefix)+8 {
			return hiddenValue, false
		}
	}
	return redactURL(a), false
}

// redactURL hides what stands between a scheme and the @ before the host.
func redactURL(a string) string {
	scheme, rest, ok := strings.Cut(a, "://")
	if !ok {
		return a
	}
	authority, path := rest, ""
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		authority = hiddenValue + authority[i:]
	}
	if base, _, asked := strings.Cut(path, "?"); asked { // a query can hold keys
		path = base + "?" + hiddenValue
	}
	return scheme + "://" + authority + path
}

// secretName reports whether a flag or variable of that name holds a secret as a rule.
func secretName(name string) bool {
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	for i, w := range words {
		switch w {
		case "token", "tokens", "secret", "secrets", "password", "passwd", "passphrase", "pass", "apikey", "credential", "credentials", "auth", "authorization", "cookie", "bearer", "pin":
			return true
		case "key":
			return len(words) > 1 && i > 0
		}
		if strings.HasSuffix(w, "token") || strings.HasSuffix(w, "secret") || strings.HasSuffix(w, "password") || strings.HasSuffix(w, "apikey") {
			return true
		}
	}
	return false
}

// visible cuts an argument and escapes what a terminal would act on.
func visible(s string) string {
	cut := ""
	if len(s) > maxShown {
		end := maxShown
		for end > 0 && !utf8.RuneStart(s[end]) {
			end--
		}
		s, cut = s[:end], "…"
	}
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		quoted := strconv.Quote(s)
		s = quoted[1 : len(quoted)-1]
	}
	return s + cut
}
