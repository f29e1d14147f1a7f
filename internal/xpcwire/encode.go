package xpcwire

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// maxDepth bounds how deep containers nest below the message's dictionary, in both
// directions, so that neither a hostile frame nor a map that contains itself can
// exhaust the stack.
const maxDepth = 200

// Append appends the message with the given magic and dictionary to b. Keys are
// written in sorted order, so equal dictionaries give equal bytes. The returned
// descriptors belong to the fd and shmem objects, in order of appearance; they
// still belong to the caller. On an error b is returned as it was. A message that
// would not fit a frame is refused with ErrFrameTooLarge before it is built.
func Append[D ~map[string]any](b []byte, magic uint32, d D) ([]byte, []int, error) {
	e := encoder[D]{b: b, end: len(b) + MaxFrame}
	e.u32(magic)
	e.u32(Version)
	if err := e.dict(typeDictionary, d, 0); err != nil {
		return b, nil, err
	}
	if err := e.room(0); err != nil {
		return b, nil, err
	}
	return e.b, e.fds, nil
}

type encoder[D ~map[string]any] struct {
	b   []byte
	end int // b may not grow beyond
	fds []int
}

// room is asked before anything of variable size is written. It also ends the
// walk over a value that contains itself more than once at each level.
func (e *encoder[D]) room(n int) error {
	if n > e.end-len(e.b) {
		return fmt.Errorf("xpcwire: %w", ErrFrameTooLarge)
	}
	return nil
}

func (e *encoder[D]) u32(v uint32) { e.b = binary.LittleEndian.AppendUint32(e.b, v) }
func (e *encoder[D]) u64(v uint64) { e.b = binary.LittleEndian.AppendUint64(e.b, v) }

func (e *encoder[D]) fixed(code uint32, v uint64) {
	e.u32(code)
	e.u64(v)
}

// pad fills up to the next multiple of 4 after n bytes were written.
func (e *encoder[D]) pad(n int) {
	for ; n%4 != 0; n++ {
		e.b = append(e.b, 0)
	}
}

func (e *encoder[D]) cstring(s string) error {
	if err := e.room(len(s)); err != nil {
		return err
	}
	if strings.IndexByte(s, 0) >= 0 {
		return fmt.Errorf("xpcwire: %.40q contains a NUL", s)
	}
	e.b = append(e.b, s...)
	e.b = append(e.b, 0)
	e.pad(len(s) + 1)
	return nil
}

// container writes the length and count around what items writes. The length
// counts from the count field on.
func (e *encoder[D]) container(code uint32, count, depth int, items func() error) error {
	if depth > maxDepth {
		return fmt.Errorf("xpcwire: nested more than %d deep", maxDepth)
	}
	e.u32(code)
	at := len(e.b)
	e.u32(0)
	e.u32(uint32(count))
	if err := items(); err != nil {
		return err
	}
	binary.LittleEndian.PutUint32(e.b[at:], uint32(len(e.b)-at-4))
	return nil
}

func (e *encoder[D]) dict(code uint32, d map[string]any, depth int) error {
	keys := make([]string, 0, len(d))
	for k := range d {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return e.container(code, len(d), depth, func() error {
		for _, k := range keys {
			if err := e.cstring(k); err != nil {
				return err
			}
			if err := e.object(d[k], depth+1); err != nil {
				return fmt.Errorf("%w (key %.40q)", err, k)
			}
		}
		return nil
	})
}

func (e *encoder[D]) object(v any, depth int) error {
	if err := e.room(0); err != nil {
		return err
	}
	switch v := v.(type) {
	case nil:
		e.u32(typeNull)
	case bool:
		e.u32(typeBool)
		var n uint32
		if v {
			n = 1
		}
		e.u32(n)
	case int64:
		e.fixed(typeInt64, uint64(v))
	case uint64:
		e.fixed(typeUint64, v)
	case float64:
		e.fixed(typeDouble, math.Float64bits(v))
	case time.Time:
		n := v.UnixNano()
		if !time.Unix(0, n).Equal(v) {
			return fmt.Errorf("xpcwire: a date in the year %d does not fit 64 bits of nanoseconds", v.Year())
		}
		e.fixed(typeDate, uint64(n))
	case []byte:
		if err := e.room(len(v)); err != nil {
			return err
		}
		e.u32(typeData)
		e.u32(uint32(len(v)))
		e.b = append(e.b, v...)
		e.pad(len(v))
	case string:
		e.u32(typeString)
		e.u32(uint32(len(v) + 1))
		return e.cstring(v)
	case UUID:
		e.u32(typeUUID)
		e.b = append(e.b, v[:]...)
	case FD:
		e.u32(typeFD)
		e.fds = append(e.fds, int(v))
	case Region:
		e.fixed(typeShmem, v.RegionSize())
		e.fds = append(e.fds, v.RegionFD())
	case MachSend:
		e.u32(typeMachSend)
		e.u32(uint32(v))
	case MachRecv:
		e.u32(typeMachRecv)
		e.u32(uint32(v))
	case MachOnce:
		e.u32(typeMachOnce)
		e.u32(uint32(v))
	case Opaque:
		if v != Connection && v != Endpoint && v != Pipe {
			return fmt.Errorf("xpcwire: %#x is no opaque object", uint32(v))
		}
		e.u32(uint32(v))
	case []any:
		return e.container(typeArray, len(v), depth, func() error {
			for i, item := range v {
				if err := e.object(item, depth+1); err != nil {
					return fmt.Errorf("%w (index %d)", err, i)
				}
			}
			return nil
		})
	case D:
		return e.dict(typeDictionary, v, depth)
	case Error:
		return e.dict(typeError, v, depth)
	default:
		return fmt.Errorf("xpcwire: no XPC type for %T", v)
	}
	return nil
}
