// Package shellwords writes commands for people to type.
package shellwords

import "strings"

// Join is a command as it is typed into a shell: what is not plain stands in single quotes, so that no
// label and no path does anything but name itself.
func Join(words ...string) string {
	typed := make([]string, len(words))
	for i, w := range words {
		if !Plain(w) {
			w = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
		typed[i] = w
	}
	return strings.Join(typed, " ")
}

// Plain reports whether a word means itself to every shell.
func Plain(w string) bool {
	return w != "" && strings.Trim(w, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-") == ""
}
