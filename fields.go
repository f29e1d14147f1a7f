package hermesgw

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// fields is a JSON object of Hermes', by exact names. One field that is not of the kind that it
// should be does not spoil the others: it counts as absent.
type fields map[string]json.RawMessage

// parseFields reads an object. A byte order mark before it is skipped, as Hermes does.
func parseFields(b []byte) (fields, error) {
	b = bytes.TrimSpace(bytes.TrimPrefix(b, []byte("\ufeff")))
	switch {
	case len(b) == 0:
		return nil, errors.New("it is empty")
	case !utf8.Valid(b):
		return nil, errors.New("it is not UTF-8")
	case b[0] != '{':
		return nil, errors.New("it is not a JSON object")
	}
	var f fields
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, fmt.Errorf("it is not JSON: %w", err)
	}
	return f, nil
}

func (f fields) text(name string) string {
	var s string
	if json.Unmarshal(f[name], &s) != nil {
		return ""
	}
	return s
}

// word is a text that is shown, and not compared with anything longer.
func (f fields) word(name string) string { return shown(f.text(name), maxShownWord) }

func (f fields) texts(name string) []string {
	var list []json.RawMessage
	if json.Unmarshal(f[name], &list) != nil {
		return nil
	}
	var texts []string
	for _, one := range list {
		var s string
		if json.Unmarshal(one, &s) == nil && one[0] == '"' {
			texts = append(texts, s)
		}
	}
	return texts
}

// profiles are the names of profiles in a list.
func (f fields) profiles(name string) []string {
	return slices.DeleteFunc(f.texts(name), func(s string) bool { return !validName(s) })
}

func (f fields) yes(name string) bool { return string(f[name]) == "true" }

// number is false for anything but a finite number.
func (f fields) number(name string) (float64, bool) {
	raw := string(f[name])
	if raw == "" || raw[0] != '-' && (raw[0] < '0' || raw[0] > '9') {
		return 0, false
	}
	n, err := strconv.ParseFloat(raw, 64)
	return n, err == nil && !math.IsInf(n, 0)
}

// objects are the values of a field that is an object of objects.
func (f fields) objects(name string) map[string]fields {
	var raw map[string]json.RawMessage
	if json.Unmarshal(f[name], &raw) != nil {
		return nil
	}
	objects := make(map[string]fields, len(raw))
	for key, value := range raw {
		if one, err := parseFields(value); err == nil {
			objects[key] = one
		}
	}
	return objects
}

// list is the objects of a field that is a list of them.
func (f fields) list(name string) []fields {
	var raw []json.RawMessage
	if json.Unmarshal(f[name], &raw) != nil {
		return nil
	}
	var list []fields
	for _, value := range raw {
		if one, err := parseFields(value); err == nil {
			list = append(list, one)
		}
	}
	return list
}

// maxPID is above the pids of both systems (99,999 and 4,194,304).
const maxPID = 1 << 22

// parsePID reads the pid of a gateway, which is neither 0 nor 1.
func parsePID(s string) (int, error) {
	if s == "" {
		return 0, errors.New("it names no pid")
	}
	pid, err := strconv.Atoi(s)
	if err != nil || s[0] == '+' || pid <= 1 || pid > maxPID {
		return 0, fmt.Errorf("%s is not the pid of a gateway", shown(s, maxShownWord))
	}
	return pid, nil
}

func (f fields) pid(name string) (int, error) { return parsePID(string(f[name])) }

// start is a start time in centiseconds; 0 if there is none.
func (f fields) start(name string) (int64, error) {
	raw := string(f[name])
	if raw == "" || raw == "null" {
		return 0, nil
	}
	n, ok := f.number(name)
	if n = math.Round(n); !ok || n < 0 || n > 1e13 { // in the year 5138
		return 0, fmt.Errorf("%s is not a start time in centiseconds", shown(raw, maxShownWord))
	}
	return int64(n), nil
}

// epoch is a time in seconds since the epoch; 0 if there is none.
func (f fields) epoch(name string) float64 {
	if n, ok := f.number(name); ok && n > 0 && n < 1e11 {
		return n
	}
	return 0
}

// when is a moment that Python wrote: isoformat(), without a zone UTC, or seconds since the
// epoch, not before 2000. The zero time if there is none.
// Source: normalize_updated_at in gateway/status.py.
func (f fields) when(name string) time.Time {
	if n := f.epoch(name); n >= 946684800 {
		return time.UnixMicro(int64(n * 1e6)).UTC()
	}
	text := strings.TrimSpace(f.text(name))
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}
