package hermesgw

import (
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func seeds(f *testing.F) {
	for _, text := range []string{
		"", "4711", "\ufeff4711\n", "-1", `{"pid":4711,"kind":"hermes-gateway","argv":["hermes"],"start_time":179000000012,"hermes_home":"/h"}`,
		`{"pid":4711,"gateway_state":"running","active_work":[{"kind":"chat","elapsed_s":1.5,"pid":7}],"platforms":{"telegram":{"state":"connected","needs_attention":true}},"updated_at":"2026-11-25T18:04:08.1+00:00"}`,
		`{"pid":4711,"updated_at":1790000000.5,"loop_tick_socket":true,"start_time":1790000000.25}`,
		`{"role":"gateway","pid":4711,"createTime":1790000000.25,"protocolVersion":1,"profiles":["work"]}`,
		identity("/h", 4711), `{"ok":false,"error":"x"}`, "1790000000.5\n1790000001\ngarbage", `{"a":{"a":{"a":[[[`, "{\"pid\":\"\xff\"}",
		"2026-11-25 ERROR token=abc \x1b[31m 'sk-abcdefghijklmnop' \u202e", "a\r\n\tb\n\n",
	} {
		f.Add([]byte(text))
	}
}

// clean fails unless a text can go to a terminal.
func clean(t *testing.T, what, s string, limit int) {
	t.Helper()
	if strings.ContainsFunc(s, func(r rune) bool { return hidden(r) && r != utf8.RuneError }) || !utf8.ValidString(s) || len(s) > 10*limit+3 {
		t.Errorf("%s is shown as %q", what, s)
	}
}

func FuzzRecord(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseRecord(b)
		if err != nil {
			clean(t, "the error", strings.ReplaceAll(err.Error(), "\n", " "), 1000)
		} else if r.PID <= 1 || r.PID > maxPID || r.Start < 0 {
			t.Errorf("%q: %+v", b, r)
		}
		r.of(Install{UID: os.Getuid(), AccountHome: "/h"}, "/h")
	})
}

func FuzzState(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseState(b)
		if err != nil {
			return
		}
		if s.PID <= 1 || s.Start < 0 {
			t.Errorf("%q: %+v", b, s)
		}
		for what, text := range map[string]string{"the state": s.State, "the code": s.CodeSHA, "the version": s.CodeVersion} {
			clean(t, what, text, maxShownWord)
		}
		clean(t, "the reason", s.ExitReason, maxShownText)
		for _, w := range s.ActiveWork {
			clean(t, "the kind", w.Kind, maxShownWord)
			if w.Elapsed < 0 || w.PID < 0 {
				t.Errorf("%q: %+v", b, w)
			}
		}
		for name, p := range s.Platforms {
			clean(t, "the platform", name+p.State+p.ErrorCode, 4*maxShownWord)
		}
		for _, name := range s.Served {
			if !validName(name) {
				t.Errorf("%q: serves %q", b, name)
			}
		}
	})
}

func FuzzHeartbeat(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := parseHeartbeat(b); err == nil && (h.PID <= 1 || h.Start < 0) {
			t.Errorf("%q: %+v", b, h)
		}
		if r, err := parseHost(b); err == nil && (r.PID <= 1 || r.Start < 0) {
			t.Errorf("%q: %+v", b, r)
		}
	})
}

func FuzzStarts(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		if n := countStarts(string(b), time.Hour, time.Unix(1790000000, 0)); n < 0 || n > strings.Count(string(b), "\n")+1 {
			t.Errorf("%q: %d starts", b, n)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		result, err := parseAnswer(b)
		if err != nil {
			return
		}
		if id, _, err := parseIdentification(result); err == nil {
			if id.PID <= 1 || id.Start < 0 {
				t.Errorf("%q: %+v", b, id)
			}
			clean(t, "the identity", id.Profile+id.Supervisor+id.CodeSHA, 3*maxShownWord)
		}
		result.state()
	})
}

func FuzzLog(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		tail := lastLines(string(b), len(b)%2 == 1, 3)
		if len(tail) > 3 {
			t.Errorf("%q: %q", b, tail)
		}
		for _, line := range tail {
			clean(t, "the line", line, maxShownText)
		}
	})
}
