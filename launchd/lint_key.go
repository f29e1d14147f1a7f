package launchd

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/hermes-gw/hermes-gw/internal/spell"
)

// keyRules are about names and kinds of keys.
var keyRules = []rule{
	{"unknown-key", "every key is one of launchd.plist(5)", false, func(l *lint, report func(key, problem, fix string)) {
		l.unknown(report)
	}},
	{"wrong-type", "every value is of its key's kind", true, func(l *lint, report func(key, problem, fix string)) {
		for _, w := range l.wrong {
			if w.Why != "" {
				report(w.Key, "it "+w.Why, "Write another value")
				continue
			}
			report(w.Key, "it is "+kindOf(w.Got)+", so launchd does not take it", "Write "+w.Want)
		}
	}},
	// launchd.plist(5): "no longer implemented", "no longer has any effect", "deprecated".
	{"retired-key", "every key is one that launchd still reads", false, func(l *lint, report func(key, problem, fix string)) {
		for _, r := range retiredKeys {
			if _, set := l.keys[r.key]; set {
				report(r.key, "launchd no longer reads it", r.instead)
			}
		}
		if k := l.plist.KeepAlive; k != nil && k.NetworkState != nil {
			report("KeepAlive.NetworkState", "launchd no longer reads it", "Remove it, and let the program wait for the network")
		}
	}},
	// XML holds tabs and line breaks only; a binary list holds anything, and launchctl
	// print shows it as it is.
	{"control-character", "no text has control characters", false, func(l *lint, report func(key, problem, fix string)) {
		if err, ok := checkTexts("", l.keys).(*valueError); ok {
			report(err.Key, "it "+err.Why, "Remove the character")
		}
	}},
}

var retiredKeys = []struct{ key, instead string }{
	{"Debug", "Remove it"},
	{"EnableGlobbing", "Remove it, and write the arguments out"},
	{"HopefullyExitsFirst", "Remove it"},
	{"HopefullyExitsLast", "Remove it"},
	{"LimitLoadFromHosts", "Remove it"},
	{"LimitLoadToHosts", "Remove it"},
	{"OnDemand", "Use KeepAlive, which is its opposite"},
	{"POSIXSpawnType", "Use ProcessType"},
	{"ServiceIPC", "Remove it"},
	{"TimeOut", "Remove it; ExitTimeOut is the time from SIGTERM to SIGKILL"},
}

// unknown reports the keys that no field stands for, at every level.
func (l *lint) unknown(report func(key, problem, fix string)) {
	l.unknownIn("", reflect.ValueOf(&l.plist).Elem(), report)
}

func (l *lint) unknownIn(at string, v reflect.Value, report func(key, problem, fix string)) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			l.unknownIn(at, v.Elem(), report)
		}
	case reflect.Slice:
		for i := range v.Len() {
			l.unknownIn(fmt.Sprintf("%s[%d]", at, i), v.Index(i), report)
		}
	case reflect.Map:
		if v.Type().Elem().Kind() == reflect.Interface {
			return // LaunchEvents and the like: anything goes
		}
		for _, k := range slices.SortedFunc(slices.Values(v.MapKeys()), func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) }) {
			l.unknownIn(join(at, k.String()), v.MapIndex(k), report)
		}
	case reflect.Struct:
		if !v.FieldByName("Extra").IsValid() {
			return // a value in two forms, not a dictionary
		}
		known := []string{}
		for _, f := range keyFields(v.Type()) {
			known = append(known, f.key)
			l.unknownIn(join(at, f.key), v.Field(f.index), report)
		}
		extra, _ := v.FieldByName("Extra").Interface().(map[string]any)
		for _, key := range slices.Sorted(maps.Keys(extra)) {
			fix := "Remove it"
			if like := nearestKey(key, known); like != "" {
				fix = "Write " + like + " if that is meant"
			}
			report(join(at, key), "launchd does not know this key and ignores it", fix)
		}
	}
}

func nearestKey(key string, known []string) string {
	for _, k := range known {
		if strings.EqualFold(k, key) {
			return k
		}
	}
	return spell.Nearest(key, known)
}

func join(at, key string) string {
	if at == "" {
		return key
	}
	return at + "." + key
}
