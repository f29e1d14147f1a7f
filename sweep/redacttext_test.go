package sweep

import "testing"

func TestRedactText(t *testing.T) {
	for in, want := range map[string]string{
		"": "",
		"2026-11-25 18:04:08 INFO  started, (pid 4711)":                "2026-11-25 18:04:08 INFO  started, (pid 4711)",
		"key 'sk-abcdefghijklmnop' [ghp_abcdefghijklm]":                "key '***' [***]",
		"bot ('123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsawX') failed": "bot ('***') failed",
		"login password=hunter2 failed":                                "login password=*** failed",
		"{\"token\": \"hunter2\", \"n\": 1}":                           "{\"token\": *** *** \"n\": 1}",
		"sent Authorization: Bearer hunter2 and more":                  "sent Authorization: ***",
		"AUTHORIZATION:x":                 "AUTHORIZATION: ***",
		"Set-Cookie: a=b; c=d":            "Set-Cookie: ***",
		"Cookie: a, Authorization: b":     "Cookie: ***",
		"with 'Bearer hunter2' it is 401": "with 'Bearer ***' it is 401",
		"telegram.error.InvalidToken: The token was rejected by the server": "telegram.error.InvalidToken: *** *** token was rejected by the server",
		"\x1b[31mred\x1b[0m": "\x1b[31mred\x1b[0m", // escaping is somebody else's
		"POST https://hooks.slack.com/services/T0/B0/x?key=y failed (401)":    "POST https://hooks.slack.com/services/*** failed (401)",
		"'https://user:hunter2@proxy/', sk-abcdefghijklmnop; AKIAIOSFODNN7XX": "'https://***@proxy/', *** ***",
	} {
		if got := RedactText(in); got != want {
			t.Errorf("RedactText(%q) = %q, want %q", in, got, want)
		}
	}
}
