package launchd

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A property list is a tree of bool, int64, uint64, float64, string, []byte, time.Time,
// []any and map[string]any. What follows turns such trees into [Plist] and back, by the
// names of the fields, and names the key that is wrong.

// valueError says that a key's value is not what it should be.
type valueError struct {
	Key  string // "KeepAlive.Crashed", "Sockets.Listeners[1].SockType"
	Want string // "a boolean"
	Got  any    // the value, or nil for none that would help
	Why  string // instead of Want: what is wrong with the value
}

func (e *valueError) Error() string {
	if e.Why != "" {
		return printable(e.Key + " " + e.Why)
	}
	return fmt.Sprintf("%s is %s, not %s", printable(e.Key), kindOf(e.Got), e.Want)
}

// kindOf names the kind of a value as the manual does.
func kindOf(v any) string {
	switch v.(type) {
	case bool:
		return "a boolean"
	case int64, uint64:
		return "an integer"
	case float64, float32:
		return "a real"
	case string:
		return "a string"
	case []byte:
		return "data"
	case time.Time:
		return "a date"
	case []any:
		return "an array"
	case map[string]any:
		return "a dictionary"
	}
	return "something else"
}

// fromList is a value that a property list has in more than one form.
type fromList interface {
	decode(key string, v any) error
	encode() any
	kinds() string // for errors: "a string or an array of strings"
}

func (k *KeepAlive) kinds() string         { return "a boolean or a dictionary" }
func (c *CalendarIntervals) kinds() string { return "a dictionary or an array of dictionaries" }
func (l *StringList) kinds() string        { return "a string or an array of strings" }
func (u *Umask) kinds() string             { return "an integer or a string" }
func (m *MachService) kinds() string       { return "a boolean or a dictionary" }
func (s *Sockets) kinds() string           { return "a dictionary or an array of dictionaries" }
func (s *StringOrInt) kinds() string       { return "a string or an integer" }

func (k *KeepAlive) decode(key string, v any) error {
	switch v := v.(type) {
	case bool:
		k.Always = v
		return nil
	case map[string]any:
		return decodeStruct(key, v, reflect.ValueOf(k).Elem())
	}
	return &valueError{Key: key, Want: k.kinds(), Got: v}
}

func (k *KeepAlive) encode() any {
	conditions := encodeStruct(reflect.ValueOf(k).Elem())
	if len(conditions) == 0 {
		return k.Always
	}
	return conditions
}

func (c *CalendarIntervals) decode(key string, v any) error {
	return decodeOneOrMany(key, v, c.kinds(), (*[]CalendarInterval)(c))
}
func (c *CalendarIntervals) encode() any { return encodeOneOrMany(*c) }

func (s *Sockets) decode(key string, v any) error {
	return decodeOneOrMany(key, v, s.kinds(), (*[]Socket)(s))
}
func (s *Sockets) encode() any { return encodeOneOrMany(*s) }

// decodeOneOrMany reads a dictionary, or an array of them.
func decodeOneOrMany[T any](key string, v any, kinds string, into *[]T) error {
	items, many := v.([]any)
	if !many {
		items = []any{v}
	}
	*into = make([]T, len(items))
	for i, item := range items {
		d, ok := item.(map[string]any)
		where := key
		if many {
			where = fmt.Sprintf("%s[%d]", key, i)
		}
		if !ok {
			want := kinds
			if many {
				want = "a dictionary"
			}
			return &valueError{Key: where, Want: want, Got: item}
		}
		if err := decodeStruct(where, d, reflect.ValueOf(&(*into)[i]).Elem()); err != nil {
			return err
		}
	}
	return nil
}

func encodeOneOrMany[T any](list []T) any {
	items := make([]any, len(list))
	for i := range list {
		items[i] = encodeStruct(reflect.ValueOf(&list[i]).Elem())
	}
	if len(items) == 1 {
		return items[0]
	}
	return items
}

func (l *StringList) decode(key string, v any) error {
	if s, one := v.(string); one {
		*l = StringList{s}
		return nil
	}
	if _, many := v.([]any); !many {
		return &valueError{Key: key, Want: l.kinds(), Got: v}
	}
	return decodeValue(key, v, reflect.ValueOf((*[]string)(l)).Elem())
}

func (l *StringList) encode() any {
	if len(*l) == 1 {
		return (*l)[0]
	}
	return encodeValue(reflect.ValueOf([]string(*l)))
}

