package cgoless

import (
	"bytes"
	"sync"
	"unsafe"
)

// What launchctl passes, for want of a public header: xpc_pipe_create_from_port
// takes 4 (Procursus launchctl, xpc_helper.c), and libxpc's own
// _xpc_interface_routine sends with 6 (seen on macOS 26.6.1 by xspawn).
const (
	pipeCreateFlags  = 4
	pipeRoutineFlags = 6
)

// LoadXPC returns the table of libxpc, bound on the first call. The error names
// the missing symbol and wraps errors.ErrUnsupported.
func LoadXPC() (*XPC, error) { return xpcTable() }

var xpcTable = sync.OnceValues(loadXPC)

func loadXPC() (*XPC, error) {
	var b binder
	x := new(XPC)
	bindConstructors(&b, x)
	bindReaders(&b, x)
	bindEntryPoints(&b, x)
	if b.err != nil {
		return nil, b.err
	}
	return x, nil
}

func bindConstructors(b *binder, x *XPC) {
	b.fn(&x.NewNull, xpcNullCreate)
	b.fn(&x.NewBool, xpcBoolCreate)
	b.fn(&x.NewInt64, xpcInt64Create)
	b.fn(&x.NewUint64, xpcUint64Create)
	b.fn(&x.NewDouble, xpcDoubleCreate)
	b.fn(&x.NewDate, xpcDateCreate)
	b.fn(&x.NewString, xpcStringCreate)
	b.fn(&x.NewFD, xpcFDCreate)
	b.fn(&x.NewShmem, xpcShmemCreate)
	b.fn(&x.Append, xpcArrayAppendValue)
	b.fn(&x.Set, xpcDictionarySetValue)
	b.fn(&x.Release, xpcRelease)

	var data func(bytes []byte, length uint64) uintptr
	b.fn(&data, xpcDataCreate)
	x.NewData = func(v []byte) uintptr { return data(v, uint64(len(v))) }

	var uuid func(bytes []byte) uintptr
	b.fn(&uuid, xpcUUIDCreate)
	x.NewUUID = func(v [16]byte) uintptr { return uuid(v[:]) }

	var array func(values uintptr, count uint64) uintptr
	b.fn(&array, xpcArrayCreate)
	x.NewArray = func() uintptr { return array(0, 0) }

	var dict func(keys, values uintptr, count uint64) uintptr
	b.fn(&dict, xpcDictionaryCreate)
	x.NewDict = func() uintptr { return dict(0, 0, 0) }
}

func bindReaders(b *binder, x *XPC) {
	b.fn(&x.Bool, xpcBoolGetValue)
	b.fn(&x.Int64, xpcInt64GetValue)
	b.fn(&x.Uint64, xpcUint64GetValue)
	b.fn(&x.Double, xpcDoubleGetValue)
	b.fn(&x.Date, xpcDateGetValue)

	var typeOf func(object uintptr) uintptr
	var typeName func(xpcType uintptr) string
	b.fn(&typeOf, xpcGetType)
	b.fn(&typeName, xpcTypeGetName)
	kinds := bindKinds(b)
	x.Kind = func(object uintptr) Kind { return kinds[typeOf(object)] }
	x.Type = func(object uintptr) string { return typeName(typeOf(object)) }

	x.Data = counted(b, xpcDataGetBytesPtr, xpcDataGetLength)
	text := counted(b, xpcStringGetStringPtr, xpcStringGetLength)
	x.String = func(object uintptr) string { return string(text(object)) }

	var uuid func(object uintptr) uintptr
	b.fn(&uuid, xpcUUIDGetBytes)
	x.UUID = func(object uintptr) (v [16]byte) {
		if addr := uuid(object); addr != 0 {
			v = *(*[16]byte)(pointer(addr))
		}
		return v
	}

	// The key is exported as a const char *const: the symbol is where the pointer is.
	var getString func(dict, key uintptr) string
	b.fn(&getString, xpcDictionaryGetString)
	key := b.address(xpcErrorKeyDescription)
	x.ErrorText = func(object uintptr) string { return getString(object, *(*uintptr)(pointer(key))) }

	// The C prototypes put the context before the function, the function gets it last.
	var items, entries func(object, context, visit uintptr)
	b.fn(&items, xpcArrayApplyF)
	b.fn(&entries, xpcDictionaryApplyF)
	x.EachItem = func(array uintptr, visit func(int, uintptr)) {
		walk(array, items, func(index, value uintptr) { visit(int(index), value) })
	}
	x.EachEntry = func(dict uintptr, visit func(string, uintptr)) {
		walk(dict, entries, func(key, value uintptr) { visit(cString(key), value) })
	}
}

