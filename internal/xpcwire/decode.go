package xpcwire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
)

// ErrMalformed is the error that every malformed message unwraps to.
var ErrMalformed = errors.New("malformed XPC message")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

// Decode reads one message that fills b exactly. Descriptors of fd and shmem
// objects are taken from fds in order of appearance; used tells how many were
// taken. All of fds stay the caller's to close, whether or not Decode succeeds:
// a message may name fewer descriptors than its frame brought. Nothing in the
// result refers to b.
func Decode[D ~map[string]any](b []byte, fds []int) (d D, magic uint32, used int, err error) {
	r := decoder[D]{b: b, fds: fds}
	magic, version := r.u32(), r.u32()
	code := r.u32()
	switch {
	case r.err != nil:
	case magic != Magic && magic != MagicRemote:
		r.fail("magic %#x", magic)
	case version != Version:
		r.fail("version %d, not %d", version, Version)
	case code != typeDictionary:
		r.fail("the message is of type %#x, not a dictionary", code)
	default:
		d = D(r.dict(0))
		if r.err == nil && len(r.b) != 0 {
			r.fail("%d bytes after the message", len(r.b))
		}
	}
	if r.err != nil {
		return nil, magic, r.used, r.err
	}
	return d, magic, r.used, nil
}

type decoder[D ~map[string]any] struct {
	b    []byte // what is left of the innermost container
	fds  []int
	used int
	err  error
}

func (r *decoder[D]) fail(format string, args ...any) {
	if r.err == nil {
		r.err = malformed(format, args...)
	}
	r.b = nil
}

// take consumes n bytes and their padding.
func (r *decoder[D]) take(n uint64) []byte {
	padded := (n + 3) &^ 3
	if n > uint64(len(r.b)) || padded > uint64(len(r.b)) {
		r.fail("%d bytes wanted, %d left", n, len(r.b))
		return nil
	}
	p := r.b[:n]
	r.b = r.b[padded:]
	return p
}

func (r *decoder[D]) u32() uint32 {
	if p := r.take(4); p != nil {
		return binary.LittleEndian.Uint32(p)
	}
	return 0
}

func (r *decoder[D]) u64() uint64 {
	if p := r.take(8); p != nil {
		return binary.LittleEndian.Uint64(p)
	}
	return 0
}

func (r *decoder[D]) fd() int {
	if r.used >= len(r.fds) {
		r.fail("an object names descriptor %d, the frame brought %d", r.used+1, len(r.fds))
		return -1
	}
	r.used++
	return r.fds[r.used-1]
}

// items runs one for each of a container's items, within its length.
func (r *decoder[D]) items(depth int, one func()) {
	n := r.u32()
	if depth > maxDepth {
		r.fail("nested more than %d deep", maxDepth)
		return
	}
	if uint64(n) > uint64(len(r.b)) {
		r.fail("a container of %d bytes in %d", n, len(r.b))
		return
	}
	outer := r.b[n:]
	r.b = r.b[:n]
	for count := r.u32(); count > 0 && r.err == nil; count-- {
		one()
	}
	if r.err == nil && len(r.b) != 0 {
		r.fail("%d bytes left over in a container", len(r.b))
	}
	if r.err == nil {
		r.b = outer
	}
}

// dict grows its map item by item: the count is the sender's claim, the bytes
// are what it paid for.
func (r *decoder[D]) dict(depth int) map[string]any {
	d := map[string]any{}
	r.items(depth, func() {
		end := bytes.IndexByte(r.b, 0)
		if end < 0 {
			r.fail("a key without an end")
			return
		}
		raw := r.take(uint64(end) + 1)
		if raw == nil {
			return
		}
		key := string(raw[:end])
		if _, twice := d[key]; twice {
			r.fail("key %.40q twice", key)
			return
		}
		if v := r.object(depth + 1); r.err == nil {
			d[key] = v
		}
	})
	return d
}

func (r *decoder[D]) object(depth int) any {
	switch code := r.u32(); code {
	case typeNull:
		return nil
	case typeBool:
		return r.u32() != 0
	case typeInt64:
		return int64(r.u64())
	case typeUint64:
		return r.u64()
	case typeDouble:
		return math.Float64frombits(r.u64())
	case typeDate:
		return time.Unix(0, int64(r.u64())).UTC()
	case typeData:
		return bytes.Clone(r.take(uint64(r.u32())))
	case typeString:
		p := r.take(uint64(r.u32()))
		if r.err == nil && (len(p) == 0 || bytes.IndexByte(p, 0) != len(p)-1) {
			r.fail("a string that does not end at its NUL")
		}
		if r.err != nil {
			return nil
		}
		return string(p[:len(p)-1])
	case typeUUID:
		var u UUID
		copy(u[:], r.take(16))
		return u
	case typeFD:
		return FD(r.fd())
	case typeShmem:
		size := r.u64()
		return Shmem{FD: r.fd(), Size: size}
	case typeMachSend:
		return MachSend(r.u32())
	case typeMachRecv:
		return MachRecv(r.u32())
	case typeMachOnce:
		return MachOnce(r.u32())
	case typeConnection, typeEndpoint, typePipe:
		return Opaque(code)
	case typeArray:
		a := []any{}
		r.items(depth, func() {
			if v := r.object(depth + 1); r.err == nil {
				a = append(a, v)
			}
		})
		return a
	case typeDictionary:
		return D(r.dict(depth))
	case typeError:
		return Error(r.dict(depth))
	default:
		r.fail("object type %#x", code)
		return nil
	}
}
