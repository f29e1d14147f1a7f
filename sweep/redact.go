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
	hide, login := false, false // the next one, or its part behind a colon
	for i, a := range argv {
		user, _, pair := strings.Cut(a, ":")
		switch {
		case hide:
			shown[i], hide = hiddenValue, false
		case login && pair:
			shown[i] = user + ":" + hiddenValue
		default:
			shown[i], hide = redact(a)
			hide = hide && i > 0 // argv[0] is a name
		}
		login = i > 0 && (a == "-u" || a == "--user" || a == "-U" || a == "--proxy-user")
		shown[i] = visible(shown[i])
	}
	return shown
}

// redact hides what is secret in one argument; next says that the one after it is.
func redact(a string) (shown string, next bool) {
	lower := strings.ToLower(a)
	if name, value, joined := strings.Cut(a, "="); joined && value != "" && !strings.ContainsAny(name, " \n:&;") && secretName(name) {
		return name + "=" + hiddenValue, false
	}
	if strings.HasPrefix(a, "-") && !strings.ContainsAny(a, "=: \n") && secretName(a) {
		return a, true
	}
	if header, _, ok := strings.Cut(a, ":"); ok && (strings.Contains(lower, "authorization:") || !strings.ContainsAny(header, " \n&;") && secretName(header)) {
		return header + ": " + hiddenValue, strings.TrimSpace(a[len(header)+1:]) == ""
	}
	for _, scheme := range []string{"bearer ", "basic ", "token "} {
		if strings.HasPrefix(lower, scheme) {
			return a[:len(scheme)] + hiddenValue, false
		}
	}
	if isToken(a) {
		return hiddenValue, false
	}
	switch { // a command line, a program, a form: word by word
	case strings.ContainsAny(a, blanks):
		return redactWords(a, blanks), false
	case strings.Contains(a, "://"):
		return redactURL(a), false
	case strings.ContainsAny(a, "&;"):
		return redactWords(a, "&;"), false
	}
	return a, false
}

const blanks = " \t\r\n"

// redactWords redacts a text of several words and keeps what stands between them.
func redactWords(a, separators string) string {
	var b strings.Builder
	hide := false
	for a != "" {
		end := strings.IndexAny(a, separators)
		if end < 0 {
			end = len(a)
		}
		if word := a[:end]; word != "" {
			shown := hiddenValue
			if hide {
				hide = false
			} else {
				shown, hide = redact(word)
			}
			if strings.Contains(shown, hiddenValue) { // a quoted value goes on to its quote
				for _, quote := range []string{`"`, "'"} {
					if strings.Count(word, quote)%2 == 1 {
						_, behind, _ := strings.Cut(a[end:], quote)
						end, hide = len(a)-len(behind), false
						break
					}
				}
			}
			b.WriteString(shown)
		}
		if end < len(a) {
			b.WriteByte(a[end])
			end++
		}
		a = a[end:]
	}
	return b.String()
}

// isToken reports whether a has the form of a well-known service's token.
func isToken(a string) bool {
	lower := strings.ToLower(a)
	for _, prefix := range []string{"sk-", "sk_live_", "rk_live_", "ghp_", "gho_", "ghs_", "github_pat_", "glpat-", "xoxb-", "xoxp-", "xoxa-", "xapp-", "akia", "aiza", "hf_", "eyj"} {
		if strings.HasPrefix(lower, prefix) && len(a) > len(prefix)+8 {
			return true
		}
	}
	// A bot of Telegram's: 123456789:AAH...
	id, key, ok := strings.Cut(a, ":")
	return ok && len(id) >= 6 && len(key) >= 30 && strings.Trim(id, "0123456789") == ""
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
	if i := strings.IndexAny(path, "?#"); i >= 0 { // a query or a fragment can hold keys
		path = path[:i+1] + hiddenValue
	}
	// Whoever knows these paths may post there.
	for _, part := range []string{"/services/", "/api/webhooks/", "/bot"} {
		if before, _, ok := strings.Cut(path, part); ok {
			path = before + part + hiddenValue
		}
	}
	return scheme + "://" + authority + path
}

// secretName reports whether a flag or variable of that name holds a secret as a rule.
func secretName(name string) bool {
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	for i, w := range words {
		switch w {
		case "token", "tokens", "secret", "secrets", "password", "passwd", "pwd", "passphrase", "pass", "apikey", "credential", "credentials", "auth", "authorization", "cookie", "bearer", "pin":
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
