package watch

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// socket returns a path short enough for macOS.
func socket(t *testing.T) string {
	dir, err := os.MkdirTemp("", "w")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

func start(t *testing.T) (context.Context, *Watch, string) {
	path := socket(t)
	w, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx, w, path
}

func join(t *testing.T, path string, pid int, home string) *Member {
	m, err := Join(path, pid, home)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.conn.Close() })
	return m
}

func TestRunningSkipsOldOnesAndOtherHomes(t *testing.T) {
	ctx, w, path := start(t)
	join(t, path, 9, "/a b")
	older, err := w.Running(ctx, "/a b", nil)
	if err != nil {
		t.Fatal(err)
	}
	join(t, path, 1, "/a b")
	g, err := w.Running(ctx, "/a b", older)
	if err != nil || g.PID != 1 {
		t.Fatalf("got %v, %v, want gateway 1", g, err)
	}
	join(t, path, 2, "/other")
	if _, err := w.Running(ctx, "/other", nil); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if g, err := w.Running(ended, "/a b", g); err == nil {
		t.Fatalf("got gateway %d as the successor of 1", g.PID)
	}
	found := make(chan *Gateway)
	go func() {
		g, _ := w.Running(ctx, "/a b", g)
		found <- g
	}()
	join(t, path, 3, "/a b")
	if g := <-found; g == nil || g.PID != 3 {
		t.Fatalf("got %v, want gateway 3", g)
	}
}

func TestGoneWhenTheConnectionEnds(t *testing.T) {
	ctx, w, path := start(t)
	m := join(t, path, 1, "/a")
	g, err := w.Running(ctx, "/a", nil)
	if err != nil {
		t.Fatal(err)
	}
	if !g.Alive() {
		t.Fatal("gone while it is connected")
	}
	before := time.Now()
	m.conn.Close()
	if at, err := g.Gone(ctx); err != nil || at.Before(before) {
		t.Fatalf("gone at %v, %v; the connection ended after %v", at, err, before)
	}
	if g.Alive() {
		t.Fatal("alive after its connection ended")
	}
	if err := g.Hold(ctx); err == nil {
		t.Fatal("a gateway that is gone agreed to hold")
	}
}

func TestHeldStopWaitsForRelease(t *testing.T) {
	ctx, w, path := start(t)
	m := join(t, path, 1, "/a")
	g, err := w.Running(ctx, "/a", nil)
	if err != nil {
		t.Fatal(err)
	}
	m.Stopping() // not held: returns

	if err := g.Hold(ctx); err != nil {
		t.Fatal(err)
	}
	stopped := make(chan struct{})
	go func() {
		m.Stopping()
		close(stopped)
	}()
	if err := g.Stopping(ctx); err != nil {
		t.Fatal(err)
	}
	select {
	case <-stopped:
		t.Fatal("the stop went on before it was released")
	default:
	}
	w.Release()
	select {
	case <-stopped:
	case <-ctx.Done():
		t.Fatal("the stop was released and did not go on")
	}
}

func TestEndOfTheDemo(t *testing.T) {
	ctx, w, path := start(t)
	m := join(t, path, 1, "/a")
	g, err := w.Running(ctx, "/a", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Hold(ctx); err != nil {
		t.Fatal(err)
	}
	stopped := make(chan struct{})
	go func() {
		m.Stopping()
		close(stopped)
	}()
	if err := g.Stopping(ctx); err != nil {
		t.Fatal(err)
	}
	w.Close()
	for what, c := range map[string]<-chan struct{}{"the member noticed": m.Lost(), "the held stop went on": stopped} {
		select {
		case <-c:
		case <-ctx.Done():
			t.Errorf("the demo ended, but not: %s", what)
		}
	}
	if _, err := Join(path, 2, "/a"); err == nil {
		t.Error("a gateway joined a demo that is over")
	}
}
