package hermesgw

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"
)

// maxSocketPath is the longest path that connect(2) takes on macOS, without the NUL at its end.
const maxSocketPath = 103

// ownSocket returns an error unless there is a socket of the user at path, or of root.
func ownSocket(in Install, path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok:
		err = errors.ErrUnsupported
	case info.Mode()&fs.ModeSocket == 0:
		err = errors.New("it is not a socket")
	case int(st.Uid) != in.UID && st.Uid != 0:
		err = fmt.Errorf("it belongs to user %d, not to %d", st.Uid, in.UID)
	case len(path) > maxSocketPath:
		err = fmt.Errorf("its path is longer than %d bytes", maxSocketPath)
	default:
		return nil
	}
	return &fs.PathError{Op: "connect", Path: path, Err: err}
}

// dial connects to a socket of a gateway. Nothing is sent before it is known that the user, or
// root, listens there.
func dial(ctx context.Context, in Install, path string) (*net.UnixConn, error) {
	if err := ownSocket(in, path); err != nil {
		return nil, err
	}
	var dialer net.Dialer
	c, err := dialer.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	conn := c.(*net.UnixConn)
	uid, err := peerOf(conn)
	if err == nil && uid != in.UID && uid != 0 {
		err = fmt.Errorf("user %d listens there, not %d", uid, in.UID)
	}
	if err != nil {
		conn.Close()
		return nil, &fs.PathError{Op: "connect", Path: path, Err: err}
	}
	return conn, nil
}

func peerOf(conn *net.UnixConn) (uid int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return -1, err
	}
	if cerr := raw.Control(func(fd uintptr) { uid, err = peerUID(int(fd)) }); cerr != nil {
		return -1, cerr
	}
	return uid, err
}

// breakWith ends what is read from or written to conn when ctx does.
func breakWith(ctx context.Context, conn net.Conn) (stop func() bool) {
	return context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
}
