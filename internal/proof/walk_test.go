package main

import (
	"slices"
	"strings"
	"testing"
)

// program is one whose runs make as many calls as the list says, in turn.
func program(lengths ...int) (run func() int) {
	i := 0
	return func() int { i++; return lengths[(i-1)%len(lengths)] }
}

func goesOn() bool { return false }

func TestWalk(t *testing.T) {
	for _, c := range []struct {
		what    string
		whole   []int
		lengths []int // of those that are killed
		most    int
	}{
		{"each run is as long as the other", []int{20, 20, 20}, []int{20}, 20},
		{"runs differ", []int{333, 349, 332, 340, 336, 349, 335}, []int{333, 349, 332, 340, 336}, 349},
		{"one in four is short, one is long", []int{20, 20, 12, 31}, []int{20, 20, 12, 31}, 31},
		{"longer runs come later", []int{20, 20, 20}, []int{20, 22, 24}, 24},
		{"the longest come late", []int{20, 20, 21}, append(slices.Repeat([]int{20}, 20+rareTries+pastTries), 21), 21},
		{"all get shorter by some calls, but for one in ten", []int{20, 20, 20}, []int{18, 18, 18, 18, 18, 18, 18, 18, 18, 20}, 20},
	} {
		run := program(c.lengths...)
		w := &walk{whole: c.whole}
		w.run(func(n int) bool { return n <= run() }, goesOn)
		if sure, rare := w.missed(); w.most() != c.most || len(w.hits) != c.most || len(sure)+len(rare) > 0 || w.failure("calls") != "" {
			t.Errorf("%s: %s, %v and %v missed, %q", c.what, w.text("calls"), sure, rare, w.failure("calls"))
		}
	}
}

// What is never hit is neither passed over nor taken off the total: that would make "N of N" true
// of any program.
func TestWalkMisses(t *testing.T) {
	w := &walk{whole: []int{9, 10, 12, 10, 10, 9, 11}}
	tries := map[int]int{}
	w.run(func(n int) bool {
		tries[n]++
		return n <= 12 && n != 3 && n != 5 && n != 6 && n != 10 && n != 11
	}, goesOn)
	sure, rare := w.missed()
	if !slices.Equal(sure, []int{3, 5, 6, 10}) || !slices.Equal(rare, []int{11}) {
		t.Errorf("%v and %v", sure, rare)
	}
	if tries[3] != sureTries || tries[11] != rareTries+lateTries || tries[12] != 1 || tries[13] != pastTries || tries[14] > 0 {
		t.Error(tries)
	}
	if text := w.failure("calls"); !strings.Contains(text, "3, 5-6, 10 of the 10 calls") {
		t.Error(text)
	}
	const want = "6 of 10 calls that half of 7 whole runs made (9 to 12), 1 of 2 more that some run made (not 11)"
	if text := w.text("calls"); text != want {
		t.Errorf("%q, want %q", text, want)
	}
	all := &walk{whole: []int{2, 2}, hits: map[int]bool{1: true, 2: true}}
	if text := all.text("calls"); text != "2 of 2 calls that half of 2 whole runs made (2 to 2)" {
		t.Error(text)
	}
	sample := &walk{whole: []int{9}, hits: map[int]bool{4: true}}
	if text := sample.text("calls"); text != "1 of 9 calls" {
		t.Error(text)
	}
}

// A program that cannot be killed at all holds nothing.
func TestWalkHitsNothing(t *testing.T) {
	w := &walk{whole: []int{3, 3, 3, 3, 3, 3, 3}}
	w.run(func(int) bool { return false }, goesOn)
	if text := w.failure("calls"); !strings.Contains(text, "1-3 of the 3 calls") {
		t.Error(text)
	}
	none := &walk{}
	none.run(func(int) bool { return false }, goesOn)
	if none.failure("calls") == "" {
		t.Error("a program without calls holds")
	}
}

func TestWalkStops(t *testing.T) {
	w, n := &walk{whole: []int{100}}, 0
	w.run(func(int) bool { n++; return true }, func() bool { return n == 7 })
	if n != 7 || len(w.hits) != 7 || w.most() != 100 {
		t.Errorf("%d tries, %s", n, w.text("calls"))
	}
	if text := w.failure("calls"); !strings.Contains(text, "8-100") {
		t.Error(text)
	}
}
