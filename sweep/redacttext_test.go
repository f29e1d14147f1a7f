package sweep

import "testing"

func TestRedactText(t *testing.T) {
	for in, want := range map[string]string{
		"": "",
		"2026-11-25 18:04:08 INFO  started, (pid 4711)":                   "2026-11-25 18:04:08 INFO  started, (pid 4711)",
		"key 'sk-abcdefghijklmnop' [ghp_abcdefghijklm]":                   "key '***' [***]",
		"InvalidToken(\"123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsawX\")": `InvalidToken("***")`,
		"login password=hunter2 failed":                                   "login password=*** failed",
		"\x1b[31mred\x1b[0m":                                              "\x1b[31mred\x1b[0m", // escaping is somebody else's
	} {
		if got := RedactText(in); got != want {
			t.Errorf("RedactText(%q) = %q, want %q", in, got, want)
		}
	}
}
