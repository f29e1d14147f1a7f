package xpc

import (
	"fmt"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/cgoless"
)

// errorDescription is the key of the text in an error object: the value of
// XPC_ERROR_KEY_DESCRIPTION in xpc/connection.h.
const errorDescription = "XPCErrorDescription"

// newObject makes an object of a value that check accepts. The caller releases it.
// On an error nothing is left to release.
func newObject(x *cgoless.XPC, v any) (uintptr, *ValueError) {
	var object uintptr
	switch v := v.(type) {
	case nil:
		object = x.NewNull()
	case bool:
		object = x.NewBool(v)
	case int64:
		object = x.NewInt64(v)
	case uint64:
		object = x.NewUint64(v)
	case float64:
		object = x.NewDouble(v)
	case time.Time:
		object = x.NewDate(v.UnixNano())
	case []byte:
		object = x.NewData(v)
	case string:
		object = x.NewString(v)
	case UUID:
		object = x.NewUUID(v)
	case FD:
		if object = x.NewFD(int32(v)); object == 0 {
			return 0, problem("descriptor %d cannot be passed on: is it open?", v)
		}
	case *Shmem:
		object = x.NewShmem(v.region, v.RegionSize())
	case []any:
		return newArray(x, v)
	case Dict:
		return newDict(x, v)
	}
	if object == 0 {
		return 0, problem("libxpc made no object for a %T", v)
	}
	return object, nil
}

func newArray(x *cgoless.XPC, items []any) (uintptr, *ValueError) {
	array := x.NewArray()
	if array == 0 {
		return 0, problem("libxpc made no array")
	}
	for i, v := range items {
		item, err := newObject(x, v)
		if err != nil {
			x.Release(array)
			return 0, err.at(i)
		}
		x.Append(array, item)
		x.Release(item)
	}
	return array, nil
}

func newDict(x *cgoless.XPC, d Dict) (uintptr, *ValueError) {
	dict := x.NewDict()
	if dict == 0 {
		return 0, problem("libxpc made no dictionary")
	}
	for key, v := range d {
		value, err := newObject(x, v)
		if err != nil {
			x.Release(dict)
			return 0, err.under(key)
		}
		x.Set(dict, key, value)
		x.Release(value)
	}
	return dict, nil
}

// goValue copies an object into a Go value. Nothing is released and nothing new
// is created: descriptors, Mach rights and mappings stay in the object, and go
// when the reply that holds it is released.
func goValue(x *cgoless.XPC, object uintptr, depth int) (any, error) {
	switch kind := x.Kind(object); kind {
	case cgoless.KindNull:
		return nil, nil
	case cgoless.KindBool:
		return x.Bool(object), nil
	case cgoless.KindInt64:
		return x.Int64(object), nil
	case cgoless.KindUint64:
		return x.Uint64(object), nil
	case cgoless.KindDouble:
		return x.Double(object), nil
	case cgoless.KindDate:
		return time.Unix(0, x.Date(object)).UTC(), nil
	case cgoless.KindData:
		return x.Data(object), nil
	case cgoless.KindString:
		return x.String(object), nil
	case cgoless.KindUUID:
		return UUID(x.UUID(object)), nil
	case cgoless.KindFD:
		return FD(-1), nil
	case cgoless.KindShmem:
		return (*Shmem)(nil), nil
	case cgoless.KindMachSend:
		return rightMachSend, nil
	case cgoless.KindMachRecv:
		return rightMachRecv, nil
	case cgoless.KindMachSendOnce:
		return rightMachSendOnce, nil
	case cgoless.KindConnection:
		return rightConnection, nil
	case cgoless.KindEndpoint:
		return rightEndpoint, nil
	case cgoless.KindPipe:
		return rightPipe, nil
	case cgoless.KindError:
		return Dict{errorDescription: x.ErrorText(object)}, nil
	case cgoless.KindArray, cgoless.KindDictionary:
		if depth > maxDepth {
			return nil, fmt.Errorf("%w: nested more than %d deep", BadResponse, maxDepth)
		}
		if kind == cgoless.KindArray {
			return goSlice(x, object, depth)
		}
		return goDict(x, object, depth)
	default:
		return Right(x.Type(object)), nil
	}
}

func goSlice(x *cgoless.XPC, array uintptr, depth int) ([]any, error) {
	items := []any{}
	var first error
	x.EachItem(array, func(_ int, object uintptr) {
		v, err := goValue(x, object, depth+1)
		if first == nil {
			first = err
		}
		items = append(items, v)
	})
	return items, first
}

func goDict(x *cgoless.XPC, dict uintptr, depth int) (Dict, error) {
	d := Dict{}
	var first error
	x.EachEntry(dict, func(key string, object uintptr) {
		v, err := goValue(x, object, depth+1)
		if first == nil {
			first = err
		}
		d[key] = v
	})
	return d, first
}