func (u *Umask) decode(key string, v any) error {
	switch v := v.(type) {
	case string:
		n, err := strconv.ParseUint(v, 0, 16)
		if err != nil || strings.Contains(v, "_") {
			return &valueError{Key: key, Why: fmt.Sprintf("is %q, not a file mode", clip(v))}
		}
		*u = Umask(n)
		return nil
	case int64, uint64:
		return decodeValue(key, v, reflect.ValueOf((*int)(u)).Elem())
	}
	return &valueError{Key: key, Want: u.kinds(), Got: v}
}
func (u *Umask) encode() any { return int64(*u) }

func (m *MachService) decode(key string, v any) error {
	switch v := v.(type) {
	case bool:
		m.Off = !v
		return nil
	case map[string]any:
		return decodeStruct(key, v, reflect.ValueOf(m).Elem())
	}
	return &valueError{Key: key, Want: m.kinds(), Got: v}
}

func (m *MachService) encode() any {
	options := encodeStruct(reflect.ValueOf(m).Elem())
	if len(options) == 0 {
		return !m.Off
	}
	return options
}

func (s *StringOrInt) decode(key string, v any) error {
	if text, ok := v.(string); ok {
		s.String = text
		return nil
	}
	n, ok := integer(v)
	if !ok {
		return &valueError{Key: key, Want: s.kinds(), Got: v}
	}
	s.Int = n
	return nil
}

func (s *StringOrInt) encode() any {
	if s.String != "" {
		return s.String
	}
	return int64(s.Int)
}

// keyField is a field of a struct that stands for a key.
type keyField struct {
	key   string
	index int
}

// keyFields lists the keys of a struct, in its order.
func keyFields(t reflect.Type) (list []keyField) {
	for i := range t.NumField() {
		switch tag := t.Field(i).Tag.Get("plist"); tag {
		case "-":
		case "":
			list = append(list, keyField{t.Field(i).Name, i})
		default:
			list = append(list, keyField{tag, i})
		}
	}
	return list
}

// decodeStruct reads a dictionary. What has no field goes to Extra.
func decodeStruct(at string, d map[string]any, into reflect.Value) error {
	known := map[string]int{}
	for _, f := range keyFields(into.Type()) {
		known[f.key] = f.index
	}
	for _, key := range slices.Sorted(maps.Keys(d)) {
		path := key
		if at != "" {
			path = at + "." + key
		}
		if i, ok := known[key]; ok {
			if err := decodeValue(path, d[key], into.Field(i)); err != nil {
				return err
			}
			continue
		}
		extra := into.FieldByName("Extra").Addr().Interface().(*map[string]any)
		if *extra == nil {
			*extra = map[string]any{}
		}
		(*extra)[key] = d[key]
	}
	return nil
}

// decodeValue reads one value.
func decodeValue(key string, v any, into reflect.Value) error {
	if into.Kind() == reflect.Pointer {
		into.Set(reflect.New(into.Type().Elem()))
		return decodeValue(key, v, into.Elem())
	}
	if special, ok := into.Addr().Interface().(fromList); ok {
		return special.decode(key, v)
	}
	wrong := func(want string) error { return &valueError{Key: key, Want: want, Got: v} }
	switch into.Kind() {
	case reflect.Bool:
		b, ok := v.(bool)
		if !ok {
			return wrong("a boolean")
		}
		into.SetBool(b)
	case reflect.Int:
		n, ok := integer(v)
		if _, large := v.(uint64); !ok && large {
			return &valueError{Key: key, Why: "is too large an integer"}
		}
		if !ok {
			return wrong("an integer")
		}
		into.SetInt(int64(n))
	case reflect.String:
		s, ok := v.(string)
		if !ok {
			return wrong("a string")
		}
		into.SetString(s)
	case reflect.Slice:
		items, ok := v.([]any)
		if !ok {
			return wrong("an array of strings")
		}
		into.Set(reflect.MakeSlice(into.Type(), len(items), len(items)))
		for i, item := range items {
			if err := decodeValue(fmt.Sprintf("%s[%d]", key, i), item, into.Index(i)); err != nil {
				return err
			}
		}
	case reflect.Map:
		d, ok := v.(map[string]any)
		if !ok {
			return wrong("a dictionary")
		}
		into.Set(reflect.MakeMapWithSize(into.Type(), len(d)))
		for _, k := range slices.Sorted(maps.Keys(d)) {
			item := reflect.New(into.Type().Elem()).Elem()
			if err := decodeValue(key+"."+k, d[k], item); err != nil {
				return err
			}
			into.SetMapIndex(reflect.ValueOf(k), item)
		}
	case reflect.Struct:
		d, ok := v.(map[string]any)
		if !ok {
			return wrong("a dictionary")
		}
		return decodeStruct(key, d, into)
	case reflect.Interface:
		if v != nil {
			into.Set(reflect.ValueOf(v))
		}
	}
	return nil
}

