// Package xpc moves Go values over launchd's private request interface.
//
// Values, not handles: a message is a [Dict] of plain Go values, a [Transport]
// carries one request and returns one reply, and whatever C objects, Mach rights
// and descriptors that takes are gone when Call returns. There is nothing to
// release and nothing to leak.
//
// Two transports exist. [Bootstrap] talks to the launchd of this Mac through
// libxpc, without cgo. [Dial] talks to a launchd model over a Unix socket, on any
// system.
package xpc

import (
	"time"

	"github.com/hermes-gw/hermes-gw/internal/xpcwire"
)

// Dict is an XPC dictionary as Go values:
//
//	XPC         Go
//	null        nil
//	bool        bool
//	int64       int64
//	uint64      uint64
//	double      float64
//	date        time.Time (nanoseconds)
//	data        []byte
//	string      string (no NUL)
//	uuid        UUID
//	array       []any
//	dictionary  Dict
//	fd          FD
//	shmem       *Shmem
//
// A value of any other type in a request is a *[ValueError] that names the key
// path, and nothing is sent; so is a date outside the years 1678 to 2262, nesting
// above 100 levels, and a request above 16 MiB. In replies a *Shmem is nil. They
// may also hold a [Right] where launchd sent a Mach right and a Dict where it sent
// an error object.
type Dict map[string]any

// UUID is the value of a uuid object.
type UUID = xpcwire.UUID

// FD is a file descriptor. In a request it is lent: the other side gets a
// duplicate. A descriptor in a reply was closed before Call returned and reads
// as FD(-1).
type FD = xpcwire.FD

// Right names what stood in a reply and cannot be a value: a Mach right ("mach
// send", "mach recv", "mach send once"), a "connection", an "endpoint", a "pipe",
// or libxpc's name for the type of any other object. The right itself was
// released before Call returned.
type Right string

const (
	rightMachSend     Right = "mach send"
	rightMachRecv     Right = "mach recv"
	rightMachSendOnce Right = "mach send once"
	rightConnection   Right = "connection"
	rightEndpoint     Right = "endpoint"
	rightPipe         Right = "pipe"
)

func get[T any](d Dict, key string) (T, bool) {
	v, ok := d[key].(T)
	return v, ok
}

// Int64 returns the int64 under key; ok is false when there is none or it is of
// another type. No getter converts or panics, a nil Dict included.
func (d Dict) Int64(key string) (v int64, ok bool) { return get[int64](d, key) }

// Uint64 is [Dict.Int64] for uint64.
func (d Dict) Uint64(key string) (v uint64, ok bool) { return get[uint64](d, key) }

// Bool is [Dict.Int64] for bool.
func (d Dict) Bool(key string) (v bool, ok bool) { return get[bool](d, key) }

// Float64 is [Dict.Int64] for float64.
func (d Dict) Float64(key string) (v float64, ok bool) { return get[float64](d, key) }

// String is [Dict.Int64] for string.
func (d Dict) String(key string) (v string, ok bool) { return get[string](d, key) }

// Bytes is [Dict.Int64] for []byte.
func (d Dict) Bytes(key string) (v []byte, ok bool) { return get[[]byte](d, key) }

// Time is [Dict.Int64] for time.Time.
func (d Dict) Time(key string) (v time.Time, ok bool) { return get[time.Time](d, key) }

// UUID is [Dict.Int64] for UUID.
func (d Dict) UUID(key string) (v UUID, ok bool) { return get[UUID](d, key) }

// Slice is [Dict.Int64] for []any.
func (d Dict) Slice(key string) (v []any, ok bool) { return get[[]any](d, key) }

// Dict is [Dict.Int64] for Dict.
func (d Dict) Dict(key string) (v Dict, ok bool) { return get[Dict](d, key) }
