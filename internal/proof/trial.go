package main

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// trial lets a program use what is made for tests: it is the testing.TB of one part of the
// proof. What fails is collected instead of printed.
type trial struct {
	testing.TB // for what is not below; nil, so that using it is seen at once
	name       string
	ctx        context.Context

	mu       sync.Mutex
	failures []string
	skipped  string
	cleanups []func()
	logs     []string
}

// attempt runs body as a test of this name runs, in a goroutine of its own, and returns what
// became of it.
func attempt(ctx context.Context, name string, body func(*trial)) *trial {
	ctx, cancel := context.WithCancel(ctx)
	t := &trial{name: name, ctx: ctx}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer t.clean()
		defer cancel()
		body(t)
	}()
	<-done
	return t
}

// clean runs the cleanups, last first. One that ends the goroutine does not keep the others
// from being run.
func (t *trial) clean() {
	for {
		t.mu.Lock()
		n := len(t.cleanups)
		if n == 0 {
			t.mu.Unlock()
			return
		}
		f := t.cleanups[n-1]
		t.cleanups = t.cleanups[:n-1]
		t.mu.Unlock()
		done := make(chan struct{})
		go func() {
			defer close(done)
			f()
		}()
		<-done
	}
}

func (t *trial) Name() string             { return t.name }
func (t *trial) Helper()                  {}
func (t *trial) Context() context.Context { return t.ctx }

func (t *trial) Cleanup(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cleanups = append(t.cleanups, f)
}

func (t *trial) Failed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.failures) > 0
}

func (t *trial) fail(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failures = append(t.failures, strings.TrimSpace(text))
}

func (t *trial) Fail()                             { t.fail("failed") }
func (t *trial) Error(args ...any)                 { t.fail(fmt.Sprintln(args...)) }
func (t *trial) Errorf(format string, args ...any) { t.fail(fmt.Sprintf(format, args...)) }

func (t *trial) FailNow() {
	t.Fail()
	runtime.Goexit()
}

func (t *trial) Fatal(args ...any) {
	t.Error(args...)
	runtime.Goexit()
}

func (t *trial) Fatalf(format string, args ...any) {
	t.Errorf(format, args...)
	runtime.Goexit()
}

func (t *trial) Skip(args ...any) {
	t.mu.Lock()
	t.skipped = strings.TrimSpace(fmt.Sprintln(args...))
	t.mu.Unlock()
	runtime.Goexit()
}

func (t *trial) Log(args ...any) { t.Logf("%s", fmt.Sprintln(args...)) }

func (t *trial) Logf(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.logs = append(t.logs, strings.TrimSpace(fmt.Sprintf(format, args...)))
}

// took rounds a time for a table.
func took(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(100 * time.Millisecond).String()
}
