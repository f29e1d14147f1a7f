package main

import (
	"fmt"
	"slices"
	"strings"
)

// How often a number is tried. Runs of a program with several threads differ in length: what
// comes about at the same time takes more questions or fewer.
const (
	wholeRuns = 7   // that nobody kills, before
	sureTries = 30  // a call that half of the whole runs made, and that must be hit
	rareTries = 6   // one that some run made
	pastTries = 5   // one that no run is known to have made
	lateTries = 200 // in the end, in all, at those that some run made and that were not hit
)

// walk kills a program at each of its numbered calls. What must be hit is known before the first
// kill: otherwise a program of which each call is missed would have no calls.
type walk struct {
	whole []int // how many calls each whole run made
	hits  map[int]bool
	tries int // of run
}

// run tries each number until it was hit, goes on to the first one behind all calls that anybody made,
// and then tries again what is missing. try reports whether the kill hit; stop ends it early.
func (w *walk) run(try func(n int) bool, stop func() bool) {
	w.hits = map[int]bool{}
	once := func(n int) {
		w.tries++
		if try(n) {
			w.hits[n] = true
		}
	}
	for n, past := 1, false; !past; n++ {
		limit := pastTries
		switch {
		case n <= w.median():
			limit = sureTries
		case n <= w.most():
			limit = rareTries
		}
		for i := 0; i < limit && !w.hits[n]; i++ {
			if stop() {
				return
			}
			once(n)
		}
		past = n > w.most()
	}
	for left := lateTries; ; {
		_, rare := w.missed()
		for _, n := range rare {
			if left--; left < 0 || stop() {
				return
			}
			once(n)
		}
		if len(rare) == 0 {
			return
		}
	}
}

// median is how many calls at least half of the whole runs made.
func (w *walk) median() int {
	if len(w.whole) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(w.whole))
	return sorted[(len(sorted)-1)/2]
}

// most is the largest number of a call that any run made.
func (w *walk) most() (n int) {
	for _, k := range w.whole {
		n = max(n, k)
	}
	for k := range w.hits {
		n = max(n, k)
	}
	return n
}

// missed are the numbers at which no run was killed: sure are those that must be.
func (w *walk) missed() (sure, rare []int) {
	for n := 1; n <= w.most(); n++ {
		switch {
		case w.hits[n]:
		case n <= w.median():
			sure = append(sure, n)
		default:
			rare = append(rare, n)
		}
	}
	return sure, rare
}

// failure says which calls should have been hit, "" if none.
func (w *walk) failure(of string) string {
	sure, _ := w.missed()
	switch {
	case len(w.whole) == 0 || w.median() == 0:
		return "no whole run made any " + of
	case len(sure) == 0:
		return ""
	}
	return fmt.Sprintf("never killed at %s of the %d %s that half of the whole runs made", ranges(sure), w.median(), of)
}

// text tells how many of the calls were hit, those that must be apart from those that only some run made.
func (w *walk) text(of string) string {
	if len(w.whole) < 2 { // some of them were tried
		return fmt.Sprintf("%d of %d %s", len(w.hits), w.most(), of)
	}
	sure, rare := w.missed()
	s := fmt.Sprintf("%d of %d %s that half of %d whole runs made (%d to %d)",
		w.median()-len(sure), w.median(), of, len(w.whole), slices.Min(w.whole), slices.Max(w.whole))
	if more := w.most() - w.median(); more > 0 {
		s += fmt.Sprintf(", %d of %d more that some run made", more-len(rare), more)
	}
	if len(rare) > 0 {
		s += " (not " + ranges(rare) + ")"
	}
	return s
}

// ranges writes numbers that ascend: 3, 7-9.
func ranges(list []int) string {
	var words []string
	for i := 0; i < len(list); {
		j := i
		for j+1 < len(list) && list[j+1] == list[j]+1 {
			j++
		}
		if j == i {
			words = append(words, fmt.Sprint(list[i]))
		} else {
			words = append(words, fmt.Sprintf("%d-%d", list[i], list[j]))
		}
		i = j + 1
	}
	return strings.Join(words, ", ")
}
