package sweep

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// startUnit is what [Identity].Start is rounded down to, in microseconds.
const startUnit = tick

// procfs is where /proc is mounted; tests put a folder of their own there.
var procfs = "/proc"

func (t *Table) read(ctx context.Context, uid int) error {
	dir, err := open(procfs, unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	if t.buf == nil {
		t.buf = make([]byte, 64<<10)
	}
	names, stat := t.buf[:len(t.buf)/2], t.buf[len(t.buf)/2:]
	path := make([]byte, 0, 32)
	for {
		n, err := retry(func() (int, error) { return unix.Getdents(dir, names) })
		if err != nil {
			return fmt.Errorf("%s: %w", procfs, err)
		}
		if n == 0 {
			break
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		for b := names[:n]; len(b) > 0; {
			name, size := dirent(b)
			if size == 0 {
				return fmt.Errorf("%s: a folder entry that cannot be read", procfs)
			}
			b = b[size:]
			if pid := number(name); pid > 0 {
				if err := t.readOne(dir, append(append(path[:0], name...), 0), pid, uid, stat); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// dirent takes the name of the first entry of struct linux_dirent64 (getdents64(2)).
func dirent(b []byte) (name []byte, size int) {
	const head = 19 // d_ino, d_off, d_reclen, d_type
	if len(b) < head {
		return nil, 0
	}
	size = int(binary.NativeEndian.Uint16(b[16:]))
	if size < head || size > len(b) {
		return nil, 0
	}
	name, _, _ = bytes.Cut(b[head:size], []byte{0})
	return name, size
}

// number reads a pid, 0 if it is none.
func number(b []byte) (n int) {
	for _, c := range b {
		if c < '0' || c > '9' || n > 1<<30 {
			return 0
		}
		n = 10*n + int(c-'0')
	}
	return n
}

// Files of a process' folder, for openat(2): unix.Openat would copy the name to add the NUL,
// for each of thousands.
var (
	fileStat   = []byte("stat\x00")
	fileStatus = []byte("status\x00")
)

// readOne reads the row of one process; one that has gone is none. Its folder is held open, so
// that all that is read is the same process', and belongs to its effective user (the files
// in it to root, if it may not be dumped). Its real user is in a file of its own, which costs
// as much as the rest of the row, so it is read only for those that a plan may be about.
func (t *Table) readOne(procDir int, name []byte, pid, uid int, buf []byte) error {
	err := func() error {
		dir, err := openAt(procDir, name, unix.O_PATH|unix.O_DIRECTORY)
		if err != nil {
			return err
		}
		defer unix.Close(dir)
		var st unix.Stat_t
		if err := unix.Fstat(dir, &st); err != nil {
			return err
		}
		if uid >= 0 && st.Uid != uint32(uid) {
			return nil
		}
		b, err := readAt(dir, fileStat, buf)
		if err != nil {
			return err
		}
		p, err := parseStat(b)
		if err != nil {
			return err
		}
		p.PID, p.UID, p.RealUID = pid, st.Uid, st.Uid
		if !p.kernel && candidate(p.comm[:p.commLen]) {
			if b, err = readAt(dir, fileStatus, buf); err != nil {
				return err
			}
			if p.RealUID, p.UID, err = parseStatus(b); err != nil {
				return err
			}
		}
		if uid >= 0 && p.UID != uint32(uid) { // it has changed in between
			return nil
		}
		t.rows = append(t.rows, p)
		return nil
	}()
	switch {
	case err == unix.ENOENT, err == unix.ESRCH:
		return nil
	case err == unix.EACCES, err == unix.EPERM: // hidepid=1: it is there, and nothing is shown of it
		return nil
	case err != nil:
		return fmt.Errorf("%s/%d: %w", procfs, pid, err)
	}
	return nil
}

func openAt(dir int, name []byte, flags uintptr) (int, error) {
	return retry(func() (int, error) {
		fd, _, errno := unix.Syscall6(unix.SYS_OPENAT, uintptr(dir), uintptr(unsafe.Pointer(&name[0])), unix.O_RDONLY|unix.O_CLOEXEC|flags, 0, 0, 0)
		if errno != 0 {
			return -1, errno
		}
		return int(fd), nil
	})
}

// readAt reads a file of /proc that is shorter than buf.
func readAt(dir int, name, buf []byte) ([]byte, error) {
	fd, err := openAt(dir, name, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	n, err := retry(func() (int, error) { return unix.Read(fd, buf) })
	return buf[:max(n, 0)], err
}

func open(path string, flags int) (int, error) {
	fd, err := retry(func() (int, error) { return unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|flags, 0) })
	if err != nil {
		return -1, fmt.Errorf("%s: %w", path, err)
	}
	return fd, nil
}

func retry(call func() (int, error)) (n int, err error) {
	for n, err = call(); err == unix.EINTR; n, err = call() {
	}
	return n, err
}

func (t *Table) readArgs(pid int) ([]string, error) {
	b, err := t.readFile(pid, "cmdline")
	if err != nil {
		return nil, err
	}
	return splitArgs(b), nil
}

func (t *Table) readEnvironment(pid int) ([]byte, error) { return t.readFile(pid, "environ") }

// readFile reads a file of a process whole. It is overwritten by the next call.
func (t *Table) readFile(pid int, name string) ([]byte, error) {
	if t.args == nil {
		t.args = make([]byte, 4096)
	}
	fd, err := open(procfs+"/"+strconv.Itoa(pid)+"/"+name, 0)
	switch {
	case errors.Is(err, syscall.ENOENT):
		return nil, ErrGone
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	defer unix.Close(fd)
	size := 0
	for {
		n, err := retry(func() (int, error) { return unix.Read(fd, t.args[size:]) })
		switch {
		case err == unix.ESRCH:
			return nil, ErrGone
		case err != nil:
			return nil, fmt.Errorf("%w: %w", ErrUnreadable, err)
		case n == 0:
			return t.args[:size], nil
		}
		if size += n; size == len(t.args) {
			if size > maxArgs {
				return nil, fmt.Errorf("%w: more than %d MiB of %s", ErrUnreadable, maxArgs>>20, name)
			}
			t.args = append(t.args, make([]byte, size)...)
		}
	}
}

// maxArgs is more than the kernel takes (MAX_ARG_STRLEN times some, as far as the stack
// limit goes).
const maxArgs = 8 << 20
