package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/xpcwire"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// floor is one exchange with launchd, or with something in its place, that costs as little as
// it can on this transport.
type floor interface {
	exchange() error
	Close() error
}

// serveEcho is the floor's server: it reads as many bytes as a request has, and writes a
// reply that it was given, whatever was asked. Each connection begins with the two lengths and
// the reply.
func serveEcho(socket string) error {
	l, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go echo(c)
		}
	}()
	fmt.Println("ready")
	untilAlone()
	return l.Close()
}

func echo(c net.Conn) {
	defer c.Close()
	var head [8]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return
	}
	request := make([]byte, binary.LittleEndian.Uint32(head[:]))
	reply := make([]byte, binary.LittleEndian.Uint32(head[4:]))
	if _, err := io.ReadFull(c, reply); err != nil {
		return
	}
	for {
		if _, err := io.ReadFull(c, request); err != nil {
			return
		}
		if _, err := c.Write(reply); err != nil {
			return
		}
	}
}

// frameOf is a request as the embedded launchd reads it.
func frameOf(routine uint64, msg xpc.Dict) ([]byte, error) {
	frame, _, err := xpcwire.AppendRequest(nil, xpcwire.Request{Routine: routine, Magic: xpcwire.Magic}, msg)
	return frame, err
}

// pingPong is the floor of a socket.
type pingPong struct {
	net.Conn
	request, reply []byte
}

// newPingPong makes the floor of one request: frames of the sizes of that request and of the
// answer that the launchd at the socket launchd gives it.
func newPingPong(launchd, echo string, routine uint64, msg xpc.Dict) (*pingPong, error) {
	request, err := frameOf(routine, msg)
	if err != nil {
		return nil, err
	}
	real, err := net.Dial("unix", launchd)
	if err != nil {
		return nil, err
	}
	conn := xpcwire.NewConn(real.(*net.UnixConn))
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	if err := conn.WriteFrame(request, nil); err != nil {
		return nil, err
	}
	body, fds, err := conn.ReadFrame()
	xpcwire.CloseAll(fds)
	if err != nil {
		return nil, err
	}
	reply := binary.LittleEndian.AppendUint32(nil, uint32(len(body)))
	reply = append(reply, body...)
	c, err := net.Dial("unix", echo)
	if err != nil {
		return nil, err
	}
	head := binary.LittleEndian.AppendUint32(nil, uint32(len(request)))
	head = binary.LittleEndian.AppendUint32(head, uint32(len(reply)))
	if _, err := c.Write(append(head, reply...)); err != nil {
		c.Close()
		return nil, err
	}
	return &pingPong{c, request, make([]byte, len(reply))}, nil
}

func (p *pingPong) exchange() error {
	if _, err := p.Write(p.request); err != nil {
		return err
	}
	_, err := io.ReadFull(p, p.reply)
	return err
}