// integer reads an integer that an int holds.
func integer(v any) (int, bool) {
	switch v := v.(type) {
	case int64:
		return int(v), true
	case uint64:
		return int(v), v <= math.MaxInt64
	}
	return 0, false
}

// encodeStruct makes a dictionary of the fields that are not zero, and of Extra, which
// never hides a field.
func encodeStruct(from reflect.Value) map[string]any {
	d := map[string]any{}
	if extra, ok := from.FieldByName("Extra").Interface().(map[string]any); ok {
		maps.Copy(d, extra)
	}
	for _, f := range keyFields(from.Type()) {
		delete(d, f.key)
		if v := from.Field(f.index); !v.IsZero() {
			d[f.key] = encodeValue(v)
		}
	}
	return d
}

func encodeValue(v reflect.Value) any {
	if v.Kind() == reflect.Pointer {
		if special, ok := v.Interface().(fromList); ok {
			return special.encode()
		}
		return encodeValue(v.Elem())
	}
	if !v.CanAddr() { // an element of a map
		addressable := reflect.New(v.Type()).Elem()
		addressable.Set(v)
		v = addressable
	}
	if special, ok := v.Addr().Interface().(fromList); ok {
		return special.encode()
	}
	switch v.Kind() {
	case reflect.Int:
		return v.Int()
	case reflect.Slice:
		items := make([]any, v.Len())
		for i := range items {
			items[i] = encodeValue(v.Index(i))
		}
		return items
	case reflect.Map:
		d := map[string]any{}
		for _, k := range v.MapKeys() {
			d[k.String()] = encodeValue(v.MapIndex(k))
		}
		return d
	case reflect.Struct:
		return encodeStruct(v)
	}
	return v.Interface()
}

// encode is the whole list: what was read where it was not changed, else what the fields say.
func (p *Plist) encode() (map[string]any, error) {
	from := reflect.ValueOf(p).Elem()
	d := encodeStruct(from)
	for _, f := range keyFields(from.Type()) {
		if _, hidden := p.Extra[f.key]; hidden {
			return nil, &valueError{Key: f.key, Why: "is in Extra, and has a field of its own"}
		}
		was, read := p.read[f.key]
		if !read {
			continue
		}
		then := reflect.New(from.Field(f.index).Type()).Elem()
		if decodeValue(f.key, was, then) == nil && reflect.DeepEqual(then.Interface(), from.Field(f.index).Interface()) {
			d[f.key] = was
		}
	}
	if k := p.KeepAlive; k != nil && k.Always {
		if _, both := k.encode().(map[string]any); both {
			return nil, &valueError{Key: "KeepAlive", Why: "is always and has conditions: a list can hold only one"}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.MachServices)) {
		if m := p.MachServices[name]; m.Off && (m.ResetAtClose || m.HideUntilCheckIn || len(m.Extra) > 0) {
			return nil, &valueError{Key: "MachServices." + name, Why: "is off and has options: a list can hold only one"}
		}
	}
	return d, nil
}

// checkTexts refuses what XML cannot hold, which the writer would replace without a word.
func checkTexts(key string, v any) error {
	switch v := v.(type) {
	case string:
		if problem := textProblem(v); problem != "" {
			return &valueError{Key: key, Why: problem}
		}
	case []any:
		for i, item := range v {
			if err := checkTexts(fmt.Sprintf("%s[%d]", key, i), item); err != nil {
				return err
			}
		}
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			path := k
			if key != "" {
				path = key + "." + k
			}
			if problem := textProblem(k); problem != "" {
				return &valueError{Key: fmt.Sprintf("the name of the key %q", clip(path)), Why: problem}
			}
			if err := checkTexts(path, v[k]); err != nil {
				return err
			}
		}
	}
	return nil
}

// textProblem tells what keeps a string out of XML 1.0 (section 2.2, Char). A carriage
// return would come back as a line feed (2.11).
func textProblem(s string) string {
	if !utf8.ValidString(s) {
		return "is not valid UTF-8"
	}
	for _, r := range s {
		if r < ' ' && r != '\t' && r != '\n' || r == 0xfffe || r == 0xffff {
			return fmt.Sprintf("has the character %U, which XML cannot hold", r)
		}
	}
	return ""
}
