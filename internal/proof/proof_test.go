package main

import (
	"bytes"
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// A fault whose line has changed would be applied nowhere.
func TestMutationsFit(t *testing.T) {
	names := map[string]bool{}
	for _, m := range mutations {
		text, err := os.ReadFile("../../" + m.file)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(text), m.old); n != 1 {
			t.Errorf("%s: %q occurs %d times in %s", m.what, m.old, n, m.file)
		}
		if names[m.what] || m.old == m.new || len(m.packages) == 0 {
			t.Errorf("%+v", m)
		}
		names[m.what] = true
	}
	if len(mutations) < 25 {
		t.Errorf("%d faults", len(mutations))
	}
}

func TestTrial(t *testing.T) {
	var order []string
	said := func(what string) func() { return func() { order = append(order, what) } }
	got := attempt(t.Context(), "one", func(t *trial) {
		t.Cleanup(said("first"))
		t.Cleanup(func() {
			order = append(order, "second")
			t.Fatal("in a cleanup") // does not keep the first from being run
		})
		t.Errorf("%d is wrong", 1)
		t.Fatal("and", "that")
		order = append(order, "not reached")
	})
	if want := []string{"second", "first"}; !slices.Equal(order, want) {
		t.Errorf("%q, want %q", order, want)
	}
	if want := []string{"1 is wrong", "and that", "in a cleanup"}; !slices.Equal(got.failures, want) {
		t.Errorf("%q, want %q", got.failures, want)
	}
	if got.ctx.Err() == nil {
		t.Error("its context has not ended")
	}
	skipped := attempt(t.Context(), "two", func(t *trial) { t.Skip("not here") })
	if skipped.Failed() || skipped.skipped != "not here" {
		t.Errorf("%q, %q", skipped.failures, skipped.skipped)
	}
}

// One row that fails is enough, and a table without rows proves nothing.
func TestReport(t *testing.T) {
	var text bytes.Buffer
	r := &report{w: &text}
	if !r.failed() {
		t.Error("a table without rows holds")
	}
	r.add(row{what: "one", tried: "twice", figure: "0 lost", took: 1234 * time.Millisecond})
	r.add(row{what: "two", skipped: "there is no folder"})
	if r.failed() {
		t.Errorf("failed:\n%s", &text)
	}
	r.add(row{what: "three", failed: []string{"it is lost"}})
	r.table([]string{"-long"})
	for _, want := range []string{"embedded launchd", "go run ./internal/proof -long", "| one | twice | 0 lost | holds | 1.2s |", "| two |  | there is no folder | skipped | 0s |", "it is lost"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is not in:\n%s", want, &text)
		}
	}
	if !r.failed() {
		t.Error("a row that failed does not count")
	}
}

func TestGrew(t *testing.T) {
	first := footprint{descriptors: 9, goroutines: 2, threads: 6, heap: 1 << 20}
	if list := grew(first, first); len(list) > 0 {
		t.Error(list)
	}
	for _, last := range []footprint{
		{10, 2, 6, 1 << 20}, {9, 3, 6, 1 << 20}, {9, 2, 12, 1 << 20}, {9, 2, 6, 8 << 20},
	} {
		if len(grew(first, last)) != 1 {
			t.Errorf("%+v: %v", last, grew(first, last))
		}
	}
}

// A fault is caught by the test that fails for it, or it is said that none does; the file is as before.
func TestFaultIsTakenBack(t *testing.T) {
	const text = "package x\n\nfunc f() int { return 1 }\n"
	dir := faultyModule(t, text, "package x\n\nimport \"testing\"\n\nfunc TestF(t *testing.T) {\n\tif f() != 1 {\n\t\tt.Error()\n\t}\n}\n")
	one := mutation{what: "x", file: "x.go", old: "return 1", new: "return 2", packages: []string{"."}}
	if w := one.prove(context.Background(), dir, testLimit); len(w.failed) > 0 || w.figure != "caught by TestF" {
		t.Errorf("%+v", w)
	}
	none := mutation{what: "x", file: "x.go", old: "return 1", new: "return 0+1", packages: []string{"."}}
	if w := none.prove(context.Background(), dir, testLimit); len(w.failed) != 1 || !strings.Contains(w.failed[0], "no test of . catches it") {
		t.Errorf("%+v", w)
	}
	bad := mutation{what: "x", file: "x.go", old: "return 1", new: "return", packages: []string{"."}}
	if w := bad.prove(context.Background(), dir, testLimit); len(w.failed) != 1 || !strings.Contains(w.failed[0], "does not compile") {
		t.Errorf("%+v", w)
	}
	if now, err := os.ReadFile(dir + "/x.go"); err != nil || string(now) != text {
		t.Errorf("%q, %v", now, err)
	}
}
