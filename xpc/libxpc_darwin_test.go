package xpc

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"github.com/hermes-gw/hermes-gw/internal/cgoless"
	"github.com/hermes-gw/hermes-gw/internal/xpcwire"
)

// These tests need a launchd of their own behind libxpc, which no Mac offers; the
// program that runs darwin builds on Linux does. It reads which socket to use when
// a process starts, so the tests run in a child, and the parent is the launchd.
const childVariable = "XPC_TEST_CHILD"

// Routines of the parent. The lower half is in both tables.
const (
	routineEcho = iota
	routineError
	routineTransportError
	routineHangUp
	routineGarbage
	routineRights
	routineShmem
	routineLate
	routineGoOn
)

func TestLibxpc(t *testing.T) {
	if _, err := os.Stat("/System/Library"); err == nil {
		t.Skip("on a Mac, libxpc has only the real launchd behind it")
	}
	goOn := make(chan struct{})
	server := serve(t, func(r testRequest) bool {
		switch r.Routine % 100 {
		case routineEcho:
			r.msg["flags"], r.msg["routine"] = uint64(r.Flags), r.Routine
			return echo(r)
		case routineError:
			r.reply(Dict{"error": int64(113), "why": "it is not loaded"})
		case routineTransportError:
			frame, _, _ := xpcwire.AppendReply[Dict](nil, xpcwire.Reply{Code: 3, Magic: r.Magic}, nil)
			r.conn.WriteFrame(frame, nil)
		case routineHangUp:
			return false
		case routineGarbage:
			r.conn.Write([]byte{8, 0, 0, 0, 0, 0, 0, 0, 'j', 'u', 'n', 'k'})
		case routineRights:
			r.reply(Dict{
				"fd": FD(0), "shmem": xpcwire.Shmem{FD: r.fds[0], Size: 4096}, "error object": xpcwire.Error{"XPCErrorDescription": "gone"},
				"rights": []any{xpcwire.MachSend(7), xpcwire.MachRecv(8), xpcwire.Connection, xpcwire.Endpoint, xpcwire.Pipe},
			})
		case routineShmem:
			shmem, _ := r.msg["shmem"].(xpcwire.Shmem)
			n := copy(mapDescriptor(t, shmem.FD, int(shmem.Size)), "shared by launchd")
			r.reply(Dict{"bytes-written": uint64(n)})
		case routineLate:
			<-goOn
			return echo(r)
		case routineGoOn:
			goOn <- struct{}{}
			return echo(r)
		}
		return true
	})

	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), self, "-test.run=^TestLibxpcChild$", "-test.v", "-test.count=1")
	child.Env = append(os.Environ(), childVariable+"=1", "DARWINHOST_LAUNCHD="+server.path, "DARWINHOST_XPC_LEAKS=1")
	var stdout, stderr bytes.Buffer
	child.Stdout, child.Stderr = &stdout, &stderr
	err = child.Run()
	if err != nil || !strings.Contains(stdout.String(), "--- PASS: TestLibxpcChild") {
		t.Errorf("the child: %v\n%s%s", err, &stdout, &stderr)
	}
	if !strings.Contains(stderr.String(), "xpc live objects: none\n") {
		t.Errorf("xpc objects are left, or were not counted: %q", &stderr)
	}
}

func TestLibxpcChild(t *testing.T) {
	if os.Getenv(childVariable) == "" {
		t.Skip("TestLibxpc runs this")
	}
	routines, err := Bootstrap()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Bootstrap(); again != routines || err != nil {
		t.Errorf("the second Bootstrap gave another connection, %v", err)
	}
	if routines.port != 0 {
		t.Error("Bootstrap went for the pipe although the routines are there")
	}
	pipe, err := newPipe(routines.x, pipeOnly)
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.x.Release(pipe.port) // this one is the test's, not the process's
	t.Run("routines", func(t *testing.T) { testLibxpc(t, routines) })
	t.Run("pipe", func(t *testing.T) { testLibxpc(t, pipe) })
}

func testLibxpc(t *testing.T, p *Pipe) {
	shared, err := NewShmem(100)
	if err != nil {
		t.Fatal(err)
	}
	defer shared.Close()

	for _, table := range []uint64{700, 800} {
		got, err := p.Call(t.Context(), table+routineEcho, allValues())
		want := allValues()
		want["flags"], want["routine"] = uint64(6), table+routineEcho
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("the echo gave %#v, %v", got, err)
		}
		if _, err := p.Call(t.Context(), table+routineError, Dict{}); err != NoSuchService {
			t.Errorf("launchd's error came as %v", err)
		}
		if _, err := p.Call(t.Context(), table+routineTransportError, Dict{}); err != ESRCH {
			t.Errorf("a transport error came as %v", err)
		}
		_, err = p.Call(t.Context(), table+routineHangUp, Dict{})
		wantUnknown(t, err, table+routineHangUp, EPIPE)
		_, err = p.Call(t.Context(), table+routineGarbage, Dict{})
		wantUnknown(t, err, table+routineGarbage, BadResponse)

		got, err = p.Call(t.Context(), table+routineRights, Dict{"lent": shared})
		want = Dict{
			"fd": FD(-1), "shmem": (*Shmem)(nil), "error object": Dict{"XPCErrorDescription": "gone"},
			"rights": []any{rightMachSend, rightMachRecv, rightConnection, rightEndpoint, rightPipe},
		}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %#v, %v", got, err)
		}

		clear(shared.Bytes())
		got, err = p.Call(t.Context(), table+routineShmem, Dict{"shmem": shared})
		n, _ := got.Uint64("bytes-written")
		if text := string(shared.Bytes()[:n]); err != nil || text != "shared by launchd" {
			t.Errorf("in the memory stands %q, %v", text, err)
		}

		var verr *ValueError
		if _, err := p.Call(t.Context(), table+routineEcho, Dict{"a": []any{"x", FD(1 << 20)}}); !errors.As(err, &verr) || verr.Path != "a[1]" {
			t.Errorf("a closed descriptor gave %v", err)
		}
		testLibxpcLate(t, p, table)
	}
}

// testLibxpcLate ends the wait for an answer, and waits until it was released.
func testLibxpcLate(t *testing.T, p *Pipe, table uint64) {
	released := make(chan struct{}, 2) // the request and the reply
	x := *p.x
	x.Release = func(o uintptr) {
		top := x.Kind(o) == cgoless.KindDictionary
		p.x.Release(o)
		if top {
			released <- struct{}{}
		}
	}
	late := *p
	late.x = &x
	ctx, cancel := context.WithCancel(t.Context())
	sent := make(chan struct{})
	wait := func(send send) send {
		return func(routine uint64, msg uintptr) (uintptr, int32) { close(sent); return send(routine, msg) }
	}
	late.service, late.domain = wait(p.service), wait(p.domain)
	go func() { <-sent; cancel() }()
	_, err := late.Call(ctx, table+routineLate, Dict{"name": "late"})
	wantUnknown(t, err, table+routineLate, context.Canceled)
	if _, err := p.Call(t.Context(), table+routineGoOn, Dict{}); err != nil {
		t.Error(err)
	}
	<-released
	<-released
}
