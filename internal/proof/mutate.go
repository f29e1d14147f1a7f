package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// mutation is a fault in a single line, which the tests of one of the packages must catch.
type mutation struct {
	what     string
	file     string
	old, new string // old occurs once in the file
	packages []string
	run      string // only these tests; "" is all
}

// testLimit is far above what the tests of a package take.
const testLimit = 4 * time.Minute

// proveMutations applies each fault to a copy of the tree and runs the tests there, in two
// copies at a time.
func proveMutations(ctx context.Context, r *report, match string) {
	began := time.Now()
	var wanted []mutation
	for _, m := range mutations {
		if strings.Contains(m.what+" "+m.file, match) {
			wanted = append(wanted, m)
		}
	}
	dirs := make(chan string, 2)
	for range cap(dirs) {
		dir, err := copyTree()
		if err != nil {
			r.add(row{what: "mutation", tried: "copy the tree", failed: []string{err.Error()}})
			return
		}
		defer os.RemoveAll(dir)
		dirs <- dir
	}
	if match == "" {
		dir := <-dirs
		r.add(control(ctx, dir))
		dirs <- dir
	}
	caught := 0
	var mu sync.Mutex
	var running sync.WaitGroup
	for _, m := range wanted {
		dir := <-dirs
		running.Go(func() {
			defer func() { dirs <- dir }()
			w := m.prove(ctx, dir, testLimit)
			mu.Lock()
			defer mu.Unlock()
			if len(w.failed) == 0 {
				caught++
			}
			if ctx.Err() == nil {
				r.add(w)
			}
		})
	}
	running.Wait()
	all := row{what: "mutation", tried: fmt.Sprintf("%d single-line faults", len(wanted)), figure: fmt.Sprintf("%d caught", caught), took: time.Since(began)}
	if caught < len(wanted) {
		all.failed = []string{"a fault that no test catches is a test that is missing"}
	}
	r.add(all)
}

// control runs the tests without any fault: what fails then says nothing.
func control(ctx context.Context, dir string) row {
	began := time.Now()
	var packages []string
	for _, m := range mutations {
		packages = append(packages, m.packages...)
	}
	slices.Sort(packages)
	packages = slices.Compact(packages)
	w := row{what: "mutation: control", tried: "the tests of " + strings.Join(packages, ", ") + " without a fault", figure: "pass"}
	if text, err := goTest(ctx, dir, "", nil, packages, testLimit); err != nil {
		w.failed = append(w.failed, fmt.Sprintf("%v\n%s", err, tail(text)))
	}
	w.took = time.Since(began)
	return w
}

var failedTest = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)

// prove applies the fault in a copy of the tree, runs the tests and takes the fault back.
func (m mutation) prove(ctx context.Context, dir string, limit time.Duration) (w row) {
	began := time.Now()
	w = row{what: "mutation: " + m.what, tried: m.file}
	defer func() { w.took = time.Since(began) }()
	path := filepath.Join(dir, m.file)
	text, err := os.ReadFile(path)
	if err != nil {
		w.failed = append(w.failed, err.Error())
		return w
	}
	if n := strings.Count(string(text), m.old); n != 1 {
		w.failed = append(w.failed, fmt.Sprintf("%q occurs %d times: the list of faults is behind the code", m.old, n))
		return w
	}
	defer os.WriteFile(path, text, 0o644)
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), m.old, m.new, 1)), 0o644); err != nil {
		w.failed = append(w.failed, err.Error())
		return w
	}
	build := exec.CommandContext(ctx, "go", append([]string{"build"}, m.packages...)...)
	build.Dir = dir
	if text, err := build.CombinedOutput(); err != nil {
		w.failed = append(w.failed, fmt.Sprintf("the fault does not compile: %s", tail(text)))
		return w
	}
	var flaky []string
	for range 3 {
		output, err := goTest(ctx, dir, m.run, flaky, m.packages, limit)
		if exit, _ := errors.AsType[*exec.ExitError](err); err != nil && exit == nil || ctx.Err() != nil {
			w.failed = append(w.failed, fmt.Sprint(err))
			return w
		}
		names := failedTests(output)
		switch how := endOf(output, err); how {
		case allPass:
			w.failed = append(w.failed, fmt.Sprintf("no test of %s catches it", strings.Join(m.packages, ", ")))
			return w
		case notBuilt:
			w.failed = append(w.failed, fmt.Sprintf("with the fault the tests do not compile, so none has caught it:\n%s", tail(output)))
			return w
		case named: // see below
		case timedOut:
			w.failed = append(w.failed, fmt.Sprintf("the tests did not come to their end in time, which says nothing about the fault:\n%s", timeoutOf(output)))
			return w
		case panicked, died: // a fault can make a sweep hit the program of the tests itself
			again, err := goTest(ctx, dir, m.run, flaky, m.packages, limit)
			if ctx.Err() == nil && endOf(again, err) == how {
				w.figure = "caught by " + string(how) + ", twice"
				return w
			}
			w.failed = append(w.failed, fmt.Sprintf("the tests ended once by %s, without naming one that failed, and not so again:\n%s", how, tail(output)))
			return w
		}
		// Those that fail again have caught it. What fails only now and then has not.
		again, err := goTest(ctx, dir, only(names), nil, m.packages, limit)
		if sure := failedTests(again); endOf(again, err) == named {
			w.figure = "caught by " + strings.Join(sure, ", ")
			return w
		}
		flaky = append(flaky, names...)
	}
	w.failed = append(w.failed, fmt.Sprintf("only tests caught it that fail now and then: %v", flaky))
	return w
}

