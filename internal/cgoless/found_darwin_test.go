package cgoless

import "testing"

func TestFindSymbols(t *testing.T) {
	found, err := FindSymbols()
	if err != nil || len(found) != len(symbols) {
		t.Fatalf("%d names, %v", len(found), err)
	}
	for i, f := range found {
		if f.Name != symbols[i].name || f.Library != symbols[i].library {
			t.Errorf("%+v stands for %+v", f, symbols[i])
		}
		if !f.There && f.Instead == "" {
			t.Errorf("%s is not there, and nothing serves instead", f.Name)
		}
	}
	if text, ok := ErrorText(113); !ok || text != "Could not find specified service" {
		t.Errorf("%q, %v", text, ok)
	}
}
