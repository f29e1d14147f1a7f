package fleet

import (
	"bytes"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// openTerminal makes a pseudo-terminal. Its master can be closed while it is read.
func openTerminal() (master, slave *os.File, err error) {
	master, err = os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	var name [128]byte
	raw, err := master.SyscallConn() // Fd would make it blocking
	if err == nil {
		var failed error
		err = raw.Control(func(fd uintptr) {
			for _, request := range []uint{unix.TIOCPTYGRANT, unix.TIOCPTYUNLK} {
				if failed = unix.IoctlSetInt(int(fd), request, 0); failed != nil {
					return
				}
			}
			//lint:ignore SA1019 x/sys wraps no ioctl that fills a buffer of one's own
			if _, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, unix.TIOCPTYGNAME, uintptr(unsafe.Pointer(&name))); errno != 0 {
				failed = errno
			}
		})
		if err == nil {
			err = failed
		}
	}
	if err == nil {
		path, _, _ := bytes.Cut(name[:], []byte{0})
		slave, err = os.OpenFile(string(path), os.O_RDWR|syscall.O_NOCTTY, 0)
	}
	if err != nil {
		master.Close()
		return nil, nil, err
	}
	return master, slave, nil
}
