package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
)

// TestMain lets the test binary be what the benchmark's children and its job are.
func TestMain(m *testing.M) {
	if exit, ok := role(os.Args[1:]); ok {
		syscall.Exit(exit) // os.Exit takes a second where the race detector is linked in
	}
	code := m.Run()
	if programs.dir != "" {
		os.RemoveAll(programs.dir)
	}
	os.Exit(code)
}

// programs are built once for all tests and benchmarks.
var programs struct {
	once sync.Once
	dir  string
	err  error
}

func built(tb testing.TB) string {
	tb.Helper()
	if _, err := os.Stat("/System"); runtime.GOOS == "darwin" && err != nil {
		tb.Skip("this is a darwin program on Linux, whose go command would build programs that it cannot run")
	}
	programs.once.Do(func() {
		if programs.dir, programs.err = os.MkdirTemp("", "bench"); programs.err == nil {
			programs.err = build(context.Background(), programs.dir)
		}
	})
	if programs.err != nil {
		tb.Fatal(programs.err)
	}
	return programs.dir
}

// stage is a world with an embedded launchd, for one test or benchmark.
func stage(tb testing.TB) *world {
	tb.Helper()
	w, err := newWorld(tb.Context(), setup{}, built(tb))
	tb.Cleanup(func() {
		if err := w.close(context.Background()); err != nil {
			tb.Error(err)
		}
	})
	if err != nil {
		tb.Fatal(err)
	}
	return w
}

// find returns a method of a group.
func (g group) find(name string) method {
	for _, m := range g.Methods {
		if m.Name == name {
			return m
		}
	}
	panic(fmt.Sprintf("%s has no method %s", g.Name, name))
}

func must[T any](tb testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
		return v
	}
}

var errNoPeak = errors.New("the process was over before it could be looked at")
