package launchdsim

import (
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/hermes-gw/hermes-gw/internal/xpcwire"
)

// monitorRight stands for the Mach right in a bootout reply.
const monitorRight = xpcwire.MachSend(0)

// replyText answers a print request: the text goes into the memory that the
// request brought as "shmem" (or is written to "fd", as clients before macOS 12
// ask for) and the reply says how many bytes. Without either the answer is 22.
// Text that does not fit is cut.
func (r *request) replyText(text string) {
	var n int
	var err error
	switch into := r.args["shmem"].(type) {
	case xpcwire.Shmem:
		n, err = fill(into, text)
	default:
		fd, isFD := r.args["fd"].(xpcwire.FD)
		if !isFD {
			r.fail(einval)
			return
		}
		n, err = writeNow(int(fd), text)
	}
	if err != nil {
		r.fail(einval)
		return
	}
	r.reply(dict{"bytes-written": uint64(n)})
}

// fill writes text to the start of a peer's shared memory. It goes through the
// descriptor and not through a mapping: a peer that lies about the size, or
// shrinks the file meanwhile, must not be able to raise SIGBUS here.
func fill(m xpcwire.Shmem, text string) (int, error) {
	info, err := statFD(m.FD)
	if err != nil {
		return 0, err
	}
	room := min(m.Size, uint64(max(info.Size, 0)))
	if uint64(len(text)) > room {
		text = text[:room]
	}
	for n := 0; n < len(text); {
		k, err := unix.Pwrite(m.FD, []byte(text[n:]), int64(n))
		if err != nil {
			return 0, err
		}
		n += k
	}
	return len(text), nil
}

func statFD(fd int) (st unix.Stat_t, err error) {
	err = unix.Fstat(fd, &st)
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = os.ErrInvalid
	}
	return st, err
}

// writing keeps two writers from undoing each other's flags, see writeNow.
var writing sync.Mutex

// writeNow writes as much of text as the peer's descriptor takes without
// blocking: a peer that does not read must not hold anything up. The peer shares the
// flag for that, and gets it back as it was.
func writeNow(fd int, text string) (int, error) {
	if _, err := statFD(fd); err == nil {
		return writeAll(fd, text) // the flag says nothing about files
	}
	writing.Lock()
	defer writing.Unlock()
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return 0, err
	}
	if flags&unix.O_NONBLOCK == 0 {
		if err := syscall.SetNonblock(fd, true); err != nil {
			return 0, err
		}
		defer syscall.SetNonblock(fd, false)
	}
	return writeAll(fd, text)
}

func writeAll(fd int, text string) (int, error) {
	n := 0
	for n < len(text) {
		k, err := syscall.Write(fd, []byte(text[n:]))
		if err == syscall.EAGAIN && n > 0 {
			break
		}
		if err != nil {
			return n, err
		}
		n += k
	}
	return n, nil
}
