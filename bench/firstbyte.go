package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"path/filepath"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/xpcwire"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// firstByteServer notes when the first byte of a connection comes, and knows no job.
type firstByteServer struct {
	l       net.Listener
	noted   chan time.Time
	asking  func() // called while a client waits for its answer
	address string
}

func serveFirstBytes(path string) (*firstByteServer, error) {
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	s := &firstByteServer{l: l, noted: make(chan time.Time, 16), address: "unix:" + path}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(c.(*net.UnixConn))
		}
	}()
	return s, nil
}

func (s *firstByteServer) close() { s.l.Close() }

// serve waits for the first byte through the runtime's poller, as any server would.
func (s *firstByteServer) serve(raw *net.UnixConn) {
	c := xpcwire.NewConn(raw)
	defer c.Close()
	for first := true; ; first = false {
		_, fds, err := c.ReadFrame()
		if first && err == nil {
			s.noted <- time.Now()
		}
		xpcwire.CloseAll(fds)
		if err != nil {
			return
		}
		if s.asking != nil {
			s.asking()
		}
		reply, _, err := xpcwire.AppendReply(nil, xpcwire.Reply{Magic: xpcwire.Magic}, xpc.Dict{"error": int64(xpc.NoSuchService)})
		if err != nil || c.WriteFrame(reply, nil) != nil {
			return
		}
	}
}

// starts are programs that are run to restart a job that does not exist: what is measured is
// how long they take to ask.
func (w *world) starts() (group, error) {
	if w.first == nil {
		var err error
		if w.first, err = serveFirstBytes(filepath.Join(w.dir, "first")); err != nil {
			return group{}, err
		}
	}
	target := w.job.Target
	target.Label += ".none"
	run := func(name string, args ...string) func(context.Context) (sample, error) {
		return func(ctx context.Context) (sample, error) { return w.startToByte(ctx, name, args...) }
	}
	msg, err := w.message(routineKickstart)
	if err != nil {
		return group{}, err
	}
	frame, err := frameOf(routineKickstart, msg)
	return group{
		Name: "Start", Reference: "bare", burst: 2,
		What: "a program is run that wants a job restarted; a server knows no such job",
		Methods: []method{
			{"bare", "net.Dial, and a write of bytes that were made before", run(w.bare, filepath.Join(w.dir, "first"), hex.EncodeToString(frame))},
			{"stand-in", "the stand-in for launchctl, which makes the request and reads the answer", run(w.standIn, "kickstart", "-k", target.String())},
			{"hermes-gw", "hermes-gw restart", run(w.hermes, "restart", "--force", target.String())},
		},
	}, err
}

func (w *world) startToByte(ctx context.Context, name string, args ...string) (sample, error) {
	env := w.env
	defer func() { w.env = env }()
	w.env = append(env[:len(env):len(env)], "HERMES_GW_LAUNCHD="+w.first.address)
	begin := time.Now()
	r, err := w.program(ctx, false, name, args...)
	took := time.Since(begin)
	if err != nil {
		return nil, err
	}
	var at time.Time
	for {
		select {
		case t := <-w.first.noted:
			if at.IsZero() { // a client may connect twice
				at = t
			}
			continue
		default:
		}
		break
	}
	judges := name != w.bare // which does not look into the answer
	if at.IsZero() || judges == (r.code == 0) {
		return nil, fmt.Errorf("%s asked for nothing, or was told of a job: exit code %d", filepath.Base(name), r.code)
	}
	return sample{firstByte: float64(at.Sub(begin)), total: float64(took), clientCPU: float64(r.cpu)}, nil
}
