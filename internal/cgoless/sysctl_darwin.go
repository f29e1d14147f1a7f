package cgoless

import (
	"runtime"
	"sync"
	"syscall"
	"unsafe"

	"github.com/ebitengine/purego"
)

// LoadSysctl returns the table of sysctl, bound on the first call. The error names the
// missing symbol and wraps errors.ErrUnsupported.
var LoadSysctl = sync.OnceValues(loadSysctl)

// sysctlFrame holds a call's arguments: in a pool, so that a sweep's many calls allocate
// nothing.
type sysctlFrame struct {
	mib  [4]int32
	size uintptr
	args [6]uintptr
}

// loadSysctl calls through SyscallN, because a registered function offers no errno: purego's
// third result is errno on macOS, and it counts only after a failure.
func loadSysctl() (*Sysctl, error) {
	var b binder
	addr := b.address(sysctl)
	if b.err != nil {
		return nil, b.err
	}
	frames := sync.Pool{New: func() any { return new(sysctlFrame) }}
	return &Sysctl{Get: func(mib []int32, buf []byte) (int, syscall.Errno) {
		f := frames.Get().(*sysctlFrame)
		defer frames.Put(f)
		count := copy(f.mib[:], mib)
		f.size = uintptr(len(buf))
		f.args = [6]uintptr{
			uintptr(unsafe.Pointer(&f.mib)), uintptr(count),
			uintptr(unsafe.Pointer(unsafe.SliceData(buf))), uintptr(unsafe.Pointer(&f.size)), 0, 0,
		}
		r, _, errno := purego.SyscallN(addr, f.args[:]...)
		runtime.KeepAlive(f)
		runtime.KeepAlive(buf)
		if int32(r) != 0 {
			return 0, syscall.Errno(errno)
		}
		return int(f.size), 0
	}}, nil
}
