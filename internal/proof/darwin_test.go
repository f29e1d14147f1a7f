package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/hermes-gw/hermes-gw/internal/proof/killpoint"
)

func TestLibCallsIn(t *testing.T) {
	text := `7 1 sysctl(0x7fa7d2f76ee0, 0x2, 0x7fa7d2f76edc)
7 2 _xpc_domain_routine(0x33b, 0x55, 0x1234)
7 # request 827 <dictionary: { "a": 1 }>
7 # reply 0 <dictionary: { }>
7 3 kill(12, 0)
7 5 fcntl(3, 2, 0x1)
7 4 kill(12, 30)
` + strings.Repeat("7 6 read(3, 0x1, 0x2)\n", lateCalls)
	calls, err := libCallsIn(strings.NewReader(text))
	if err != nil || len(calls) != 5+lateCalls {
		t.Fatal(calls, err)
	}
	var sent []string
	for i, c := range calls[:5] {
		if c.Number != i+1 || c.Returned != (c.Routine == 0) {
			t.Errorf("%+v", c)
		}
		if sendsSignal(c) {
			sent = append(sent, c.String())
		}
	}
	if calls[1].Routine != 827 || !slices.Equal(sent, []string{"4 (kill)"}) {
		t.Errorf("%v, signals %v", calls, sent)
	}
	// Whether the last ones have come back is not known.
	if calls, _ := libCallsIn(strings.NewReader(text[:strings.Index(text, "7 6")])); slices.ContainsFunc(calls, func(c killpoint.Call) bool { return c.Returned }) {
		t.Errorf("%v", calls)
	}
}
