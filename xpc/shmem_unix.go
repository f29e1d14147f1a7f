//go:build unix && !linux

package xpc

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapPages maps anonymous pages, which is what xpc_shmem_create is documented for.
func (s *Shmem) mapPages() (err error) {
	s.region, err = unix.MmapPtr(-1, 0, nil, s.size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_SHARED)
	return err
}

// openDescriptor moves the pages into a file without a name, at the same
// addresses. Only the socket transport needs that.
func (s *Shmem) openDescriptor() error {
	f, err := os.CreateTemp("", "xpc-shmem-")
	if err != nil {
		return err
	}
	defer f.Close()
	if err := os.Remove(f.Name()); err != nil {
		return err
	}
	n, err := f.Write(unsafe.Slice((*byte)(s.region), s.size))
	if err != nil {
		return errors.Join(err, f.Truncate(int64(n)))
	}
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if _, err := unix.MmapPtr(fd, 0, s.region, s.size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_FIXED); err != nil {
		unix.Close(fd)
		return err
	}
	s.fd = fd
	return nil
}
