package xpc

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/hermes-gw/hermes-gw/internal/cgoless"
)

// throughPipe makes the fake answer through its pipe, and checks that it is one.
func (f *fakeXPC) throughPipe(fn func(routine uint64, msg uintptr) (uintptr, int32)) *fakeXPC {
	f.PipeRoutine = func(pipe uintptr, routine uint64, msg uintptr) (uintptr, int32) {
		if kind := f.Kind(pipe); kind != cgoless.KindPipe {
			f.mu.Lock()
			f.complain("a request goes through an object of kind %d", kind)
			f.mu.Unlock()
		}
		return fn(routine, msg)
	}
	return f
}

// bothWays runs a test through the routines and through a pipe.
func bothWays(t *testing.T, answer func(f *fakeXPC, routine uint64, msg uintptr) (uintptr, int32), test func(t *testing.T, p *Pipe)) {
	for name, c := range map[string]choice{"routines": routinesFirst, "pipe": pipeOnly} {
		t.Run(name, func(t *testing.T) {
			f := newFake()
			defer f.done(t)
			fn := func(routine uint64, msg uintptr) (uintptr, int32) { return answer(f, routine, msg) }
			if c == routinesFirst {
				f.answer(fn)
			} else {
				f.throughPipe(fn)
			}
			p, err := newPipe(&f.XPC, c)
			if err != nil {
				t.Fatal(err)
			}
			test(t, p)
			if p.port != 0 {
				f.Release(p.port)
			}
		})
	}
}

func TestPipeAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		reply   any // nil: none
		code    int32
		want    Dict
		err     error
		unknown bool
	}{
		"reply":             {reply: Dict{"pid": int64(7)}, want: Dict{"pid": int64(7)}},
		"empty":             {reply: Dict{}, want: Dict{}},
		"error 0":           {reply: Dict{"error": int64(0)}, want: Dict{"error": int64(0)}},
		"launchd's error":   {reply: Dict{"error": int64(113)}, err: NoSuchService},
		"odd error":         {reply: Dict{"error": int64(math.MaxInt64)}, err: BadResponse, unknown: true},
		"returned":          {code: 3, err: ESRCH},
		"returned, replied": {reply: Dict{"a": nil}, code: 36, err: EINPROGRESS},
		"not reached":       {code: 141, err: Reentrancy},
		"broken":            {code: 32, err: EPIPE, unknown: true},
		"unreadable":        {code: 118, err: BadResponse, unknown: true},
		"no reply":          {err: BadResponse, unknown: true},
		"not a dictionary":  {reply: []any{"x"}, err: BadResponse, unknown: true},
	} {
		t.Run(name, func(t *testing.T) {
			bothWays(t, func(f *fakeXPC, routine uint64, msg uintptr) (reply uintptr, code int32) {
				if c.reply != nil {
					reply = f.build(c.reply)
				}
				return reply, c.code
			}, func(t *testing.T, p *Pipe) {
				got, err := p.Call(t.Context(), 702, Dict{"name": "a"})
				if !errors.Is(err, c.err) || (err == nil) != (c.err == nil) || !reflect.DeepEqual(got, c.want) {
					t.Errorf("got %v, %v", got, err)
				}
				var unknown *UnknownOutcome
				if errors.As(err, &unknown) != c.unknown {
					t.Errorf("outcome unknown is %v: %v", !c.unknown, err)
				}
			})
		})
	}
}

func TestRoutinesTakeTheirEntryPoint(t *testing.T) {
	f := newFake()
	defer f.done(t)
	took := ""
	way := func(name string) func(uint64, uintptr) (uintptr, int32) {
		return func(uint64, uintptr) (uintptr, int32) { took = name; return f.build(Dict{}), 0 }
	}
	f.ServiceRoutine, f.DomainRoutine = way("service"), way("domain")
	f.throughPipe(way("pipe"))
	try := func(x cgoless.XPC, c choice, want map[uint64]string) {
		t.Helper()
		p, err := newPipe(&x, c)
		if err != nil {
			t.Fatal(err)
		}
		for routine, way := range want {
			took = ""
			_, err := p.Call(t.Context(), routine, Dict{})
			if took != way || (err == nil) != (way != "") {
				t.Errorf("routine %d went through %q, not %q: %v", routine, took, way, err)
			}
		}
		if p.port != 0 {
			f.Release(p.port)
		}
	}
	try(f.XPC, routinesFirst, map[uint64]string{0: "", 699: "", 700: "service", 799: "service", 800: "domain", 899: "domain", 900: ""})
	try(f.XPC, pipeOnly, map[uint64]string{700: "pipe", 800: "pipe", 900: ""})
	without := f.XPC
	without.DomainRoutine = nil
	try(without, routinesFirst, map[uint64]string{702: "service", 800: "pipe"})
}

