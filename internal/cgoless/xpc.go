package cgoless

import "unsafe"

// Kind is the type of an XPC object.
type Kind int

// The kinds. KindOther is every type that has no constant here.
const (
	KindOther Kind = iota
	KindNull
	KindBool
	KindInt64
	KindUint64
	KindDouble
	KindDate
	KindData
	KindString
	KindUUID
	KindFD
	KindShmem
	KindMachSend
	KindMachRecv
	KindMachSendOnce
	KindArray
	KindDictionary
	KindError
	KindConnection
	KindEndpoint
	KindPipe
)

// XPC is the table of libxpc's functions. An object is a uintptr; 0 is no object.
//
// A New function returns an object that its caller owns and must give to Release
// once, or 0 if libxpc refuses. Strings and bytes are copied in both directions;
// a string must not contain a NUL. A value is asked only of an object of the kind
// that holds it.
type XPC struct {
	NewNull   func() uintptr
	NewBool   func(v bool) uintptr
	NewInt64  func(v int64) uintptr
	NewUint64 func(v uint64) uintptr
	NewDouble func(v float64) uintptr
	NewDate   func(nanoseconds int64) uintptr // since the Unix epoch
	NewData   func(v []byte) uintptr
	NewString func(v string) uintptr
	NewUUID   func(v [16]byte) uintptr
	NewFD     func(fd int32) uintptr // holds a duplicate of fd
	// NewShmem shares the pages at region, which starts at a page boundary and
	// must stay mapped until the object is released.
	NewShmem func(region unsafe.Pointer, size uint64) uintptr
	NewArray func() uintptr
	NewDict  func() uintptr

	Append  func(array, value uintptr)                    // retains value
	Set     func(dict uintptr, key string, value uintptr) // retains value
	Release func(object uintptr)

	Kind   func(object uintptr) Kind
	Type   func(object uintptr) string // libxpc's name for its type, for messages
	Bool   func(object uintptr) bool
	Int64  func(object uintptr) int64
	Uint64 func(object uintptr) uint64
	Double func(object uintptr) float64
	Date   func(object uintptr) int64 // nanoseconds since the Unix epoch
	Data   func(object uintptr) []byte
	String func(object uintptr) string
	UUID   func(object uintptr) [16]byte
	// ErrorText is the description in an error object. Error objects are not
	// walked: only some of the functions for dictionaries take them.
	ErrorText func(object uintptr) string

	// EachItem and EachEntry call visit for everything in the container, in
	// order. The objects are the container's: they live as long as it does and
	// are not released.
	EachItem  func(array uintptr, visit func(index int, value uintptr))
	EachEntry func(dict uintptr, visit func(key string, value uintptr))

	// ServiceRoutine (700 to 799) and DomainRoutine (800 to 899) send msg to
	// launchd and wait for its answer. The result is launchd's error, or libxpc's;
	// only with 0 is there a reply, which the caller owns. Nil where libxpc lacks them.
	ServiceRoutine, DomainRoutine func(routine uint64, msg uintptr) (reply uintptr, code int32)

	// NewPipe and PipeRoutine are the way around them: a pipe to the bootstrap
	// port, and a request through it. The code is the transport's alone, launchd's
	// stands in the reply. Nil where libxpc lacks them.
	NewPipe     func() uintptr
	PipeRoutine func(pipe uintptr, routine uint64, msg uintptr) (reply uintptr, code int32)
}