// end is how the program of the tests ended.
type end string

const (
	allPass  end = "a pass"
	named    end = "tests that failed"
	notBuilt end = "a build that failed"
	timedOut end = "a timeout"
	panicked end = "a panic"
	died     end = "the end of the tests' own program"
)

var (
	buildFailed = regexp.MustCompile(`(?m)^FAIL\s+\S+ \[(build|setup) failed\]`)
	timeLimit   = regexp.MustCompile(`(?m)^panic: test timed out after [^\n]*(\n\t+[^\n]+)*`)
)

// endOf tells it from what go test printed. What does not compile has not been tested, whatever else
// failed; a test that failed counts before one that hung, and the panic of go test's own clock is
// none of the program's.
func endOf(output []byte, err error) end {
	switch {
	case err == nil:
		return allPass
	case buildFailed.Match(output):
		return notBuilt
	case len(failedTests(output)) > 0:
		return named
	case timeLimit.Match(output):
		return timedOut
	case bytes.Contains(output, []byte("panic: ")):
		return panicked
	}
	return died
}

// timeoutOf are the lines that say which tests were still running.
func timeoutOf(output []byte) string { return string(timeLimit.Find(output)) }

// failedTests are the tests that failed, without their parts.
func failedTests(output []byte) (names []string) {
	for _, found := range failedTest.FindAllStringSubmatch(string(output), -1) {
		name, _, _ := strings.Cut(found[1], "/")
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// only is the pattern for these tests.
func only(names []string) string { return "^(" + strings.Join(names, "|") + ")$" }

// goTest runs tests until one of them fails.
func goTest(ctx context.Context, dir, run string, skip, packages []string, limit time.Duration) ([]byte, error) {
	args := []string{"test", "-count=1", "-failfast", "-timeout", limit.String()}
	if run != "" {
		args = append(args, "-run", run)
	}
	if len(skip) > 0 {
		args = append(args, "-skip", only(skip))
	}
	cmd := exec.CommandContext(ctx, "go", append(args, packages...)...)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	return cmd.CombinedOutput()
}

// copyTree copies the files of the module, those that are not committed too.
func copyTree() (dir string, err error) {
	list, err := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		return "", fmt.Errorf("list the files: %w", err)
	}
	if dir, err = os.MkdirTemp("", "hermes-gw-mutation"); err != nil {
		return "", err
	}
	for name := range strings.SplitSeq(strings.TrimRight(string(list), "\x00"), "\x00") {
		if err := copyFile(name, filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			os.RemoveAll(dir)
			return "", err
		}
	}
	return dir, nil
}

func copyFile(from, to string) error {
	info, err := os.Lstat(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if info.Mode()&os.ModeSymlink != 0 {
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, info.Mode().Perm())
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}

// tail is the end of what a program printed.
func tail(text []byte) string {
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-25):], "\n")
}
