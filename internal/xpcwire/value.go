// Package xpcwire encodes and decodes the XPC wire format, version 5, and the
// frames in which the socket transport and the embedded launchd exchange it.
//
// A message is a u32 magic, a u32 version (5) and one dictionary. Everything is
// little-endian and aligned to 4 bytes. An object is a u32 type code and:
//
//	null        0x1000   nothing
//	bool        0x2000   u32, 0 or 1
//	int64       0x3000   8 bytes (aligned to 4 only, like the next four)
//	uint64      0x4000   8 bytes
//	double      0x5000   8 bytes
//	date        0x7000   i64, nanoseconds since the Unix epoch
//	data        0x8000   u32 length, bytes, padded to 4
//	string      0x9000   u32 length with the NUL, bytes with the NUL, padded to 4
//	uuid        0xa000   16 bytes
//	fd          0xb000   nothing; the descriptor travels beside the bytes
//	shmem       0xc000   u64 size; the descriptor travels beside the bytes
//	mach send   0xd000   u32 name, which means nothing to the other side
//	array       0xe000   u32 length of the rest, u32 count, objects
//	dictionary  0xf000   u32 length of the rest, u32 count, {key, padded to 4; object}
//	error       0x10000  as a dictionary
//	connection  0x11000  nothing
//	endpoint    0x12000  nothing
//	pipe        0x14000  nothing
//	mach recv   0x15000  u32 name
//	mach once   0x1b000  u32 name
//
// The object encoding is that of public captures of macOS 26.5 and of Darling's
// xpc/serialization.h, which agree; that mach rights carry a name and shmem a
// 64-bit size is this frame's own rule, because a socket has no port descriptors.
//
// The codec is generic in the dictionary type so that package xpc and the
// embedded launchd each work with a map type of their own.
package xpcwire

// The two magics a message may begin with. A reply uses its request's.
const (
	Magic       = 0x40585043 // between processes ("CPX@" in memory)
	MagicRemote = 0x42133742 // RemoteXPC and files
	Version     = 5
)

// Type codes, see the package comment.
const (
	typeNull       = 0x1000
	typeBool       = 0x2000
	typeInt64      = 0x3000
	typeUint64     = 0x4000
	typeDouble     = 0x5000
	typeDate       = 0x7000
	typeData       = 0x8000
	typeString     = 0x9000
	typeUUID       = 0xa000
	typeFD         = 0xb000
	typeShmem      = 0xc000
	typeMachSend   = 0xd000
	typeArray      = 0xe000
	typeDictionary = 0xf000
	typeError      = 0x10000
	typeConnection = 0x11000
	typeEndpoint   = 0x12000
	typePipe       = 0x14000
	typeMachRecv   = 0x15000
	typeMachOnce   = 0x1b000
)

// UUID is the 16 bytes of a uuid object.
type UUID [16]byte

// FD is a file descriptor object. Encoding lends the descriptor to the frame;
// after decoding it is one of the descriptors the frame brought.
type FD int

// Shmem is a decoded shared memory object: a descriptor that can be mapped, and
// the size its sender claims. Whoever maps it must hold the size against the file.
type Shmem struct {
	FD   int
	Size uint64
}

// Region is what encodes as a shared memory object.
type Region interface {
	RegionFD() int      // the descriptor that the peer can map
	RegionSize() uint64 // bytes
}

// RegionFD and RegionSize make a decoded Shmem a Region.
func (s Shmem) RegionFD() int      { return s.FD }
func (s Shmem) RegionSize() uint64 { return s.Size }

// MachSend, MachRecv and MachOnce stand for Mach rights. The name is the
// sender's and means nothing to the receiver.
type (
	MachSend uint32
	MachRecv uint32
	MachOnce uint32
)

// Opaque is an object that has no content on a socket.
type Opaque uint32

// The opaque objects.
const (
	Connection Opaque = typeConnection
	Endpoint   Opaque = typeEndpoint
	Pipe       Opaque = typePipe
)

// Error is an XPC error object: a dictionary of its description.
type Error map[string]any
