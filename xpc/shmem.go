package xpc

import (
	"errors"
	"fmt"
	"math"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Shmem is memory that a request shares with launchd, which writes its answer
// there: the text of a print, for instance. The pages are zero at first.
//
// A call whose outcome is unknown may leave launchd still writing. Its pages stay
// mapped until the late answer has come, even if Close was called meanwhile, so
// nothing is written to memory that was given to somebody else; but what stands
// in them can change at any time. Use another Shmem for the next request then.
type Shmem struct {
	region unsafe.Pointer // mapped by the system, never by Go's allocator
	size   uintptr

	mu     sync.Mutex
	fd     int // -1 until a descriptor is needed
	users  int // requests under way
	closed bool
}

// NewShmem maps size bytes, rounded up to whole pages. Close it after use.
func NewShmem(size int) (*Shmem, error) {
	page := os.Getpagesize()
	if size <= 0 || size > math.MaxInt-page {
		return nil, fmt.Errorf("xpc: shared memory of %d bytes", size)
	}
	s := &Shmem{size: uintptr((size + page - 1) / page * page), fd: -1}
	if err := s.mapPages(); err != nil {
		return nil, fmt.Errorf("xpc: share %d bytes of memory: %w", s.size, err)
	}
	return s, nil
}

// Bytes returns the memory itself, not a copy: all whole pages, nil after Close.
// The slice must not be touched after Close, which takes the pages away.
func (s *Shmem) Bytes() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	return unsafe.Slice((*byte)(s.region), s.size)
}

// Close gives the memory back, at once or when the last request that uses it is
// answered. Closing again does nothing.
func (s *Shmem) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	return s.unmapIfUnused()
}

// RegionFD returns a descriptor of the memory for the socket transport, which
// passes it on; it remains the Shmem's. It is -1 after Close, or if the system has none.
func (s *Shmem) RegionFD() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.live() || s.fd < 0 && s.openDescriptor() != nil {
		return -1
	}
	return s.fd
}

// RegionSize returns the size in bytes.
func (s *Shmem) RegionSize() uint64 { return uint64(s.size) }

func (s *Shmem) live() bool { return !s.closed || s.users > 0 }

// hold keeps the pages mapped for a request until done is called.
func (s *Shmem) hold() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errors.New("xpc: the shared memory in the request is closed")
	}
	s.users++
	return nil
}

func (s *Shmem) done() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users--
	s.unmapIfUnused()
}

func (s *Shmem) unmapIfUnused() error {
	if s.live() {
		return nil
	}
	err := unix.MunmapPtr(s.region, s.size)
	s.region = nil
	if s.fd >= 0 {
		err = errors.Join(err, unix.Close(s.fd))
		s.fd = -1
	}
	return err
}

// holdAll holds the shared memory of one request, all of it or none.
func holdAll(shared []*Shmem) error {
	for i, s := range shared {
		if err := s.hold(); err != nil {
			doneAll(shared[:i])
			return err
		}
	}
	return nil
}

func doneAll(shared []*Shmem) {
	for _, s := range shared {
		s.done()
	}
}
