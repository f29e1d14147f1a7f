package main

import (
	"testing"

	"github.com/hermes-gw/hermes-gw/internal/cgoless"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// libxpc measures one call of a function of libxpc, and what a request is made of.
func libxpc(b *testing.B, msg xpc.Dict) {
	x, err := cgoless.LoadXPC()
	if err != nil {
		b.Skip(err)
	}
	b.Run("call", func(b *testing.B) {
		v := x.NewInt64(1)
		defer x.Release(v)
		b.ReportAllocs()
		for b.Loop() {
			x.Int64(v)
		}
	})
	b.Run("dictionary", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			d := x.NewDict()
			for key, value := range msg {
				var v uintptr
				switch value := value.(type) {
				case uint64:
					v = x.NewUint64(value)
				case bool:
					v = x.NewBool(value)
				case string:
					v = x.NewString(value)
				}
				x.Set(d, key, v)
				x.Release(v)
			}
			x.EachEntry(d, func(string, uintptr) {})
			x.Release(d)
		}
	})
}
