package xpcwire

import (
	"errors"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"
)

// A frame that does not come to its end is given up, a connection on which none has
// begun is not.
func TestFrameTimeout(t *testing.T) {
	frame, _ := request(t, Request{Routine: 1, Magic: Magic}, dict{"k": "v"})
	held := files(t, 1)
	for n := 1; n < len(frame); n += 9 {
		noFDLeak(t)
		a, b := pair(t)
		b.FrameTimeout = time.Minute
		rawSend(t, a, frame) // whole frames set no bound for those that follow
		if _, _, err := b.ReadFrame(); err != nil {
			t.Fatal(err)
		}
		b.FrameTimeout = 10 * time.Millisecond
		begin := time.Now()
		time.AfterFunc(30*time.Millisecond, func() { a.WriteMsgUnix(frame[:n], syscall.UnixRights(held...), nil) })
		body, fds, err := b.ReadFrame()
		if took := time.Since(begin); !errors.Is(err, os.ErrDeadlineExceeded) || body != nil || fds != nil || took < 30*time.Millisecond {
			t.Errorf("%d of %d bytes: %x, %v, %v after %v", n, len(frame), body, fds, err, took)
		}
		a.Close()
		b.Close()
	}
}

func TestMaxFDs(t *testing.T) {
	held := files(t, 1)
	for n, ok := range map[int]bool{4: true, 5: false, 253: false} {
		noFDLeak(t)
		a, b := pair(t)
		b.MaxFDs = 4
		rawSend(t, a, []byte{1, 0, 0, 0, 7}, slices.Repeat(held, n)...)
		_, fds, err := b.ReadFrame()
		if ok != (err == nil) || (!ok && (!errors.Is(err, ErrMalformed) || fds != nil)) {
			t.Errorf("%d descriptors: %v, %v", n, fds, err)
		}
		CloseAll(fds)
	}
}
