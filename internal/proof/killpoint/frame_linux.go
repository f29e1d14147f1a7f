//go:build amd64 || arm64

package killpoint

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// frameHead is how much of a frame tells that it is a request: its length, the
// routine, flags and the magic number of the payload (design section 4.2).
const frameHead = 4 + 8 + 4 + 4

// requestOf returns the routine of the request frame that begins what a call is to write,
// or 0.
func requestOf(tid int, call uint64, args [6]uint64) uint64 {
	buffer, size := args[1], args[2]
	switch call {
	case unix.SYS_WRITE, unix.SYS_SENDTO:
	case unix.SYS_WRITEV:
		buffer, size = firstPart(tid, args[1])
	case unix.SYS_SENDMSG: // struct msghdr: name, its length, parts, ...
		parts, ok := peekWord(tid, args[1]+16)
		if !ok {
			return 0
		}
		buffer, size = firstPart(tid, parts)
	default:
		return 0
	}
	head := make([]byte, frameHead)
	if size < frameHead || !peek(tid, buffer, head) {
		return 0
	}
	if magic := binary.LittleEndian.Uint32(head[16:]); magic != 0x40585043 && magic != 0x42133742 {
		return 0
	}
	return binary.LittleEndian.Uint64(head[4:])
}

// firstPart reads the first struct iovec of an array.
func firstPart(tid int, parts uint64) (buffer, size uint64) {
	buffer, _ = peekWord(tid, parts)
	size, _ = peekWord(tid, parts+8)
	return buffer, size
}

func peekWord(tid int, address uint64) (uint64, bool) {
	var b [8]byte
	ok := peek(tid, address, b[:])
	return binary.LittleEndian.Uint64(b[:]), ok
}

// peek reads memory of a stopped thread.
func peek(tid int, address uint64, into []byte) bool {
	n, err := unix.PtracePeekData(tid, uintptr(address), into)
	return err == nil && n == len(into)
}