func TestNoEntryPoint(t *testing.T) {
	f := newFake()
	defer f.done(t)
	f.NewPipe = nil
	_, err := newPipe(&f.XPC, routinesFirst)
	if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "_xpc_service_routine") || !strings.Contains(err.Error(), "_xpc_pipe_interface_routine") {
		t.Errorf("got %v", err)
	}
	g := newFake()
	defer g.done(t)
	g.failAt = 1
	g.throughPipe(nil)
	if _, err := newPipe(&g.XPC, pipeOnly); err == nil {
		t.Error("no pipe, and no error")
	}
}

func TestNothingIsSentAfterTheContextEnded(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	bothWays(t, func(f *fakeXPC, _ uint64, _ uintptr) (uintptr, int32) {
		t.Error("something was sent")
		return f.build(Dict{}), 0
	}, func(t *testing.T, p *Pipe) {
		_, err := p.Call(ctx, 702, Dict{"name": "a"})
		var unknown *UnknownOutcome
		if err != context.Canceled || errors.As(err, &unknown) {
			t.Errorf("got %v", err)
		}
	})
}

func TestRefusedRequestIsNotSent(t *testing.T) {
	closed, err := NewShmem(1)
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	bothWays(t, func(f *fakeXPC, _ uint64, _ uintptr) (uintptr, int32) {
		t.Error("something was sent")
		return f.build(Dict{}), 0
	}, func(t *testing.T, p *Pipe) {
		var verr *ValueError
		if _, err := p.Call(t.Context(), 702, Dict{"a": 1}); !errors.As(err, &verr) {
			t.Errorf("got %v", err)
		}
		if _, err := p.Call(t.Context(), 708, Dict{"shmem": closed}); err == nil {
			t.Error("closed memory was sent")
		}
	})
}

// The late answer is released, and the shared memory stays mapped until then
// although it was closed.
func TestLateAnswer(t *testing.T) {
	var answer func(f *fakeXPC) uintptr
	bothWays(t, func(f *fakeXPC, _ uint64, _ uintptr) (uintptr, int32) { return answer(f), 0 }, func(t *testing.T, p *Pipe) {
		synctest.Test(t, func(t *testing.T) {
			s, err := NewShmem(1)
			if err != nil {
				t.Fatal(err)
			}
			page := s.Bytes()
			ctx, cancel := context.WithCancel(t.Context())
			goOn := make(chan struct{})
			answer = func(f *fakeXPC) uintptr {
				cancel()
				<-goOn
				page[0] = 'x' // faults if the page is gone
				return f.build(Dict{"rights": []any{fakeKind(cgoless.KindMachSend)}})
			}
			_, err = p.Call(ctx, 708, Dict{"shmem": s})
			var unknown *UnknownOutcome
			if !errors.As(err, &unknown) || unknown.Routine != 708 || !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if s.region == nil {
				t.Error("the pages went while the request was under way")
			}
			close(goOn)
			synctest.Wait()
			if s.region != nil {
				t.Error("the pages are still mapped after the answer")
			}
		})
	})
}

func TestConcurrentCalls(t *testing.T) {
	const n = 20
	var all sync.WaitGroup
	all.Add(n)
	bothWays(t, func(f *fakeXPC, _ uint64, msg uintptr) (uintptr, int32) {
		all.Done()
		all.Wait() // answers come only when all requests are there
		return f.build(Dict{}), 0
	}, func(t *testing.T, p *Pipe) {
		var calls sync.WaitGroup
		for range n {
			calls.Go(func() {
				if _, err := p.Call(t.Context(), 702, Dict{"name": "a"}); err != nil {
					t.Error(err)
				}
			})
		}
		calls.Wait()
		all.Add(n)
	})
}

func TestErrnoMeaningSurvivesTheTransport(t *testing.T) {
	bothWays(t, func(f *fakeXPC, _ uint64, _ uintptr) (uintptr, int32) { return 0, 113 },
		func(t *testing.T, p *Pipe) {
			if _, err := p.Call(t.Context(), 708, nil); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("got %v", err)
			}
		})
}
