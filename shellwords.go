package hermesgw

import "strings"

// shellWords is a command as it is typed into a shell: what is not plain stands in single quotes, so
// that no label and no path does anything but name itself.
func shellWords(words []string) string {
	typed := make([]string, len(words))
	for i, w := range words {
		if w == "" || strings.Trim(w, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-") != "" {
			w = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
		typed[i] = w
	}
	return strings.Join(typed, " ")
}
