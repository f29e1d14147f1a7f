package xpc

import (
	"net"
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A server of another user is refused before anything is sent.
func TestDialRefusesAnotherUsersServer(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to listen as another user")
	}
	path := socketPath(t)
	const nobody = 65534
	if err := os.Chmod(path[:strings.LastIndexByte(path, '/')], 0o777); err != nil {
		t.Fatal(err)
	}
	listening := make(chan *net.UnixListener)
	go func() {
		// Linux has the identity by thread. The goroutine ends locked, so that the
		// thread ends with it.
		runtime.LockOSThread()
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, nobody, nobody, nobody); errno != 0 {
			t.Error(errno)
		}
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
		if err != nil {
			t.Error(err)
		}
		listening <- l
	}()
	l := <-listening
	defer l.Close()
	_, err := Dial(t.Context(), path)
	if err == nil || !strings.Contains(err.Error(), "uid 65534") || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
}
