package xpc

import (
	"reflect"
	"testing"
	"time"
)

// Every getter returns the value of its own type, and nothing for all others.
func TestGetters(t *testing.T) {
	d := Dict{
		"int64": int64(-1), "uint64": uint64(1), "bool": true, "double": 1.5, "string": "s", "data": []byte{1},
		"date": time.Unix(1, 0), "uuid": UUID{1}, "array": []any{"a"}, "dict": Dict{"k": nil}, "null": nil, "fd": FD(-1),
	}
	getters := map[string]func(d Dict, key string) (any, bool){
		"int64":  func(d Dict, k string) (any, bool) { v, ok := d.Int64(k); return v, ok },
		"uint64": func(d Dict, k string) (any, bool) { v, ok := d.Uint64(k); return v, ok },
		"bool":   func(d Dict, k string) (any, bool) { v, ok := d.Bool(k); return v, ok },
		"double": func(d Dict, k string) (any, bool) { v, ok := d.Float64(k); return v, ok },
		"string": func(d Dict, k string) (any, bool) { v, ok := d.String(k); return v, ok },
		"data":   func(d Dict, k string) (any, bool) { v, ok := d.Bytes(k); return v, ok },
		"date":   func(d Dict, k string) (any, bool) { v, ok := d.Time(k); return v, ok },
		"uuid":   func(d Dict, k string) (any, bool) { v, ok := d.UUID(k); return v, ok },
		"array":  func(d Dict, k string) (any, bool) { v, ok := d.Slice(k); return v, ok },
		"dict":   func(d Dict, k string) (any, bool) { v, ok := d.Dict(k); return v, ok },
	}
	for name, get := range getters {
		for key, v := range d {
			got, ok := get(d, key)
			if want := name == key; ok != want || ok && !reflect.DeepEqual(got, v) {
				t.Errorf("the %s getter on a %s gave %v, %v", name, key, got, ok)
			}
			if !ok && !reflect.ValueOf(got).IsZero() {
				t.Errorf("the %s getter gave %v where there is none", name, got)
			}
		}
		if _, ok := get(nil, name); ok {
			t.Errorf("the %s getter found something in nil", name)
		}
		if _, ok := get(d, "no such key"); ok {
			t.Errorf("the %s getter found a key that is not there", name)
		}
	}
}
