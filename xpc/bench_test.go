package xpc

import (
	"io"
	"net"
	"testing"

	"github.com/hermes-gw/hermes-gw/internal/xpcwire"
)

// kickstart is the request of a restart, and its answer.
func kickstart() (request, reply Dict) {
	return Dict{"type": uint64(8), "handle": uint64(501), "name": "ai.hermes.gateway", "kill": true, "unthrottle": true},
		Dict{"pid": int64(4242)}
}

// BenchmarkSocketCall is a restart's request over a warm connection, to be held
// against BenchmarkPingPong: the same bytes to and fro and nothing else.
func BenchmarkSocketCall(b *testing.B) {
	request, reply := kickstart()
	s := serve(b, func(r testRequest) bool { r.reply(reply); return true }).dial(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Call(b.Context(), 702, request); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPingPong(b *testing.B) {
	request, reply := kickstart()
	ping, _, err := xpcwire.AppendRequest(nil, xpcwire.Request{Routine: 702, Magic: xpcwire.Magic}, request)
	if err != nil {
		b.Fatal(err)
	}
	pong, _, err := xpcwire.AppendReply(nil, xpcwire.Reply{Magic: xpcwire.Magic}, reply)
	if err != nil {
		b.Fatal(err)
	}
	server := serveRaw(b, func(c *xpcwire.Conn) {
		buf := make([]byte, len(ping))
		for {
			if _, err := io.ReadFull(c, buf); err != nil {
				return
			}
			if _, err := c.Write(pong); err != nil {
				return
			}
		}
	})
	c, err := net.Dial("unix", server.path)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	buf := make([]byte, len(pong))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(ping); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(c, buf); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPipeCall is the same through the conversion to and from xpc objects.
func BenchmarkPipeCall(b *testing.B) {
	request, reply := kickstart()
	f := newFake()
	f.answer(func(uint64, uintptr) (uintptr, int32) { return f.build(reply), 0 })
	p, err := newPipe(&f.XPC, routinesFirst)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Call(b.Context(), 702, request); err != nil {
			b.Fatal(err)
		}
	}
}
