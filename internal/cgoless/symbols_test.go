package cgoless

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/exports.tsv again from the export lists beside the repository")

const (
	exportsCopy = "testdata/exports.tsv"
	exportLists = "../../../shared/darwin-exports"
)

var systems = []string{"macos12", "macos13", "macos15"}

const exportsHeader = `# What macOS 12, 13 and 15 export of the names in symbols.go: system, library, Mach-O
# symbol (one underscore more than the C name), architectures. A name without a line for
# a system is not exported there.
# Source: the lines with these names of darwin-exports/macos12.tsv, macos13.tsv and
# macos15.tsv, which hold all exports of /usr/lib/libSystem.B.dylib and /usr/lib/system.
# Made by: go test ./internal/cgoless -run TestExportsCopyIsCurrent -update
`

// export is a line of exports.tsv.
type export struct{ system, library, name, archs string }

func readExports(t *testing.T, path, system string) (found []export) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := lines.Text()
		if strings.HasPrefix(line, "#") {
			continue
		}
		if system != "" {
			line = system + "\t" + line
		}
		cols := strings.Split(line, "\t")
		if len(cols) != 4 {
			t.Fatalf("%s: line %q", path, line)
		}
		found = append(found, export{cols[0], cols[1], cols[2], cols[3]})
	}
	return found
}

// serves tells whether dlsym on a handle of library finds what stands in e.
func (e export) serves(library string) bool {
	if library == libSystem {
		return e.library == libSystem || strings.HasPrefix(e.library, "/usr/lib/system/")
	}
	return e.library == library
}

func TestRequiredSymbolsAreExportedEverywhere(t *testing.T) {
	exports := readExports(t, exportsCopy, "")
	for _, s := range symbols {
		for _, system := range systems {
			there := slices.ContainsFunc(exports, func(e export) bool {
				return e.system == system && e.name == "_"+s.name && e.serves(s.library) &&
					strings.Contains(e.archs, "arm64") && strings.Contains(e.archs, "x86_64")
			})
			if !there && s.fallback == "" {
				t.Errorf("%s of %s is required, but %s does not export it", s.name, s.library, system)
			}
		}
	}
}

func TestEveryOptionalSymbolExistsSomewhere(t *testing.T) {
	exports := readExports(t, exportsCopy, "")
	for _, s := range symbols {
		if !slices.ContainsFunc(exports, func(e export) bool { return e.name == "_"+s.name && e.serves(s.library) }) {
			t.Errorf("no system exports %s of %s: is it spelt right?", s.name, s.library)
		}
	}
}

func TestExportsCopyIsCurrent(t *testing.T) {
	if _, err := os.Stat(exportLists); errors.Is(err, fs.ErrNotExist) {
		t.Skip("the export lists are not beside this repository")
	}
	var want []export
	for _, system := range systems {
		for _, e := range readExports(t, filepath.Join(exportLists, system+".tsv"), system) {
			if slices.ContainsFunc(symbols[:], func(s symbol) bool { return "_"+s.name == e.name }) {
				want = append(want, e)
			}
		}
	}
	if *update {
		var out strings.Builder
		out.WriteString(exportsHeader)
		for _, e := range want {
			fmt.Fprintf(&out, "%s\t%s\t%s\t%s\n", e.system, e.library, e.name, e.archs)
		}
		if err := os.WriteFile(exportsCopy, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := readExports(t, exportsCopy, ""); !slices.Equal(got, want) {
		t.Errorf("%s differs from %s; run with -update", exportsCopy, exportLists)
	}
}

func TestSymbolTableIsWhole(t *testing.T) {
	seen := map[string]bool{}
	for id, s := range symbols {
		if s.library == "" || s.name == "" {
			t.Errorf("symbolID %d has no row", id)
		}
		if seen[s.name] {
			t.Errorf("%s stands in the table twice", s.name)
		}
		seen[s.name] = true
	}
}

// A look-up that went around the table would escape the tests above, so purego is
// only used where the rows are looked up and where the callback is made.
func TestLookUpsGoThroughTheTable(t *testing.T) {
	allowed := map[string][]string{
		"lib_darwin.go":  {"Dlopen", "Dlsym", "RegisterFunc", "RTLD_LAZY", "RTLD_LOCAL"},
		"walk_darwin.go": {"NewCallback"},
		// Calls an address that was looked up in the table.
		"sysctl_darwin.go": {"SyscallN"},
	}
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal("no source here: ", err)
	}
	used := map[string]bool{}
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, imp := range f.Imports {
			if strings.Contains(imp.Path.Value, "purego") && (imp.Name != nil || !strings.HasSuffix(name, "_darwin.go")) {
				t.Errorf("%s imports %s", name, imp.Path.Value)
			}
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok {
				if pkg, ok := sel.X.(*ast.Ident); ok && pkg.Name == "purego" && !slices.Contains(allowed[name], sel.Sel.Name) {
					t.Errorf("%s uses purego.%s", name, sel.Sel.Name)
				} else if ok && pkg.Name == "purego" {
					used[sel.Sel.Name] = true
				}
			}
			return true
		})
	}
	if !used["Dlsym"] {
		t.Error("Dlsym was not found in the source: this test looks in the wrong place")
	}
}

// A row that nothing asks for would make the table say more than is true.
func TestEveryRowIsAskedFor(t *testing.T) {
	parse := func(name string) *ast.File {
		t.Helper()
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	var rows []string
	ast.Inspect(parse("symbols.go"), func(n ast.Node) bool {
		if kv, ok := n.(*ast.KeyValueExpr); ok {
			rows = append(rows, kv.Key.(*ast.Ident).Name)
		}
		return true
	})
	if len(rows) != len(symbols) {
		t.Fatalf("%d rows found in the source, %d in the table", len(rows), len(symbols))
	}
	files, err := filepath.Glob("*_darwin.go")
	if err != nil {
		t.Fatal(err)
	}
	asked := map[string]bool{}
	for _, name := range files {
		ast.Inspect(parse(name), func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok {
				asked[id.Name] = true
			}
			return true
		})
	}
	for _, row := range rows {
		if !asked[row] {
			t.Errorf("nothing asks for %s", row)
		}
	}
}
