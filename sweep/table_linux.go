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
				if err := t.readOne(dir, append(append(path[:0], name...), "/stat\x00"...), pid, uid, stat); err != nil {
					return err
				}
			}
		}
	}
	if len(t.rows) == 0 && uid < 0 {
		return fmt.Errorf("%s shows no process", procfs)
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

// readOne reads the row of one process; one that has gone is none.
func (t *Table) readOne(dir int, path []byte, pid, uid int, buf []byte) error {
	b, owner, err := readAt(dir, path, buf)
	switch {
	case err == unix.ENOENT, err == unix.ESRCH:
		return nil
	case err == unix.EACCES, err == unix.EPERM: // hidepid=1: it is there, and nothing is shown of it
		return nil
	case err != nil:
		return fmt.Errorf("%s/%d/stat: %w", procfs, pid, err)
	}
	if uid >= 0 && owner != uint32(uid) {
		return nil
	}
	p, err := parseStat(b)
	if err != nil {
		return fmt.Errorf("%s/%d/stat: %w", procfs, pid, err)
	}
	p.PID, p.UID, p.RealUID = pid, owner, owner
	t.rows = append(t.rows, p)
	return nil
}

// readAt reads a file of /proc and whose it is: that of a process belongs to its effective
// user, or to root if it may not be dumped (proc(5)). path ends with a NUL: unix.Openat would
// copy it to add one, for each of thousands.
func readAt(dir int, path, buf []byte) (b []byte, owner uint32, err error) {
	fd, err := retry(func() (int, error) {
		fd, _, errno := unix.Syscall6(unix.SYS_OPENAT, uintptr(dir), uintptr(unsafe.Pointer(&path[0])), unix.O_RDONLY|unix.O_CLOEXEC, 0, 0, 0)
		if errno != 0 {
			return -1, errno
		}
		return int(fd), nil
	})
	if err != nil {
		return nil, 0, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, 0, err
	}
	n, err := retry(func() (int, error) { return unix.Read(fd, buf) })
	return buf[:max(n, 0)], st.Uid, err
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
	if t.args == nil {
		t.args = make([]byte, 4096)
	}
	fd, err := open(procfs+"/"+strconv.Itoa(pid)+"/cmdline", 0)
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
			return splitArgs(t.args[:size]), nil
		}
		if size += n; size == len(t.args) {
			if size > maxArgs {
				return nil, fmt.Errorf("%w: more than %d MiB of arguments", ErrUnreadable, maxArgs>>20)
			}
			t.args = append(t.args, make([]byte, size)...)
		}
	}
}

// maxArgs is more than the kernel takes (MAX_ARG_STRLEN times some, as far as the stack
// limit goes).
const maxArgs = 8 << 20
