package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The manual and the tables in README.md come from the tables that help prints:
// go test ./cmd/hermes-gw -run Docs -update
const (
	manualPath = "../../doc/hermes-gw.1"
	readmePath = "../../README.md"
)

func TestDocsManual(t *testing.T) {
	current(t, manualPath, []byte(manual()))
}

func TestDocsReadme(t *testing.T) {
	text, err := os.ReadFile(readmePath)
	if err != nil {
		t.Fatal(err)
	}
	said := strings.Join(strings.Fields(string(text)), " ")
	if what := strings.Join(strings.Fields(whatItIs), " "); !strings.Contains(linkless(said), what) {
		t.Errorf("README.md does not begin with what help says:\n%s", what)
	}
	example, err := os.ReadFile("../../example_readme_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, shown, found := strings.Cut(string(example), "// restartGateways is shown in README.md.\n")
	shown, _, ended := strings.Cut(shown, "\n}\n")
	if !found || !ended {
		t.Fatal("example_readme_test.go has no function to show")
	}
	for _, table := range []struct{ name, rows string }{
		{"example", "```go\n" + shown + "\n}\n```\n"},
		{"verbs", verbsTable()},
		{"targets", "```sh\n" + commented(targetExamples) + "```\n\n```text\n" + strings.TrimSpace(targetsText) + "\n```\n"},
		{"exit codes", exitCodesTable()},
		{"environment", environmentTable()},
	} {
		if text, err = between(text, table.name, table.rows); err != nil {
			t.Errorf("README.md: %v", err)
		}
	}
	current(t, readmePath, text)
}

// current fails unless the file holds want, or writes it with -update.
func current(t *testing.T, path string, want []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what the command's tables say; go test ./cmd/hermes-gw -run Docs -update writes it anew",
			filepath.Base(path))
	}
}

// between puts rows between the two comments of a table.
func between(text []byte, name, rows string) ([]byte, error) {
	begin, end := []byte("<!-- begin "+name+" -->\n"), []byte("<!-- end "+name+" -->\n")
	before, rest, found := bytes.Cut(text, begin)
	_, after, ended := bytes.Cut(rest, end)
	if !found || !ended {
		return text, fmt.Errorf("the comments %q and %q are not both there", bytes.TrimSpace(begin), bytes.TrimSpace(end))
	}
	return bytes.Join([][]byte{before, begin, []byte(rows), end, after}, nil), nil
}

var link = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)

func linkless(markdown string) string { return link.ReplaceAllString(markdown, "$1") }

// cell escapes what would end a cell of a table.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

func verbsTable() string {
	var b strings.Builder
	b.WriteString("| verb | does |\n|---|---|\n")
	for _, v := range verbs() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", cell(strings.TrimSpace(v.name+" "+v.args)), cell(v.summary))
	}
	return b.String()
}

// commented are examples as a shell reads them.
func commented(list []example) string {
	var b strings.Builder
	for _, e := range list {
		fmt.Fprintf(&b, "%-44s # %s\n", e.line, e.does)
	}
	return b.String()
}

func exitCodesTable() string {
	var b strings.Builder
	b.WriteString("| exit code | means |\n|---|---|\n")
	for _, row := range exitTable() {
		fmt.Fprintf(&b, "| %d | %s |\n", row.code, cell(row.meaning))
	}
	return b.String()
}

func environmentTable() string {
	var b strings.Builder
	b.WriteString("| variable | is |\n|---|---|\n")
	for _, row := range envTable() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", row.name, cell(row.does))
	}
	return b.String()
}
