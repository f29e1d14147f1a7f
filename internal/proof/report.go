package main

import (
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"time"
)

// row is one line of the table.
type row struct {
	what    string
	tried   string // what was done, how often
	figure  string // what came of it
	failed  []string
	skipped string // why it was not done
	took    time.Duration
}

// report is the table. Rows are printed as soon as they are there.
type report struct {
	w       io.Writer
	verbose bool

	mu   sync.Mutex
	rows []row
}

func (r *report) add(w row) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rows = append(r.rows, w)
	fmt.Fprintf(r.w, "%-8s %s: %s; %s (%s)\n", w.verdict(), w.what, w.tried, w.outcome(), took(w.took))
	for i, f := range w.failed {
		if i == 10 && !r.verbose {
			fmt.Fprintf(r.w, "    and %d more\n", len(w.failed)-i)
			break
		}
		fmt.Fprintf(r.w, "    %s\n", strings.ReplaceAll(f, "\n", "\n    "))
	}
}

func (w row) verdict() string {
	switch {
	case len(w.failed) > 0:
		return "FAILED"
	case w.skipped != "":
		return "skipped"
	}
	return "holds"
}

func (w row) outcome() string {
	if w.skipped != "" && len(w.failed) == 0 {
		return w.skipped
	}
	return w.figure
}

// of takes what became of an attempt.
func (w *row) of(t *trial) {
	w.failed = append(w.failed, t.failures...)
	if w.skipped == "" {
		w.skipped = t.skipped
	}
}

// failed reports whether a row has.
func (r *report) failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.rows {
		if len(w.failed) > 0 {
			return true
		}
	}
	return len(r.rows) == 0
}

// table prints all of it in Markdown, for the README.
func (r *report) table(args []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(r.w, "\n%s, commit %s, %s/%s, %d cores, embedded launchd; to get it again: %s\n\n",
		time.Now().Format(time.DateOnly), commit(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(),
		strings.Join(append([]string{"go run ./internal/proof"}, args...), " "))
	fmt.Fprintln(r.w, "| what | tried | result | | time |\n|---|---|---|---|---|")
	for _, w := range r.rows {
		fmt.Fprintf(r.w, "| %s | %s | %s | %s | %s |\n", w.what, w.tried, w.outcome(), w.verdict(), took(w.took))
	}
}

// commit names the tree that was proved, as far as git knows it.
func commit() string {
	text, err := exec.Command("git", "describe", "--always", "--dirty", "--abbrev=12").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(text))
}
