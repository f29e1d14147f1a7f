package xpc_test

import (
	"log"
	"net"
	"os"
	"path/filepath"

	"github.com/hermes-gw/hermes-gw/internal/xpcwire"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// serveModel serves the smallest launchd model there is: one job, one routine.
func serveModel() (path string, stop func()) {
	dir, err := os.MkdirTemp("", "x")
	if err != nil {
		log.Fatal(err)
	}
	path = filepath.Join(dir, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		for {
			u, err := l.AcceptUnix()
			if err != nil {
				return
			}
			go answer(xpcwire.NewConn(u))
		}
	}()
	return path, func() {
		l.Close()
		os.RemoveAll(dir)
	}
}

func answer(c *xpcwire.Conn) {
	defer c.Close()
	for {
		body, fds, err := c.ReadFrame()
		if err != nil {
			return
		}
		xpcwire.CloseAll(fds)
		r, msg, _, err := xpcwire.DecodeRequest[xpc.Dict](body, nil)
		if err != nil {
			return
		}
		reply := xpc.Dict{"error": int64(xpc.NoSuchService)}
		if label, _ := msg.String("name"); r.Routine == 702 && label == "com.example.gateway" {
			reply = xpc.Dict{"pid": int64(4242)}
		}
		frame, _, err := xpcwire.AppendReply(nil, xpcwire.Reply{Magic: r.Magic}, reply)
		if err != nil || c.WriteFrame(frame, nil) != nil {
			return
		}
	}
}