// bindKinds maps the addresses of the _xpc_type_ variables, which is what
// xpc_get_type returns, to kinds.
func bindKinds(b *binder) map[uintptr]Kind {
	kinds := make(map[uintptr]Kind)
	for _, t := range []struct {
		id   symbolID
		kind Kind
	}{
		{xpcTypeNull, KindNull}, {xpcTypeBool, KindBool}, {xpcTypeInt64, KindInt64}, {xpcTypeUint64, KindUint64},
		{xpcTypeDouble, KindDouble}, {xpcTypeDate, KindDate}, {xpcTypeData, KindData}, {xpcTypeString, KindString},
		{xpcTypeUUID, KindUUID}, {xpcTypeFD, KindFD}, {xpcTypeShmem, KindShmem}, {xpcTypeMachSend, KindMachSend},
		{xpcTypeMachRecv, KindMachRecv}, {xpcTypeMachSendOnce, KindMachSendOnce}, {xpcTypeArray, KindArray},
		{xpcTypeDictionary, KindDictionary}, {xpcTypeError, KindError}, {xpcTypeConnection, KindConnection},
		{xpcTypeEndpoint, KindEndpoint}, {xpcTypePipe, KindPipe},
	} {
		if addr := b.address(t.id); addr != 0 {
			kinds[addr] = t.kind
		}
	}
	return kinds
}

// counted makes a reader that copies the bytes of a string or data object.
func counted(b *binder, bytesID, lengthID symbolID) func(object uintptr) []byte {
	var start func(object uintptr) uintptr
	var length func(object uintptr) uint64
	b.fn(&start, bytesID)
	b.fn(&length, lengthID)
	return func(object uintptr) []byte {
		n, addr := length(object), start(object)
		if n == 0 || addr == 0 {
			return []byte{}
		}
		return bytes.Clone(unsafe.Slice((*byte)(pointer(addr)), n))
	}
}

// cString copies a NUL-terminated string out of C memory.
func cString(addr uintptr) string {
	if addr == 0 {
		return ""
	}
	start := (*byte)(pointer(addr))
	n := 0
	for *(*byte)(unsafe.Add(unsafe.Pointer(start), n)) != 0 {
		n++
	}
	return string(unsafe.Slice(start, n))
}

func bindEntryPoints(b *binder, x *XPC) {
	x.ServiceRoutine = routine(b, xpcServiceRoutine)
	x.DomainRoutine = routine(b, xpcDomainRoutine)

	var create func(port uint32, flags uint64) uintptr
	var send func(pipe uintptr, routine uint64, msg uintptr, reply *uintptr, flags uint64) int32
	b.fn(&create, xpcPipeCreateFromPort)
	b.fn(&send, xpcPipeInterfaceRoutine)
	port := b.address(bootstrapPort)
	if create == nil || send == nil || port == 0 {
		return
	}
	x.NewPipe = func() uintptr { return create(*(*uint32)(pointer(port)), pipeCreateFlags) }
	x.PipeRoutine = func(pipe uintptr, routine uint64, msg uintptr) (reply uintptr, code int32) {
		code = send(pipe, routine, msg, &reply, pipeRoutineFlags)
		return reply, code
	}
}

func routine(b *binder, id symbolID) func(uint64, uintptr) (uintptr, int32) {
	var send func(routine uint64, msg uintptr, reply *uintptr) int32
	b.fn(&send, id)
	if send == nil {
		return nil
	}
	return func(routine uint64, msg uintptr) (reply uintptr, code int32) {
		code = send(routine, msg, &reply)
		return reply, code
	}
}
