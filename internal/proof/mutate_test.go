package main

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// faultyModule is a module with one file x.go and its tests.
func faultyModule(t *testing.T, text, tests string) (dir string) {
	t.Helper()
	if _, err := os.Stat("/System"); runtime.GOOS == "darwin" && err != nil {
		t.Skip("this is a darwin program on Linux, whose go command would build tests that it cannot run")
	}
	dir = t.TempDir()
	for name, text := range map[string]string{"x.go": text, "x_test.go": tests, "go.mod": "module x\n\ngo 1.26\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Only a test that fails, or the end of the program that runs them, has caught a fault.
func TestEndOf(t *testing.T) {
	failed := errors.New("exit status 1")
	const timeout = "panic: test timed out after 4m0s\n\trunning tests:\n\t\tTestF (4m0s)\n\ngoroutine 21 [running]:\nFAIL\tx\t240.0s\n"
	for _, c := range []struct {
		what, output string
		err          error
		want         end
	}{
		{"all pass", "ok  \tx\t0.1s\n", nil, allPass},
		{"a test fails", "--- FAIL: TestF (0.00s)\nFAIL\nFAIL\tx\t0.1s\n", failed, named},
		{"a test panics", "--- FAIL: TestF (0.00s)\npanic: at the disco [recovered]\nFAIL\tx\t0.1s\n", failed, named},
		{"another goroutine panics", "panic: nil map\n\ngoroutine 9 [running]:\nFAIL\tx\t0.1s\n", failed, panicked},
		{"a test hangs", timeout, failed, timedOut},
		{"a test hangs and another one has failed", "--- FAIL: TestG (0.00s)\n" + timeout, failed, named},
		{"a test does not compile", "# x [x.test]\n./x_test.go:6:7: undefined: f\nFAIL\tx [build failed]\nFAIL\n", failed, notBuilt},
		{"a package is not there", "FAIL\tx [setup failed]\nFAIL\n", failed, notBuilt},
		{"one does not compile, another fails", "--- FAIL: TestG (0.00s)\nFAIL\ty\t0.1s\nFAIL\tx [build failed]\n", failed, notBuilt},
		{"the program is killed", "signal: killed\nFAIL\tx\t0.1s\n", failed, died},
	} {
		if got := endOf([]byte(c.output), c.err); got != c.want {
			t.Errorf("%s: %s, want %s", c.what, got, c.want)
		}
	}
}

// Tests that hang have caught no fault.
func TestFaultThatHangs(t *testing.T) {
	dir := faultyModule(t, "package x\n\nfunc f() int { return 1 }\n",
		"package x\n\nimport (\n\t\"testing\"\n\t\"time\"\n)\n\nfunc TestF(t *testing.T) {\n\tfor f() != 1 {\n\t\ttime.Sleep(time.Second)\n\t}\n}\n")
	m := mutation{what: "x", file: "x.go", old: "return 1", new: "return 2", packages: []string{"."}}
	const limit = time.Second
	if w := m.prove(t.Context(), dir, limit); len(w.failed) != 1 || !strings.Contains(w.failed[0], "did not come to their end in time") || !strings.Contains(w.failed[0], "TestF") {
		t.Errorf("%+v", w)
	}
}

// Tests that do not compile with the fault have not looked at it.
func TestFaultThatTestsDoNotCompileWith(t *testing.T) {
	dir := faultyModule(t, "package x\n\nfunc f() int { return 1 }\n",
		"package x\n\nimport \"testing\"\n\nfunc TestF(t *testing.T) {\n\tvar n int = f()\n\t_ = n\n}\n")
	m := mutation{what: "x", file: "x.go", old: "f() int { return 1 }", new: "f() string { return \"\" }", packages: []string{"."}}
	if w := m.prove(t.Context(), dir, testLimit); len(w.failed) != 1 || !strings.Contains(w.failed[0], "do not compile") {
		t.Errorf("%+v", w)
	}
}
