package xpc

import (
	"golang.org/x/sys/unix"
)

// mapPages maps an anonymous file whose size is sealed: a peer that cut it short
// would turn our next read into SIGBUS.
func (s *Shmem) mapPages() error {
	fd, err := unix.MemfdCreate("xpc shmem", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return err
	}
	if err = unix.Ftruncate(fd, int64(s.size)); err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL)
	}
	if err == nil {
		s.region, err = unix.MmapPtr(fd, 0, nil, s.size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	}
	if err != nil {
		unix.Close(fd)
		return err
	}
	s.fd = fd
	return nil
}

// openDescriptor has nothing to do: the pages have had one from the start.
func (s *Shmem) openDescriptor() error { return unix.EBADF }
