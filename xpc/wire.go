package xpc

import "github.com/hermes-gw/hermes-gw/internal/xpcwire"

// fromWire puts what a decoded reply holds into the values of a Dict, in place.
// The descriptors that came with it are closed by whoever read the frame.
func fromWire(v any) any {
	switch v := v.(type) {
	case xpcwire.FD:
		return FD(-1)
	case xpcwire.Shmem:
		return (*Shmem)(nil)
	case xpcwire.MachSend:
		return rightMachSend
	case xpcwire.MachRecv:
		return rightMachRecv
	case xpcwire.MachOnce:
		return rightMachSendOnce
	case xpcwire.Opaque:
		switch v {
		case xpcwire.Connection:
			return rightConnection
		case xpcwire.Endpoint:
			return rightEndpoint
		default:
			return rightPipe
		}
	case xpcwire.Error:
		return dictFromWire(Dict(v))
	case Dict:
		return dictFromWire(v)
	case []any:
		for i := range v {
			v[i] = fromWire(v[i])
		}
	}
	return v
}

func dictFromWire(d Dict) Dict {
	for key, v := range d {
		d[key] = fromWire(v)
	}
	return d
}
