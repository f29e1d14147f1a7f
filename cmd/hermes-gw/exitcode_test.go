package main

import (
	"slices"
	"testing"

	"github.com/hermes-gw/hermes-gw/launchd"
)

// The contract of design section 4.6, written out once more.
func TestExitCodes(t *testing.T) {
	for code, outcomes := range map[int][]launchd.Outcome{
		0: {"restarted", "started", "already-restarting", "stopped"},
		1: {"failed", "no such outcome", ""},
		4: {"requested"},
		5: {"not-loaded", "disabled", "no-session"},
		6: {"refused", "busy", "protected", "foreign", "ambiguous-domain"},
		7: {"not-ready", "flapping", "parked", "throttled"},
		8: {"unknown"},
	} {
		for _, o := range outcomes {
			if got := exitOf(o); got != code {
				t.Errorf("%s: %d, want %d", o, got, code)
			}
		}
	}
}

func TestOverall(t *testing.T) {
	for _, test := range []struct {
		codes []int
		want  int
	}{
		{[]int{0}, 0}, {[]int{5}, 5}, {[]int{4}, 4}, {[]int{8}, 8},
		{[]int{0, 0}, 0}, {[]int{0, 4, 0}, 4}, {[]int{5, 5, 5}, 5},
		{[]int{0, 5}, 3}, {[]int{5, 0}, 3}, {[]int{4, 8}, 3}, {[]int{0, 5, 8}, 3},
		{[]int{5, 8}, 1}, {[]int{5, 8, 5}, 1}, {[]int{8, 5, 5}, 1},
	} {
		if got := overall(slices.Clone(test.codes)); got != test.want {
			t.Errorf("%v: %d, want %d", test.codes, got, test.want)
		}
	}
}
